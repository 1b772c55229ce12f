"""Checkpoints with precise statistics, and with BatchNorm folded, are read again to show what they answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from archlab.errors import InputError
from archlab.networks.surgery import fold
from archlab.normalisation import examine
from archlab.normalisation.weights import sha256
from tests.normalisation.test_faults import little_momentum
from tests.normalisation.trained import SOURCE, build, saved, trained


@pytest.mark.parametrize("safe", [False, True])
def test_precise_statistics_are_written_and_mend_the_answers(tmp_path: Path, safe: bool) -> None:
    path = saved(tmp_path, little_momentum)
    if safe:
        state = trained()
        little_momentum(state)
        path = tmp_path / "net.safetensors"
        save_file(state, path)
    before, better = sha256((path,)), tmp_path / f"better{path.suffix}"
    health = examine(SOURCE, "digits", weights=path, images=600, batch_size=64, recalibrate=better)
    (written,) = health.written
    assert (written.accuracy_after or 0) > 0.95 > 0.8 > (written.accuracy_before or 1)
    assert before == sha256((path,)) == written.original_sha256
    assert written.sha256 == sha256((better,))
    assert not examine(SOURCE, "digits", weights=better, images=600, batch_size=64).alarming


def test_a_folded_checkpoint_goes_into_the_folded_network(tmp_path: Path) -> None:
    path, folded = saved(tmp_path), tmp_path / "folded.pt"
    health = examine(SOURCE, "digits", weights=path, images=600, fold=folded)
    (written,) = health.written
    assert (written.layers, written.agreement) == (2, 1.0)
    assert (written.difference or 0) < 1e-4
    content = torch.load(folded, weights_only=True)
    assert content["epoch"] == 4
    bare, _ = fold(build())
    bare.load_state_dict({name.removeprefix("module."): value for name, value in content["state_dict"].items()})
    original = build()
    original.load_state_dict(trained())
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(bare.eval()(x), original.eval()(x), atol=1e-4)


@pytest.mark.parametrize(
    ("terms", "phrase"),
    [
        ({"weights": None}, "random weights"),
        ({"data": None, "fold": "out.pt"}, "--fold needs images"),
        ({"recalibrate": "out.pt", "fold": "out.pt"}, "the same file"),
        ({"key": "ema"}, "no weights at 'ema'"),
        ({"images": 3}, "images is 3, expected 16 or more"),
        ({"data": "nowhere"}, "there is no data set 'nowhere'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terms: dict[str, object], phrase: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, object] = {"data": "digits", "weights": saved(tmp_path)} | terms
    with pytest.raises(InputError, match=phrase):
        examine(SOURCE, given.pop("data"), **given)  # type: ignore[arg-type]


def test_a_network_without_batchnorm_is_refused() -> None:
    with pytest.raises(InputError, match="has no BatchNorm layer"):
        examine(torch.nn.Linear(2, 2), torch.zeros(32, 1, 1, 2))
