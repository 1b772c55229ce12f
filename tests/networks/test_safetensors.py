import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from archlab.errors import SourceError
from archlab.networks import checkpoint, resolve
from archlab.records import Checkpoint

WEIGHTS = {
    "a.weight": torch.zeros(3, 4),
    "a.bias": torch.zeros(3, dtype=torch.bfloat16),
    "n": torch.zeros((), dtype=torch.int64),
}


def test_a_file_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(WEIGHTS, path)
    found = checkpoint(path)
    # 3 x 4 numbers of 4 bytes, 3 of 2 bytes, 1 of 8 bytes.
    assert {tensor.name: (tensor.shape, tensor.dtype, tensor.bytes) for tensor in found.tensors} == {
        "a.weight": ((3, 4), "F32", 48),
        "a.bias": ((3,), "BF16", 6),
        "n": ((), "I64", 8),
    }
    assert (found.elements, found.by_dtype) == (16, {"F32": 12, "BF16": 3, "I64": 1})
    assert Checkpoint.from_json(found.to_json()) == found


def test_weights_are_not_read(tmp_path: Path) -> None:
    """A header is enough: the bytes behind it may be a hole in the file."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**28], "data_offsets": [0, 2**30]}}).encode()
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2**30)
    assert checkpoint(tmp_path).elements == 2**28


def test_shards_by_their_index(tmp_path: Path) -> None:
    names = list(WEIGHTS)
    for number, name in enumerate(names):
        save_file({name: WEIGHTS[name]}, tmp_path / f"model-{number}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {name: f"model-{number}.safetensors" for number, name in enumerate(names)}})
    )
    assert checkpoint(index).tensors == checkpoint(tmp_path).tensors
    assert checkpoint(index).elements == 16
    save_file({names[0]: WEIGHTS[names[0]]}, tmp_path / "model-1.safetensors")
    with pytest.raises(SourceError, match=r"holds 'a.weight', which another file of"):
        checkpoint(index)
    for content, said in (
        ('{"weight_map": {"a": "../x.safetensors"}}', "which is not in its folder"),
        ("[]", "is no index of shards"),
        ("{", "is no index of shards"),
    ):
        index.write_text(content)
        with pytest.raises(SourceError, match=said):
            checkpoint(index)


def entry(**changes: Any) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0" * 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its header can't have 0 bytes"),
        ((2**63).to_bytes(8, "little") + b"{}", "its header can't have 9,223,372,036,854,775,808 bytes"),
        ((2).to_bytes(8, "little") + b"[]", "its header is no JSON object"),
        ((2).to_bytes(8, "little") + b"{{", "JSONDecodeError in its header"),
        ((2000).to_bytes(8, "little") + b"[" * 2000, "in its header"),
        (entry(shape=[3]), "'w' has 8 bytes, which its shape hasn't"),
        (entry(data_offsets=[0, 12]), "'w' isn't in its 8 bytes"),
        (entry(shape=[-2]), "'w' isn't in its 8 bytes"),
        (entry(shape=[True, 2]), "'w' isn't in its 8 bytes"),
        (entry(dtype=4), "'w' isn't in its 8 bytes"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=said):
        checkpoint(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file"):
        checkpoint(tmp_path / "model.safetensors")
    with pytest.raises(SourceError, match=r"holds no .safetensors file"):
        checkpoint(tmp_path)
    with pytest.raises(
        SourceError, match=r"model.safetensors holds weights.*archlab shapes model.safetensors lists them"
    ):
        resolve("model.safetensors")


def test_weights_without_a_config_are_named(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    with pytest.raises(SourceError, match=r"has no config.json.*archlab shapes .*model.safetensors lists"):
        resolve(f"hf:{tmp_path}")
