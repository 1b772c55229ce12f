"""Weights are found in a file, fitted to a network, and written again in its own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from archlab.errors import InputError
from archlab.normalisation.weights import fit, load, read_weights, save, sha256


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))


STATE: dict[str, Tensor] = {
    name: torch.rand_like(value.float()).to(value.dtype) for name, value in network().state_dict().items()
}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in STATE.items()}


@pytest.mark.parametrize(
    ("content", "key", "prefixes"),
    [
        (STATE, "", ()),
        ({"state_dict": STATE, "epoch": 3}, "state_dict", ()),
        ({"model": prefixed("module.")}, "model", ("module.",)),
        ({"state": {"net": prefixed("module._orig_mod.")}}, "state.net", ("_orig_mod.", "module.")),
        ({"state_dict": prefixed("model.") | {"loss.weight": torch.ones(2)}}, "state_dict", ("model.",)),
        ({"model": {"0.weight": STATE["0.weight"]}, "ema": STATE}, "ema", ()),
        ({"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "weights": STATE}, "weights", ()),
        (
            {f"0._orig_mod{name[1:]}" if name[0] == "0" else name: value for name, value in STATE.items()},
            "",
            ("_orig_mod.",),
        ),
    ],
)
def test_weights_are_found_wherever_they_lie(tmp_path: Path, content: Any, key: str, prefixes: tuple[str, ...]) -> None:
    torch.save(content, tmp_path / "net.pt")
    held, net = read_weights(tmp_path / "net.pt"), network()
    found = fit(net, held)
    assert (found.key, found.loaded.prefixes, found.loaded.loaded) == (key, prefixes, len(STATE))
    assert found.loaded.is_complete
    load(net, held, found)
    assert all(torch.equal(value, STATE[name]) for name, value in net.state_dict().items())


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    content = dict(STATE) | {"0.bias": torch.ones(5), "head.weight": torch.ones(2)}
    del content["1.running_mean"]
    torch.save(content, tmp_path / "net.pt")
    loaded = fit(network(), read_weights(tmp_path / "net.pt")).loaded
    assert loaded.missing == ("1.running_mean",)
    assert loaded.unexpected == ("head.weight",)
    assert [(one.name, one.stored, one.expected) for one in loaded.wrong] == [("0.bias", (5,), (4,))]


def test_two_places_that_fit_are_both_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    torch.save({"ema": prefixed("module."), "model": STATE}, tmp_path / "net.pt")
    held = read_weights(tmp_path / "net.pt")
    found = fit(network(), held)
    assert (found.key, found.loaded.others) == ("model", ("ema",))
    assert fit(network(), held, "ema").key == "ema"
    with pytest.raises(InputError, match="no weights at 'best': it has some at 'ema', 'model'"):
        fit(network(), held, "best")


class Other:
    """No tensor."""


def test_a_file_that_holds_more_than_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"model": network()}, tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"holds more than weights.*torch.save\(model.state_dict\(\), FILE\)"):
        read_weights(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("name", "content", "phrase"),
    [
        ("net.pt", b"hello", "can't be read as a checkpoint of torch"),
        ("net.safetensors", b"hello", "is no safetensors file"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes, phrase: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=phrase):
        read_weights(tmp_path / name)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"model": {"layer.weight": torch.ones(3)}}, tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"none of the 1 tensors .* names like layer\.weight"):
        fit(network(), read_weights(tmp_path / "net.pt"))
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    with pytest.raises(InputError, match="holds no tensors by name"):
        fit(network(), read_weights(tmp_path / "none.pt"))
    with pytest.raises(InputError, match="there is no file"):
        read_weights(tmp_path / "missing.pt")


def test_a_checkpoint_is_written_again_with_all_else_in_it(tmp_path: Path) -> None:
    path, optimizer = tmp_path / "net.pt", {"state": {0: torch.ones(2)}}
    torch.save({"epoch": 3, "model": {"weights": STATE}, "optimizer": optimizer}, path)
    held, before = read_weights(path), sha256((path,))
    save(held, "model.weights", {"0.bias": torch.zeros(4)}, tmp_path / "new.pt")
    content = torch.load(tmp_path / "new.pt", weights_only=True)
    assert content["epoch"] == 3
    assert torch.equal(content["optimizer"]["state"][0], torch.ones(2))
    assert list(content["model"]["weights"]) == ["0.bias"]
    assert sha256((path,)) == before


def test_safetensors_stay_safetensors_with_their_metadata(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(STATE, path, {"format": "pt"})
    held = read_weights(path)
    save(held, "", STATE, tmp_path / "new.safetensors")
    assert load_file(tmp_path / "new.safetensors").keys() == STATE.keys()
    assert read_weights(tmp_path / "new.safetensors").metadata == {"format": "pt"}


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("net.pt", "is the checkpoint itself"),
        ("there.pt", "is there already"),
        ("folder/new.pt", "there is no folder"),
        ("new.safetensors", "has the format of the original"),
    ],
)
def test_nothing_is_written_over(tmp_path: Path, name: str, phrase: str) -> None:
    torch.save(STATE, tmp_path / "net.pt")
    (tmp_path / "there.pt").write_bytes(b"mine")
    with pytest.raises(InputError, match=phrase):
        save(read_weights(tmp_path / "net.pt"), "", STATE, tmp_path / name)
    assert (tmp_path / "there.pt").read_bytes() == b"mine"
