"""Several networks of one structure as one network: grouped convolutions, batched products, wide normalisations.

Between layers, the values of K networks lie as (images x K, channels, ...): the first image of each network, then the
second of each. Whatever acts on each image by itself (activations, pooling, flattening, sums, concatenated channels)
goes on unchanged. The same memory, seen as (images, K x channels, ...), is what a convolution of K times the groups
takes, and a BatchNorm of K times the channels: nothing is copied between them. For example, K = 2 networks on batches
of 3 images of 1 x 28 x 28 are (6, 1, 28, 28); seen as (3, 2, 28, 28), a convolution in 2 groups makes (3, 12, 24, 24)
of it, which is (6, 6, 24, 24) again.

So only layers that hold parameters or look at the whole batch are replaced; which ones can be is listed here. Networks
that hold parameters anywhere else can't be stacked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.networks import members
from archlab.networks.batchnorm import BATCH_NORMS, BatchNorm
from archlab.networks.blocks import FlatLinear
from archlab.networks.strangers import contained, described
from archlab.networks.surgery.norms import BatchNormAnyRank, FrozenBatchNorm
from archlab.training import kernels, winograd
from archlab.training.precision import computing_in


class UnstackableError(Exception):
    """Networks can't be stacked; the message says why."""


_CONVOLUTION = ("in_channels", "out_channels", "groups")
_WIDENED: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv1d: _CONVOLUTION,
    nn.Conv2d: _CONVOLUTION,
    nn.Conv3d: _CONVOLUTION,
    nn.ConvTranspose1d: _CONVOLUTION,
    nn.ConvTranspose2d: _CONVOLUTION,
    nn.ConvTranspose3d: _CONVOLUTION,
    nn.BatchNorm1d: ("num_features",),
    nn.BatchNorm2d: ("num_features",),
    nn.BatchNorm3d: ("num_features",),
    nn.InstanceNorm1d: ("num_features",),
    nn.InstanceNorm2d: ("num_features",),
    nn.InstanceNorm3d: ("num_features",),
    kernels.Conv2d: _CONVOLUTION,
    winograd.Conv2d: _CONVOLUTION,
    nn.GroupNorm: ("num_groups", "num_channels"),
    BatchNorm: ("channels",),
    BatchNormAnyRank: ("channels",),
    FrozenBatchNorm: ("channels",),
}
"""Layers that are stacked by channels, and which of their numbers are then K times what they were."""


class Widened(nn.Module):
    """K layers by channels as one of their class: (images x K, channels, ...) -> (images x K, channels, ...).

    Args:
        layers: of one class and equal settings; of BatchNorm layers the momentum may differ.
        held: their parameters and buffers by name, (K, ...) each.
    """

    def __init__(self, layers: Sequence[Any], held: Mapping[str, Tensor]) -> None:
        super().__init__()
        first, self._count = layers[0], len(layers)
        self.training = first.training
        wide: Any = copy.copy(first)
        wide.__dict__ |= {"_parameters": dict(first._parameters), "_buffers": dict(first._buffers)}
        for name in _WIDENED[type(first)]:
            setattr(wide, name, self._count * getattr(first, name))
        self._wide = (wide,)  # in a tuple, so that it is no child, whose parameters would be this module's
        self._weights = {name: held[name] for name, tensor in first._parameters.items() if tensor is not None}
        # Statistics per channel lie side by side, in the same memory; a counter stays one per network.
        for name, tensor in first._buffers.items():
            if tensor is not None:
                wide._buffers[name] = held[name].flatten(0, 1) if tensor.dim() else held[name]
        self._following = _Following(layers, held, wide) if _differ(layers) else None

    def forward(self, x: Tensor) -> Tensor:
        """What the layers give, each of its own network's values."""
        (wide,) = self._wide
        vars(wide)["training"] = self.training
        for name, weight in self._weights.items():
            wide._parameters[name] = weight.flatten(0, 1)
        result: Tensor = wide(_divided(x, 0, self._count).flatten(1, 2))
        if self._following is not None:
            self._following.update()
        return _divided(result, 1, self._count).flatten(0, 1)


def _divided(x: Tensor, axis: int, count: int) -> Tensor:
    """The values with one axis as two: of the networks, in front of which are images, or behind which are channels."""
    sizes = (-1, count) if axis == 0 else (count, -1)
    return x.reshape(*x.shape[:axis], *sizes, *x.shape[axis + 1 :])


class _Following:
    """Running statistics of BatchNorm layers that differ in momentum: torch's layer takes one number."""

    def __init__(self, layers: Sequence[Any], held: Mapping[str, Tensor], wide: Any) -> None:
        momenta = held["running_mean"].new_tensor([layer.momentum for layer in layers])
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._shares = momenta[:, None]
        if isinstance(wide, BatchNorm):  # whose arithmetic takes a number per channel as well
            vars(wide)["momentum"] = momenta.repeat_interleave(layers[0].channels)
            return
        wide.momentum = 1.0  # the batch's own statistics
        for name in ("running_mean", "running_var"):
            wide._buffers[name] = torch.zeros_like(wide._buffers[name])
            self._pairs.append((held[name], wide._buffers[name].unflatten(0, (len(layers), -1))))

    @torch.no_grad()
    def update(self) -> None:
        """Let the running statistics follow those of the batch, each by its own momentum."""
        for running, batch in self._pairs:
            running.lerp_(batch, self._shares)


def _differ(layers: Sequence[Any]) -> bool:
    is_following = isinstance(layers[0], BATCH_NORMS) and layers[0].training
    return is_following and len({layer.momentum for layer in layers}) > 1


class Products(nn.Module):
    """K linear layers as a batched product: (images x K, ..., inputs) -> (images x K, ..., outputs).

    Args:
        layers: of one class.
        held: their parameters by name, (K, ...) each.
    """

    def __init__(self, layers: Sequence[Any], held: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._is_flat = isinstance(layers[0], FlatLinear)
        self._tensors = (held["weight"], held.get("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """What the layers give, each of its own network's values."""
        weight, bias = self._tensors
        x = _divided(x.flatten(1) if self._is_flat else x, 0, len(weight)).transpose(0, 1)
        rows, transposed = x.flatten(1, -2), weight.transpose(1, 2)
        found = torch.bmm(rows, transposed) if bias is None else torch.baddbmm(bias[:, None], rows, transposed)
        return found.view(*x.shape[:-1], -1).transpose(0, 1).flatten(0, 1)


class ScaledRows(nn.Module):
    """K LayerNorm layers: each image is normalised by itself, then scaled by its own network's parameters.

    Args:
        layers: of equal settings.
        held: their parameters by name, (K, ...) each.
    """

    def __init__(self, layers: Sequence[Any], held: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._shape, self._eps = layers[0].normalized_shape, layers[0].eps
        self._tensors = (held.get("weight"), held.get("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """What the layers give, each of its own network's values."""
        x = F.layer_norm(x, self._shape, None, None, self._eps)
        weight, bias = self._tensors
        if weight is None:
            return x
        between = (slice(None), *[None] * (x.dim() - 1 - len(self._shape)))
        x = _divided(x, 0, len(weight)) * weight[between]
        return (x if bias is None else x + bias[between]).flatten(0, 1)


_MADE: dict[type[nn.Module], Callable[[Sequence[Any], Mapping[str, Tensor]], nn.Module]] = {
    **dict.fromkeys(_WIDENED, Widened),
    nn.Linear: Products,
    FlatLinear: Products,
    nn.LayerNorm: ScaledRows,
}
_DRAWING = (nn.modules.dropout._DropoutNd, nn.RReLU)


_OWN_HOOKS = ("archlab.training.precision", "archlab.training.kernels")
"""Where hooks of a whole network may come from. A stacked network gets its precision's anew, and none of kernels."""


def check_stackable(networks: Sequence[nn.Module]) -> None:
    """Hold that networks are alike but for their weights, and made of layers that can be stacked.

    Args:
        networks: in the modes in which they are trained.

    Raises:
        UnstackableError: they can't be stacked.
    """
    first, *others = ([*members.named_modules(network)] for network in networks)
    seen: set[int] = set()
    for path, module in first:
        place = f"{path or 'the network'} ({type(module).__name__})"
        held = {id(held) for held in (*module._parameters.values(), *module._buffers.values()) if held is not None}
        if held & seen:
            raise UnstackableError(f"{place} shares its parameters with another layer")
        seen |= held
        if held and type(module) not in _MADE:
            raise UnstackableError(f"{place} holds parameters or buffers, and is no layer that can be stacked")
        if isinstance(module, _DRAWING) and module.training and vars(module).get("p", 1.0):
            raise UnstackableError(f"{place} draws random numbers")
        if isinstance(module, BATCH_NORMS) and module.momentum is None:
            raise UnstackableError(f"{place} has a cumulative average, whose weight changes from step to step")
        hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values(), *module._backward_hooks.values())
        known = _OWN_HOOKS if not path and type(module) not in _MADE else ()
        if any(getattr(hook, "__module__", "") not in known for hook in hooks):
            raise UnstackableError(f"{place} has hooks of its own")
    for other in others:
        same = len(other) == len(first)
        for (path, module), (name, counterpart) in zip(first, other, strict=False):
            same = same and path == name and _settings(module) == _settings(counterpart)
        if not same:
            raise UnstackableError("the networks differ in more than their weights")


def _settings(module: nn.Module) -> dict[str, object]:
    """What a module does by, beside values of its tensors; of BatchNorm layers not the momentum."""
    plain = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str | tuple) and not (name == "momentum" and _follows(module))
    }
    held = {**module._parameters, **module._buffers}
    shapes = {
        name: None if tensor is None else (tuple(tensor.shape), tensor.dtype, tensor.requires_grad)
        for name, tensor in held.items()
    }
    return {"class": type(module), **plain, **shapes}


def _follows(module: nn.Module) -> bool:
    return isinstance(module, BATCH_NORMS)


def stacked_network(networks: Sequence[nn.Module], held: Mapping[str, Tensor], precision: str = "fp32") -> nn.Module:
    """One network in the place of several: (images x K, channels, height, width) -> (images x K, classes).

    Args:
        networks: which `check_stackable` lets pass.
        held: their parameters and buffers by dotted name, (K, ...) each; the network computes with these themselves.
        precision: in which it computes.

    Raises:
        UnstackableError: the network can't be copied.
    """
    tables = [dict(members.named_modules(network)) for network in networks]
    made: dict[int, nn.Module] = {}
    for path, module in tables[0].items():
        if type(module) in _MADE:
            prefix = f"{path}." if path else ""
            own = {
                name: held[prefix + name]
                for name, tensor in (*module._parameters.items(), *module._buffers.items())
                if tensor is not None
            }
            made[id(module)] = _MADE[type(module)]([table[path] for table in tables], own)
    if id(networks[0]) in made:
        return made[id(networks[0])]
    try:
        with contained():
            # `made` as the memo: what is replaced is not copied, and its replacement stands wherever it stood.
            network = copy.deepcopy(networks[0], dict(made))
    except Exception as error:  # of what somebody's module holds
        raise UnstackableError(f"the network can't be copied: {described(error)}") from error
    network._forward_pre_hooks.clear()
    network._forward_hooks.clear()
    return computing_in(network, precision)
