"""The bytes that autograd keeps for the backward pass, row by row.

Counting semantics
------------------
What an operation saves is asked of autograd itself, by `saved_tensors_hooks` over tensors without values. Each
storage counts once, whole, in the row that saved it first: views share their base's, and an operation in place shares
its argument's. Parameters and buffers are left out, since they are there anyway; the network's inputs count if they
are saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

if TYPE_CHECKING:
    from archlab.tracing.tracer import Tracer


class SavedBytes(saved_tensors_hooks):
    """A context in which every tensor that autograd saves is counted in the tracer's running row."""

    def __init__(self, tracer: Tracer, without: Iterable[Tensor]) -> None:
        super().__init__(self._pack, _unpack)
        self.tracer = tracer
        self.storages = {_key(tensor): tensor for tensor in without}
        """Storages that are counted or left out; a tensor of each is held, so that no address is used twice."""

    def _pack(self, tensor: Tensor) -> Tensor:
        key = _key(tensor)
        if key not in self.storages:
            self.storages[key] = tensor
            node = self.tracer.running or self.tracer.parent
            if node is not None:
                node.saved = (node.saved or 0) + tensor.untyped_storage().nbytes()
        return tensor


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _unpack(tensor: Tensor) -> Tensor:
    return tensor
