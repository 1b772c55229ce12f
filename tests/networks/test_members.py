"""What a network consists of, against torch's own methods, and where these fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from archlab.errors import ForwardError
from archlab.networks import members
from archlab.profiling import profile
from archlab.tracing import trace


class Shared(nn.Module):
    """One layer twice, a parameter tied to another layer's, a module that is None, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.ModuleList([self.first, nn.BatchNorm1d(4)])
        self.third = nn.Linear(4, 4, bias=False)
        self.third.weight = self.first.weight
        self.register_module("nothing", None)
        self.register_parameter("none", None)


@pytest.mark.parametrize("network", [Shared(), get_model("densenet121", weights=None), nn.Linear(2, 2)])
def test_the_same_in_the_same_order_as_torch_gives(network: nn.Module) -> None:
    for name in ("named_modules", "named_parameters", "named_buffers"):
        own, torchs = list(getattr(members, name)(network)), list(getattr(network, name)())
        assert [path for path, _ in own] == [path for path, _ in torchs]
        assert all(one is other for (_, one), (_, other) in zip(own, torchs, strict=True))
    for name in ("modules", "parameters", "buffers"):
        assert list(map(id, getattr(members, name)(network))) == list(map(id, getattr(network, name)()))


HIDDEN = [
    *("named_modules", "modules", "named_children", "children", "named_parameters", "parameters", "_named_members"),
    *("named_buffers", "buffers", "state_dict", "load_state_dict", "train", "eval", "to", "cpu", "float", "type"),
    *("apply", "_apply", "requires_grad_", "zero_grad", "register_forward_hook", "get_submodule", "extra_repr"),
]


class Hiding(nn.Module):
    """A network with attributes in the place of methods."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 3), nn.Dropout())
        for name in names:
            setattr(self, name, ["something"])

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("columns", [(), ("saved", "backward"), ("receptive-field", "source")])
def test_an_attribute_may_hide_any_method(name: str, columns: tuple[str, ...]) -> None:
    found = trace(Hiding([name]), [(2, 4)], columns=columns).totals
    assert (found.parameters, found.macs) == (4 * 3 + 3, 2 * 4 * 3)


def test_a_source_whose_attributes_hide_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Sequential(nn.Linear(4, 3), nn.Dropout())\n"
        f"        for name in {HIDDEN!r}:\n"
        "            setattr(self, name, None)\n"
        "    def forward(self, x):\n"
        "        return self.layer(x)\n"
    )
    assert trace(f"{file}:Net", [(2, 4)]).totals.macs == 24
    assert profile(f"{file}:Net", [(2, 4)], repeats=5).mode == "evaluation"


def test_modes_are_set_by_the_network_itself_where_it_can() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4)

        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self.norm.eval()
            return self

    frozen = Frozen()
    assert members.set_training(frozen, True) is frozen
    assert (frozen.training, frozen.norm.training) == (True, False)
    hidden = Hiding(["train", "children"])
    assert not any(module.training for module in members.modules(members.set_training(hidden, False)))


@pytest.mark.parametrize("columns", [(), ("backward",)])
def test_what_python_cannot_nest_is_one_message(columns: tuple[str, ...]) -> None:
    network: nn.Module = nn.Linear(2, 2)
    for _ in range(1200):
        network = nn.Sequential(network)
    assert sum(1 for _ in members.modules(network)) == 1201
    with pytest.raises(ForwardError, match=r"nested deeper than Python's stack.*0\.0\.0\.\(\d+ more\)\.0\.0\.0.*1,000"):
        trace(network, [(1, 2)], columns=columns)


def test_what_calls_itself_without_end_is_the_same_message() -> None:
    class Endless(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return self(x)

    with pytest.raises(ForwardError, match=r"calls itself without end \(the innermost: Endless\)"):
        trace(Endless(), [torch.zeros(1, 2)])
