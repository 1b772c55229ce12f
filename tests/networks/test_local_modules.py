import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from archlab.networks import resolve
from archlab.networks.local_modules import local_files
from archlab.records import TrainingConfig
from archlab.training import Execution
from archlab.training.preparation import Preparer

NET = "from torch import nn\n{imports}\nclass Net(nn.Linear):\n    def __init__(self): super().__init__(64, 10)\n"
FORWARD = "    def forward(self, x):\n        return super().forward(x.flatten(1)) * {call}\n"


def plain(network: nn.Module, given: torch.Tensor) -> torch.Tensor:
    """What its linear layer gives, without the helper."""
    return nn.functional.linear(given, network.get_parameter("weight"), network.get_parameter("bias"))


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture(autouse=True)
def forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No byte code is kept, which would be taken for that of a text of the same second and length."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)  # for what is imported in a forward pass
    yield
    for name, module in list(sys.modules.items()):
        places = f"{vars(module).get('__file__')} {vars(module).get('__path__')}"
        if str(tmp_path) in places:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("imports", "call", "files"),
    [
        ("import helper", "helper.act()", {"helper.py": "def act(): return 2"}),
        ("from helper import act as f", "f()", {"helper.py": "def act(): return 2"}),
        (
            "from pack.inner import act",
            "act()",
            {"pack/__init__.py": "", "pack/inner.py": "def act(): return 2"},
        ),
        ("import pack.inner as p", "p.act()", {"pack/inner.py": "def act(): return 2"}),
        (
            "import first",
            "first.act()",
            {"first.py": "from second import act", "second.py": "def act(): return 2"},
        ),
        (
            "from pack import act",
            "act()",
            {"pack/__init__.py": "from .a import act", "pack/a.py": "def act(): return 2"},
        ),
        ("import importlib; h = importlib.import_module('helper')", "h.act()", {"helper.py": "def act(): return 2"}),
        ("from helper import *", "act()", {"helper.py": "def act(): return 2"}),
        ("def late():\n    import helper\n    return helper.act()", "late()", {"helper.py": "def act(): return 2"}),
        ("try:\n    import nowhere\nexcept ImportError:\n    import helper", "2", {"helper.py": "'2'"}),
    ],
)
def test_a_helper_that_is_edited_makes_another_run(
    imports: str, call: str, files: dict[str, str], tmp_path: Path
) -> None:
    write_files(tmp_path, {"mine.py": NET.format(imports=imports) + FORWARD.format(call=call), **files})
    changed = list(files)[-1]
    prints, answers = [], []
    for text in (files[changed], files[changed].replace("2", "3"), files[changed]):
        (tmp_path / changed).write_text(text)
        source = resolve(f"{tmp_path / 'mine.py'}:Net")
        preparer = Preparer(Execution(device="cpu"), [source])
        prepared = preparer.prepare(TrainingConfig(network=source.name, dataset="digits"))
        network = prepared.network()
        prints.append(prepared.environment(preparer.device, network)["network"])
        ones = torch.ones(1, 64)
        answers.append(float((network(ones) / plain(network, ones)).detach().mean()))
    assert prints[0] == prints[2] != prints[1]
    assert answers == pytest.approx([2.0, 2.0 if call == "2" else 3.0, 2.0])


def test_what_is_installed_is_known_by_its_version(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"mine.py": NET.format(imports="import os, numpy, torchvision, archlab, helper"), "helper.py": ""}
    )
    source = resolve(f"{tmp_path / 'mine.py'}:Net")
    assert [path.name for path in local_files([source.module])] == ["helper.py", "mine.py"]


def test_files_in_two_folders_each_have_the_helper_beside_them(tmp_path: Path) -> None:
    """Two versions of a project, say; also when they are built again, and their helpers import late."""
    text = NET.format(imports="import helper") + FORWARD.format(call="helper.act()")
    for version in (2, 3):
        (tmp_path / str(version)).mkdir()
        write_files(tmp_path / str(version), {"mine.py": text, "helper.py": f"def act(): return {version}"})
    sources = [resolve(f"{tmp_path / version / 'mine.py'}:Net") for version in ("2", "3")]
    ones = torch.ones(1, 64)
    for source, factor in zip(sources * 2, (2.0, 3.0, 2.0, 3.0), strict=True):
        network = source.build()
        assert float((network(ones) / plain(network, ones)).detach().mean()) == pytest.approx(factor)
    for source, folder in zip(sources, "23", strict=True):
        preparer = Preparer(Execution(device="cpu"), [source])
        prepared = preparer.prepare(TrainingConfig(network=source.name, dataset="digits"))
        network = prepared.network()
        before = prepared.environment(preparer.device, network)["network"]
        write_files(tmp_path / folder, {"helper.py": "def act(): return 4"})
        assert prepared.environment(preparer.device, network)["network"] != before
