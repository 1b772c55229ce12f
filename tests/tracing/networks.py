"""Small networks that several tests trace."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """A residual block with functions between its modules."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)) + x)


class Mixed(nn.Module):
    """Modules and functions, a frozen layer, buffers, dropout, a plain attribute, a hook's worth of state."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks = nn.Sequential(Block(4), Block(4))
        self.dropout = nn.Dropout(0.3)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.register_buffer("shift", torch.zeros(4, 1, 1))
        self.head = nn.Linear(8, 5)
        self.calls = 0
        self.seen: list[Any] = []
        self.stem.requires_grad_(False)
        self.blocks[1].eval()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(x.shape)
        x = self.blocks(self.stem(x)) * self.scale + self.shift
        x = self.dropout(x)
        pooled = torch.cat([x.mean((2, 3)), torch.rand(x.shape[0], 4)], 1)
        result: Tensor = self.head(pooled)
        return result


class Fails(Mixed):
    """The same, with a head that doesn't fit."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(9, 5)


class Reads(Mixed):
    """The same, with a branch that depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > -1e9 else -x)


class FailsReading(Fails, Reads):
    """Both at once: it fails in real arithmetic."""
