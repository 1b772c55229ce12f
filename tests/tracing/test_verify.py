"""torchinfo as a reference: every difference is explained by its sums, or listed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archlab.records import Layer, Verification
from archlab.tracing import verify
from archlab.tracing.measurement import Measurement
from tests.tracing.networks import Mixed


@pytest.mark.parametrize(
    "name", ["lenet", "resnet", "densenet", "resnet20", "torchvision:vit_b_32", "torchvision:googlenet"]
)
def test_nothing_is_unexplained(name: str) -> None:
    found = verify(name)
    assert found.unexplained == ()
    assert found.compared > 50
    assert Verification.from_json(found.to_json()) == found


def test_lenet_in_full() -> None:
    found = {(item.path, item.quantity): item for item in verify("lenet").discrepancies}
    assert found["conv_1", "macs"].explanation == "torchinfo counts +3,456 for biases"  # 6 * 24 * 24
    assert found["linear_3", "macs"].explanation == "torchinfo counts +10 for biases"
    # 3,456 + 12 + 1,024 + 32 + 120 + 240 + 84 + 168 + 10 = 5,146
    assert found["", "macs"].explanation == "torchinfo counts +5,146 in the layers above"
    assert (found["", "macs"].ours, found["", "macs"].theirs) == ("281640", "286786")


def test_what_torchinfo_gets_wrong_is_named() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)
            self.head = nn.Linear(4, 10, bias=False)
            self.head.weight = self.embedding.weight
            self.up = nn.ConvTranspose1d(10, 2, 2, stride=2, bias=False)
            self.unused = nn.Linear(2, 2)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.head(self.embedding(ids))
            x = x @ x.transpose(1, 2) @ x
            result: Tensor = self.up(x.transpose(1, 2))
            return result

    found = verify(Model(), ["1x5:int64"])
    assert found.unexplained == ()
    texts = {(item.path, item.quantity): item.explanation for item in found.discrepancies}
    assert "for the table, of which an embedding only looks rows up" in texts["embedding", "macs"]
    assert "at 5 positions in all" in texts["head", "macs"]
    assert "40 of them are shared" in texts["head", "parameters"]
    assert "at its input positions" in texts["up", "macs"]
    assert texts["", "parameters"] == (
        "torchinfo counts +40 for shared ones that it counts again and -6 for modules that it never sees called"
    )
    assert "for functional operations, which it doesn't see" in texts["", "macs"]  # 2 * 5 * 5 * 10


def test_a_wrong_count_stays_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is no rubber stamp: one multiply-accumulate too many is seen."""
    from dataclasses import replace

    from archlab.records import Trace

    honest = Measurement.trace

    def wrong(self: Measurement) -> Trace:
        found = honest(self)
        layers: list[Layer] = list(found.layers)
        layers[0] = replace(layers[0], macs=layers[0].macs + 1)
        layers[9] = replace(layers[9], parameters=layers[9].parameters - 1)
        layers[3] = replace(layers[3], output_shapes=((1, 6, 13, 12),))
        return replace(found, layers=tuple(layers))

    monkeypatch.setattr(Measurement, "trace", wrong)
    unexplained = [(item.path, item.quantity) for item in verify("lenet").unexplained]
    assert unexplained == [("conv_1", "macs"), ("pool_1", "output shape"), ("linear_1", "parameters"), ("", "macs")]


def test_a_network_that_was_given() -> None:
    found = verify(Mixed(), [(2, 3, 8, 8)])
    assert found.unexplained == ()
    assert any("functional operations are archlab's alone" in note for note in found.notes)


def test_real_arithmetic_where_it_is_needed() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.body(x)
            return x if bool(x.isfinite().all()) else torch.zeros_like(x)

    assert verify(Reads(), [(2, 3)]).unexplained == ()
