"""A stored run is found by what was asked for, without torch, as long as all that decides it is as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archlab import circumstances
from archlab.records import Epoch, Run, TrainingConfig
from archlab.store import Store, open_store
from archlab.store.index import INDEX
from archlab.training import Execution, images
from archlab.training.asked import Asked

CONFIG = TrainingConfig(dataset="pictures")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    Path("pictures/cat").mkdir(parents=True)
    Path("pictures/cat/1.png").write_bytes(b"picture")
    return open_store(tmp_path / "store")


def asked(store: Store, config: TrainingConfig = CONFIG, **execution: object) -> Asked:
    return Asked([config], Execution(store=store, **execution))  # type: ignore[arg-type]


def kept(store: Store, config: TrainingConfig = CONFIG, status: str = "finished") -> Run:
    with store.writer(config, {"torch": "2.7"}) as writer:
        writer.append(Epoch(1, 10, 1.0))
        run = writer.end(status, "", {})  # type: ignore[arg-type]
    asked(store, config).keep({0: run})
    return run


def test_what_was_asked_for_is_found_again(store: Store) -> None:
    assert asked(store).stored() == {}
    run = kept(store)
    assert asked(store).stored() == {0: run}
    assert asked(store, fresh=True).stored() == {}


def _other_image(_: pytest.MonkeyPatch) -> None:
    Path("pictures/cat/1.png").write_bytes(b"other")


def _another_image(_: pytest.MonkeyPatch) -> None:
    Path("pictures/cat/2.png").write_bytes(b"picture")


def _another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circumstances, "_processor", lambda: ["another"])


def _other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circumstances, "newest", lambda: 1)


def _other_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")


def _no_index(_: pytest.MonkeyPatch) -> None:
    Path("store", INDEX).unlink()


def _damaged_index(_: pytest.MonkeyPatch) -> None:
    Path("store", INDEX).write_bytes(b"no database")


@pytest.mark.parametrize(
    "change",
    [_other_image, _another_image, _another_processor, _other_code, _other_kernels, _no_index, _damaged_index],
)
def test_nothing_is_found_where_something_else_decides(
    change: Callable[[pytest.MonkeyPatch], None], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = kept(store)
    assert asked(store).stored() == {0: run}
    change(monkeypatch)
    assert asked(store).stored() == {}


def test_the_run_itself_says_whether_it_is_the_one(store: Store) -> None:
    """An index may say anything."""
    run = kept(store)
    other = replace(CONFIG, seed=1)
    asked(store, other).keep({0: run})
    assert asked(store, other).stored() == {}
    store.delete(run.key)
    assert asked(store).stored() == {}
    assert asked(store, replace(CONFIG, seed=2)).stored() == {}


@pytest.mark.parametrize("network", ["mine.py:Net", "package.module:Net", "hf:some/model", "unknown"])
def test_of_what_nobody_can_see_nothing_is_kept(network: str, store: Store) -> None:
    config = replace(CONFIG, network=network)
    kept(store, config)
    assert asked(store, config).stored() == {}


def test_files_of_a_data_set_count_as_they_lie(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, dataset="mnist")
    monkeypatch.setenv("ARCHLAB_DATA", "data")
    run = kept(store, config)
    assert asked(store, config).stored() == {}  # there are none
    folder = images.data_folder() / "MNIST/raw"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"1")
    asked(store, config).keep({0: run})
    assert asked(store, config).stored() == {0: run}
    assert asked(store, config, data_dir="elsewhere").stored() == {}


def test_a_stored_comparison_needs_no_torch(tmp_path: Path) -> None:
    words = ["compare", "--bn", "off", "--seeds", "1", "--epochs", "1", "--train-samples", "32", "--test-samples", "20"]
    program = f"""
import sys
from archlab.cli.app import app
sys.argv = {["archlab", *words, "--store", str(tmp_path)]}
try:
    app()
except SystemExit as done:
    print(done.code or 0, "torch" in sys.modules)
"""
    said = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.splitlines()
        for _ in range(2)
    ]
    assert [lines[-1] for lines in said] == ["0 True", "0 False"]
    assert said[0][:-1] == said[1][:-1]
    (page,) = (tmp_path / "reports").iterdir()
    assert "LeNet" in page.read_text(encoding="utf-8")
