from __future__ import annotations

import gc
import math
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import archlab
from archlab.errors import InputError
from archlab.records import Probes, Run
from archlab.store import open_store
from tests.training.watching.loops import BATCH, IMAGES, LABELS, Net, hooks, run_of, trained

STEPS = 6  # 2 epochs of 48 images in batches of 16

LOOPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "SGD with Nesterov's momentum, which changes gradients in place": {
        "optimizer": lambda held, lr: torch.optim.SGD(held, lr=lr, momentum=0.9, nesterov=True)
    },
    "closure": {"optimizer": torch.optim.LBFGS, "closure": True, "make": lambda: Net().apply(_without_dropout)},
    "half precision": {"half": True},
    "accumulated gradients": {"accumulated": 3},
    "frozen layers": {"frozen": True},
    "checkpointed": {"make": lambda: Net(checkpointed=False)},
    "checkpointed, reentrant": {"make": lambda: Net(checkpointed=True)},
    "fused optimiser": {"optimizer": lambda held, lr: torch.optim.Adam(held, lr=lr, fused=True)},
    "precise statistics": {"watches": {"precise": [(IMAGES, LABELS)]}},
}


def _without_dropout(module: nn.Module) -> None:
    if isinstance(module, nn.Dropout):
        module.p = 0.0


@pytest.mark.parametrize("name", LOOPS)
def test_no_bit_changes_and_no_hook_stays(name: str, tmp_path: Path) -> None:
    plain, state, _ = trained(None, **LOOPS[name])
    models: list[nn.Module] = []
    make: Callable[[], nn.Module] = LOOPS[name].get("make", Net)

    def kept() -> nn.Module:
        models.append(make())
        return models[-1]

    watched, after, run = trained(str(tmp_path), **{**LOOPS[name], "make": kept})
    assert plain.keys() == watched.keys()
    for item, value in plain.items():
        assert torch.equal(value, watched[item]), item
    assert torch.equal(state, after)
    assert hooks(models[0]) == 0
    assert run.record.status == "finished"
    assert open_store(tmp_path).run(run.key) == run.record


def signals(run: Run, store: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Quantity -> (looks, layers) of a run, its layers in the order of `Net`."""
    probes = open_store(store).probes(run.key)
    assert isinstance(probes, Probes)
    assert probes.signals is not None
    return {
        **probes.signals.quantities,
        "steps": np.array(probes.signals.steps),
        "layers": np.array(probes.signals.layers),
    }


def test_what_is_recorded(tmp_path: Path) -> None:
    run = run_of(trained(str(tmp_path)))
    store = open_store(tmp_path)
    record = store.run(run.key)
    assert [epoch.step for epoch in record.epochs] == [3, 6]
    assert record.config.network == "Net"
    assert record.watched is not None
    assert record.watched.settings["optimizer"] == "Adam"
    assert record.watched.settings["learning_rate"] == 0.01
    curves = store.curves(run.key)
    assert curves["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert curves["learning_rate"].tolist() == pytest.approx([0.01] * 6)
    assert record.epochs[0].train_loss == pytest.approx(curves["train_loss"][:3].mean())
    recording = store.recording(run.key)
    assert recording is not None
    assert recording.steps == (0, 1, 2, 3, 4, 5, 6)
    assert set(recording.layers) == {"norm", "block.1"}
    assert {use.path: (use.in_training, use.in_evaluation) for use in recording.uses} == {
        "norm": ("batch", "running"),
        "block.1": ("batch", "running"),
    }
    found = signals(record, tmp_path)
    assert found["steps"].tolist() == [1, 2, 4, 6]
    assert found["layers"].tolist() == ["conv", "norm", "relu", "block.0", "block.1", "block.2", "drop", "head"]
    for quantity in ("activation_norm", "gradient_norm"):
        assert np.isfinite(found[quantity]).all()
    assert np.isfinite(found["update_ratio"][:, [0, 1, 3, 4, 7]]).all()


def test_numbers_are_those_of_a_plain_computation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Net().apply(_without_dropout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images, labels = IMAGES[:BATCH], LABELS[:BATCH]
    with archlab.watch(network, optimizer, store=tmp_path) as run:
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    gradient = network.head.weight.grad, network.head.bias.grad
    norm = math.hypot(*(float(part.norm()) for part in gradient if part is not None))
    found = signals(run.record, tmp_path)  # type: ignore[arg-type]
    head = found["layers"].tolist().index("head")
    assert found["weight_gradient_norm"][0, head] == pytest.approx(norm, rel=1e-5)
    before = [held.detach() + 0.1 * held.grad for held in network.head.parameters() if held.grad is not None]
    assert found["update_ratio"][0, head] == pytest.approx(
        0.1 * norm / math.hypot(*(float(held.norm()) for held in before)), rel=1e-3
    )


def test_a_gradients_scale_is_taken_out(tmp_path: Path) -> None:
    cases: dict[str, dict[str, Any]] = {
        "plain": {},
        "scaled": {"scaler": torch.amp.GradScaler("cpu", init_scale=1024.0)},
        "fused": {
            "scaler": torch.amp.GradScaler("cpu", init_scale=1024.0),
            "optimizer": lambda held, lr: torch.optim.Adam(held, lr=lr, fused=True),
        },
    }
    for name, options in cases.items():
        run = run_of(trained(str(tmp_path / name), **options))
        assert run.record is not None
        found = signals(run.record, tmp_path / name)
        if name == "plain":
            expected = found
        for quantity in ("gradient_norm", "gradient_mean", "gradient_variance", "weight_gradient_norm"):
            np.testing.assert_allclose(found[quantity][0], expected[quantity][0], rtol=1e-3, atol=1e-7)


def test_a_step_that_a_scaler_skips_is_none(tmp_path: Path) -> None:
    class Skipping(torch.amp.GradScaler):
        """Finds an infinity in every second step."""

        calls = 0

        def _maybe_opt_step(self, *args: Any, **keywords: Any) -> Any:
            self.calls += 1
            return None if self.calls % 2 else super()._maybe_opt_step(*args, **keywords)

    run = run_of(trained(str(tmp_path), scaler=Skipping("cpu")))
    assert run.steps == STEPS / 2
    assert run.record is not None
    assert np.isfinite(open_store(tmp_path).curves(run.key)["train_loss"]).all()


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    run = run_of(trained(str(tmp_path), accumulated=3))
    recording = open_store(tmp_path).recording(run.key)
    assert run.steps == 2
    assert recording is not None
    # The step's mean is that of its three batches, weighed as the average weighs them: the latest by 1, .9, .81.
    torch.manual_seed(0)
    given = Net().conv(IMAGES).detach().unflatten(0, (3, BATCH)).mean((1, 3, 4))
    weights = torch.tensor([0.81, 0.9, 1.0])
    expected = (weights[:, None] * given).sum(0) / weights.sum()
    np.testing.assert_allclose(recording.layers["norm"]["batch_mean"][1], expected, rtol=1e-3, atol=1e-4)


def test_frozen_layers_are_left_out_of_what_moves(tmp_path: Path) -> None:
    run = run_of(trained(str(tmp_path), frozen=True))
    recording = open_store(tmp_path).recording(run.key)
    assert recording is not None
    assert np.isnan(recording.layers["norm"]["batch_mean"]).all()
    assert not np.isnan(recording.layers["block.1"]["batch_mean"][1:]).any()
    assert {use.path: use.in_training for use in recording.uses} == {"norm": "running", "block.1": "batch"}


@pytest.mark.parametrize("early", [True, False], ids=["compiled before", "compiled after"])
def test_compiled_networks(early: bool, tmp_path: Path) -> None:
    graphs: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    def counted(store: str | None) -> int:
        torch._dynamo.reset()
        graphs.clear()
        torch.manual_seed(0)
        network = Net()
        compiled: Any = torch.compile(network, backend=backend)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        run = archlab.watch(compiled if early else network, optimizer, store=store, every=1) if store else None
        for _ in range(3):
            optimizer.zero_grad()
            compiled(IMAGES).square().mean().backward()
            optimizer.step()
        if run is not None and (record := run.close()) is not None:
            assert record.watched is not None
            assert "compile" in " ".join(record.watched.notes)
            found = signals(record, tmp_path)
            assert set(found["layers"].tolist()) == {"conv", "block.0", "head"}
            assert np.isfinite(found["update_ratio"]).all()
        return len(graphs)

    assert counted(str(tmp_path)) == counted(None) == 1


def test_several_networks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    discriminator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizers = [torch.optim.Adam(network.parameters()) for network in (generator, discriminator)]
    models = {"generator": generator, "discriminator": discriminator}
    with archlab.watch(models, optimizers, store=tmp_path, every=1) as run:
        for _ in range(2):
            made = generator(torch.randn(16, 2))
            optimizers[1].zero_grad()
            (discriminator(made.detach()).mean() - discriminator(torch.randn(16, 4)).mean()).backward()
            optimizers[1].step()
            optimizers[0].zero_grad()
            loss = -discriminator(made).mean()
            loss.backward()
            optimizers[0].step()
            run.step(loss=loss)
    assert run.record is not None
    assert run.record.epochs[-1].step == 2
    found = signals(run.record, tmp_path)
    assert found["layers"].tolist()[:4] == [f"generator.{place}" for place in range(4)]
    assert {"discriminator.0", "discriminator.2"} <= set(found["layers"].tolist())
    weighted = [place for place, name in enumerate(found["layers"]) if name.endswith((".0", ".3", ".2"))]
    assert np.isfinite(found["gradient_norm"][:, weighted]).all()
    recording = open_store(tmp_path).recording(run.key)
    assert recording is not None
    assert set(recording.layers) == {"generator.1"}
    assert hooks(generator) == hooks(discriminator) == 0


def test_without_an_optimiser_the_loop_tells_its_steps(tmp_path: Path) -> None:
    network = nn.Linear(2, 1)
    run = archlab.watch(network, store=tmp_path)
    for _ in range(3):
        network.zero_grad()
        loss = network(torch.ones(4, 2)).mean()
        loss.backward()
        with torch.no_grad():
            for held in network.parameters():
                if held.grad is not None:
                    held.sub_(held.grad, alpha=0.1)
        run.step(loss=loss, accuracy=0.5)
    record = run.close()
    assert record is not None
    assert record.epochs[-1].train_accuracy == 0.5
    assert np.isfinite(signals(record, tmp_path)["update_ratio"]).all()


ENDS: dict[str, tuple[BaseException, str, str]] = {
    "an error": (ValueError("no more data"), "failed", "ValueError: no more data"),
    "Ctrl-C": (KeyboardInterrupt(), "interrupted", ""),
    "exit": (SystemExit(0), "finished", ""),
}


@pytest.mark.parametrize("name", ENDS)
def test_how_a_run_ends_when_the_loop_raises(name: str, tmp_path: Path) -> None:
    error, status, reason = ENDS[name]
    network = Net()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def train() -> None:
        with archlab.watch(network, optimizer, store=tmp_path) as run:
            network(IMAGES).mean().backward()
            optimizer.step()
            run.step(loss=2.5)
            raise error

    with pytest.raises(type(error)):
        train()
    store = open_store(tmp_path)
    (record,) = store.runs()
    assert (record.status, record.error) == (status, reason)
    assert store.curves(record.key)["train_loss"].tolist() == [2.5]
    assert store.recording(record.key) is not None
    assert store.probes(record.key) is not None
    assert hooks(network) == 0
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks


@pytest.mark.parametrize(
    ("end", "status"),
    [("pass", "finished"), ("raise ValueError('x')", "failed"), ("import os; os.kill(os.getpid(), 9)", "interrupted")],
    ids=["end", "error", "killed"],
)
def test_a_run_that_nobody_closes_ends_with_its_process(end: str, status: str, tmp_path: Path) -> None:
    program = (
        "import archlab, torch\n"
        "network = torch.nn.Linear(2, 1)\n"
        f"run = archlab.watch(network, store={str(tmp_path)!r})\n"
        "run.step(loss=1.0)\n"
        f"{end}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    (record,) = open_store(tmp_path).runs()
    assert record.status == status


def test_a_loss_that_is_no_number_is_a_divergence(tmp_path: Path) -> None:
    network = nn.Linear(2, 1)
    with archlab.watch(network, store=tmp_path) as run:
        for loss in (1.0, math.inf, math.nan):
            run.step(loss=loss)
    assert run.record is not None
    assert run.record.status == "diverged"


def test_losses_told_now_and_then(tmp_path: Path) -> None:
    network = nn.Linear(2, 1)
    with archlab.watch(network, store=tmp_path) as run:
        for step in range(1, 7):
            run.step(loss=1.0 if step % 3 == 0 else None)
    assert run.record is not None
    assert run.record.status == "finished"
    assert run.record.epochs[0].train_loss == 1.0


def test_a_recorder_that_fails_lets_the_training_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(2, 1)
    run = archlab.watch(network, store=tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(run._recorder, "after", fail)
    with pytest.warns(UserWarning, match="no space left"):
        run.step(loss=1.0)
    run.step(loss=1.0)
    assert run.close() is not None
    assert hooks(network) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "lenet"}, "model is of type str"),
        ({"model": [1]}, "model is of type list"),
        ({"optimizer": "adam"}, "optimizer is of type str"),
        ({"every": -1}, "every is -1"),
        ({"record_every": 1.5}, "record_every is 1.5"),
        ({"model": [nn.Linear(1, 1), nn.Linear(1, 1)], "precise": []}, "precise is given with several"),
    ],
)
def test_what_can_not_be_meant_is_said(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        archlab.watch(**{"model": nn.Linear(1, 1), "store": tmp_path, **change})
    assert not list(tmp_path.iterdir())


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    torch.manual_seed(5)
    for name in ("", "", "mine", "", "mine"):
        archlab.watch(nn.Linear(1, 1), store=tmp_path, name=name).close()
    archlab.watch(nn.Linear(1, 1), store=tmp_path, seed=6).close()
    found = sorted((run.config.seed, run.config.label) for run in open_store(tmp_path).runs())
    assert found == [(5, "Linear"), (5, "Linear #2"), (5, "Linear #3"), (5, "mine"), (5, "mine #2"), (6, "Linear")]


def test_a_metric_that_there_is_not(tmp_path: Path) -> None:
    with archlab.watch(nn.Linear(1, 1), store=tmp_path) as run:
        with pytest.raises(InputError, match="did you mean test_accuracy"):
            run.epoch(tests_accuracy=0.5)
        run.epoch(test_accuracy=0.5)
    assert run.record is not None
    assert [epoch.test_accuracy for epoch in run.record.epochs] == [0.5]


def test_nothing_holds_a_network_whose_run_is_closed(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    archlab.watch(network, store=tmp_path).close()
    held = weakref.ref(network)
    del network
    gc.collect()
    assert held() is None


PROGRAM = """
import os, sys, torch, archlab
from torch import nn
rank, folder, watched = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "watched"
meeting = f"file://{folder}/rendezvous{watched}"
torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
model = nn.parallel.DistributedDataParallel(network)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
run = archlab.watch(model, optimizer, store=f"{folder}/store", every=1) if watched else None
generator = torch.Generator().manual_seed(rank)
for _ in range(3):
    loss = model(torch.randn(16, 4, generator=generator)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if run:
        run.step(loss=loss)
if run:
    run.close()
torch.save(network.state_dict(), f"{folder}/state{watched}{rank}")
torch.distributed.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_several_processes(tmp_path: Path) -> None:
    for kind in ("watched", "plain"):
        processes = [
            subprocess.Popen([sys.executable, "-c", PROGRAM, str(rank), str(tmp_path), kind], stderr=subprocess.PIPE)
            for rank in (0, 1)
        ]
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors.decode()
    for rank in (0, 1):
        plain, watched = (torch.load(tmp_path / f"state{kind}{rank}") for kind in (False, True))
        assert all(torch.equal(plain[name], watched[name]) for name in plain)
    (record,) = open_store(tmp_path / "store").runs()
    assert record.status == "finished"
    assert record.watched is not None
    assert record.watched.processes == 2
    assert "first of 2 processes" in record.watched.notes[0]
    assert signals(record, tmp_path / "store")["layers"].tolist() == ["0", "1", "2", "3"]
