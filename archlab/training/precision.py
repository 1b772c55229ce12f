"""The precision in which a network computes: float32, float32 with products in TF32, or mixed with bfloat16
(Micikevicius et al. 2018; Kalamkar et al. 2019).

With `bf16` convolutions and matrix products take bfloat16 and add in float32, as `torch.autocast` has it: weights,
their gradients, the optimiser's moments, running statistics and losses stay float32. bfloat16 has float32's range, so
no loss is scaled. What a layer computes itself, as BatchNorm from scratch does, it computes in what it is given.

With `tf32` NVIDIA's accelerators round what convolutions and matrix products take to 10 bits after the binary point
(float32 has 23) and add in float32; all tensors are float32. Other devices don't know it, and a run there is refused:
its results would be those of float32 under another name. With `fp32` it is off, also where torch has it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from archlab.errors import InputError


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """A context in which convolutions and products round what they take as a precision says; then it is as it was.

    Backward passes go by it too, so that it holds for a whole training, where `computing_in` is of a forward pass.
    """
    is_tf32 = precision == "tf32"
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = is_tf32
    torch.set_float32_matmul_precision("high" if is_tf32 else "highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.set_float32_matmul_precision(products)


def check_precision(precision: str, device: torch.device) -> None:
    """Hold that a device has a precision.

    Raises:
        InputError: it is tf32, and the device is none of NVIDIA's.

    >>> check_precision("bf16", torch.device("cpu"))
    """
    if precision == "tf32" and device.type != "cuda":
        raise InputError(
            f"the precision is tf32, which {device} has not: choose fp32 or bf16, or an NVIDIA accelerator"
        )


def computing_in(network: nn.Module, precision: str) -> nn.Module:
    """The network, which from now on computes in a precision whenever it is called; its outputs are float32.

    Training, tests, precise statistics and probes all call it, so that none of them sees another network.

    Args:
        network: changed by two hooks.
        precision: `bf16`; others change nothing of the network.

    >>> computing_in(nn.Linear(3, 2), "bf16")(torch.zeros(1, 3)).dtype
    torch.float32
    """
    if precision != "bf16":
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
