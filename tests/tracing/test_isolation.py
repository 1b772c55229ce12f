"""A network is left as it was found, also after an exception."""

from __future__ import annotations

import copy
import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.models as zoo
from torch import nn
from torch.nn.parameter import UninitializedParameter

from archlab.errors import ForwardError
from archlab.tracing import trace, verify
from tests.tracing.networks import Fails, FailsReading, Mixed, Reads


def state(network: nn.Module) -> dict[str, Any]:
    """Everything that must not change."""
    modules = list(network.named_modules())
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {
        "tensors": [
            (name, id(tensor), tensor._version, tensor.device, tensor.requires_grad) for name, tensor in tensors
        ],
        "values": [tensor.detach().clone() for _, tensor in tensors],
        "gradients": [parameter.grad for parameter in network.parameters()],
        "training": [(name, module.training) for name, module in modules],
        "attributes": [(name, list(vars(module)), copy.copy(vars(module))) for name, module in modules],
        "marks": [hasattr(tensor, "_archlab") for _, tensor in tensors],
        "classes": [type(module) for _, module in modules],
        "hooks": [
            {key: dict(value) for key, value in vars(module).items() if "hooks" in key and isinstance(value, dict)}
            for _, module in modules
        ],
        "lists": [list(module.seen) for _, module in modules if isinstance(module, Mixed)],
        "functional": dict(vars(F)),
        "torch": dict(vars(torch)),
        "tensor": dict(vars(torch.Tensor)),
        "module": dict(vars(nn.Module)),
        "random": random.getstate(),
        "torch random": torch.get_rng_state(),
        "numpy random": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "grad mode": torch.is_grad_enabled(),
    }


def assert_same(before: Any, after: Any) -> None:
    assert before.keys() == after.keys()
    for name, value in before.items():
        if name in ("values",):
            assert all(torch.equal(old, new) for old, new in zip(value, after[name], strict=True))
        elif name == "torch random":
            assert torch.equal(value, after[name])
        else:
            assert value == after[name], name


def given() -> Mixed:
    network = Mixed().train()
    network.blocks[1].eval()
    return network


@pytest.mark.parametrize("kind", [Mixed, Fails, Reads, FailsReading])
@pytest.mark.parametrize("columns", [(), ("saved", "source")])
def test_everything_is_as_before(kind: type[Mixed], columns: tuple[str, ...]) -> None:
    network = kind()
    seen: list[object] = []
    network.stem.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    network(torch.zeros(2, 3, 8, 8)) if kind in (Mixed, Reads) else None
    if kind is Mixed:
        network(torch.zeros(2, 3, 8, 8)).sum().backward()
    before = state(network)
    if kind in (Fails, FailsReading):
        with pytest.raises(ForwardError):
            trace(network, [(2, 3, 8, 8)], columns=columns)
    else:
        trace(network, [(2, 3, 8, 8)], columns=columns)
    assert_same(before, state(network))


def test_verification_leaves_everything_too() -> None:
    network = Mixed()
    before = state(network)
    verify(network, [(2, 3, 8, 8)])
    assert_same(before, state(network))


def test_shared_parameters_stay_shared() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    trace(network, [(1, 3)])
    assert network[1].weight is network[0].weight


def test_lazy_modules_stay_lazy() -> None:
    network = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(5))
    found = trace(network, [(2, 3, 8, 8)])
    # (3 * 9 * 4 + 4) + 2 * 4 + (144 * 5 + 5) = 112 + 8 + 725
    assert found.totals.parameters == 845
    assert [type(module) for module in network] == [nn.LazyConv2d, nn.LazyBatchNorm2d, nn.Flatten, nn.LazyLinear]
    assert all(isinstance(parameter, UninitializedParameter) for parameter in network.parameters())
    assert network(torch.zeros(2, 3, 9, 9)).shape == (2, 5)


def test_a_jitted_module_keeps_its_statistics() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    mean = network[1].running_mean.clone()
    found = trace(network, [(2, 3, 8, 8)])
    assert found.totals.parameters == 3 * 4 * 9 + 4 + 8
    assert found.totals.macs == 2 * 6 * 6 * 4 * 27
    assert torch.equal(network[1].running_mean, mean)
    assert not hasattr(network[0].weight, "_archlab")
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 4, 6, 6)


def test_spectral_normalisation_keeps_its_vectors() -> None:
    network = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4))
    vector = network.parametrizations.weight[0]._u.clone()  # type: ignore[index,union-attr]
    trace(network, [(2, 3)])
    assert torch.equal(network.parametrizations.weight[0]._u, vector)  # type: ignore[index,union-attr]


def test_an_instances_own_forward_stays() -> None:
    network = nn.Linear(3, 4)
    network.forward = lambda x: nn.functional.linear(x, network.weight)  # type: ignore[assignment,method-assign]
    mine = network.forward
    assert trace(network, [(2, 3)]).totals.macs == 24
    assert network.forward is mine


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "swin_t", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_real_networks_in_training_mode(name: str) -> None:
    network = zoo.get_model(name, weights=None, **({"init_weights": False} if name == "googlenet" else {}))
    for module in list(network.modules())[::3]:
        module.eval()
    before = state(network)
    trace(network, [(2, 3, 64, 64)], columns=["saved"])
    trace(network, [(2, 3, 64, 64)])
    assert_same(before, state(network))
