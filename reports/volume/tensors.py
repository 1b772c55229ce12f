"""Which tensors of a trace are drawn: what a block of the picture stands for.

A block is the result of a layer, or of a closed block of layers. It stands for more than one result where nothing new
would be seen:

- a result of the same shape, made without MACs (normalisation, activation, a sum with a skip connection), is the same
  block as what it was made from;
- so are the same numbers in another arrangement (`flatten`, `permute`);
- what goes into concatenations alone is a band of their block and none of its own: the branches of an Inception block,
  a dense layer's 32 channels, the upsampled half of a U-Net's level;
- a shortcut that only goes into a sum is a part of the arrow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from archlab.analysis.axes import Axes, named_axes
from archlab.analysis.bands import Concatenations, is_concatenation
from archlab.analysis.growth import STATES
from archlab.errors import InputError
from archlab.records import Layer, Shape, Trace
from archlab.records.trace import FEATURE_AXES
from archlab.reports.diagram.colour import category
from archlab.reports.volume.cut import Cut, Tree, automatic, opened_to

MOST_BLOCKS = 32
"""Blocks up to which a picture opens one level more by itself: the paper's U-Net has 28, a drawn ResNet-18 has 21."""

MAKERS = frozenset(["convolution", "linear", "recurrent", "attention", "embedding"])
"""Kinds whose result is always a block of its own."""


@dataclass(frozen=True, slots=True)
class Band:
    """A part of a block's channels: what one layer made, or what was there before."""

    channels: int
    style: str
    """The kind of the layer that made it, as a style class of the diagram; `is-carried` for what is drawn elsewhere."""
    origin: int
    """The row that made it."""
    order: float | None = None
    """0 for the first that a concatenation adds, 1 for the last, the same in all blocks of the network; None where it
    adds no more than one."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One block of the picture, without its batch axis."""

    row: int
    """The row that makes it; -1 - k for the network's k-th input."""
    path: str
    kind: str
    style: str
    channels: int
    """Channels, or features of each position; 1 where no axis has them."""
    positions: Shape
    """Sizes of the map, or the number of tokens or steps; () for a vector."""
    axes: Axes
    """What the positions are, one name each."""
    bands: tuple[Band, ...] = ()
    """From the first channel to the last; () where it is of one piece."""
    sources: tuple[int, ...] = ()
    """Places, among the tensors, of those that it is made from."""
    skips: tuple[int, ...] = ()
    """Those of them that come by a skip connection: into a sum or a concatenation, past layers on another way to it."""
    repeats: int = 1
    """How many equal ones it stands for."""


def tensors(trace: Trace, only: str = "", depth: int | None = 0) -> tuple[Tensor, ...]:
    """The blocks of a picture in the order of execution, inputs first.

    Args:
        trace: the network.
        only: the path of the one layer whose inside is drawn.
        depth: levels of blocks to open; None for all, 0 for as many as make no more than `MOST_BLOCKS` blocks.

    Raises:
        InputError: no layer has that path, or there is nothing to draw.
    """
    tree, axes = Tree(trace), named_axes(trace)
    if depth != 0:
        found = _Selection(tree, axes, Cut(tree, only, opened_to(trace, depth))).tensors()
    else:
        found, last = (), list[int]()
        for level in range(1, max((layer.depth for layer in trace.layers), default=1) + 1):
            cut = Cut(tree, only, automatic(trace, level))
            if cut.rows == last:
                break  # nothing is left to open
            finer = _Selection(tree, axes, cut).tensors()
            if found and len(finer) > MOST_BLOCKS:
                break
            found, last = finer, cut.rows
    if not any(tensor.row >= 0 for tensor in found):
        raise InputError(f"{only or trace.network} has no tensor to draw: expected layers that were run")
    return found


class _Selection:
    """The nodes of a cut, each resolved to the tensor that stands for its result."""

    def __init__(self, tree: Tree, axes: list[Axes], cut: Cut) -> None:
        self.trace, self.layers, self.holders = tree.trace, tree.trace.layers, tree.holders
        self.axes, self.cut = axes, cut
        self.taken = {row: self._taken(row) for row in cut.rows}
        self.consumers: dict[int, list[int]] = {}
        for row, origins in self.taken.items():
            for origin in origins:
                self.consumers.setdefault(origin, []).append(row)
        self.drawn: dict[int, int] = {}
        """Node -> the node that makes the tensor which stands for its result."""
        self.rank: dict[int, int] = {}
        self.joined: dict[int, list[int]] = {}
        """Node that makes a tensor -> what else goes into it by sums."""
        self.sums: dict[int, list[int]] = {}
        """The part of that which comes in by sums, and not by products (gates, scales)."""
        for row in cut.rows:
            self._resolve(row)

    def tensors(self) -> tuple[Tensor, ...]:
        made = [row for row in self.cut.rows if self.drawn.get(row) == row]
        hidden = {row for row in made if self._is_band(row)}
        outside = {origin for found in self.taken.values() for origin in found} - self.cut.shown
        inputs = sorted(outside, key=lambda origin: (origin >= 0, abs(origin)))
        kept = [*inputs, *(row for row in made if row not in hidden)]
        place = {row: number for number, row in enumerate(kept)}
        bands = Concatenations(self.trace, self.axes)
        result: list[Tensor] = []
        for row in kept:
            found = self._origins(row, place) if row in self.cut.shown else set()
            sources = tuple(sorted(place[origin] for origin in found if place[origin] < place[row]))
            tensor = self._tensor(row)
            if row in self.cut.shown:
                tensor = replace(tensor, sources=sources, bands=self._bands(row, bands, place))
                tensor = replace(tensor, skips=self._skips(row, tensor, result, place))
            result.append(tensor)
        return _ordered(result)

    def _taken(self, row: int) -> list[int]:
        """What a node takes from outside of itself: nodes, inputs, rows outside of the part that is drawn."""
        inside = self.cut.inside(row)
        origins = (origin for inner in inside for origin in self.layers[inner].inputs)
        homes = (self.cut.home.get(origin, origin) for origin in origins if origin not in inside)
        return [home for home in dict.fromkeys(homes) if home != row and not self._is_silent(home)]

    def _is_silent(self, row: int) -> bool:
        if row < 0:
            return not self.trace.inputs[-1 - row]
        layer = self.layers[row]
        return layer.kind in STATES or not layer.call or not layer.output_shapes

    def _shape(self, row: int) -> Shape:
        return self.trace.inputs[-1 - row] if row < 0 else self.layers[row].output_shapes[0]

    def _resolve(self, row: int) -> None:
        if self._is_silent(row):
            return
        before = [origin for origin in self.taken[row] if origin not in self.cut.shown or origin in self.drawn]
        heights = [self._rank(origin) for origin in before]
        self.drawn[row], self.rank[row] = row, max(heights, default=0) + 1
        main = self._same(row, before)
        if main is None:
            return
        target = self.drawn.get(main, main)
        others = [origin for origin in before if origin != main]
        absorbed = [o for o in others if self.consumers[o] == [row] and self._shape(o) == self._shape(main)]
        late = [o for o in others if o not in absorbed and self.drawn.get(o, o) > target]
        if late or (others and target not in self.cut.shown):
            return  # a sum with what comes later is a block of its own, that arrows may lead to
        self.drawn[row] = target
        for origin in absorbed:
            if self.drawn.get(origin) == origin:
                del self.drawn[origin]
                others += self.taken[origin]
        self.joined.setdefault(target, []).extend(others)
        if _is_sum(self.layers[row]):
            self.sums.setdefault(target, []).extend(others)

    def _rank(self, origin: int) -> int:
        """How many blocks lie one behind the other up to what a node takes."""
        return self.rank.get(self.drawn.get(origin, origin), 0)

    def _same(self, row: int, before: Sequence[int]) -> int | None:
        """Which of what a node takes is the same block as its result: of several, that with most blocks behind it."""
        layer = self.layers[row]
        if len(self.cut.inside(row)) > 1 or layer.macs or is_concatenation(layer, self.axes[row]):
            return None
        kind = category(layer, False)
        if kind in MAKERS:
            return None  # its MACs aren't counted, or a look-up has none
        shape = self._shape(row)
        equal = [o for o in before if self._shape(o) == shape]
        if equal:
            return max(equal, key=lambda o: (self._rank(o), o))
        alone = len(before) == 1 and not layer.parameters and kind != "pooling"
        return before[0] if alone and prod(self._shape(before[0])) == prod(shape) else None

    def _is_band(self, row: int) -> bool:
        """Whether a tensor goes into concatenations of channels and nowhere else."""
        same = {node for node, target in self.drawn.items() if target == row}
        found = [user for node in same for user in self.consumers.get(node, ()) if user not in same]
        return bool(found) and all(
            len(self.cut.inside(user)) == 1 and is_concatenation(self.layers[user], self.axes[user]) for user in found
        )

    def _origins(self, row: int, place: dict[int, int]) -> set[int]:
        """The drawn tensors that one is made from, through those that are not drawn."""
        return self._followed([*self.taken[row], *self.joined.get(row, ())], row, place)

    def _skips(self, row: int, tensor: Tensor, before: Sequence[Tensor], place: dict[int, int]) -> tuple[int, ...]:
        is_sum = len(self.cut.inside(row)) == 1 and _is_sum(self.layers[row])
        summands = self._followed(self.taken[row] if is_sum else self.sums.get(row, []), row, place)
        added = {place[origin] for origin in summands}
        taken = set() if is_sum else {place[origin] for origin in self._followed(self.taken[row], row, place)}
        return tuple(
            source
            for source in tensor.sources
            if (source in added and source in taken)  # past the layers of the block itself
            or ((source in added or tensor.bands) and _bypasses(before, source, tensor.sources))
        )

    def _followed(self, origins: Sequence[int], row: int, place: dict[int, int]) -> set[int]:
        result: set[int] = set()
        seen: set[int] = set()
        waiting = list(origins)
        while waiting:
            origin = waiting.pop()
            target = self.drawn.get(origin, origin)
            if target in seen or target == row:
                continue
            seen.add(target)
            if target in place:
                result.add(target)
            elif target in self.taken:
                waiting += [*self.taken[target], *self.joined.get(target, ())]
        return result

    def _bands(self, row: int, bands: Concatenations, place: dict[int, int]) -> tuple[Band, ...]:
        parts = bands.parts(row)
        if len(parts) < 2:
            return ()
        result = []
        for origin, channels in parts:
            home = self.cut.home.get(origin, origin)
            target = self.drawn.get(home, home)
            is_carried = target in place and target != row
            maker = self.layers[bands.maker(origin)]
            style = "is-carried" if is_carried or origin < 0 else f"is-{category(maker, False)}"
            result.append(Band(channels, style, origin))
        return tuple(result)

    def _tensor(self, row: int) -> Tensor:
        shape = self._shape(row)
        names = self._names(row, shape)
        feature = _feature_axis(names)
        kept = [axis for axis, name in enumerate(names) if name != "batch" and axis != feature]
        kept = [axis for axis in kept if shape[axis] > 1 or names[axis]]
        channels = shape[feature] if feature is not None else 1
        positions, axes = tuple(shape[axis] for axis in kept), tuple(names[axis] for axis in kept)
        if row < 0:
            return Tensor(row, self._input_name(row), "input", "is-input", channels, positions, axes)
        layer = self.layers[row]
        style = "is-input" if row not in self.cut.shown else f"is-{self._category(row)}"
        repeats = self.cut.repeats.get(row, 1)
        return Tensor(row, layer.path, layer.kind, style, channels, positions, axes, repeats=repeats)

    def _names(self, row: int, shape: Shape) -> Axes:
        if row >= 0:
            return self.axes[row]
        dtype = "".join(self.trace.input_dtypes[-1 - row : -row])
        if "int" in dtype and len(shape) == 2:
            known = [self.axes[user] for user in self.consumers.get(row, ())]
            return next((names[:2] for names in known if len(names) == 3 and all(names)), ("batch", "tokens"))
        users = [self.axes[user] for user in self.consumers.get(row, ()) if len(self.axes[user]) == len(shape)]
        return users[0] if users else ("batch", *[""] * (len(shape) - 1))

    def _input_name(self, row: int) -> str:
        keyword = -1 - row - (len(self.trace.inputs) - len(self.trace.input_names))
        return self.trace.input_names[keyword] if keyword >= 0 else "input"

    def _category(self, row: int) -> str:
        """The kind of a layer; of a block without a kind of its own that of the layer with most MACs in it."""
        own = category(self.layers[row], False)
        if own != "other":
            return own
        leaves = [self.layers[inner] for inner in self.cut.inside(row) if inner not in self.holders]
        most: Layer = max(leaves, key=lambda layer: layer.macs)
        return category(most, False) if most.macs else own


def _ordered(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The tensors, the order of each band that of the largest concatenation that it is in."""
    order: dict[int, float] = {}
    for tensor in sorted(tensors, key=lambda tensor: -len(tensor.bands)):
        made = [band.origin for band in tensor.bands if band.style != "is-carried"]
        for place, origin in enumerate(made if len(made) > 1 else ()):
            order.setdefault(origin, place / (len(made) - 1))

    def ordered(band: Band) -> Band:
        return band if band.style == "is-carried" else replace(band, order=order.get(band.origin))

    return tuple(replace(tensor, bands=tuple(map(ordered, tensor.bands))) for tensor in tensors)


def _bypasses(before: Sequence[Tensor], source: int, sources: Sequence[int]) -> bool:
    """Whether some of what a tensor is made from is itself made from one of them."""
    reached = {source}
    for place in range(source + 1, max(sources) + 1):
        if reached & set(before[place].sources):
            reached.add(place)
    return bool((reached - {source}) & set(sources))


def _is_sum(layer: Layer) -> bool:
    return re.fullmatch(r"_*[ir]?add_*", layer.kind.lower()) is not None


def _feature_axis(names: Axes) -> int | None:
    """The axis of channels or features; the last one where nobody says, None where all are something else."""
    named = [axis for axis, name in enumerate(names) if name in FEATURE_AXES]
    if named:
        return named[-1]
    open_axes = [axis for axis, name in enumerate(names) if axis and not name]
    return open_axes[-1] if open_axes else None
