"""What stands for a grouped matrix product where tensors have no values."""

from __future__ import annotations

import torch
from torch import Tensor


def grouped_product(
    left: Tensor,
    right: Tensor,
    *,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """`torch._grouped_mm` by a plain product of the same shape, cost and saved tensors, for any element type.

    Torch has a rule for the shape of bfloat16 alone, though it multiplies others too. Of three experts and five tokens

        left (5, K), right (3, K, N), offs = [2, 2, 5]      # tokens 0 and 1 to the first, none to the second

    each token meets one matrix, so that `left @ right[0]` is (5, N) and takes the same 5 * K * N.
    """
    if left.dim() == 2 and right.dim() == 2:  # the tokens are what is summed over: a matrix for each group
        groups = 1 if offs is None else offs.shape[0]
        out = (left @ right).expand(groups, -1, -1).contiguous()
    elif left.dim() == 2:
        out = left @ right[0]
    elif right.dim() == 2:
        out = left[0] @ right
    else:
        out = torch.bmm(left, right)
    return out if out_dtype is None else out.to(out_dtype)
