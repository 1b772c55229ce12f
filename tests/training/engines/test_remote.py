"""The far end of a worker, called as Ray would call it: no cluster is needed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from archlab import __version__
from archlab.errors import InputError
from archlab.records import Run, TrainingConfig
from archlab.store import Store, open_store
from archlab.store.replica import Replicas, beginnings
from archlab.training import Execution, Progress, train
from archlab.training.engines import needs as needed
from archlab.training.engines.needs import Needs, needs_of
from archlab.training.engines.remote import Heard, RemoteWorker, _thinned
from archlab.training.worker import Ended, Greeting, Ready
from tests.training.tiny import SOURCE

CONFIG = TrainingConfig(
    network=f"{SOURCE}:make_network", epochs=2, batch_size=16, size=8, train_samples=50, test_samples=20
)
UNSIGNED = ("", "")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers change their working folder, and keep what they were sent among temporary files."""
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def heard(worker: RemoteWorker, number: int, *, until: type) -> tuple[list[object], list[Heard], int]:
    """All events up to one of a kind, the answers they came in, and the number of the next call."""
    events: list[object] = []
    answers: list[Heard] = []
    while not any(isinstance(event, until) for event in events):
        answers.append(worker.hear(number))
        events += answers[-1].events
        number += 1
        assert answers[-1].ended is None, answers[-1].ended
    return events, answers, number


def without_times(run: Run) -> list[object]:
    return [
        (epoch.epoch, epoch.train_loss, epoch.test_loss, epoch.test_accuracy, epoch.test_accuracy_running)
        for epoch in run.epochs
    ]


def test_a_run_comes_by_value_from_a_machine_that_does_not_see_the_store(store: Store, tmp_path: Path) -> None:
    execution = Execution(store=store.path, device="cpu")
    worker = RemoteWorker("far")
    try:
        started = worker.start(Greeting(execution, ("archlab",)), needs_of([CONFIG], execution, UNSIGNED))
        assert started.refusal is None
        assert not started.has_store
        (ready,), _, number = heard(worker, 0, until=Ready)
        assert ready == Ready(accelerators=0)
        replicas = Replicas(store)
        worker.begin(CONFIG, beginnings(store, CONFIG))
        events, answers, number = heard(worker, number, until=Ended)
        assert worker.hear(number - 1) is answers[-1], "an answer that was lost on its way is given again"
        for answer in answers:
            replicas.apply(answer.changes)
        (run,) = store.runs()
        assert run.status == "finished"
        assert without_times(run) == without_times(train(CONFIG, execution=Execution(device="cpu"), progress=False))
        assert [event.run for event in events if isinstance(event, Progress) and event.state == "finished"] == [run]

        worker.begin(CONFIG, beginnings(store, CONFIG))  # what the store has is not trained again
        events, answers, number = heard(worker, number, until=Ended)
        assert [event.state for event in events if isinstance(event, Progress)] == ["reused"]
        assert not any(answer.changes for answer in answers)

        worker.dismiss()
        while (ended := worker.hear(number).ended) is None:
            number += 1
        assert ended == "its process ended with code 0"
    finally:
        worker.close()
    assert not list(tmp_path.glob("archlab-worker-*"))


def test_a_machine_that_sees_the_store_writes_there(store: Store) -> None:
    store.path.mkdir()
    sign = store.path / ".workers.0123abcd"
    sign.write_text("a sign")
    execution = Execution(store=store.path, device="cpu")
    worker = RemoteWorker()
    try:
        assert worker.start(
            Greeting(execution, ("archlab",)), needs_of([CONFIG], execution, (str(sign), "a sign"))
        ).has_store
        _, _, number = heard(worker, 0, until=Ready)
        worker.begin(CONFIG)
        _, answers, _ = heard(worker, number, until=Ended)
        assert not any(answer.changes for answer in answers)
        assert [run.status for run in store.runs()] == ["finished"]
    finally:
        worker.close()


def test_another_store_of_the_same_path_is_not_the_same_store(store: Store) -> None:
    needs = Needs(__version__, ".", sign=(str(store.path / "sign"), "here"))
    assert not needed.sees_store(needs)
    store.path.mkdir()
    (store.path / "sign").write_text("elsewhere")
    assert not needed.sees_store(needs)
    (store.path / "sign").write_text("here")
    assert needed.sees_store(needs)


def test_a_network_whose_file_is_not_there_is_refused_in_one_message(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("first")
    config = replace(CONFIG, network=f"{path}:Net")
    execution = Execution(store=tmp_path, device="cpu")
    needs = needs_of([config], execution, UNSIGNED)
    assert [name for name, _ in needs.files] == [str(path)]
    assert needed.working_folder(needs)
    path.write_text("second")
    started = RemoteWorker("far").start(Greeting(execution, ()), needs)
    assert started.refusal is not None
    kind, message = started.refusal
    assert kind is InputError
    assert f"does not have {path} as it is" in message
    assert "ray job submit --working-dir" in message
    assert message.endswith("(on the machine far)")


def test_another_archlab_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"has archlab {__version__}, expected 0.0.1"):
        needed.working_folder(Needs("0.0.1", str(tmp_path)))


def test_a_worker_is_where_the_callers_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir()
    (home / "mine.py").write_text("text")
    monkeypatch.chdir(home)
    needs = needs_of([replace(CONFIG, network="mine.py:Net")], Execution(store=tmp_path), UNSIGNED)
    monkeypatch.chdir(elsewhere)
    assert needed.working_folder(needs) == str(home)
    (elsewhere / "mine.py").write_text("text")  # as `ray job submit --working-dir` has it
    assert needed.working_folder(needs) == str(elsewhere)
    gone = replace(needs, folder=str(tmp_path / "gone"))
    assert needed.working_folder(gone) == str(elsewhere)


def test_data_is_sent_once_per_machine_and_is_what_it_was(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, labels in (("cats", 2), ("dogs", 1)):
        (here / "photos" / folder).mkdir(parents=True)
        for number in range(labels):
            (here / "photos" / folder / f"{number}.png").write_bytes(bytes([number, labels]))
    dataset = str(here / "photos")
    execution = Execution(store=tmp_path)
    needs = needs_of([replace(CONFIG, dataset=dataset)], execution, UNSIGNED)
    assert needed.missing_data(needs, execution) == []
    pieces = [*needed.packed(needs.data[0], execution)]
    (here / "photos").rename(there)
    (data,) = needed.missing_data(needs, execution)
    name, folder, data_dir = needed.unpacked(data, pieces)
    assert (name, data_dir) == (dataset, "")
    assert sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*.png")
    ) == ["cats/0.png", "cats/1.png", "dogs/0.png"]  # fmt: skip
    assert (Path(folder) / "cats" / "1.png").read_bytes() == bytes([1, 2])

    def none() -> object:
        raise AssertionError("the second worker finds it there")
        yield

    assert needed.unpacked(data, none()) == (name, folder, data_dir)  # type: ignore[arg-type]
    placed = Execution(store=tmp_path, placed=((name, folder, data_dir),))
    assert placed.found(dataset) == (folder, "")
    assert placed.found("digits") == ("digits", None)


def test_what_is_sent_lies_where_torchvision_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"images")
    execution = Execution(store=tmp_path, data_dir=tmp_path / "data")
    needs = needs_of([replace(CONFIG, dataset="mnist")], execution, UNSIGNED)
    elsewhere = replace(execution, data_dir=tmp_path / "none")
    (data,) = needed.missing_data(needs, elsewhere)
    name, same, folder = needed.unpacked(data, needed.packed(data, execution))
    assert (name, same) == ("mnist", "mnist")
    assert (Path(folder) / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").read_bytes() == b"images"


def test_of_what_comes_often_the_last_is_told() -> None:
    def told(*states: str) -> list[Progress]:
        return [Progress(CONFIG, state, step=step) for step, state in enumerate(states)]  # type: ignore[arg-type]

    events = told("started", "step", "step", "measuring", "epoch", "step", "step", "finished")
    assert [event.step for event in _thinned(events)] == [0, 3, 4, 6, 7]  # type: ignore[attr-defined]


def test_workers_of_lost_machines_leave_nothing(tmp_path: Path) -> None:
    left = tmp_path / "archlab-worker-left"
    left.mkdir()
    os.utime(left, (0, 0))
    execution = Execution(store=tmp_path / "store", device="cpu")
    worker = RemoteWorker()
    worker.start(Greeting(execution, ()), needs_of([], execution, UNSIGNED))
    (own,) = tmp_path.glob("archlab-worker-*")
    assert own != left
    os.utime(own, (0, 0))
    other = RemoteWorker()
    other.start(Greeting(execution, ()), needs_of([], execution, UNSIGNED))
    assert own.exists()
    worker.close()
    other.close()
