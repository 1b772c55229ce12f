"""Files of torch.export: what is in them is looked through before torch reads them."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archlab.errors import UntrustedError
from archlab.networks import resolve


class Network(nn.Module):
    """With sizes that are expressions, and an operator of Python."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).flatten(1)
        return x + torch.zeros(2 * x.shape[0] + 1).sum()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "net.pt2"
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(Network(), (torch.zeros(3, 1, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(exported, path)
    return path


class Running:
    """A pickle that makes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return subprocess.getoutput, (f"touch {self.marker}",)


def rewritten(program: Path, path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(path, "w") as target:
        for item in source.infolist():
            target.writestr(item, change(item.filename, source.read(item)))
    return path


def replacing(old: str, new: str, member: str = "model.json") -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(member):
            return content
        assert old.encode() in content
        return content.replace(old.encode(), new.encode(), 1)

    return change


def test_what_torch_writes_is_read(program: Path) -> None:
    assert resolve(str(program)).build()(torch.zeros(3, 1, 8, 8)).shape == (3, 144)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (replacing("torch.ops.aten.conv2d.default", "torch.os.system"), "the function 'torch.os.system'"),
        (replacing("torch.ops.aten.conv2d.default", "torch.ops.load_library"), "load_library"),
        (replacing("torch.ops.aten.conv2d.default", "torch.ops.higher_order.call_torchbind"), "call_torchbind"),
        (replacing("_operator.mul", "_operator.methodcaller"), "methodcaller"),
        (replacing("_operator.mul", "_operator.attrgetter.__class__"), "attrgetter"),
        (replacing("_operator.mul", "math.__loader__.load_module"), "load_module"),
        (replacing("Integer(2)", '__import__(\\"os\\")'), "the expression"),
        (replacing("Integer(2)", "().__class__"), "the expression"),
        (replacing("Integer(2)", 'S(\\"print(1)\\")'), "the expression"),
        (replacing('"guards_code": []', '"guards_code": ["open(\\"x\\", \\"w\\")"]'), "the code"),
        (replacing('"guards_code": []', '"guards_code": ["[a for a in b]"]'), "the code"),
    ],
)
def test_what_would_run_is_refused(
    change: Callable[[str, bytes], bytes], says: str, program: Path, tmp_path: Path
) -> None:
    path = rewritten(program, tmp_path / "theirs.pt2", change)
    with pytest.raises(UntrustedError, match="holds") as caught:
        resolve(str(path))
    assert says in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "plain"])
def test_a_pickle_is_not_run(kind: str, program: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    def change(name: str, content: bytes) -> bytes:
        if "sample_inputs" not in name:
            return content
        buffer = io.BytesIO()
        if kind == "zip":
            torch.save(Running(marker), buffer)
        else:
            pickle.dump(Running(marker), buffer)
        return buffer.getvalue()

    with pytest.raises(UntrustedError, match="a pickle with more in it than tensors"):
        resolve(str(rewritten(program, tmp_path / "theirs.pt2", change)))
    assert not marker.exists()


def test_a_weight_that_is_a_pickle_is_not_run(program: Path, tmp_path: Path) -> None:
    """The tables of the archive say which of its members are pickles."""
    marker = tmp_path / "marker"

    def change(name: str, content: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            tables = json.loads(content)
            for entry in tables["config"].values():
                entry["use_pickle"] = True
            return json.dumps(tables).encode()
        return pickle.dumps(Running(marker)) if name.endswith("weight_0") else content

    with pytest.raises(UntrustedError, match="weight_0"):
        resolve(str(rewritten(program, tmp_path / "theirs.pt2", change)))
    assert not marker.exists()


def test_an_object_is_refused(program: Path, tmp_path: Path) -> None:
    change = replacing('"config":', '"x": {"path_name": "custom_obj_0"}, "config":', "constants_config.json")
    with pytest.raises(UntrustedError, match="an object"):
        resolve(str(rewritten(program, tmp_path / "theirs.pt2", change)))
