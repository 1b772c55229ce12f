import errno
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

from archlab import files
from archlab.errors import InputError, StoreError
from archlab.records import (
    Comparison,
    Epoch,
    Estimate,
    GradientCorrelation,
    Landscape,
    LayerSeries,
    NormRecording,
    NormUse,
    Probes,
    Run,
    Similarity,
    Smoothness,
    TrainingConfig,
    VariantResult,
)
from archlab.store import Store, open_store, run_key
from archlab.store.arrays import read_arrays, write_arrays
from archlab.store.measurements import read_probes

CONFIG = TrainingConfig(variant="norm=none", options={"norm": "none"})
ENVIRONMENT: dict[str, Any] = {"torch": "2.7", "threads": 1, "command": "archlab train lenet"}
CURVES: dict[str, np.ndarray[Any, Any]] = {
    "step": np.arange(1, 4),
    "train_loss": np.array([3, 2, 1], dtype=np.float32),
    "train_accuracy": np.array([0.1, 0.2, 0.3], dtype=np.float32),
}


needs_flock = pytest.mark.skipif(importlib.util.find_spec("fcntl") is None, reason="there is no flock")

FIRST_SETTINGS = {
    "schema", "network", "options", "variant", "dataset", "seed", "epochs", "batch_size", "learning_rate", "size",
    "train_samples", "test_samples", "record_every", "precise_images",
}  # fmt: skip
"""What the keys of the first runs were made from; a setting that came later leaves them as they were."""


USES = (NormUse(""), NormUse("block.0/norm", momentum=None, in_training="both", not_finite_step=3))


def epoch(number: int) -> Epoch:
    return Epoch(number, 10 * number, 1.0, 0.5, 0.25, 0.125, 0.75, test_loss_running=None)


def recording() -> NormRecording:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    layer = {quantity: values + place for place, quantity in enumerate(NormRecording.QUANTITIES)}
    population = {"": {"mean": values[:1], "variance": values[:1]}}
    return NormRecording((0, 7), {"block.0/norm": layer, "": layer}, population, USES)


def write(store: Store, config: TrainingConfig = CONFIG, epochs: int = 2) -> Run:
    with store.writer(config, ENVIRONMENT, parameters=42) as writer:
        for number in range(1, epochs + 1):
            writer.append(epoch(number))
        return writer.finish(CURVES, recording())


def as_an_older_archlab_wrote_it(store: Store, run: Run) -> Path:
    """The folder of the run, now without any hash."""
    folder = store.path / "runs" / run.key
    (folder / "contents.json").unlink()
    (folder / "run.json").write_text(run.to_json())
    return folder


def statuses(store: Store) -> list[str]:
    return [run.status for run in store.runs()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def test_written_run_is_read_back(store: Store) -> None:
    run = write(store)
    assert (run.status, run.parameters, run.epochs) == ("finished", 42, (epoch(1), epoch(2)))
    assert store.run(run.key) == store.result(run.key) == run
    assert store.runs() == [run]
    assert store.problems() == []
    for name, values in store.curves(run.key).items():
        np.testing.assert_array_equal(values, CURVES[name])
    kept, expected = store.recording(run.key), recording()
    assert kept is not None
    assert kept.steps == (0, 7)
    assert kept.uses == USES
    for mine, theirs in ((kept.layers, expected.layers), (kept.population, expected.population)):
        assert mine.keys() == theirs.keys()
        for path in theirs:
            assert mine[path].keys() == theirs[path].keys()
            for quantity, values in theirs[path].items():
                np.testing.assert_array_equal(mine[path][quantity], values)
    assert sorted(item.name for item in (store.path / "runs" / run.key).iterdir()) == (
        ["contents.json", "curves.safetensors", "metrics.jsonl", "norms.safetensors", "run.json"]
    )


@pytest.mark.parametrize("last", [None, 3])
def test_uses_are_kept_without_a_row(store: Store, last: int | None) -> None:
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        run = writer.finish(CURVES, NormRecording((), {}, uses=USES))
    kept = store.recording(run.key, last)
    assert kept == NormRecording((), {}, {}, USES)


def test_a_recording_of_an_older_archlab_has_no_uses(store: Store) -> None:
    run = write(store)
    path = as_an_older_archlab_wrote_it(store, run) / "norms.safetensors"
    write_arrays(path, read_arrays(path))
    kept = store.recording(run.key)
    assert kept is not None
    assert kept.uses == ()


@pytest.mark.parametrize(("last", "steps"), [(3, (0, 1, 7, 8, 9)), (8, tuple(range(10))), (20, tuple(range(10)))])
def test_the_ends_of_a_recording_are_read_alone(store: Store, last: int, steps: tuple[int, ...]) -> None:
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    moments = {"mean": values[:5], "variance": values[:5]}
    held = NormRecording(tuple(range(10)), {"norm": dict.fromkeys(NormRecording.QUANTITIES, values)}, {"norm": moments})
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        run = writer.finish(CURVES, held)
    found = store.recording(run.key, last=last)
    assert found is not None
    assert found.steps == steps
    np.testing.assert_array_equal(found.layers["norm"]["gamma"], values[list(steps)])
    np.testing.assert_array_equal(found.population["norm"]["mean"], moments["mean"])


def test_run_without_recording(store: Store) -> None:
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        run = writer.finish(CURVES)
    assert store.recording(run.key) is None
    assert store.recording(run.key, last=3) is None
    assert store.probes(run.key) is None


def assert_equal(mine: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert list(mine) == list(theirs)
        for name, array in theirs.items():
            np.testing.assert_array_equal(mine[name], array)
    elif isinstance(theirs, tuple):
        assert mine == theirs
    else:
        np.testing.assert_array_equal(mine, theirs)


def smoothness() -> Smoothness:
    losses = np.array([[1, 2, np.inf], [np.nan, 5, 6]], dtype=np.float32)
    return Smoothness((0, 7), losses[0], losses[0, :2], losses[1, :2], losses, 2 * losses, images=256)


def landscape() -> Landscape:
    losses = np.arange(9, dtype=np.float32).reshape(3, 3)
    return Landscape(np.array([-1, 0, 1], dtype=np.float32), losses, images=50)


def of_layers() -> Probes:
    numbers = np.array([[1, np.nan], [3, 4], [5, 6]], dtype=np.float32)  # three looks at two layers
    steps, layers = (0, 7, 14), ("block.0, with \u03b2", "block.0 #2")
    series = LayerSeries(steps, layers, {"shift": numbers, "shift_cosine": -numbers}, images=256)
    similarity = Similarity(steps, layers, np.stack([numbers[:2]] * 3), numbers.T, images=3)
    correlation = GradientCorrelation(steps, numbers[0], numbers, lines=8)
    return Probes(signals=series, shift=series, similarity=similarity, correlation=correlation)


@pytest.mark.parametrize(
    "probes", [Probes(smoothness(), landscape()), Probes(smoothness()), Probes(landscape=landscape()), of_layers()]
)
def test_probes_are_read_back(store: Store, probes: Probes) -> None:
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        run = writer.fail("diverged", CURVES, probes=probes)
    kept = store.probes(run.key)
    assert kept is not None
    for kind in fields(Probes):
        mine, theirs = (getattr(one, kind.name) for one in (kept, probes))
        assert type(mine) is type(theirs), kind.name
        for item in fields(theirs) if theirs else ():
            assert_equal(getattr(mine, item.name), getattr(theirs, item.name))
    if kept.smoothness is not None:
        assert (kept.smoothness.steps, kept.smoothness.images) == ((0, 7), 256)
    path = as_an_older_archlab_wrote_it(store, run) / "probes.safetensors"
    write_arrays(path, read_arrays(path) | {"smoothness/later": CURVES["step"], "other/x": CURVES["step"]})
    assert (store.probes(run.key) is None) == (kept is None)
    write_arrays(path, {"landscape/losses": CURVES["step"]})
    with pytest.raises(StoreError, match=r"probes\.safetensors holds no probes"):
        store.probes(run.key)


def test_probes_of_a_run_that_goes_on_are_kept_look_by_look(store: Store) -> None:
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        for found in (Probes(smoothness()), of_layers()):
            writer.keep_probes(found)
            (folder,) = store.run_folders()
            kept = read_probes(folder.path)
            assert kept is not None
            assert (kept.smoothness is None, kept.signals is None) == (found.smoothness is None, found.signals is None)


def test_later_settings_leave_a_key_as_it_was_while_they_have_their_defaults() -> None:
    text = json.dumps(
        [
            {name: value for name, value in CONFIG.to_dict().items() if name in FIRST_SETTINGS},
            {"torch": "2.7", "threads": 1},
        ],
        sort_keys=True,
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    assert run_key(CONFIG, ENVIRONMENT) == f"lenet-norm-none-digits-seed0-{digest}"
    others = [run_key(replace(CONFIG, probe_every=2), ENVIRONMENT), run_key(replace(CONFIG, landscape=3), ENVIRONMENT)]
    assert len({*others, run_key(CONFIG, ENVIRONMENT)}) == 3


def test_key_is_readable_and_hashes_what_decides() -> None:
    key = run_key(CONFIG, ENVIRONMENT)
    assert key.startswith("lenet-norm-none-digits-seed0-")
    assert run_key(CONFIG, ENVIRONMENT | {"command": "something else"}) == key
    others = [
        run_key(replace(CONFIG, seed=1), ENVIRONMENT),
        run_key(replace(CONFIG, batch_size=32), ENVIRONMENT),
        run_key(replace(CONFIG, options={}), ENVIRONMENT),
        run_key(CONFIG, ENVIRONMENT | {"threads": 2}),
    ]
    assert len({key, *others}) == 5


@pytest.mark.parametrize(
    "network", ["my nets/own.py:Make", "torchvision:resnet18", "../../etc", "x" * 300, "模型", "x." + "y" * 47]
)
def test_key_is_a_safe_file_name(network: str, store: Store) -> None:
    run = write(store, replace(CONFIG, network=network))
    assert len(run.key) < 200
    assert (store.path / "runs" / run.key).is_dir()
    assert store.runs() == [run]
    assert store.run(run.key).config.network == network


def test_running_run_is_seen_as_such_and_then_finished(store: Store) -> None:
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        writer.append(epoch(1))
        (seen,) = store.runs()
        assert (seen.status, seen.epochs) == ("running", (epoch(1),))
        with pytest.raises(StoreError, match="is being written"):
            store.delete(writer.key)
        writer.finish(CURVES)
    assert [run.status for run in store.runs()] == ["finished"]


def test_exception_leaves_an_interrupted_run(store: Store) -> None:
    with suppress(KeyboardInterrupt), store.writer(CONFIG, ENVIRONMENT) as writer:
        writer.append(epoch(1))
        raise KeyboardInterrupt
    (seen,) = store.runs()
    assert (seen.status, seen.epochs) == ("interrupted", (epoch(1),))
    assert store.run(writer.key) == seen
    assert store.result(writer.key) is None
    assert store.curves(writer.key) == {}
    assert store.recording(writer.key) is None


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_a_run_that_ended_badly_keeps_what_it_has(store: Store, status: str) -> None:
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        writer.append(epoch(1))
        run = (writer.fail if status == "failed" else writer.diverge)("the loss at step 12 is nan", CURVES)
    assert store.run(run.key) == run
    assert (run.status, run.error) == (status, "the loss at step 12 is nan")
    assert len(store.curves(run.key)["step"]) == 3
    assert store.result(run.key) == (None if status == "failed" else run)  # a diverged run is a result


KILLED = """
import os, signal, sys
from archlab.records import Epoch, TrainingConfig
from archlab.store import open_store
writer = open_store(sys.argv[1]).writer(TrainingConfig(variant="norm=none", options={"norm": "none"}),
                                        {"torch": "2.7", "threads": 1, "command": ""})
writer.append(Epoch(1, 10, 1.0, 0.5, 0.25, 0.125, 0.75))
print(writer.key, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer(store: Store) -> str:
    process = subprocess.run([sys.executable, "-c", KILLED, store.path], capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    return process.stdout.strip()


def test_killed_process_leaves_an_interrupted_run(store: Store) -> None:
    key = kill_a_writer(store)
    assert key == run_key(CONFIG, ENVIRONMENT)
    (seen,) = store.runs()
    assert (seen.status, seen.epochs) == ("interrupted", (epoch(1),))
    failed = store.fail(key, "killed")
    assert (failed.status, failed.error, failed.epochs) == ("failed", "killed", (epoch(1),))
    assert store.runs() == [failed]
    with pytest.raises(InputError, match="no interrupted run"):
        store.fail(key, "killed")


def test_next_finished_run_clears_interrupted_ones(store: Store) -> None:
    kill_a_writer(store)
    kill_a_writer(store)
    run = write(store)
    assert [item.name for item in (store.path / "runs").iterdir()] == [run.key]


def test_interrupted_rerun_does_not_hide_the_finished_run(store: Store) -> None:
    run = write(store)
    assert kill_a_writer(store) == run.key
    assert store.runs() == [run]
    assert store.run(run.key) == run
    store.delete(run.key)
    assert store.runs() == []


OLDER = """
import fcntl, sys
file = open(sys.argv[1], "wb")
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@needs_flock
def test_writer_of_the_older_archlab_is_seen_until_it_is_gone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key = kill_a_writer(store)
    (folder,) = (store.path / "runs").iterdir()
    shutil.rmtree(store.path / "locks")  # which the older one knew nothing of
    older = folder / "lock"
    pipe = subprocess.PIPE  # closed at the end, whereupon the process ends too
    with subprocess.Popen([sys.executable, "-c", OLDER, older], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        inode = older.stat().st_ino
        with ThreadPoolExecutor(8) as pool:
            assert {status for (status,) in pool.map(statuses, [store] * 64)} == {"running"}
        with pytest.raises(StoreError, match="is being written"):
            store.delete(key)
        with pytest.raises(InputError, match="no interrupted run"):
            store.fail(key, "killed")
        write(store)
        assert folder.is_dir()  # what ends clears only what is interrupted
        assert older.stat().st_ino == inode
        shutil.rmtree(store.path / "runs" / key)
        process.kill()
    with ThreadPoolExecutor(8) as pool:
        assert {status for (status,) in pool.map(statuses, [store] * 64)} == {"interrupted"}
    monkeypatch.setattr(filelock, "FileLock", filelock.SoftFileLock)
    assert statuses(store) == ["interrupted"]  # whoever has no flock has no older writer
    assert sorted(item.name for item in folder.iterdir()) == ["lock", "metrics.jsonl", "run.json"]
    store.delete(key)
    assert [*(store.path / "runs").iterdir()] == []


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would write finds a read-only file system; root, whom no permission binds, included."""
    os_open = os.open

    def open_to_read(path: Any, flags: int, *arguments: Any, **keywords: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return os_open(path, flags, *arguments, **keywords)

    def refuse(path: Any, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(os, "open", open_to_read)
    for name in ("unlink", "mkdir", "rename", "replace", "rmdir"):
        monkeypatch.setattr(os, name, refuse)


def test_a_read_only_store_shows_what_was_written_lately_as_running(
    store: Store, request: pytest.FixtureRequest
) -> None:
    """There a lock can't be asked: the time of the last writing decides, and nothing is deleted on a guess."""
    with store.writer(replace(CONFIG, seed=1), ENVIRONMENT):
        going = set(store.path.rglob("*"))
        key = kill_a_writer(store)
        for path in {*store.path.rglob("*")} - going:
            os.utime(path, (1e9, 1e9))
        request.getfixturevalue("unwritable")
        before = sorted(store.path.rglob("*"))
        assert [folder.is_held for folder in store.run_folders()] == [None, None]
        assert {run.config.seed: run.status for run in store.runs()} == {0: "interrupted", 1: "running"}
        with pytest.raises(StoreError, match="may be going"):
            store.delete(key)
        with pytest.raises(InputError, match="no interrupted run"):
            store.fail(key, "killed")
        assert sorted(store.path.rglob("*")) == before
        request.getfixturevalue("monkeypatch").undo()
    store.delete(key)
    assert [run.config.seed for run in store.runs()] == [1]


def test_looking_at_ended_runs_writes_nothing(store: Store) -> None:
    write(store)
    before = {path: path.stat().st_mtime_ns for path in (store.path, *store.path.rglob("*"))}
    assert (statuses(store), store.problems()) == (["finished"], [])
    assert {path: path.stat().st_mtime_ns for path in (store.path, *store.path.rglob("*"))} == before


def test_line_cut_short_by_a_kill_is_left_out(store: Store) -> None:
    kill_a_writer(store)
    (folder,) = (store.path / "runs").iterdir()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    assert store.runs()[0].epochs == (epoch(1),)


def test_two_writers_of_one_key_both_finish_and_the_later_stays(store: Store) -> None:
    with store.writer(CONFIG, ENVIRONMENT) as first, store.writer(CONFIG, ENVIRONMENT) as second:
        first.append(epoch(1))
        second.append(epoch(1))
        second.append(epoch(2))
        assert first.finish(CURVES).epochs == (epoch(1),)
        assert [run.status for run in store.runs()] == ["finished"]
        later = second.finish(CURVES)
    assert store.runs() == [later]
    assert len(list((store.path / "runs").iterdir())) == 1


def test_many_writers_at_once(store: Store) -> None:
    configs = [replace(CONFIG, seed=seed % 4) for seed in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda config: write(store, config), configs))
    assert [run.config.seed for run in sorted(store.runs(), key=lambda run: run.config.seed)] == [0, 1, 2, 3]
    assert store.problems() == []
    assert len(list((store.path / "runs").iterdir())) == 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", ""),
        ("run.json", "{"),
        ("run.json", '{"schema": "archlab.run/1"}'),
        ("run.json", '{"schema": "archlab.trace/1"}'),
        ("run.json", b"\xff\xfe"),
        ("run.json", None),
    ],
)
def test_corrupt_folder_is_reported_and_not_fatal(store: Store, name: str, content: str | bytes | None) -> None:
    bad, good = write(store), write(store, replace(CONFIG, seed=1))
    path = store.path / "runs" / bad.key / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert store.runs() == [good]
    (problem,) = store.problems()
    assert problem.path == path.parent
    assert "can't be read" in problem.error
    assert store.result(bad.key) is None
    with pytest.raises(StoreError, match="can't be read"):
        store.run(bad.key)
    store.delete(bad.key)
    assert store.problems() == []


def test_steps_are_seen_while_a_run_goes_and_once_when_it_has_ended(store: Store) -> None:
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        assert store.curves(writer.key) == {}
        for part in (slice(0, 0), slice(0, 2), slice(2, 3)):
            writer.append_steps({name: values[part] for name, values in CURVES.items()})
        for name, values in store.curves(writer.key).items():
            np.testing.assert_array_equal(values, CURVES[name])
        run = writer.finish({name: values[:1] for name, values in CURVES.items()})
    assert len(store.curves(run.key)["train_loss"]) == 1
    assert not (store.path / "runs" / run.key / "steps.bin").exists()


@pytest.mark.parametrize(("kept", "steps"), [(0, 0), (7, 0), (8, 1), (23, 2), (24, 3)])
def test_steps_cut_short_by_a_kill_are_left_out(store: Store, kept: int, steps: int) -> None:
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        writer.append_steps(CURVES)
    (path,) = (store.path / "runs").glob("*.partial/steps.bin")
    path.write_bytes(path.read_bytes()[:kept])
    assert len(store.curves(writer.key).get("step", ())) == steps
    failed = store.fail(writer.key, "killed")
    assert len(store.curves(failed.key).get("train_accuracy", ())) == steps


def test_corrupt_metrics_of_an_interrupted_run_are_reported(store: Store) -> None:
    kill_a_writer(store)
    (folder,) = (store.path / "runs").iterdir()
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n')
    assert store.runs() == []
    assert "is no list of epochs" in store.problems()[0].error


def test_corrupt_arrays_are_errors(store: Store) -> None:
    run = write(store)
    for name, read in (("curves", store.curves), ("norms", store.recording)):
        path = store.path / "runs" / run.key / f"{name}.safetensors"
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(StoreError, match=rf"{name}.safetensors is damaged: it has [\d,]+ bytes, expected"):
            read(run.key)
    as_an_older_archlab_wrote_it(store, run)
    for name, read in (("curves", store.curves), ("norms", store.recording)):
        with pytest.raises(StoreError, match=rf"{name}.safetensors can't be read"):
            read(run.key)


def test_strange_files_do_no_harm(store: Store) -> None:
    run = write(store)
    (store.path / "runs" / "notes.txt").write_text("mine")
    (store.path / "runs" / ".hidden").mkdir()
    assert store.runs() == [run]
    assert [problem.path.name for problem in store.problems()] == ["notes.txt"]


def test_unknown_run_names_the_nearest(store: Store) -> None:
    run = write(store)
    with pytest.raises(InputError, match=f"did you mean {run.key}"):
        store.run(run.key[:-1])


@pytest.mark.parametrize("key", ["", ".", "..", "../runs", "/", "a/../../x", "../outside"])
def test_no_way_out_of_the_store(store: Store, key: str) -> None:
    run = write(store)
    (store.path / "outside.json").write_text("{}")
    for call in (store.run, store.delete, store.curves, store.comparison):
        with pytest.raises(InputError):
            call(key)
    assert store.runs() == [run]


def test_empty_store_is_not_made_by_reading(store: Store) -> None:
    assert (store.runs(), store.comparisons(), store.problems()) == ([], [], [])
    assert not store.path.exists()


def test_runs_that_are_there_come_in_the_order_of_their_keys(store: Store) -> None:
    first, second, damaged = (write(store, replace(CONFIG, seed=seed)) for seed in range(3))
    (store.path / "runs" / damaged.key / "run.json").write_text("{")
    with suppress(KeyboardInterrupt), store.writer(replace(CONFIG, seed=3), ENVIRONMENT) as writer:
        raise KeyboardInterrupt
    keys = (second.key, "nobody", damaged.key, "../runs", writer.key, first.key)
    assert [(run.key, run.status) for run in store.available(keys)] == [
        (second.key, "finished"),
        (writer.key, "interrupted"),
        (first.key, "finished"),
    ]
    assert open_store(store.path / "none").available(keys) == []


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARCHLAB_STORE", raising=False)
    assert open_store().path == Path("archlab-runs")
    monkeypatch.setenv("ARCHLAB_STORE", str(tmp_path / "other"))
    assert open_store().path == tmp_path / "other"
    assert open_store(tmp_path).path == tmp_path
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file, expected a folder"):
        open_store(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_store_is_an_error(store: Store) -> None:
    store.path.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="can't be written"):
        write(store)


def test_full_disk_is_a_store_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    with store.writer(CONFIG, ENVIRONMENT) as writer:
        monkeypatch.setattr(files, "replace_text", full)
        with pytest.raises(StoreError, match="No space left on device"):
            writer.finish(CURVES)
    assert store.runs()[0].status == "interrupted"


def comparison(runs: tuple[str, ...] = ("a", "b")) -> Comparison:
    variant = VariantResult("norm=none", {"test_accuracy": Estimate(1, 0.5, None, None, (0.5,))})
    return Comparison("lenet", "digits", (0,), (variant,), (), runs=runs, created="2025-01-01T00:00:00+00:00")


def test_comparison_is_kept(store: Store) -> None:
    kept = store.save_comparison(comparison())
    assert kept.key.startswith("lenet-digits-")
    assert store.comparison(kept.key) == kept
    assert store.save_comparison(comparison()) == kept
    other = store.save_comparison(comparison(("a", "c")))
    assert store.comparisons() == sorted([kept, other], key=lambda item: item.key)
    store.delete(kept.key)
    assert store.comparisons() == [other]
    with pytest.raises(InputError, match="no comparison"):
        store.comparison(kept.key)


def test_corrupt_comparison_is_reported(store: Store) -> None:
    kept = store.save_comparison(comparison())
    path = store.path / "comparisons" / f"{kept.key}.json"
    path.write_text(json.dumps({"schema": "archlab.comparison/1"}))
    assert store.comparisons() == []
    assert store.problems()[0].path == path
    with pytest.raises(StoreError, match="can't be read"):
        store.comparison(kept.key)


def test_moved_store_reads_as_before(store: Store, tmp_path: Path) -> None:
    run = write(store)
    shutil.copytree(store.path, tmp_path / "copy")
    assert open_store(tmp_path / "copy").run(run.key) == run


def test_import_needs_no_torch() -> None:
    program = (
        "import sys; import archlab.store, archlab.training; print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["False", "False"]
