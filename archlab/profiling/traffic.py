"""The bytes that a layer has to move at least.

Counting semantics
------------------
Inputs, outputs and parameters, each tensor once, at the size of its elements: the compulsory traffic, as if everything
between them stayed in registers and nothing was in a cache before. What a kernel really moves is more (it reads tiles
again, writes intermediate results), or less where the input still lies in a cache.

A result that lies in the memory of an input which nothing has written to (a view, dropout in evaluation) moves nothing.
One that an operation wrote in place is read and written. Of an embedding's table only those rows count that are looked
up.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from archlab.networks.members import parameters
from archlab.tracing.pytree import nbytes, version


def traffic(
    given: Sequence[Tensor], versions: Sequence[int], results: Sequence[Tensor], module: nn.Module | None, name: str
) -> int:
    """The bytes of a call.

    Args:
        given: the tensors that it took.
        versions: how often each had been changed before the call.
        results: the tensors that it gave back.
        module: whose parameters belong to it; None for an operation, which takes them as arguments.
        name: of the operation.
    """
    untouched = {
        _storage(tensor) for tensor, before in zip(given, versions, strict=True) if version(tensor) == before
    } - {0}
    made = [tensor for tensor in _once(results) if _storage(tensor) not in untouched]
    if results and not made:
        return 0
    written = sum(map(nbytes, made))
    held = list(parameters(module)) if module is not None else []
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or name == "embedding":
        looked_up = [tensor for tensor in given if not tensor.is_floating_point()]
        return sum(map(nbytes, looked_up)) + 2 * written
    return sum(map(nbytes, _once([*given, *held]))) + written


def _once(tensors: Sequence[Tensor]) -> list[Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def _storage(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError):
        return 0
