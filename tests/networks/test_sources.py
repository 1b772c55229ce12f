import builtins
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import nn

from archlab.errors import SourceError
from archlab.networks import build, resolve
from tests.networks.counting import parameters

FILE = '''
"""A user's file."""
from __future__ import annotations
import torch
from torch import nn
from helper import WIDTH

class Net(nn.Module):
    def __init__(self, width: int = WIDTH, bias: bool = True):
        super().__init__()
        self.linear = nn.Linear(3, width, bias=bias)
    def forward(self, x):
        return self.linear(x)
    @classmethod
    def small(cls):
        return cls(1)

def make(width: int = 2):
    import late
    return Net(late.double(width))

def anything(**options):
    return nn.Linear(**options)

def read_weight():
    network = nn.Linear(3, 4)
    network.largest = float(network.weight.detach().max())
    return network

def fail(depth: int):
    if depth > 3:
        raise ValueError("too deep")
    return nn.Identity()

def give_list():
    return [nn.Identity()]

ready = nn.Linear(3, 5)
number = 3
'''


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(FILE)
    (tmp_path / "helper.py").write_text("WIDTH = 7\n")
    (tmp_path / "late.py").write_text("def double(x): return 2 * x\n")
    return str(tmp_path / "net.py")


@pytest.mark.parametrize(
    ("factory", "options", "count"),
    [
        ("Net", {}, 28),  # 7 * (3 + 1)
        ("Net", {"width": "2", "bias": "off"}, 6),  # 2 * 3
        ("Net.small", {}, 4),  # 1 * (3 + 1)
        ("make", {"width": 3}, 24),  # 6 * (3 + 1)
        ("anything", {"in_features": "2", "out_features": "2", "bias": "false"}, 4),
        ("read_weight", {}, 16),
        ("ready", {}, 20),  # 5 * (3 + 1)
    ],
)
def test_a_factory_in_a_file(net: str, factory: str, options: dict[str, Any], count: int) -> None:
    path = list(sys.path)
    source = resolve(f"{net}:{factory}", options)
    assert parameters(source.build()) == count
    assert parameters(source.build("meta")) == count
    assert not source.is_builtin
    assert source.input_shapes == ()
    assert sys.path == path
    assert not (Path(net).parent / "__pycache__" / "net.cpython-311.pyc").exists()


def test_a_file_beside_one_named_like_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "profile.py").write_text("raise RuntimeError('no module for others')\n")
    (tmp_path / "sizes_beside.py").write_text("WIDTH = 3\n")
    (tmp_path / "net.py").write_text(
        "import profile\nfrom sizes_beside import WIDTH\nfrom torch import nn\n\n"
        "def net():\n    return nn.Linear(WIDTH, len([profile.Profile]))\n"
    )
    sys.modules.pop("profile", None)
    assert parameters(resolve(f"{tmp_path / 'net.py'}:net", {}).build()) == 4  # 3 * 1 + 1


def test_weights_are_real_on_the_cpu_and_none_on_meta(net: str) -> None:
    source = resolve(f"{net}:Net", {})
    assert not source.build().get_parameter("linear.weight").is_meta
    assert source.build("meta").get_parameter("linear.weight").is_meta
    assert source.notes == []


def test_what_cannot_be_built_on_meta_is_built_on_the_cpu_and_says_so(net: str) -> None:
    state = torch.get_rng_state()
    source = resolve(f"{net}:read_weight", {})
    assert not any(parameter.is_meta for parameter in source.build("meta").parameters())
    source.build("meta")
    (note,) = source.notes
    assert note.startswith("Built on the CPU with real weights, since it can't be built without: ")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_module_in_a_file_is_copied(net: str) -> None:
    source = resolve(f"{net}:ready", {})
    first, second = source.build(), source.build()
    assert first is not second
    assert torch.equal(first.get_parameter("weight"), second.get_parameter("weight"))
    assert source.has_weights


def test_a_file_is_read_afresh(net: str) -> None:
    assert parameters(build(f"{net}:Net")) == 28
    Path(net).write_text(FILE.replace("WIDTH, bias", "9, bias"))
    assert parameters(build(f"{net}:Net")) == 36  # 9 * (3 + 1)


def test_odd_file_names(tmp_path: Path) -> None:
    folder = tmp_path / "a:b c"
    folder.mkdir()
    path = folder / "my-net 2.py"
    path.write_text("from torch import nn\ndef make(): return nn.Linear(2, 2)\n")
    assert parameters(build(f"{path}:make")) == 6  # 2 * (2 + 1)


def test_files_of_the_same_name_stay_apart(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "net.py").write_text(
            f"from torch import nn\nclass Net(nn.Linear):\n  def __init__(self): super().__init__(1, {number})\n"
        )
    first, second = (build(f"{tmp_path}/{number}/net.py:Net") for number in (1, 2))
    assert type(first).__module__ != type(second).__module__
    assert sys.modules[type(first).__module__].__file__ == f"{tmp_path}/1/net.py"


@pytest.mark.parametrize(
    ("factory", "options", "words"),
    [
        ("Nte", {}, ["net.py has no 'Nte'", "did you mean Net?"]),
        ("Net.big", {}, ["has no 'Net.big'", "small"]),
        ("Net", {"widht": 3}, ["net.py:Net has no option 'widht'", "did you mean width?"]),
        ("Net", {"width": "wide"}, ["option width of", "takes an int, given 'wide'"]),
        ("ready", {"width": 3}, ["has no option 'width'", "takes none"]),
        ("number", {}, ["is of type int", "expected a torch.nn.Module"]),
        ("give_list", {}, ["value of type list", "expected a torch.nn.Module"]),
        ("fail", {}, ["needs a value for depth"]),
        ("fail", {"depth": "4"}, ["can't be built with depth=4", "ValueError: too deep", "net.py, line 32"]),
        ("anything", {"in_features": 2}, ["TypeError", "out_features", "net.py, line 23"]),
        ("", {}, ["names no factory", "FILE.py:FACTORY"]),
    ],
)
def test_wrong_factories_are_explained(net: str, factory: str, options: dict[str, Any], words: list[str]) -> None:
    devices: tuple[Literal["cpu", "meta"], ...] = ("cpu", "meta")
    for device in devices:
        with pytest.raises(SourceError) as caught:
            resolve(f"{net}:{factory}", options).build(device)
        for word in words:
            assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import missing_package\n", ["ModuleNotFoundError", "missing_package", "line 1"]),
        ("x = 1\ny = x / 0\n", ["ZeroDivisionError: division by zero", "line 2"]),
        ("x = 1\ndef broken(:\n", ["SyntaxError", "line 2"]),
        ("from . import sibling\n", ["relative import", "package.module:FACTORY"]),
        ("import sys\nsys.exit(3)\n", ["SystemExit: 3", "line 2"]),
        ("", ["has no 'make'", "defines nothing"]),
    ],
)
def test_a_broken_file_is_quoted(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    modules = set(sys.modules)
    with pytest.raises(SourceError) as caught:
        resolve(f"{path}:make", {})
    for word in (str(path), *words):
        assert word in str(caught.value)
    assert not [name for name in set(sys.modules) - modules if name.startswith("broken") and text]


def test_a_file_without_a_factory_is_not_run(net: str) -> None:
    Path(net).write_text(FILE + "\nraise RuntimeError('was run')\n")
    with pytest.raises(SourceError, match=r"it defines Net, make, anything.*try .*net\.py:Net"):
        resolve(net, {})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("missing.py:make", ["missing.py can't be read", "No such file"]),
        ("missing.py", ["missing.py:FACTORY"]),
        ("weights.pth", ["holds weights", "torch.export.save"]),
        ("no_such_package.nets:make", ["no module 'no_such_package'"]),
        ("torch.no_such:make", ["no module 'torch.no_such'"]),
        ("torch.nn:Linaer", ["torch.nn has no 'Linaer'", "did you mean Linear"]),
        ("a b:make", ["'a b:make' is no source", "package.module:FACTORY"]),
        ("", ["there is no network ''"]),
        ("lnet", ["did you mean lenet", "torchvision:NAME"]),
        ("torchvision:resnet19", ["torchvision has no network 'resnet19'", "did you mean resnet1"]),
        ("missing.pt2", ["no file missing.pt2"]),
    ],
)
def test_wrong_sources_are_explained(source: str, words: list[str]) -> None:
    with pytest.raises(SourceError) as caught:
        resolve(source, {})
    for word in words:
        assert word in str(caught.value)


def test_a_factory_in_a_module() -> None:
    source = resolve("torch.nn:Linear", {"in_features": "3", "out_features": "2"})
    assert source.options == {"in_features": 3, "out_features": 2}
    assert parameters(source.build("meta")) == 8  # 2 * (3 + 1)


def test_modules_are_found_in_the_current_folder(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(net).parent)
    for name in ("net", "helper", "late"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        assert parameters(build("net:Net", width=2)) == 8  # 2 * (3 + 1)
    finally:
        sys.modules.pop("net", None)


@pytest.mark.parametrize(
    ("name", "shapes", "count"),
    [
        ("resnet18", ((1, 3, 224, 224),), 11_689_512),
        ("efficientnet_b1", ((1, 3, 240, 240),), 7_794_184),
        ("regnet_y_400mf", ((1, 3, 224, 224),), 4_344_144),
        ("inception_v3", ((1, 3, 299, 299),), 27_161_264),
        ("swin_v2_t", ((1, 3, 256, 256),), 28_351_570),
        ("vit_b_16", ((1, 3, 224, 224),), 86_567_656),
        ("quantized_resnet18", ((1, 3, 224, 224),), 11_689_512),
        ("lraspp_mobilenet_v3_large", ((1, 3, 520, 520),), 3_221_538),
        ("ssdlite320_mobilenet_v3_large", ((1, 3, 320, 320),), 3_440_060),
        ("fasterrcnn_resnet50_fpn_v2", ((1, 3, 800, 800),), 43_712_278),
        ("r3d_18", ((1, 3, 16, 112, 112),), 33_371_472),
        ("raft_small", ((1, 3, 520, 960), (1, 3, 520, 960)), 990_162),
    ],
)
def test_torchvision(name: str, shapes: tuple[tuple[int, ...], ...], count: int) -> None:
    source = resolve(f"torchvision:{name}", {})
    assert source.input_shapes == shapes
    network = source.build("meta")
    assert source.notes == []
    assert parameters(network) == count  # the meta["num_params"] of its default weights
    assert all(parameter.is_meta for parameter in network.parameters())


def test_torchvision_takes_options() -> None:
    source = resolve("torchvision:resnet18", {"num_classes": "10"})
    assert source.options == {"num_classes": 10}
    assert source.available["num_classes"].default == 1000
    assert parameters(source.build("meta")) == 11_181_642  # 11689512 - 990 * (512 + 1)
    with pytest.raises(SourceError, match=r"TypeError.*nclasses"):
        resolve("torchvision:resnet18", {"nclasses": "10"}).build("meta")
    vision = resolve("torchvision:vit_b_32", {"image_size": "384"})
    assert vision.input_shapes == ((1, 3, 384, 384),)


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked for trained weights")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    for name in ("fcn_resnet50", "retinanet_resnet50_fpn", "googlenet"):
        assert next(resolve(f"torchvision:{name}", {}).build("meta").buffers()).is_meta


class FakeTimm(ModuleType):
    """What archlab uses of timm, with one network."""

    def is_model(self, name: str) -> bool:
        return name == "tiny"

    def list_models(self) -> list[str]:
        return ["tiny"]

    def get_pretrained_cfg(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(input_size=(3, 160, 160), num_classes=100)

    def create_model(self, name: str, in_chans: int = 3, num_classes: int = 100, depth: int = 1) -> nn.Module:
        return nn.Conv2d(in_chans, num_classes, depth)


def test_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", FakeTimm("timm"))
    assert resolve("timm:tiny", {}).input_shapes == ((1, 3, 160, 160),)
    source = resolve("timm:tiny", {"in_chans": "1", "num_classes": "2", "depth": "3"})
    assert source.input_shapes == ((1, 1, 160, 160),)
    assert parameters(source.build("meta")) == 20  # 2 * (1 * 3 * 3 + 1)
    with pytest.raises(SourceError, match=r"timm has no network 'tinny': did you mean tiny\?"):
        resolve("timm:tinny", {})


def test_the_real_timm() -> None:
    pytest.importorskip("timm", reason="needs archlab[timm]")
    source = resolve("timm:resnet18", {"num_classes": 10})
    assert source.input_shapes == ((1, 3, 224, 224),)
    assert parameters(source.build("meta")) == 11_181_642  # 11689512 - 990 * (512 + 1)


def test_timm_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_timm(name: str, *rest: Any) -> ModuleType:
        if name == "timm":
            raise ModuleNotFoundError("No module named 'timm'", name="timm")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_timm)
    with pytest.raises(SourceError, match=r"timm:resnet18 needs timm.*pip install 'archlab\[timm\]'"):
        resolve("timm:resnet18", {})


def test_an_exported_program(tmp_path: Path) -> None:
    network = build("lenet").eval()
    path = tmp_path / "lenet.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(2, 1, 28, 28),)), path)
    source = resolve(str(path), {})
    assert source.input_shapes == ((2, 1, 28, 28),)
    assert source.has_weights
    first, second = source.build(), source.build("meta")
    assert parameters(first) == 44_878
    x = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(first.eval()(x), network(x))
    with torch.no_grad():
        first.get_parameter("linear_3.bias").add_(1)
    torch.testing.assert_close(second(x), network(x))
    with pytest.raises(SourceError, match="has no option 'norm'"):
        resolve(str(path), {"norm": "none"})


def test_other_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt2"
    path.write_text("no archive")
    with pytest.raises(SourceError, match=r"weights\.pt2 is no archive of torch\.export"):
        resolve(str(path), {})


def test_building_imports_no_model_zoo_and_no_compiler() -> None:
    code = "import sys; from archlab.networks import resolve; resolve('lenet', {}).build('meta')\n"
    code += "import torch; from archlab.networks.weightless import build_weightless\n"
    code += "build_weightless(lambda: torch.nn.ParameterList([torch.ones(4, 4).tril()]))\n"
    code += "print([name for name in ('torchvision', 'timm', 'torch._dynamo', 'sympy') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
