"""The precision in which a network computes: float32, or mixed with bfloat16 (Micikevicius et al. 2018; Kalamkar et al.
2019).

With `bf16` convolutions and matrix products take bfloat16 and add in float32, as `torch.autocast` has it: weights,
their gradients, the optimiser's moments, running statistics and losses stay float32. bfloat16 has float32's range, so
no loss is scaled. What a layer computes itself, as BatchNorm from scratch does, it computes in what it is given.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def computing_in(network: nn.Module, precision: str) -> nn.Module:
    """The network, which from now on computes in a precision whenever it is called; its outputs are float32.

    Training, tests, precise statistics and probes all call it, so that none of them sees another network.

    Args:
        network: changed by two hooks.
        precision: `fp32`, which changes nothing, or `bf16`.

    >>> computing_in(nn.Linear(3, 2), "bf16")(torch.zeros(1, 3)).dtype
    torch.float32
    """
    if precision == "fp32":
        return network
    entered: list[torch.autocast] = []

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        device = next((value.device.type for value in args if isinstance(value, Tensor)), "cpu")
        if device == "meta":
            device = "cpu"
        context = torch.autocast(device, dtype=torch.bfloat16)
        context.__enter__()  # type: ignore[no-untyped-call]
        entered.append(context)

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if entered:
            entered.pop().__exit__(None, None, None)
        is_half = isinstance(output, Tensor) and output.dtype == torch.bfloat16
        return output.float() if is_half else output

    network.register_forward_pre_hook(before)
    network.register_forward_hook(after, always_call=True)
    return network
