"""BatchNorm layers of every make, read in one way, and put in one another's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archlab.networks.batchnorm import BATCH_NORMS, newest_share

_PLAIN_FORWARDS = {kind.forward for kind in (*BATCH_NORMS, nn.SyncBatchNorm)}


@dataclass(frozen=True, slots=True)
class NormLayer:
    """A BatchNorm layer: torch's, archlab's, or one whose running statistics are fixed (`FrozenBatchNorm2d`)."""

    path: str
    module: Any

    @property
    def channels(self) -> int:
        """Size of axis 1 of what it takes."""
        for name in ("weight", "running_mean"):
            tensor = getattr(self.module, name, None)
            if isinstance(tensor, Tensor):
                return len(tensor)
        return int(self.module.num_features)

    @property
    def kind(self) -> str:
        """Its class's name."""
        return type(self.module).__name__

    @property
    def epsilon(self) -> float:
        """What is added to the variance."""
        return float(self.module.eps)

    @property
    def share(self) -> float | None:
        """The newest batch's weight in the running averages: torch's `momentum`; None for a cumulative average."""
        return newest_share(self.module)

    @property
    def statistics(self) -> tuple[Tensor, Tensor] | None:
        """Running mean and variance, (channels,) each; None where it keeps none."""
        mean, variance = getattr(self.module, "running_mean", None), getattr(self.module, "running_var", None)
        return (mean, variance) if isinstance(mean, Tensor) and isinstance(variance, Tensor) else None

    @property
    def affine(self) -> tuple[Tensor, Tensor] | None:
        """Gamma and beta, (channels,) each; None where it has none."""
        gamma, beta = getattr(self.module, "weight", None), getattr(self.module, "bias", None)
        return (gamma, beta) if isinstance(gamma, Tensor) and isinstance(beta, Tensor) else None

    @property
    def after(self) -> dict[str, nn.Module]:
        """The layers that it calls on its result, as timm's BatchNormAct2d calls its `drop` and `act`."""
        return dict(self.module.named_children())

    @property
    def is_known(self) -> bool:
        """Whether it computes BatchNorm and nothing else but what is in `after`, called in that order."""
        kind = type(self.module)
        return kind.forward in _PLAIN_FORWARDS or is_frozen(self.module) or _is_timms(self.module)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """What it multiplies by and adds in evaluation, float64 (channels,) each: y = scale * x + shift."""
        assert self.statistics is not None
        mean, variance = (tensor.detach().double() for tensor in self.statistics)
        scale = torch.rsqrt(variance + self.epsilon)
        if self.affine is None:
            return scale, -mean * scale
        gamma, beta = (tensor.detach().double() for tensor in self.affine)
        return gamma * scale, beta - mean * gamma * scale


def is_norm(module: nn.Module) -> bool:
    """Whether a module is BatchNorm, of whatever make."""
    return isinstance(module, BATCH_NORMS) or is_frozen(module)


def is_frozen(module: nn.Module) -> bool:
    """Whether it is BatchNorm whose statistics and affine parameters are buffers, as torchvision's and timm's."""
    return "FrozenBatchNorm" in type(module).__name__ and isinstance(getattr(module, "running_mean", None), Tensor)


def norm_layers(network: nn.Module) -> list[NormLayer]:
    """All BatchNorm layers, in the order of `named_modules()`, also those in evaluation mode."""
    return [NormLayer(path, module) for path, module in network.named_modules() if is_norm(module)]


def put(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Puts a module in the place of another, in every place that it has."""
    for holder in list(network.modules()):
        for name, child in holder._modules.items():
            if child is old:
                holder._modules[name] = new


def chained(first: nn.Module | None, after: dict[str, nn.Module]) -> nn.Module:
    """What stands in the place of a layer that called others on its result: they keep their names.

    A plain layer where nothing comes after it; an identity where there is no first one.
    """
    layer = nn.Identity() if first is None else first
    for name, module in after.items():
        layer.add_module(name, module)
    if after:
        layer.register_forward_hook(_call_after)
    return layer


def _call_after(layer: nn.Module, _: Any, result: Tensor) -> Tensor:
    """A forward hook that does what timm's BatchNormAct2d does after normalising."""
    for module in layer.children():
        result = module(result)
    return result


def _is_timms(module: nn.Module) -> bool:
    names = list(dict(module.named_children()))
    return type(module).__module__.startswith("timm.") and names == ["drop", "act"]


def count(network: nn.Module) -> int:
    """Parameters of a network, each once."""
    return sum(parameter.numel() for parameter in network.parameters())
