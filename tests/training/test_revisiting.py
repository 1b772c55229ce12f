"""The landscape of a run that has ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archlab.errors import InputError
from archlab.records import Landscape, Run, TrainingConfig
from archlab.store import Store, contents
from archlab.store.arrays import read_arrays, write_arrays
from archlab.training import Progress, measure_landscape, revisiting, train
from tests.training.tiny import SOURCE

CONFIG = TrainingConfig(network=f"{SOURCE}:make_network", options={"dropout": 0.2}, epochs=1, train_samples=64, size=8)
PROBED = replace(CONFIG, probe_every=4, probes="signals", landscape=5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def run(store: Store) -> Run:
    return train(CONFIG, store=store, device="cpu")


def measured(run: Run, store: Store, points: int = 5, **more: Any) -> Landscape:
    return measure_landscape(run.key, points, store=store, device="cpu", trust=True, **more)


def stop_after(points: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[Progress], None]:
    """Raises as Ctrl-C does, after so many points; each point is kept."""
    monkeypatch.setattr(revisiting, "REPORT_SECONDS", 0)
    monkeypatch.setattr(revisiting, "KEEP_SECONDS", 0)

    def tell(event: Progress) -> None:
        if event.state == "landscape" and event.step > points:
            raise KeyboardInterrupt

    return tell


def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisiting, "_train", lambda *_: pytest.fail("it was trained again"))


def test_it_is_the_landscape_that_is_measured_at_the_end_of_a_training(store: Store, run: Run) -> None:
    """Bit for bit; what else was probed stays."""
    probed = train(PROBED, store=store, device="cpu")
    before = store.probes(probed.key)
    assert before is not None
    assert before.landscape is not None
    found = measured(run, store)
    np.testing.assert_array_equal(found.losses, before.landscape.losses)
    np.testing.assert_array_equal(found.coordinates, before.landscape.coordinates)
    assert found.images == 64
    other = measured(probed, store, 3)
    after = store.probes(probed.key)
    assert after is not None
    assert after.signals is not None
    assert before.signals is not None
    assert after.landscape is not None
    np.testing.assert_array_equal(after.landscape.losses, other.losses)
    np.testing.assert_array_equal(after.signals.quantities["gradient_norm"], before.signals.quantities["gradient_norm"])


def forget_probes(store: Store, run: Run) -> None:
    folder = store.path / "runs" / run.key
    (folder / "probes.safetensors").unlink()
    contents.forget(folder, "probes.safetensors")


@pytest.mark.parametrize("points", [1, 7, 24])
def test_it_goes_on_where_it_was_stopped(store: Store, run: Run, points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measured(run, store)
    with pytest.raises(KeyboardInterrupt):
        measured(run, store, fresh=True, progress=stop_after(points, monkeypatch))
    seen: list[int] = []
    no_training(monkeypatch)
    forget_probes(store, run)
    found = measured(run, store, progress=lambda event: seen.append(event.step) if event.state == "landscape" else None)
    np.testing.assert_array_equal(found.losses, whole.losses)
    assert seen == list(range(points + 1, 26))
    assert not list(store.path.rglob("landscape*"))


def test_another_grid_takes_the_weights_and_not_the_points(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        measured(run, store, progress=stop_after(7, monkeypatch))
    no_training(monkeypatch)
    found = measured(run, store, 3)
    assert found.losses.shape == (3, 3)
    monkeypatch.undo()
    np.testing.assert_array_equal(found.losses, measured(run, store, 3, fresh=True).losses)


def test_what_is_there_is_not_measured_again(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measured(run, store)
    no_training(monkeypatch)
    np.testing.assert_array_equal(measured(run, store).losses, first.losses)


@pytest.mark.parametrize("damage", [b"", b"not safetensors", None])
def test_a_damaged_draft_is_as_none(
    store: Store, run: Run, damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measured(run, store)
    with pytest.raises(KeyboardInterrupt):
        measured(run, store, fresh=True, progress=stop_after(7, monkeypatch))
    draft = store.path / "runs" / run.key / "landscape.safetensors"
    arrays = read_arrays(draft)
    if damage is None:
        write_arrays(draft, {name: array for name, array in arrays.items() if name != "points"})
    else:
        draft.write_bytes(damage)
    forget_probes(store, run)
    np.testing.assert_array_equal(measured(run, store).losses, whole.losses)


def change(store: Store, run: Run, name: str, value: object) -> None:
    path = store.path / "runs" / run.key / "run.json"
    document = json.loads(path.read_text())
    document["environment"][name] = value
    path.write_text(json.dumps(document))


def other_losses(store: Store, run: Run) -> None:
    path = store.path / "runs" / run.key / "curves.safetensors"
    arrays = {name: array.copy() for name, array in read_arrays(path).items()}
    arrays["train_loss"][2:] += 1
    write_arrays(path, arrays)
    (path.parent / "contents.json").unlink()  # as an older archlab wrote it
    change(store, run, "torch", "1.0")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (
            lambda store, run: change(store, run, "network", "x"),
            "the network .* is not the one that run",
        ),
        (lambda store, run: change(store, run, "data", "x"), "the data set digits is not the one"),
        (other_losses, r"trains to other losses here from step 3 on \(torch 1\.0 then, .* now\)"),
    ],
)
def test_a_run_that_can_not_be_had_again(
    store: Store, run: Run, prepare: Callable[[Store, Run], None], message: str
) -> None:
    prepare(store, run)
    with pytest.raises(InputError, match=message):
        measured(run, store)
    probes = store.probes(run.key)
    assert probes is not None
    assert probes.landscape is None


@pytest.mark.parametrize("points", [0, 1, 4, -3])
def test_grids_without_a_middle_are_refused(store: Store, run: Run, points: int) -> None:
    with pytest.raises(InputError, match=f"points is {points}, expected an odd number from 3 on"):
        measured(run, store, points)


def test_unfinished_runs_are_refused(store: Store, tmp_path: Path) -> None:
    with store.writer(CONFIG, {}) as writer:
        failed = writer.fail("no luck", {})
    with pytest.raises(InputError, match="is failed: only of a finished run"):
        measured(failed, store)


def test_one_process_at_a_time(store: Store, run: Run) -> None:
    with store.landscape_draft(run.key), pytest.raises(InputError, match="another process measures the landscape"):
        measured(run, store)
    assert measured(run, store).losses.shape == (5, 5)
