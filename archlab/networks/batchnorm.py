"""Batch normalisation from scratch: the formula of Ioffe and Szegedy (2015), section 3, written out.

What sets it apart from `torch.nn.BatchNorm1d` and `BatchNorm2d`, whose output and gradients it equals:

- `momentum` is the share that the *old* average keeps, 0.9 by default; torch's `momentum` is the share of the *new*
  value, so that this 0.9 is torch's 0.1.
- `running_var` averages the biased variance, the one that the layer divides by. Torch averages the unbiased variance,
  which is larger by n / (n - 1) for n values per channel: 256/255 in a linear layer at batch 256.

Parameters and buffers have torch's names and shapes, so that a `state_dict` fits both ways.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archlab.errors import InputError


class BatchNorm(nn.Module):
    """Normalises each channel of (batch, channels) or (batch, channels, height, width); the shape stays.

    In training mode by the mean and the biased variance of the batch, over n = batch * height * width values per
    channel; in evaluation mode by the running averages of both, which training keeps in buffers, outside the autograd
    graph.

    Args:
        channels: size of axis 1.
        momentum: share of the running averages that a training step keeps (torch's momentum is 1 minus this).
        eps: added to the variance before the root.

    Raises:
        InputError: by the forward, for input of another rank or channel count, or in training one value per channel.

    >>> layer = BatchNorm(6)
    >>> layer(torch.randn(4, 6, 28, 28)).shape
    torch.Size([4, 6, 28, 28])
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, momentum: float = 0.9, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels = channels
        self.momentum = momentum
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """The normalised input, of the same shape."""
        self._check(x)
        axes = (0,) if x.dim() == 2 else (0, 2, 3)
        per_channel = (-1,) if x.dim() == 2 else (-1, 1, 1)
        if self.training:
            mean = x.mean(axes)
            centred = x - mean.view(per_channel)
            variance = centred.square().mean(axes)
            self._follow(mean.detach(), variance.detach())
        else:
            centred = x - self.running_mean.view(per_channel)
            variance = self.running_var
        # gamma / sqrt(variance + eps) is formed once per channel: a division for each element would be one more pass.
        scale = self.weight / torch.sqrt(variance + self.eps)
        return centred * scale.view(per_channel) + self.bias.view(per_channel)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        with torch.no_grad():
            self.running_mean.mul_(self.momentum).add_(mean * (1 - self.momentum))
            self.running_var.mul_(self.momentum).add_(variance * (1 - self.momentum))
            self.num_batches_tracked.add_(1)

    def _check(self, x: Tensor) -> None:
        shape = tuple(x.shape)
        if x.dim() not in (2, 4):
            raise InputError(
                f"BatchNorm({self.channels}) was given {x.dim()}-d input of shape {shape}; it takes 2-d input "
                f"(batch, {self.channels}) or 4-d input (batch, {self.channels}, height, width): reshape it first"
            )
        if shape[1] != self.channels:
            raise InputError(
                f"BatchNorm({self.channels}) was given {shape[1]} channels (axis 1 of {shape}), expected "
                f"{self.channels}: build it as BatchNorm({shape[1]}), or mend the layer before it"
            )
        if self.training and x.numel() == self.channels:
            raise InputError(
                f"BatchNorm({self.channels}) was given one value per channel (shape {shape}) in training mode, where "
                "the variance is always 0; expected at least 2: use a larger batch, or evaluation mode (.eval())"
            )

    def extra_repr(self) -> str:
        """The constructor's arguments, for `repr`."""
        return f"{self.channels}, momentum={self.momentum}, eps={self.eps}"


BATCH_NORMS = (nn.modules.batchnorm._BatchNorm, BatchNorm)
"""What BatchNorm is, of torch's make, for any number of axes, and of archlab's."""


def newest_share(layer: Any) -> float | None:
    """The newest batch's weight in a layer's running averages, torch's `momentum`; None for a cumulative average.

    >>> newest_share(nn.BatchNorm2d(4)), newest_share(nn.BatchNorm1d(4, momentum=None))
    (0.1, None)
    >>> round(newest_share(BatchNorm(4, momentum=0.8)), 6)
    0.2
    """
    momentum = getattr(layer, "momentum", None)
    if isinstance(layer, BatchNorm):
        return 1.0 - layer.momentum
    return None if momentum is None else float(momentum)
