"""The receptive field of every tensor, followed through the operations as they are dispatched.

Semantics
---------
The receptive field is what one output position sees of the network's input along its spatial axes, over all paths of
the graph, as if the input went on beyond its borders (A. Araujo, W. Norris and J. Sim, Computing Receptive Fields of
Convolutional Neural Networks, Distill 2019). Seeing means that some value there changes some value here, for some
weights: activations, dropout and the statistics of a batch normalisation are taken not to connect positions; group,
layer and instance normalisation do, over the axes that they average. Where positions differ (behind a transposed
convolution) the largest counts.

- `exact`: every output position sees a box of this size, and all of it;
- `upper bound`: the box has holes, some positions see less, or an operation isn't known to keep to positions;
- `whole input`: everything is seen from everywhere.

The spatial axes are those behind the channels, or the second axis of a batch of token numbers. Shapes alone would not
do: `x[:, :, ::2]` and a convolution may give the same one. The rules (in `rules` and `windows`) therefore go by the
operations of torch's dispatcher, of which there are few and whose arguments are always the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from archlab.networks.dispatching import DispatchMode
from archlab.tracing.pytree import tensors
from archlab.tracing.quick.dispatched import run
from archlab.tracing.receptive import windows as windows  # registers its rules
from archlab.tracing.receptive.regions import Factor, Region, simplified
from archlab.tracing.receptive.rules import DispatchedCall, regions_after
from archlab.tracing.receptive.stencils import IDENTITY


class ReceptiveFields(DispatchMode):  # type: ignore[no-untyped-call]
    """A context in which every tensor keeps the regions of the inputs that it sees, in `_archlab_regions`."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        for source, tensor in enumerate(inputs):
            first = 2 if tensor.dim() > 2 else 1 if tensor.dim() == 2 and not tensor.is_floating_point() else None
            if first is not None:
                _file(tensor, (_input_region(source, tensor, first),))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation, and files the regions that its results see."""
        kwargs = kwargs or {}
        given = [tensor for tensor in tensors((args, kwargs)) if regions_of(tensor)]
        out = run(func, args, kwargs)
        if not given:
            return out
        name = str(func._schema.name).rpartition("::")[2]
        named = {argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)} | kwargs
        written = [named.get(argument.name) for argument in func._schema.arguments if argument.is_write]
        results = [out] if isinstance(out, Tensor) else tensors(written if out is None else out)
        call = DispatchedCall(name.removesuffix("_"), named, results, func, regions_of)
        for result, regions in zip(results, regions_after(call), strict=True):
            _file(result, simplified(regions))
        for result in results if written else ():
            if result._is_view() and result._base is not None:
                write_through(result, result._base)
        return out


def regions_of(tensor: Tensor) -> tuple[Region, ...]:
    """The regions that a tensor's elements see."""
    regions: tuple[Region, ...] = getattr(tensor, "_archlab_regions", ())
    return regions


def _file(tensor: Tensor, regions: tuple[Region, ...]) -> None:
    tensor._archlab_regions = regions  # type: ignore[attr-defined]


def _input_region(source: int, tensor: Tensor, first: int) -> Region:
    sizes = tuple(tensor.shape)
    layout = tuple(
        (Factor(size, (axis - first,)) if axis >= first else Factor(size),) for axis, size in enumerate(sizes)
    )
    return Region(source, sizes[first:], (IDENTITY,) * (len(sizes) - first), layout)


def write_through(view: Tensor, base: Tensor) -> None:
    """After an operation in place on a view: its base sees that too."""
    shape = tuple(base.shape)
    written = []
    for region in regions_of(view):
        placed = region if len(shape) == view.dim() else region.unknown(shape)
        for axis, size in enumerate(shape):
            if len(shape) == view.dim() and view.shape[axis] != size:
                if any(factor.axes for factor in region.layout[axis]):
                    placed = region.unknown(shape)  # a part of the positions: the others keep what they had
                    break
                placed = placed.sliced(axis, 0, 1, size)
        written.append(placed)
    _file(base, simplified((*regions_of(base), *written)))
