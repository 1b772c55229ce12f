"""Parameters that no module registers, that a run makes, or that nothing has initialised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archlab.records import Trace
from archlab.tables import text
from archlab.tables.trace import trace_table
from archlab.tracing import trace


class Shadowing(nn.Module):
    """Keeps its layers in a plain list, under a name that hides a method."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.modules = list(layers)  # type: ignore[assignment]
        self.parameters = self.buffers = {}  # type: ignore[assignment]

    def forward(self, x: Any) -> Any:
        for layer in self.modules:  # type: ignore[attr-defined]
            x = layer(x)
        return x


@pytest.mark.parametrize("columns", [(), ("saved", "receptive-field")])
def test_a_layer_in_a_plain_list_is_counted_and_named(columns: tuple[str, ...]) -> None:
    network = Shadowing(nn.Conv2d(3, 4, 3))
    found = trace(network, [(1, 3, 100, 100)], columns=columns)
    assert [(layer.path, layer.output_shapes) for layer in found.layers] == [("conv2d", ((1, 4, 98, 98),))]
    assert found.totals.macs == 98 * 98 * 4 * 27 == 1_037_232
    assert found.totals.parameters == 0
    (note,) = found.notes
    assert note.startswith("112 numbers in 2 parameters, used by conv2d, stand in no registered module")  # 4 * 27 + 4
    if columns:
        assert found.totals.saved_bytes == 4 * 3 * 100 * 100  # the picture, for the gradient of the weight
    weight = network.modules[0].weight  # type: ignore[index]
    assert "_archlab" not in weight.__dict__
    assert weight.device.type == "cpu"


@pytest.mark.parametrize(
    ("layer", "given", "bytes_saved"),
    [
        (lambda: nn.Linear(4, 4), torch.zeros(2, 4), 4 * 8),
        (lambda: nn.Embedding(9, 4), torch.zeros(1, 3, dtype=torch.int64), 8 * 3),
        (lambda: nn.Linear(4, 4).requires_grad_(False), torch.zeros(2, 4), 0),
    ],
)
def test_autograd_saves_for_unregistered_layers_too(
    layer: Callable[[], nn.Module], given: Tensor, bytes_saved: int
) -> None:
    found = trace(Shadowing(layer()), [given], columns=["saved"])
    assert found.totals.saved_bytes == bytes_saved


class Late(nn.Module):
    """Makes a parameter and a layer in its first forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.scale: Any = nn.UninitializedParameter()
        self.layer: nn.Module | None = None

    def forward(self, x: Tensor) -> Any:
        if isinstance(self.scale, nn.UninitializedParameter):
            self.scale = nn.Parameter(torch.ones(x.shape[-1], device=x.device))
            self.layer = nn.Linear(x.shape[-1], 2)
        assert self.layer is not None
        return self.layer(x * self.scale)


@pytest.mark.parametrize("columns", [(), ("saved",)])
def test_what_the_first_pass_makes_counts(columns: tuple[str, ...]) -> None:
    network = Late()
    found = trace(network, [(1, 3)], columns=columns)
    assert found.totals.parameters == 3 + 3 * 2 + 2
    assert [(layer.kind, layer.parameters) for layer in found.layers] == [("mul", 3), ("linear", 8)]
    assert sum(layer.own_parameters for layer in found.layers) == 11
    assert found.notes == ()
    assert isinstance(network.scale, nn.UninitializedParameter), "the network is as it was"


def shown(found: Trace) -> list[str]:
    return text(trace_table(found, None)).splitlines()


@pytest.mark.parametrize("columns", [(), ("saved",)])
def test_what_nothing_initialises_is_not_known(columns: tuple[str, ...]) -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.LazyLinear(3), nn.LazyLinear(4)
            self.scale = nn.UninitializedParameter()

        def forward(self, x: Tensor) -> Any:
            return self.used(x)

    found = trace(Partly(), [(1, 3)], columns=columns)
    rows = {layer.path: layer for layer in found.layers}
    assert found.totals.parameters == rows["used"].parameters == 3 * 3 + 3
    assert rows["unused"].detail == rows["scale"].detail == "size not known"
    (note,) = found.notes
    assert note.endswith("nothing has initialised: scale, unused.weight, unused.bias.")
    lines = [line.split() for line in shown(found)]
    assert ["scale", "Parameter,", "size", "not", "known"] in lines, "and no 0 behind it"
    assert ["unused", "LazyLinear,", "unused,", "size", "not", "known"] in lines
