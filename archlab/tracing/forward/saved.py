"""The bytes that autograd keeps for the backward pass, row by row.

Counting semantics
------------------
What an operation saves is asked of autograd itself, by `saved_tensors_hooks` over tensors without values. Each
storage counts once, whole, in the row that saved it first: views share their base's, and an operation in place shares
its argument's. What a checkpoint keeps of its input counts in the row that it will run again. Parameters are left out,
since they are there anyway; the network's inputs count if they are saved, and so do buffers (batch normalisation's
running statistics, which autograd keeps beside those of the batch).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.parameter import is_lazy

from archlab.tracing.forward.call_tree import Call, CallTree


class SavedBytes(saved_tensors_hooks):
    """A context in which every tensor that autograd saves is counted in the row that runs."""

    def __init__(self, tree: CallTree, without: Iterable[Tensor]) -> None:
        super().__init__(self._pack, _unpack)
        self.tree = tree
        self.between: list[tuple[Call, int, int]] = []
        """What no operation with a row saved: the module, the number of its rows up to the one whose it is, bytes."""
        without = list(without)
        self.uninitialised = [tensor for tensor in without if is_lazy(tensor)]
        """Parameters without a storage so far."""
        self.storages = {_key(tensor): tensor for tensor in without if not is_lazy(tensor)}
        """Storages that are counted or left out; a tensor of each is held, so that no address is used twice."""

    def _pack(self, tensor: Tensor) -> Tensor:
        key = _key(tensor)
        if key not in self.storages:
            self.storages[key] = tensor
            if self._is_late_parameter(key):
                return tensor
            call = self.tree.counting or self.tree.parent
            if call is not None and key not in self.tree.idle:
                size = tensor.untyped_storage().nbytes()
                if call is self.tree.counting:
                    call.saved = (call.saved or 0) + size
                else:
                    self.between.append((call, len(call.children) + _is_checkpoint(), size))
        return tensor

    def __exit__(self, *args: object) -> None:
        """Count what was saved between the rows of a module: with the row before, or after for a checkpoint."""
        super().__exit__(*args)
        for call, place, size in self.between:
            children = call.children
            row = children[min(max(place - 1, 0), len(children) - 1)] if children else call
            row.saved = (row.saved or 0) + size
        self.between.clear()

    def _is_late_parameter(self, key: int) -> bool:
        """Whether a storage is that of a parameter which the run has initialised, or met for the first time."""
        late = [tensor for tensor in self.uninitialised if not is_lazy(tensor)]
        return any(_key(tensor) == key for tensor in [*late, *(state.tensor for state in self.tree.strays)])


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _is_checkpoint() -> bool:
    """Whether `torch.utils.checkpoint` keeps its inputs before it runs what it was given.

    Its re-entrant kind keeps them afterwards, as any `torch.autograd.Function` saves after its `forward`: then the
    rows are there already.
    """
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name == "checkpoint" and frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            return not frame.f_locals.get("use_reentrant")
        frame = frame.f_back
    return False


def _unpack(tensor: Tensor) -> Tensor:
    return tensor


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`scaled_dot_product_attention` as a fused kernel, which the meta device wouldn't choose; else as it is.

    Shapes are (batch, heads, length, features), or without the batch; the result's is the query's with the value's
    features.
    """
    if query.is_nested or key.is_nested or value.is_nested:
        return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale)
    if query.dim() == key.dim() == value.dim() == 3:
        heads = query[None], key[None], value[None]  # as torch does
        mask = attn_mask[None] if attn_mask is not None and attn_mask.dim() == 3 else attn_mask
        return fused_attention(*heads, mask, dropout_p, is_causal, scale, enable_gqa).squeeze(0)
    masked = attn_mask is not None and (attn_mask.requires_grad or attn_mask.dim() not in (2, 4))
    dense = query.dim() == 4 and query.shape[:2] == key.shape[:2] == value.shape[:2]
    if masked or dropout_p or not dense or query.shape[-1] != value.shape[-1]:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        attn_mask = torch.empty(attn_mask.shape, dtype=query.dtype, device=attn_mask.device)  # made additive first
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    result: Tensor = kernel(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]
    return result
