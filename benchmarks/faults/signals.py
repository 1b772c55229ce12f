"""Faults of layers and of the optimiser: silent units, gradients that don't arrive, steps of the wrong size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults.fault import Build, Fault, lenet, resnet20


def scaled(network: nn.Module, factor: float) -> nn.Module:
    """The network with its matrices and kernels times a factor."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.mul_(factor)
    return network


def shifted(network: nn.Module, value: float, *kinds: type[nn.Module]) -> nn.Module:
    """The network with this value added to the biases of some kinds of layers."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, kinds) and isinstance(module.bias, Tensor):
                module.bias.add_(value)
    return network


def detached(network: nn.Module, path: str) -> nn.Module:
    """The network, which cuts the gradient off behind a module."""
    network.get_submodule(path).register_forward_hook(lambda _module, _inputs, output: output.detach())
    return network


def relu(**options: Any) -> nn.Module:
    """LeNet of ReLUs."""
    return lenet(activation="relu", **options)


def plain(**options: Any) -> nn.Module:
    """ResNet-20 without skip connections and BatchNorm."""
    return resnet20(skip="off", norm="none", **options)


def _fault(name: str, network: str, build: Build, expected: str, also: tuple[str, ...] = (), **settings: Any) -> Fault:
    return Fault(name, network, build, (expected,), also, settings)


def faults() -> list[Fault]:
    """All of them."""
    return [
        _fault(
            "biases of -3 in front of ReLUs",
            "LeNet",
            lambda: shifted(relu(norm="none"), -3, nn.Conv2d, nn.Linear),
            "dead-units",
        ),
        _fault(
            "BatchNorm's beta at -8",
            "ResNet-20",
            lambda: shifted(resnet20(), -8, nn.BatchNorm2d),
            "dead-units",
            ("collapsed-channels",),
        ),
        _fault("rate of 0.1 without BatchNorm", "LeNet", lambda: relu(norm="none"), "dead-units", learning_rate=0.1),
        _fault("weights times 30, sigmoids", "LeNet", lambda: scaled(lenet(norm="none"), 30), "saturated-units"),
        _fault("rate of 1, sigmoids", "LeNet", lenet, "saturated-units", ("running-statistics",), learning_rate=1.0),
        _fault(
            "weights times 30, tanh",
            "ResNet-20",
            lambda: scaled(plain(activation="tanh"), 30),
            "saturated-units",
            ("exploding-gradients",),
        ),
        _fault("weights times 0.2, sigmoids", "LeNet", lambda: scaled(lenet(norm="none"), 0.2), "vanishing-gradients"),
        _fault("no BatchNorm, no skips", "ResNet-20", plain, "vanishing-gradients"),
        _fault("weights times 12", "LeNet", lambda: scaled(relu(norm="none"), 12), "exploding-gradients"),
        _fault("weights times 6, plain", "ResNet-20", lambda: scaled(plain(), 6), "exploding-gradients"),
        _fault("detach() behind the second pooling", "LeNet", lambda: detached(relu(), "pool_2"), "cut-gradients"),
        _fault("detach() behind the second stage", "ResNet-20", _cut_resnet, "cut-gradients"),
        _fault("rate of 1e-7", "LeNet", relu, "update-ratios", learning_rate=1e-7, schedule="constant"),
        _fault("rate of 1e-8", "ResNet-20", resnet20, "update-ratios", learning_rate=1e-8, schedule="constant"),
        _fault(
            "AdamW's weight decay of 9 at a rate of 0.1",
            "LeNet",
            lambda: lenet(activation="tanh"),
            "update-ratios",
            ("running-statistics", "dead-channels", "collapsed-channels"),
            optimizer="adamw",
            learning_rate=0.1,
            weight_decay=9.0,
            schedule="constant",
        ),
    ]


def _cut_resnet() -> nn.Module:
    network = resnet20()
    stages = [path for path, module in network.named_children() if next(module.children(), None) is not None]
    return detached(network, stages[len(stages) // 2])
