"""The blocks of the course under the course's own argument names, so that its lines run as they are written.

They are the blocks that `lenet`, `resnet` and `densenet` are built of (`archlab.networks.blocks`, `.batchnorm`): each
class here only translates the arguments, and `docs/course.md` maps every cell of the course to archlab.

    from archlab.networks import BatchNorm, DenseBlock, Residual, Transition
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from archlab.errors import InputError
from archlab.networks import batchnorm, blocks


class BatchNorm(batchnorm.BatchNorm):
    """The course's batch normalisation: (batch, features) or (batch, features, height, width); the shape stays.

    It has the course's names for what it holds (`gamma`, `beta`, `moving_mean`, `moving_var`) beside torch's, and three
    things mended: the moving statistics are buffers, kept outside the autograd graph, and the variance starts at 1.

    Args:
        num_features: size of axis 1.
        num_dims: 2 for a fully connected layer, 4 for a convolution; None takes both.
        momentum: share of the moving averages that a training step keeps (torch's momentum is 1 minus this).
        eps: added to the variance before the root.

    Raises:
        InputError: `num_dims` is none of those; by the forward, for input of another rank or number of features.

    >>> BatchNorm(6, num_dims=4).moving_var
    tensor([1., 1., 1., 1., 1., 1.])
    """

    def __init__(
        self, num_features: int, num_dims: int | None = None, *, momentum: float = 0.9, eps: float = 1e-5
    ) -> None:
        if num_dims not in (None, 2, 4):
            raise InputError(
                f"BatchNorm({num_features}) was given num_dims={num_dims!r}, expected 2 (after a linear layer) or 4 "
                "(after a convolution)"
            )
        super().__init__(num_features, momentum, eps)
        self.num_dims = num_dims

    @property
    def gamma(self) -> Tensor:
        """The learnt scale, (features,): `weight`."""
        return self.weight

    @property
    def beta(self) -> Tensor:
        """The learnt shift, (features,): `bias`."""
        return self.bias

    @property
    def moving_mean(self) -> Tensor:
        """The moving average of the mean, (features,): `running_mean`."""
        return self.running_mean

    @property
    def moving_var(self) -> Tensor:
        """The moving average of the biased variance, (features,): `running_var`."""
        return self.running_var

    def _check(self, x: Tensor) -> None:
        super()._check(x)
        if self.num_dims not in (None, x.dim()):
            raise InputError(
                f"BatchNorm({self.channels}, num_dims={self.num_dims}) was given {x.dim()}-d input of shape "
                f"{tuple(x.shape)}: build it with num_dims={x.dim()}, or reshape the input"
            )


class Residual(blocks.Residual):
    """The course's residual block: (batch, in_channels, h, w) -> (batch, out_channels, h / stride, w / stride).

    Args:
        in_channels: channels of the input.
        out_channels: channels inside and of the result.
        use_1x1conv: whether the input goes through a 1x1 convolution; None where the channels or the stride ask for it.
        stride: of the first convolution, and of the 1x1.
        options: what `archlab.networks.blocks.Residual` takes besides (`norm`, `activation`, `skip`, `bias`, ...).

    Raises:
        InputError: `use_1x1conv` is False where the input could not be added without; or it is no bool.

    >>> import torch
    >>> Residual(3, 6, use_1x1conv=True, stride=2)(torch.rand(4, 3, 6, 6)).shape
    torch.Size([4, 6, 3, 3])
    """

    def __init__(
        self, in_channels: int, out_channels: int, use_1x1conv: bool | None = None, stride: int = 1, **options: Any
    ) -> None:
        if use_1x1conv is not None and not isinstance(use_1x1conv, bool):
            raise InputError(
                f"Residual({in_channels}, {out_channels}) was given use_1x1conv={use_1x1conv!r}, expected True, False "
                "or None; the stride is stride=2"
            )
        super().__init__(in_channels, out_channels, stride, **options)
        projects = isinstance(getattr(self, "shortcut", None), nn.Module)
        fits = stride == 1 and self.out_channels == in_channels
        if use_1x1conv is False and self.skip and not fits:
            raise InputError(
                f"Residual({in_channels}, {out_channels}, stride={stride}) was given use_1x1conv=False, and its result "
                "has other channels or another size than its input, so that the two can't be added: use_1x1conv=True"
            )
        if use_1x1conv and self.skip and not projects:
            bias = bool(options.get("bias", True))
            self.shortcut = nn.Conv2d(in_channels, self.out_channels, 1, stride=stride, bias=bias)


class DenseBlock(blocks.DenseBlock):
    """The course's dense block: (batch, in_channels, h, w) -> (batch, in_channels + num_convs * out_channels, h, w).

    Args:
        num_convs: how many layers, each of BatchNorm, ReLU and a 3x3 convolution.
        in_channels: channels of the input.
        out_channels: channels that each layer adds (the growth rate). The attribute `out_channels` is the
            whole block's.
        options: what `archlab.networks.blocks.DenseBlock` takes besides (`norm`, `activation`, `bottleneck`, ...).

    >>> import torch
    >>> DenseBlock(2, 3, 10)(torch.rand(4, 3, 8, 8)).shape
    torch.Size([4, 23, 8, 8])
    """

    def __init__(self, num_convs: int, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(num_convs, in_channels, out_channels, **options)


class Transition(blocks.Transition):
    """The course's `transition_block`: (batch, in_channels, h, w) -> (batch, out_channels, h / 2, w / 2).

    >>> import torch
    >>> Transition(23, 10)(torch.rand(4, 23, 8, 8)).shape
    torch.Size([4, 10, 4, 4])
    """
