import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archlab.errors import DataError, InputError, RunError, SourceError, StoreError
from archlab.networks import devices
from archlab.records import TrainingConfig
from archlab.store import Store, open_store, run_key
from archlab.training import Execution, Progress, environment, session, train
from archlab.training.preparation import Preparer
from archlab.training.probes.looking import Probing
from tests.training.test_images import write_image
from tests.training.tiny import SOURCE

CONFIG = TrainingConfig(
    network=f"{SOURCE}:make_network",
    epochs=2,
    batch_size=16,
    size=8,
    train_samples=50,
    test_samples=20,
    learning_rate=0.01,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def test_run_is_returned_and_kept(store: Store) -> None:
    run = train(CONFIG, store=store, device="cpu")
    assert run.status == "finished"
    assert [epoch.step for epoch in run.epochs] == [4, 8]  # 50 / 16 rounded up
    # conv 3 * 9 + 3, norm 2 * 3, linear 12 * 5 + 5, norm 2 * 5, head 5 * 10 + 10
    assert run.parameters == 30 + 6 + 65 + 10 + 60
    assert store.run(run.key) == run
    assert store.curves(run.key)["train_loss"].shape == (8,)
    recording = store.recording(run.key)
    assert recording is not None
    assert recording.layers["norm_2"]["gamma"].shape == (9, 5)
    assert recording.population["norm_2"]["variance"].shape == (2, 5)


def test_a_run_keeps_its_data_its_answers_and_a_look_at_its_end(store: Store) -> None:
    run = train(CONFIG, store=store, device="cpu")
    assert run.data is not None
    assert (run.data.train.images, run.data.test.images) == (50, 20)
    assert len(run.data.classes) == len(run.predicted) == 10
    assert sum(run.predicted) == 20
    probes = store.probes(run.key)
    assert probes is not None
    assert probes.signals is not None
    assert (probes.signals.steps, probes.signals.images) == ((8,), 50)
    ratios = dict(zip(probes.signals.layers, probes.signals.quantities["update_ratio"][0], strict=True))
    assert all(ratios[name] > 0 for name in ("conv", "linear", "head"))


@pytest.mark.parametrize("every", [3, 4])
def test_probes_of_signals_look_at_the_end_too_and_once(store: Store, every: int) -> None:
    run = train(CONFIG, store=store, device="cpu", probe_every=every, probes="signals")
    probes = store.probes(run.key)
    assert probes is not None
    assert probes.signals is not None
    assert probes.signals.steps == {3: (0, 3, 6, 8), 4: (0, 4, 8)}[every]


def test_what_a_network_refuses_to_show_fails_no_training(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Probing, "look_at_end", lambda *_: 1 / 0)
    run = train(CONFIG, store=store, device="cpu")
    assert run.status == "finished"
    assert store.probes(run.key) is None


def test_without_a_store_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARCHLAB_STORE", str(tmp_path / "store"))
    assert train(CONFIG, device="cpu").status == "finished"
    assert list(tmp_path.iterdir()) == []


def test_events_come_in_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REPORT_SECONDS", 0)
    events: list[Progress] = []
    run = train(CONFIG, store=store, device="cpu", progress=events.append)
    # Four batches of training; one each of two evaluations and of the precise statistics between them.
    epoch = ["step"] * 4 + ["measuring"] * 3 + ["epoch"]
    assert [event.state for event in events] == ["started", *epoch, *epoch, "finished"]
    assert [event.step for event in events if event.state == "step"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [event.metrics for event in events if event.state == "epoch"] == list(run.epochs)
    assert {event.key for event in events} == {run.key}
    assert {event.steps for event in events} == {8}
    assert events[-1].run == run


def test_steps_of_a_run_that_goes_can_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REPORT_SECONDS", 0)
    monkeypatch.setattr("archlab.training.recorder.KEEP_SECONDS", 0)
    seen: list[list[float]] = []

    def look(event: Progress) -> None:
        if event.state != "measuring":
            seen.append(list(store.curves(event.key).get("train_loss", ())))

    run = train(CONFIG, store=store, device="cpu", progress=look)
    losses = store.curves(run.key)["train_loss"].tolist()
    # Each step's event comes before its values are kept, each epoch's after.
    assert [len(part) for part in seen] == [0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
    assert all(part == losses[: len(part)] for part in seen)


def test_probes_are_kept_and_the_landscape_tells_how_far_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REPORT_SECONDS", 0)
    events: list[Progress] = []
    run = train(replace(CONFIG, probe_every=4, landscape=3), store=store, device="cpu", progress=events.append)
    points = [event for event in events if event.state == "landscape"]
    assert [(event.epoch, event.step, event.steps) for event in points] == [(2, point, 9) for point in range(1, 10)]
    assert [event.state for event in events[-11:]] == ["epoch", *["landscape"] * 9, "finished"]
    found = store.probes(run.key)
    assert found is not None
    assert found.smoothness is not None
    assert found.landscape is not None
    assert found.smoothness.steps == (0, 4, 8)
    assert found.landscape.losses[1, 1] == found.smoothness.loss[-1]  # the same weights and images


def test_probes_of_layers_survive_numbers_that_are_not_finite(store: Store) -> None:
    config = replace(CONFIG, network=f"{SOURCE}:Poisoned", options={"healthy_steps": 30}, probe_every=2, probes="all")
    run = train(config, store=store, device="cpu")
    assert run.status == "diverged"
    found = store.probes(run.key)
    assert found is not None
    assert found.signals is not None
    assert np.isfinite(found.signals.quantities["gradient_norm"][0]).all()
    assert not np.isfinite(found.signals.quantities["gradient_norm"][-1]).any()


def test_probes_of_a_diverged_run_are_kept(store: Store) -> None:
    # Two looks of 9 passes, and the steps 1 and 2.
    config = replace(CONFIG, network=f"{SOURCE}:Poisoned", options={"healthy_steps": 20}, probe_every=2)
    run = train(config, store=store, device="cpu")
    assert run.error.startswith("the loss at step 3")
    found = store.probes(run.key)
    assert found is not None
    assert found.smoothness is not None
    assert found.smoothness.steps == (0, 2, 4)
    assert found.landscape is None


def test_finished_run_is_reused_unless_fresh(store: Store) -> None:
    first = train(CONFIG, store=store, device="cpu")
    events: list[Progress] = []
    preparer = Preparer(Execution(store=store, device="cpu"))
    again = session.run(CONFIG, preparer, events.append)
    assert again == first
    assert [event.state for event in events] == ["reused"]
    assert session.run(CONFIG, Preparer(Execution(store=store, device="cpu", fresh=True))).key == first.key
    other = session.run(replace(CONFIG, seed=1), preparer)
    assert other.key != first.key
    assert len(store.runs()) == 2


def test_a_diverged_run_is_a_result_and_not_trained_again(store: Store) -> None:
    events: list[Progress] = []
    config = replace(CONFIG, learning_rate=1e30)
    run = train(config, store=store, device="cpu", progress=events.append)
    assert run.status == "diverged"
    assert run.error.startswith("the loss at step")
    assert store.runs() == [run]
    assert (events[-1].state, events[-1].run) == ("diverged", run)
    assert len(store.curves(run.key)["step"]) == 4
    again = session.run(config, Preparer(Execution(store=store, device="cpu")), events.append)
    assert (events[-1].state, again) == ("reused", run)


def test_a_loss_that_stays_finite_far_above_guessing_has_diverged(store: Store) -> None:
    """Plain SGD of a linear network at a rate that is too large: finite in float32, and of no use."""
    config = replace(
        CONFIG, network=f"{SOURCE}:Linear", options={}, optimizer="sgd", learning_rate=1e6, epochs=2, landscape=3
    )
    run = train(config, store=store, device="cpu")
    losses = store.curves(run.key)["train_loss"]
    assert np.isfinite(losses).all()
    assert (run.status, len(run.epochs)) == ("diverged", 2)
    assert "ten times that of guessing, ln(10)" in run.error
    probes = store.probes(run.key)
    assert probes is not None
    assert probes.landscape is None  # nobody looks around such weights
    assert probes.signals is not None
    assert probes.signals.steps == (8,)


def test_failing_network_is_kept_as_failed(store: Store) -> None:
    with pytest.raises(RunError, match="no luck today"):
        train(replace(CONFIG, network=f"{SOURCE}:Failing"), store=store, device="cpu")
    assert store.runs()[0].status == "failed"


def test_last_batch_of_one_image_is_refused_before_training_starts(store: Store) -> None:
    with pytest.raises(InputError, match="50 training images in batches of 49 leave a last batch of 1"):
        train(replace(CONFIG, batch_size=49), store=store, device="cpu")
    assert store.runs() == []


def test_stopped_run_is_interrupted(store: Store) -> None:
    def stop(event: Progress) -> None:
        if event.state == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, store=store, device="cpu", progress=stop)
    (run,) = store.runs()
    assert (run.status, len(run.epochs)) == ("interrupted", 1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"epochs": 0}, InputError, "epochs is 0, expected 1 or more"),
        ({"batch_size": 0}, InputError, "batch_size is 0, expected 1"),
        ({"record_every": -1}, InputError, "record_every is -1, expected 0"),
        ({"probe_every": -1}, InputError, "probe_every is -1, expected 0"),
        ({"probes": "signals"}, InputError, "probes is 'signals' and probe_every is 0, .*--probe-every 50"),
        ({"probes": "signal", "probe_every": 2}, InputError, "probes is 'signal', expected all, or some of smoothness"),
        ({"probes": "", "probe_every": 2}, InputError, "probes is '', expected all, or some of smoothness"),
        ({"landscape": -3}, InputError, "landscape is -3, expected 0 for none, or an odd number"),
        ({"landscape": 1}, InputError, "landscape is 1, expected 0 for none, or an odd number"),
        ({"landscape": 10}, InputError, "landscape is 10, expected 0 for none, or an odd number"),
        ({"precise_images": 0}, InputError, "precise_images is 0, expected 1"),
        ({"size": 0}, InputError, "size is 0, expected 1"),
        ({"learning_rate": 0.0}, InputError, "learning_rate is 0.0, expected a number above 0"),
        ({"learning_rate": float("nan")}, InputError, "learning_rate is nan"),
        ({"dataset": "digit"}, DataError, "did you mean digits"),
        ({"train_samples": 5000}, DataError, "train_samples is 5000, expected 1 to 1438"),
        ({"network": "lennet"}, SourceError, "did you mean lenet"),
        ({"options": {"nrm": "none"}}, SourceError, "nrm"),
        ({"network": "lenet", "options": {"classes": 5}}, InputError, "lenet was given classes=5, .* need classes=10"),
        ({"network": "lenet", "options": {"in_channels": 3}}, InputError, "need in_channels=1"),
    ],
)
def test_wrong_configuration(store: Store, changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train(replace(CONFIG, **changes), store=store, device="cpu")
    assert store.runs() == []


def test_network_is_fitted_to_the_data(tmp_path: Path, store: Store) -> None:
    for name in ("a", "b", "c"):
        for number in range(5):
            write_image(tmp_path / "data" / name / f"{number}.png", (9, 9), (number, 0, 0), "RGB")
    config = TrainingConfig(network="lenet", dataset=str(tmp_path / "data"), epochs=1, batch_size=4)
    run = train(config, store=store, device="cpu")
    # The course's 44,878 with two more channels in front (2 * 6 * 25) and seven classes fewer (7 * 85).
    assert run.parameters == 44_878 + 300 - 595
    given = replace(config, options={"classes": 5})
    preparer = Preparer(Execution(device="cpu"))
    prepared = preparer.prepare(given)
    data = preparer.dataset(prepared)
    assert data.image_shape == prepared.image_shape == (3, 28, 28)
    assert prepared.network()(data.train.batch(torch.arange(2))[0]).shape == (2, 5)


@pytest.mark.parametrize(
    ("network", "options", "size", "expected"),
    [("lenet", {}, None, 28), ("lenet", {"size": 32}, None, 32), ("lenet", {}, 20, 20), ("resnet20", {}, None, 32)],
)
def test_image_size(network: str, options: dict[str, Any], size: int | None, expected: int) -> None:
    config = TrainingConfig(network=network, options=options, size=size)
    assert Preparer(Execution(device="cpu")).prepare(config).size == expected


def test_own_network_takes_the_images_as_they_are() -> None:
    assert Preparer(Execution(device="cpu")).prepare(replace(CONFIG, size=None)).size is None


def test_equal_runs_in_two_calls_are_equal(store: Store) -> None:
    one, other = (train(CONFIG, device="cpu") for _ in range(2))
    assert one.key == other.key
    assert [epoch.train_loss for epoch in one.epochs] == [epoch.train_loss for epoch in other.epochs]


def test_environment_says_what_decides_the_result() -> None:
    network = torch.nn.Linear(2, 2)
    found = environment.describe(torch.device("cpu"), network, "abc")
    assert {"archlab", "torch", "processor", "device", "threads", "data", "network", "command"} <= found.keys()
    assert (found["device"], found["data"], found["threads"]) == ("cpu", "abc", torch.get_num_threads())


def test_command_is_no_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    network = torch.nn.Linear(2, 2)
    keys = set()
    for command in (["a"], ["b", "c"]):
        monkeypatch.setattr(sys, "argv", command)
        keys.add(run_key(CONFIG, environment.describe(torch.device("cpu"), network, "abc")))
    assert len(keys) == 1


def test_network_fingerprint_sees_weights_structure_and_code(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    found = {environment.network_fingerprint(network)}
    assert environment.network_fingerprint(network) in found
    with torch.no_grad():
        network[0].bias.add_(1)  # type: ignore[operator]
    found.add(environment.network_fingerprint(network))
    network[1] = torch.nn.Tanh()
    found.add(environment.network_fingerprint(network))
    assert len(found) == 3

    from archlab.networks import build

    file = tmp_path / "own.py"
    prints = set()
    for factor in (1, 2):
        file.write_text(
            "from torch import nn\nclass Own(nn.Module):\n    def forward(self, x):\n        return x * " + str(factor)
        )
        os.utime(file, (factor, factor))
        prints.add(environment.network_fingerprint(build(f"{file}:Own")))
    assert len(prints) == 2


@pytest.mark.parametrize("name", ["cuda:99", "meta", "toaster", "vulkan"])
def test_unknown_device(name: str) -> None:
    with pytest.raises(InputError, match=f"there is no device '{name}' on this machine: expected cpu"):
        devices.find_device(name)


def test_default_device() -> None:
    expected = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    assert devices.find_device(None) == expected
    assert devices.find_device("cpu") == torch.device("cpu")


def test_training_imports_no_compiler() -> None:
    """Torch's compiler takes over a second to import, which is most of a small run."""
    import subprocess

    program = (
        "import sys; from archlab.training import train; from archlab.records import TrainingConfig as C;"
        "train(C(epochs=1, train_samples=20, test_samples=20), device='cpu'); print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_newer_archlab_s_run_is_not_trained_over(store: Store, fresh: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(CONFIG, store=store, device="cpu")
    path = store.path / "runs" / run.key / "run.json"
    path.write_text(run.to_json().replace("archlab.run/1", "archlab.run/2"))
    monkeypatch.setattr(session, "Trainer", lambda *_: pytest.fail("it was trained"))
    execution = Execution(store=store, device="cpu", fresh=fresh)
    with pytest.raises(StoreError, match="a newer archlab wrote it"):
        session.missing([CONFIG], Preparer(execution))
    with pytest.raises(StoreError, match="a newer archlab wrote it"):
        train(CONFIG, execution=execution)
    assert "archlab.run/2" in path.read_text()


@pytest.mark.parametrize(("network", "size", "expected"), [("lenet", 28, 1), ("resnet", 96, 2)])
def test_a_small_network_is_trained_by_one_thread_as_in_a_comparison(
    network: str, size: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def run(*_: Any, **__: Any) -> Any:
        seen.append(torch.get_num_threads())

    monkeypatch.setattr(session, "run", run)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(network, size=size, progress=False)
        assert seen == [expected]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
