"""What tracing a network finds out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from archlab.errors import InputError
from archlab.records.display import Displayed, Shown

if TYPE_CHECKING:
    import pandas

Shape = tuple[int, ...]

MAP_AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""The axes of a signal, a picture and a volume, as they are named."""
FEATURE_AXES = ("channels", "features")
"""The axis that a layer's weights make: `channels` of a map, `features` of a vector, of each token or of each step."""
SIZE_UNKNOWN = "size not known"
"""The detail of a row whose parameters nothing has initialised: its count of 0 is none."""


@dataclass(frozen=True, slots=True)
class ReceptiveField(Shown):
    """How much of the network's input one output position can see.

    Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
    """

    size: Shape
    """Input positions per axis, the spatial axes in order."""
    jump: tuple[int | float, ...]
    """Input positions between neighbouring output positions, per axis: a fraction behind upsampling, 0 where all
    positions see the same."""
    kind: Literal["exact", "upper bound", "whole input"]
    """`upper bound`: paths of unequal stride or dilation leave holes. `whole input`: it pools or attends over all."""


@dataclass(frozen=True, slots=True)
class Window(Shown):
    """How a convolution or a pooling slides over its input; one number per spatial axis, in order."""

    kernel: Shape
    stride: Shape
    padding: tuple[tuple[int, int], ...]
    """Positions put before and after the input, per axis."""
    dilation: Shape
    groups: int | None = None
    """Groups of channels that a convolution keeps apart; None for a pooling."""
    transposed: bool = False
    """Whether it goes from the output's positions to the input's: then `stride` is how much larger the map becomes."""


@dataclass(frozen=True, slots=True)
class Weight(Shown):
    """A parameter that a layer holds itself, or an operation takes."""

    name: str
    """Its name in the module that holds it."""
    shape: Shape


@dataclass(frozen=True, slots=True)
class Failure(Shown):
    """Where and why a forward pass failed."""

    path: str
    """The failing layer; empty for the network itself."""
    kind: str
    """Its class or operation."""
    source: str
    """`file:line` of the call that failed, empty where it isn't known."""
    got: str
    """What it was given."""
    expected: str
    """What it would have taken, empty where that isn't known."""
    remedy: str
    """What to change, empty where nothing follows from the numbers."""
    error: str
    """The message of the original exception."""


@dataclass(frozen=True, slots=True)
class Layer(Shown):
    """One row: a module call, or a functional operation outside any leaf module.

    Counts of a row cover everything inside it, so that the rows at depth 1 sum to the network's totals. A shared
    parameter or buffer counts in the first row that uses it; a module that is called three times has three rows, each
    with its cost.
    """

    path: str
    """Dotted name as `named_modules()` gives it; for an operation the parent's path and its own (`stage_1.0.add`)."""
    kind: str
    """Class of the module, name of the operation, or `Parameter` for one that its container holds directly."""
    depth: int
    """1 for the network's children, by the tree of calls."""
    input_shapes: tuple[Shape, ...]
    """Shapes of all tensor leaves of the arguments, batch first."""
    output_shapes: tuple[Shape, ...]
    """Shapes of all tensor leaves of the result."""
    parameters: int = 0
    """Parameters of the subtree, each counted once in the trace."""
    macs: int = 0
    """Multiply-accumulates of the subtree in this call."""
    operation: bool = False
    """Whether the row is a functional operation and no module."""
    own_parameters: int = 0
    """The part of `parameters` that the module holds itself, not in its children."""
    trainable_parameters: int = 0
    """The part of `parameters` that has `requires_grad`."""
    buffers: int = 0
    """Buffer elements of the subtree, each counted once."""
    elementwise: int = 0
    """Operations of normalisation, activation and pooling in the subtree, apart from MACs."""
    output_bytes: int = 0
    """Bytes of the results."""
    saved_bytes: int | None = None
    """Bytes that autograd keeps for backward, each storage once, without parameters; None where it wasn't asked for."""
    backward_macs: int | None = None
    """Multiply-accumulates of the backward pass through the subtree; None where they weren't asked for."""
    recomputed_macs: int | None = None
    """Those of what a checkpoint runs a second time, in the backward pass; None where they weren't asked for."""
    receptive_field: ReceptiveField | None = None
    """Of the first output; None where it wasn't asked for or means nothing."""
    dtype: str = ""
    """Element type of the first output, as torch names it (`float32`)."""
    call: int = 1
    """Which of the module's calls this is, from 1; 0 for a layer that is never called."""
    calls: int = 1
    """How often the module is called in all."""
    source: str = ""
    """`file:line` of the operation's call or the module's class, empty where it isn't known."""
    detail: str = ""
    """What the shapes don't say: `64+32 -> 96`, `causal`, `5x5, stride 2`."""
    inputs: tuple[int, ...] = ()
    """The rows whose results this one takes, as indices into the trace's layers; -1 - k is the network's k-th input."""
    axes: tuple[str, ...] = ()
    """What the axes of the first output are, where the layer says so: `batch`, `channels`, `features`, `heads`,
    `tokens`, `time`, `length`, `depth`, `height`, `width`; "" for an axis that it leaves open."""
    seconds: float | None = None
    """Median time of the forward pass through it, as `archlab.profile` measures it; None where it wasn't asked for."""
    window: Window | None = None
    """Of a convolution or a pooling: kernel, stride, padding, dilation and groups; None for all else."""
    weights: tuple[Weight, ...] = ()
    """The parameters that the module holds itself, or that the operation takes, with their shapes."""
    uncounted: int = 0
    """Operations of the subtree without a formula: unless it is 0, `macs` is a lower bound."""


@dataclass(frozen=True, slots=True)
class Totals(Shown):
    """Sums over a whole network. MACs are a lower bound if `uncounted_operations` is not empty."""

    parameters: int
    """Each parameter once: `sum(p.numel() for p in network.parameters())`."""
    trainable_parameters: int
    buffers: int
    macs: int
    flops: int
    """2 x MACs."""
    uncounted_operations: dict[str, int] = field(default_factory=dict)
    """Operations without a formula, and how often they ran."""
    counted_operations: int = 0
    """Operations whose cost is known, the free ones among them."""
    elementwise: int = 0
    output_bytes: int = 0
    saved_bytes: int | None = None
    backward_macs: int | None = None
    recomputed_macs: int | None = None
    step_macs: int | None = None
    """Of a whole training step: `macs`, `backward_macs` and `recomputed_macs`; None where they weren't asked for."""
    uncounted_backward_operations: dict[str, int] = field(default_factory=dict)
    """Operations of the backward pass without a formula, and how often they ran: then its MACs are a lower bound."""


@dataclass(frozen=True, slots=True)
class Trace(Displayed):
    """The measured layers of a network on given input shapes, with totals."""

    SCHEMA: ClassVar[str] = "archlab.trace/1"

    network: str
    """The source it was built from, or the class of a module that was given."""
    inputs: tuple[Shape, ...]
    layers: tuple[Layer, ...]
    """Rows in the order of execution, parents before children; unused layers at the place where they are registered."""
    totals: Totals
    options: dict[str, str] = field(default_factory=dict)
    """What the network was built with, where it was built by name."""
    notes: tuple[str, ...] = ()
    """Sentences that belong under the table: how it was built, what the counts leave out, where arithmetic was real."""
    input_names: tuple[str, ...] = ()
    input_dtypes: tuple[str, ...] = ()
    failure: Failure | None = None
    """Set when the forward pass failed; then the layers end at the one that did."""

    def conflict(self) -> str:
        """A layer that takes what is no row and no input or slides along other axes than there are; half a sum."""
        for layer in self.layers:
            for origin in layer.inputs:
                if not -len(self.inputs) <= origin < len(self.layers):
                    return f"{layer.path!r} takes row {origin} of {len(self.layers)}, {len(self.inputs)} inputs"
            if layer.depth < 1:
                return f"{layer.path!r} has depth {layer.depth}, expected 1 or more"
            window = layer.window
            if window is not None:
                sizes = {len(held) for held in (window.kernel, window.stride, window.padding, window.dilation)}
                if len(sizes) > 1:
                    return f"the window of {layer.path!r} has numbers for {sorted(sizes)} axes"
            field = layer.receptive_field
            if field is not None and len(field.size) != len(field.jump):
                return f"the receptive field of {layer.path!r} has {len(field.size)} sizes, {len(field.jump)} jumps"
        if self.totals.step_macs is not None and self.totals.backward_macs is None:
            return "its totals have the cost of a step, and none of its backward pass"
        return ""

    def to_dataframe(self) -> pandas.DataFrame:
        """All layers as a pandas DataFrame: one row per layer, the fields of `Layer` as columns, shapes as tuples.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise InputError("a DataFrame needs pandas, which is not installed: pip install pandas") from error
        names = [item.name for item in fields(Layer)]
        return pandas.DataFrame([[getattr(layer, name) for name in names] for layer in self.layers], columns=names)

    def rows(self, depth: int | None = 1) -> Iterator[Layer]:
        """The layers down to a depth, in order; all of them for None."""
        return (layer for layer in self.layers if depth is None or layer.depth <= depth)

    def filtered(self, keep: Callable[[Layer], bool]) -> Trace:
        """The same trace with only the layers that `keep` holds true of.

        Edges into a dropped row move to its nearest kept parent; edges that would start at the row itself, or in
        a row dropped without a kept parent, are left out. Where `block` is kept without its `block.conv` and
        `block.relu`, the edge `block.relu -> fc` becomes `block -> fc`, and `block.conv -> block.relu` is gone.
        """
        places: dict[int, int] = {}
        kept: list[tuple[int, Layer]] = []
        ancestors: list[tuple[int, int]] = []  # (depth, place among the kept) of the open parents
        for index, layer in enumerate(self.layers):
            while ancestors and ancestors[-1][0] >= layer.depth:
                ancestors.pop()
            if keep(layer):
                places[index] = len(kept)
                ancestors.append((layer.depth, len(kept)))
                kept.append((index, layer))
            elif ancestors:
                places[index] = ancestors[-1][1]
        incoming: list[dict[int, None]] = [{} for _ in kept]
        for index, layer in enumerate(self.layers):
            if index not in places:
                continue
            target = places[index]
            for origin in layer.inputs:
                place = origin if origin < 0 else places.get(origin)
                if place is not None and place != target:
                    incoming[target][place] = None
        layers = tuple(replace(layer, inputs=tuple(incoming[place])) for place, (_, layer) in enumerate(kept))
        return replace(self, layers=layers)

    def to_depth(self, depth: int | None) -> Trace:
        """The same trace with the layers down to a depth; edges between deeper layers join the rows that hold them."""
        return self if depth is None else self.filtered(lambda layer: layer.depth <= depth)
