from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.errors import DivergedError, RunError
from archlab.networks import resolve
from archlab.records import TrainingConfig
from archlab.training import datasets, evaluation, images, loop, seeding
from archlab.training.evaluation import evaluate
from archlab.training.loop import Trainer
from tests.training.tiny import Failing, Poisoned, make_data, make_network

DATA = make_data(50, 20)
CONFIG = TrainingConfig(batch_size=16, epochs=2, learning_rate=0.01, precise_images=48)


def textbook(network: nn.Module, data: datasets.Dataset, config: TrainingConfig) -> list[tuple[float, float]]:
    """The course's loop as a textbook has it: per epoch, mean loss and accuracy over the images."""
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    results = []
    for epoch in range(1, config.epochs + 1):
        network.train()
        loss_sum, right = 0.0, 0
        for indices in torch.split(seeding.order(config.seed, epoch, len(data.train)), config.batch_size):
            x = data.train.images[indices] / 255
            y = data.train.labels[indices]
            logits = network(x)
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss_sum += loss.item() * len(y)
            right += int((logits.argmax(1) == y).sum())
        results.append((loss_sum / len(data.train), right / len(data.train)))
    return results


@pytest.mark.parametrize("norm", ["none", "batch", "scratch"])
def test_equals_a_textbook_loop(norm: str) -> None:
    ours, theirs = (seeding.build(lambda: make_network(norm), 0) for _ in range(2))
    epochs = list(Trainer(ours, DATA, CONFIG).epochs())
    expected = textbook(theirs, DATA, CONFIG)
    for epoch, (loss, accuracy) in zip(epochs, expected, strict=True):
        assert epoch.train_loss == pytest.approx(loss, abs=1e-5)
        assert epoch.train_accuracy == pytest.approx(accuracy, abs=1e-6)
    parameters = dict(theirs.named_parameters())
    for name, value in ours.named_parameters():
        # A bias in front of BatchNorm has a true gradient of zero, and Adam makes steps of its rounding.
        if norm == "none" or name not in ("conv.bias", "linear.bias"):
            torch.testing.assert_close(value, parameters[name], rtol=0, atol=1e-4)
    x, _ = DATA.test.batch(torch.arange(20))
    torch.testing.assert_close(ours.train()(x), theirs.train()(x), rtol=0, atol=1e-3)


@pytest.mark.parametrize("norm", ["batch", "scratch"])
def test_momentum_is_the_newest_batch_s_weight_and_moves_no_weight(norm: str) -> None:
    def ends(momentum: float | None) -> tuple[Trainer, list[Tensor]]:
        network = seeding.build(lambda: make_network(norm), 0)
        trainer = Trainer(network, DATA, replace(CONFIG, momentum=momentum))
        list(trainer.epochs())
        return trainer, [parameter.detach() for parameter in network.parameters()]

    (own, weights), (same, _), (whole, moved) = ends(None), ends(0.1), ends(1.0)
    assert all(torch.equal(one, other) for one, other in zip(weights, moved, strict=True))
    recordings = [trainer.recording() for trainer in (own, same, whole)]
    first, equal, last = (found.layers["norm_1"] for found in recordings if found is not None)
    assert np.array_equal(first["running_mean"], equal["running_mean"])  # the layers' own is 0.1
    # With all the weight on the newest batch, the running mean after a step is that batch's.
    np.testing.assert_allclose(last["running_mean"][1:], last["batch_mean"][1:], rtol=1e-5)


def test_lenet_on_digits_equals_a_textbook_loop() -> None:
    data = datasets.prepare(images.load_images("digits"), 28, train_samples=300, test_samples=50)
    config = TrainingConfig(epochs=1, batch_size=64)
    ours, theirs = (seeding.build(resolve("lenet").build, 0) for _ in range(2))
    (epoch,) = Trainer(ours, data, config).epochs()
    ((loss, accuracy),) = textbook(theirs, data, config)
    assert (epoch.train_loss, epoch.train_accuracy) == pytest.approx((loss, accuracy), abs=1e-4)
    assert epoch.step == 5  # 300 / 64 rounded up: the last batch has 44 images


def test_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    def weights(seed: int) -> Tensor:
        network = seeding.build(lambda: make_network(dropout=0.5), seed)
        torch.manual_seed(int(torch.randint(0, 1000, ())))  # whatever the caller's random state is
        list(Trainer(network, DATA, replace(CONFIG, seed=seed)).epochs())
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_longer_training_begins_with_the_shorter() -> None:
    """The order of an epoch depends on seed and epoch alone, and so does dropout."""
    short, long = (
        list(
            Trainer(seeding.build(lambda: make_network(dropout=0.5), 0), DATA, replace(CONFIG, epochs=epochs)).epochs()
        )
        for epochs in (1, 3)
    )
    assert (short[0].train_loss, short[0].test_loss) == (long[0].train_loss, long[0].test_loss)


def test_epoch_is_measured_both_ways() -> None:
    network = seeding.build(make_network, 0)
    trainer = Trainer(network, DATA, CONFIG)
    epochs = list(trainer.epochs())
    assert [(epoch.epoch, epoch.step) for epoch in epochs] == [(1, 4), (2, 8)]  # 50 / 16 = 3 batches and one of 2
    last = epochs[-1]
    assert (last.test_loss_running, last.test_accuracy_running) == evaluate(network, DATA.test)
    assert last.test_loss != last.test_loss_running
    assert last.precise_seconds > 0
    assert 0 < epochs[0].seconds < last.seconds


def test_network_without_batchnorm_is_measured_once() -> None:
    network = make_network("none")
    (epoch,) = Trainer(network, DATA, replace(CONFIG, epochs=1)).epochs()
    assert epoch.test_loss_running is epoch.test_accuracy_running is None
    assert epoch.precise_seconds == 0
    assert (epoch.test_loss, epoch.test_accuracy) == evaluate(network, DATA.test)


def test_evaluating_trains_nothing() -> None:
    """With a learning rate of (almost) nothing, running statistics move in training steps alone."""
    network = seeding.build(make_network, 0)
    list(Trainer(network, DATA, replace(CONFIG, epochs=2)).epochs())
    assert network.get_buffer("norm_1.num_batches_tracked") == 8  # 2 epochs of 4 steps
    assert all(module.training for module in network.modules())


def test_frozen_layers_stay_frozen() -> None:
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> "Frozen":
            super().train(mode)
            self.get_submodule("norm_1").eval()
            return self

    network = Frozen()
    for name, module in make_network().named_children():
        network.add_module(name, module)
    trainer = Trainer(network, DATA, CONFIG)
    list(trainer.epochs())
    result = trainer.recording()
    assert result is not None
    assert list(result.layers) == ["norm_1", "norm_2"]
    assert list(result.population) == ["norm_2"]
    assert network.get_buffer("norm_1.num_batches_tracked") == 0
    assert not network.get_submodule("norm_1").training


def test_curves_are_those_of_the_batches() -> None:
    trainer = Trainer(seeding.build(make_network, 0), DATA, CONFIG)
    epochs = list(trainer.epochs())
    curves = trainer.curves()
    assert curves["step"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    sizes = np.array([16, 16, 16, 2])
    for number, epoch in enumerate(epochs):
        part = slice(4 * number, 4 * number + 4)
        assert (curves["train_loss"][part] * sizes).sum() / 50 == pytest.approx(epoch.train_loss, abs=1e-6)
        assert (curves["train_accuracy"][part] * sizes).sum() / 50 == pytest.approx(epoch.train_accuracy, abs=1e-6)


@pytest.mark.parametrize("every", [1, 3, 4])
def test_curves_read_while_training_are_those_read_at_the_end(every: int) -> None:
    trainer = Trainer(seeding.build(make_network, 0), DATA, CONFIG)
    parts = [trainer.curves()]

    def read(step: int) -> None:
        if step % every == 0:
            parts.append(trainer.curves(since=sum(len(part["step"]) for part in parts)))

    epochs = list(trainer.epochs(read))
    parts.append(trainer.curves(since=sum(len(part["step"]) for part in parts)))
    undisturbed = Trainer(seeding.build(make_network, 0), DATA, CONFIG)
    assert [epoch.train_accuracy for epoch in undisturbed.epochs()] == [epoch.train_accuracy for epoch in epochs]
    for name, values in undisturbed.curves().items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values)


def test_evaluation_in_parts_is_evaluation_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network()
    whole = evaluate(network, DATA.test)
    monkeypatch.setattr(evaluation, "EVALUATION_IMAGES", 7)  # 7 + 7 + 6
    assert evaluate(network, DATA.test) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize(("healthy", "step", "epoch"), [(0, 1, 1), (2, 3, 1), (5, 6, 2)])
def test_divergence_names_the_step(healthy: int, step: int, epoch: int) -> None:
    trainer = Trainer(Poisoned(healthy), DATA, CONFIG)
    with pytest.raises(RunError, match=rf"diverged: the loss at step {step} \(epoch {epoch}\) is nan.*now 0\.01"):
        list(trainer.epochs())
    losses = trainer.curves()["train_loss"]
    assert np.isfinite(losses[: step - 1]).all()
    assert np.isnan(losses[step - 1])


def test_divergence_is_seen_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECK_STEPS", 2)
    trainer = Trainer(Poisoned(0), DATA, CONFIG)
    with pytest.raises(RunError, match="diverged: the loss at step 1"):
        list(trainer.epochs())
    assert len(trainer.curves()["step"]) == 2


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Failing(), r"step 1: the network failed on a batch of shape \(16, 1, 8, 8\): ArithmeticError: no luck today"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), r"gave \(16, 3\) for a batch of 16, expected .*\(16, 10\)"),
        (nn.GRU(8, 8), r"step 1: the network failed on a batch"),
    ],
)
def test_network_that_does_not_fit(network: nn.Module, message: str) -> None:
    with pytest.raises(RunError, match=message):
        list(Trainer(network, DATA, CONFIG).epochs())


def test_random_state_of_the_caller_stays() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    list(Trainer(make_network(dropout=0.5), DATA, CONFIG).epochs())
    torch.manual_seed(3)
    make_network(dropout=0.5)
    expected = torch.get_rng_state()
    torch.set_rng_state(state)
    network: Any = make_network(dropout=0.5)
    list(Trainer(network, DATA, CONFIG).epochs())
    assert torch.equal(torch.get_rng_state(), expected)


def test_a_training_ends_at_its_target_as_a_longer_one_goes_on() -> None:
    def epochs(until: str | None) -> tuple[Trainer, list[float]]:
        trainer = Trainer(seeding.build(make_network, 0), DATA, replace(CONFIG, epochs=6, until=until))
        return trainer, [epoch.train_accuracy or 0.0 for epoch in trainer.epochs()]

    whole = epochs(None)[1]
    target = sorted(whole)[3]
    first = next(place for place, value in enumerate(whole) if value >= target)
    trainer, found = epochs(f"train_accuracy={target!r}")
    assert 0 < first < 5
    assert found == whole[: first + 1]
    assert len(trainer.curves()["step"]) == 4 * (first + 1)
    assert epochs("accuracy=1")[1] == whole  # nothing reaches it


def test_infinite_running_statistics_end_no_training() -> None:
    class Hurt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.side, self.steps = nn.Linear(64, 10), nn.BatchNorm2d(1), 0

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(x.flatten(1))
            self.steps += self.training
            side: Tensor = self.side(x / 0 if self.steps == 3 and self.training else x)
            return logits if self.training else logits + side.mean()

    trainer = Trainer(Hurt(), DATA, CONFIG)
    *_, last = trainer.epochs()
    assert (last.epoch, last.test_loss_running) == (CONFIG.epochs, None)
    assert last.test_loss is not None
    assert np.isfinite(last.test_loss)
    recording = trainer.recording()
    assert recording is not None
    assert recording.uses[0].not_finite_step == 3
    assert np.isfinite(recording.population["side"]["variance"]).all()


@pytest.mark.parametrize("poisoned", [True, False])
def test_a_test_loss_that_is_not_finite_has_its_cause(poisoned: bool) -> None:
    class Side(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.side = nn.Linear(64, 10), nn.BatchNorm2d(1)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(x.flatten(1))
            if self.training:
                self.side(x / 0 if poisoned else x)  # never finite, nor are precise statistics of it
                return logits
            return logits + (self.side(x / 0).mean() if poisoned else torch.inf)

    cause = "though every training loss is finite: the running statistics of side are not$"
    with pytest.raises(DivergedError, match=cause if poisoned else "lower the learning rate, now 0.01$"):
        list(Trainer(Side(), DATA, CONFIG).epochs())
