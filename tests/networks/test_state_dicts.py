"""Factories that load weights, built without any."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from archlab.networks.weightless import build_weightless


def test_loading_weights_into_nothing_is_not_worth_a_warning() -> None:
    def make() -> nn.Module:
        network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        saved = {name: torch.ones(value.shape, device="cpu") for name, value in network.state_dict().items()}
        network.load_state_dict(saved)
        warnings.warn("the factory's own", stacklevel=1)
        return network

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = build_weightless(make)
    assert [str(warning.message) for warning in caught] == ["the factory's own"]
    assert all(parameter.is_meta for parameter in network.parameters())
