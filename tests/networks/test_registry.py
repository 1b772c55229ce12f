import itertools
import subprocess
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from archlab.errors import SourceError
from archlab.networks import build, entry, names, register, registry, resolve
from archlab.networks.options import REQUIRED
from tests.networks.counting import parameters


def small(name: str) -> dict[str, int | str]:
    """Options that make a network small, of those that it has."""
    options: dict[str, int | str] = {"in_channels": 2, "classes": 3}
    for option in entry(name).options:
        if option == "depth":
            options["depth"] = 8 if name.startswith(("resnet", "plain")) else 10
        elif option in ("width", "growth_rate"):
            options[option] = 1 if name == "lenet" else 4
        elif option == "blocks":
            options["blocks"] = "1-1"
    return options


FAMILIES = {entry(name).factory: name for name in reversed(names())}.values()
NORMS = ["scratch", "none", "group", "layer", "instance"]


@pytest.mark.parametrize(
    ("name", "norm"), [*((name, "batch") for name in names()), *itertools.product(FAMILIES, NORMS)]
)
def test_every_network_builds_and_runs(name: str, norm: str) -> None:
    source = resolve(name, {**small(name), "norm": norm})
    (shape,) = source.input_shapes
    assert shape[:2] == (1, 2)
    size = shape[2] if name.startswith("lenet") else 32
    network = source.build()
    x = torch.randn(2, 2, size, size)
    y = network(x)
    assert y.shape == (2, 3)
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", names())
def test_every_network_builds_on_meta_and_takes_its_own_size(name: str) -> None:
    source = resolve(name, {})
    network = source.build("meta")
    assert all(parameter.is_meta for parameter in network.parameters())
    (shape,) = source.input_shapes
    output = network.eval()(torch.empty(shape, device="meta"))
    assert output.shape == (1, entry(name).options["classes"].default)


@pytest.mark.parametrize("name", names())
def test_every_entry_is_described(name: str) -> None:
    described = entry(name)
    assert described.name == name
    assert len(described.input_shape) == 3
    assert described.summary
    assert described.paper
    for option in described.options.values():
        assert option.type, option.name
        assert option.help, option.name
        assert option.default is not REQUIRED
    assert {"in_channels", "classes", "activation", "norm"} <= set(described.options)


WITHOUT_SKIPS = {"lenet", "lenet-position", "resnet20-scaled"}
"""The last has skips, which it is about."""


@pytest.mark.parametrize("name", [name for name in names() if name not in WITHOUT_SKIPS])
def test_every_skip_can_be_left_out(name: str) -> None:
    network = resolve(name, {**small(name), "skip": "off"}).build("meta")
    assert network(torch.empty(2, 2, 32, 32, device="meta")).shape == (2, 3)
    assert entry(name).options["skip"].choices == ("on", "off")


def test_presets_are_the_defaults_of_a_name() -> None:
    options = entry("resnet50").options
    assert options["blocks"].default == (3, 4, 6, 3)
    assert options["blocks"].type == "list of int"
    assert options["norm"].choices == ("batch", "scratch", "none", "group", "layer", "instance")
    assert parameters(build("resnet18", bottleneck="on", blocks="3-4-6-3")) == 25_557_032


def test_names_are_sorted_with_numbers_as_numbers() -> None:
    listed = names()
    assert listed.index("resnet20") < listed.index("resnet101")
    assert len(set(listed)) == len(listed)


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match=r"'lenet' is taken by LeNet"):
        register("lenet")(nn.Identity)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("densnet", {}, ["no network 'densnet'", "did you mean", "densenet"]),
        ("lenet", {"nrom": "none"}, ["lenet has no option 'nrom'", "did you mean norm?"]),
        ("lenet", {"norm": "bath"}, ["norm of lenet takes batch, scratch, none", "given 'bath'"]),
        ("lenet", {"classes": "ten"}, ["classes of lenet takes an int", "'ten'"]),
        ("lenet", {"classes": 2.5}, ["classes of lenet takes an int", "2.5"]),
        ("lenet", {"classes": -1}, ["lenet", "classes=-1", "above 0"]),
    ],
)
def test_wrong_calls_are_refused(name: str, options: dict[str, int | str], words: list[str]) -> None:
    with pytest.raises(SourceError) as caught:
        build(name, **options)
    for word in words:
        assert word in str(caught.value)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with three networks: a plain factory, a registered one, and one that is broken."""
    module = SimpleNamespace(make=lambda features=4: nn.Linear(features, 2))

    def load(point: EntryPoint) -> object:
        if point.name == "broken":
            raise ImportError("no module named 'missing'")
        if point.name == "described":
            register("described", input_shape=(4,), summary="said by its module")(module.make)
        return module.make

    points = [EntryPoint(name, "other.module:make", registry.GROUP) for name in ("plain-linear", "described", "broken")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    monkeypatch.setattr(EntryPoint, "load", load)


@pytest.mark.usefixtures("plugin")
def test_other_packages_register_by_entry_points() -> None:
    assert {"plain-linear", "described", "lenet"} <= set(names())
    network = build("plain-linear", features="6")
    assert isinstance(network, nn.Linear)
    assert network.in_features == 6
    assert resolve("plain-linear", {}).input_shapes == ()
    assert resolve("described", {}).input_shapes == ((1, 4),)
    assert entry("described").summary == "said by its module"
    with pytest.raises(SourceError, match=r"'broken'.*ImportError: no module named 'missing'"):
        build("broken")


def test_importing_the_networks_imports_no_model_zoo() -> None:
    code = "import sys, archlab.networks; print([name for name in ('torchvision', 'timm') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
