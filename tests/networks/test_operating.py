"""The options norm and skip of sources whose factories have none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from archlab.errors import InputError, SourceError
from archlab.networks import resolve
from archlab.networks.given import source_of
from archlab.records import Value

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.bn(self.conv(x))
        x = x + self.second(x).relu()
        return self.head(x.mean((2, 3)))

def build():
    return Net()

def chosen(norm="batch"):
    network = Net()
    network.chosen = norm
    return network

def anything(**options):
    network = Net()
    network.options = options
    return network
"""


@pytest.fixture(name="file")
def net_file(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return str(path)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_a_factory_has_no_option_for_is_done_to_its_network(file: str, device: str) -> None:
    source = resolve(f"{file}:build", {"norm": "group", "skip": "off"})
    assert source.options == {"norm": "group", "skip": "off"}
    network = source.build("meta" if device == "meta" else "cpu")
    assert isinstance(network.get_submodule("bn"), nn.GroupNorm)
    assert source.notes == [
        "1 BatchNorm layer was replaced by GroupNorm (norm=group).",
        "1 residual skip connection was switched off (skip=off).",
    ]
    source.build()
    assert len(source.notes) == 2


def test_the_defaults_change_nothing(file: str) -> None:
    source = resolve(f"{file}:build", {"norm": "batch", "skip": "on"})
    assert isinstance(source.build().get_submodule("bn"), nn.BatchNorm2d)
    assert source.notes == []
    assert resolve(f"{file}:build").options == {}
    assert set(resolve(f"{file}:build").available) == {"norm", "skip"}


def test_a_factorys_own_options_are_its_own(file: str) -> None:
    network = resolve(f"{file}:chosen", {"norm": "none"}).build()
    assert network.chosen == "none"
    assert isinstance(network.get_submodule("bn"), nn.BatchNorm2d)
    assert resolve(f"{file}:anything", {"norm": "none"}).build().options == {"norm": None}


def test_archlabs_networks_have_their_own_and_frozen_ones_besides() -> None:
    assert isinstance(resolve("lenet", {"norm": "group"}).build().get_submodule("norm_1"), nn.GroupNorm)
    source = resolve("lenet", {"norm": "frozen"})
    assert source.options == {"norm": "frozen"}
    assert type(source.build().get_submodule("norm_1")).__name__ == "FrozenBatchNorm"
    with pytest.raises(SourceError, match="lenet has no option 'skip'"):
        resolve("lenet", {"skip": "off"})


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("torchvision:vgg11", {"norm": "none"}, "VGG has no BatchNorm layer, so that there is nothing for norm=none"),
        ("torchvision:resnet18", {"norm": "bath"}, "option norm of torchvision:resnet18 takes batch, scratch.*'bath'"),
        ("torchvision:resnet18", {"skip": "half"}, "option skip of torchvision:resnet18 takes on or off, given 'half'"),
    ],
)
def test_what_can_not_be_done_is_refused(name: str, options: dict[str, Value], says: str) -> None:
    with pytest.raises(InputError, match=says):
        resolve(name, options).build("meta")


def test_a_module_that_was_given_stays_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    source = source_of(network, {"bn": "layer"})
    assert isinstance(source.build().get_submodule("1"), nn.GroupNorm)
    assert isinstance(network[1], nn.BatchNorm2d)


def test_other_options_can_be_chosen_without_looking_it_up_again(file: str) -> None:
    source = resolve(f"{file}:build", {"norm": "none"})
    again = source.with_options({"norm": "frozen"})
    assert again.options == {"norm": "frozen"}
    assert type(again.build().get_submodule("bn")).__name__ == "FrozenBatchNorm"
    assert torch.equal(source.build().get_parameter("conv.bias"), torch.zeros(8))
