"""What the tests of networks count."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def buffers(network: nn.Module) -> int:
    return sum(buffer.numel() for buffer in network.buffers())


def macs(network: nn.Module, *shape: int) -> int:
    """By torch's own counter, on the meta device."""
    with FlopCounterMode(display=False) as counter:
        network.to("meta").eval()(torch.empty(shape, device="meta"))
    return int(counter.get_total_flops()) // 2


def rows(network: nn.Module, *shape: int) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Name, output shape without the batch, and parameters of each child, run one after the other."""
    x = torch.zeros(2, *shape)
    for name, layer in network.named_children():
        x = layer(x)
        yield name, tuple(x.shape[1:]), parameters(layer)
