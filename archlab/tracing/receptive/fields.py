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
do: `x[:, :, ::2]` and a convolution may give the same one. The rules in `receptive_rules` therefore read the operations
of torch's dispatcher, of which there are few and whose arguments are always the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from archlab.tracing.pytree import tensors
from archlab.tracing.receptive import windows as windows  # registers its rules
from archlab.tracing.receptive.rules import Call, terms_after
from archlab.tracing.receptive.spans import IDENTITY
from archlab.tracing.receptive.terms import Factor, Term, simplified


class ReceptiveFields(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context in which every tensor keeps what it sees of the inputs, in `_archlab_seen`."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for source, tensor in enumerate(inputs):
            first = 2 if tensor.dim() > 2 else 1 if tensor.dim() == 2 and not tensor.is_floating_point() else None
            if first is not None:
                _see(tensor, (_input_term(source, tensor, first),))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation, and files what its results see."""
        kwargs = kwargs or {}
        given = [tensor for tensor in tensors((args, kwargs)) if seen(tensor)]
        out = func(*args, **kwargs)
        if not given:
            return out
        name = str(func._schema.name).rpartition("::")[2]
        results = [out] if isinstance(out, Tensor) else tensors(out)
        named = {argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)}
        call = Call(name.removesuffix("_"), named | kwargs, results, func, seen)
        for result, terms in zip(results, terms_after(call), strict=True):
            _see(result, simplified(terms))
        if name.endswith("_") and results and results[0]._is_view() and results[0]._base is not None:
            _write_through(results[0], results[0]._base)
        return out


def seen(tensor: Tensor) -> tuple[Term, ...]:
    """The regions that a tensor's elements see."""
    terms: tuple[Term, ...] = getattr(tensor, "_archlab_seen", ())
    return terms


def _see(tensor: Tensor, terms: tuple[Term, ...]) -> None:
    tensor._archlab_seen = terms  # type: ignore[attr-defined]


def _input_term(source: int, tensor: Tensor, first: int) -> Term:
    sizes = tuple(tensor.shape)
    layout = tuple(
        (Factor(size, (axis - first,)) if axis >= first else Factor(size),) for axis, size in enumerate(sizes)
    )
    return Term(source, sizes[first:], (IDENTITY,) * (len(sizes) - first), layout)


def _write_through(view: Tensor, base: Tensor) -> None:
    """After an operation in place on a view: its base sees that too."""
    shape = tuple(base.shape)
    written = []
    for term in seen(view):
        placed = term if len(shape) == view.dim() else term.lost(shape)
        for axis, size in enumerate(shape):
            if len(shape) == view.dim() and view.shape[axis] != size:
                if any(factor.axes for factor in term.layout[axis]):
                    placed = term.lost(shape)  # a part of the positions: the others keep what they had
                    break
                placed = placed.sliced(axis, 0, 1, size)
        written.append(placed)
    _see(base, simplified((*seen(base), *written)))
