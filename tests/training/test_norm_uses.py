from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from archlab.networks.batchnorm import BatchNorm
from archlab.records import NormUse, TrainingConfig
from archlab.training import seeding
from archlab.training.loop import Trainer
from archlab.training.norm_uses import NormObserver, observing_uses
from tests.training.tiny import make_data, make_network

DATA = make_data()
CONFIG = TrainingConfig(dataset="random", epochs=2, batch_size=16)  # 4 steps per epoch, the last of 2 images


class Single(nn.Module):
    """A convolution, a norm called as `use` says, and a head."""

    def __init__(self, norm: nn.Module, use: "Callable[[Single, Tensor], Tensor] | None" = None) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 3), norm, nn.Linear(4, 10)
        self.use = use or (lambda self, x: self.norm(x))
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        logits: Tensor = self.head(self.use(self, self.conv(x)).relu().mean((2, 3)))
        return logits


class ByBatch(nn.BatchNorm2d):
    """Normalises by the batch whatever its mode is."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, 0.1, self.eps)


class WithActivation(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


def in_training(self: Single, x: Tensor) -> Tensor:
    return self.norm.train()(x)  # type: ignore[no-any-return]


def in_evaluation(self: Single, x: Tensor) -> Tensor:
    return self.norm.eval()(x)  # type: ignore[no-any-return]


def on_both(self: Single, x: Tensor) -> Tensor:
    first, second = self.norm(x), self.norm(10 * x + 30)
    return first + second  # type: ignore[no-any-return]


def on_alike(self: Single, x: Tensor) -> Tensor:
    first, second = self.norm(x), self.norm(x.flip(0))
    return first + second  # type: ignore[no-any-return]


def looking_first(self: Single, x: Tensor) -> Tensor:
    if self.training:
        with torch.no_grad():
            self.norm(3 * x + 1)
    return self.norm(x)  # type: ignore[no-any-return]


def recomputed(reentrant: bool) -> Callable[[Single, Tensor], Tensor]:
    def use(self: Single, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():  # the reentrant one warns that there is nothing to recompute for
            return self.norm(x)  # type: ignore[no-any-return]
        return checkpoint(self.norm, x, use_reentrant=reentrant)  # type: ignore[no-any-return]

    return use


def frozen_later(self: Single, x: Tensor) -> Tensor:
    return in_evaluation(self, x) if self.steps > 2 else self.norm(x)


def poisoned(self: Single, x: Tensor) -> Tensor:
    if self.training:
        side = x.detach().clone()
        if self.steps == 3:
            side[0, 0, 0, 0] = torch.inf
        self.norm(side)
    return x


def used(network: nn.Module, config: TrainingConfig = CONFIG) -> tuple[NormUse, ...]:
    trainer = Trainer(network, DATA, config)
    list(trainer.epochs())
    held = trainer.recording()
    assert held is not None
    return held.uses


USUAL = NormUse(
    "norm",
    channels=4,
    steps=4,  # 1, 2, 4 and 8
    in_training="batch",
    in_evaluation="running",
    calls=1,
    passes=1,
    updates=1,
    moves=True,
    fewest_values=72,  # 2 images of 6 x 6
    most_values=576,  # 16
    fewest_images=2,
    evaluation_images=20,
)

KINDS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "usual": (lambda: Single(nn.BatchNorm2d(4)), {}),
    "from scratch": (lambda: Single(BatchNorm(4)), {"kind": "BatchNorm"}),
    "without gamma": (lambda: Single(nn.BatchNorm2d(4, affine=False)), {"affine": False, "trains": False}),
    "gamma frozen": (lambda: Single(nn.BatchNorm2d(4).requires_grad_(False)), {"trains": False}),
    "with an activation": (lambda: Single(WithActivation(4)), {"kind": "WithActivation"}),
    "no tracking": (
        lambda: Single(nn.BatchNorm2d(4, track_running_stats=False)),
        {"tracks": False, "in_evaluation": "batch", "updates": 0, "moves": False},
    ),
    "momentum 0": (
        lambda: Single(nn.BatchNorm2d(4, momentum=0.0)),
        {"momentum": 0.0, "is_initial": True, "moves": False},
    ),
    "cumulative": (lambda: Single(nn.BatchNorm2d(4, momentum=None)), {"momentum": None}),
    "training mode in evaluation": (
        lambda: Single(nn.BatchNorm2d(4), in_training),
        {"in_evaluation": "batch", "evaluation_updates": 1},
    ),
    "by the batch in evaluation mode": (
        lambda: Single(ByBatch(4)),
        {"kind": "ByBatch", "in_evaluation": "batch", "evaluation_updates": 1},
    ),
    "evaluation mode in training": (
        lambda: Single(nn.BatchNorm2d(4), in_evaluation),
        {"in_training": "running", "updates": 0, "moves": False, "is_initial": True},
    ),
    "frozen from step 3 on": (lambda: Single(nn.BatchNorm2d(4), frozen_later), {"in_training": "both"}),
    "different inputs": (lambda: Single(nn.BatchNorm2d(4), on_both), {"calls": 2, "updates": 2}),
    "equal inputs": (lambda: Single(nn.BatchNorm2d(4), on_alike), {"calls": 2, "updates": 2}),
    "checkpointed": (lambda: Single(nn.BatchNorm2d(4), recomputed(False)), {"recomputed": 1, "updates": 2}),
    "checkpointed, reentrant": (lambda: Single(nn.BatchNorm2d(4), recomputed(True)), {"recomputed": 1, "updates": 2}),
    "without gradient first": (
        lambda: Single(nn.BatchNorm2d(4), looking_first),
        {"calls": 2, "idle": 1, "updates": 2},
    ),
    "synchronised": (lambda: Single(nn.SyncBatchNorm(4)), {"kind": "SyncBatchNorm"}),
    "of each image": (
        lambda: Single(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
        {"kind": "InstanceNorm2d"},
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_how_a_layer_is_used(name: str) -> None:
    build, expected = KINDS[name]
    (found,) = used(build())
    usual = replace(USUAL, **expected)
    assert found.momentum == pytest.approx(usual.momentum)  # 1 - 0.9 from scratch
    assert replace(found, shift=0.0, stretch=1.0, momentum=usual.momentum) == usual
    assert found.mixes == (name in ("different inputs", "without gradient first"))


def test_an_infinity_is_found_in_the_step_that_brought_it() -> None:
    (found,) = used(Single(nn.BatchNorm2d(4), poisoned))
    assert found.not_finite_step == 3
    (later,) = used(Single(nn.BatchNorm2d(4), poisoned), replace(CONFIG, record_every=0))
    assert later.not_finite_step == 4  # the next that is looked at


def test_one_layer_at_two_paths_is_one() -> None:
    norm = nn.BatchNorm2d(4)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(norm, nn.ReLU()), nn.Conv2d(4, 4, 3), norm)
    with observing_uses(network) as observer:
        network(torch.randn(8, 1, 9, 9))
        observer.step(1)
    (found,) = observer.uses()
    assert (found.path, found.paths, found.calls) == ("1.0", 2, 2)


def test_modes_alone_tell_training_from_evaluation_where_nothing_else_does() -> None:
    network = nn.Sequential(nn.BatchNorm1d(4))
    with observing_uses(network) as observer:
        network(torch.randn(8, 4))
        network(torch.randn(8, 4))
        observer.step(1)
        network.eval()
        with torch.no_grad():
            network(torch.randn(6, 4))
    (found,) = observer.uses()
    assert (found.in_training, found.in_evaluation) == ("batch", "running")
    assert (found.passes, found.calls, found.evaluation_images, found.idle) == (2, 2, 6, 0)


def test_a_pass_without_gradient_in_training_mode_is_idle() -> None:
    network = nn.Sequential(nn.BatchNorm1d(4))
    with observing_uses(network) as observer, torch.no_grad():
        network(torch.randn(8, 4))
        observer.step(1)
    assert observer.uses()[0].idle == 1


def test_only_what_the_optimiser_updates_is_trained() -> None:
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
    assert not NormObserver(network, trained=network[1].parameters()).uses()[0].trains
    assert NormObserver(network).uses()[0].trains


def test_no_hook_stays_behind() -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ArithmeticError

    network = nn.Sequential(nn.BatchNorm2d(1), Failing())
    with pytest.raises(ArithmeticError), observing_uses(network):
        network(torch.randn(2, 1, 4, 4))
    trainer = Trainer(healthy := seeding.build(make_network, 0), DATA, CONFIG)
    epochs = trainer.epochs()
    next(epochs)
    epochs.close()  # type: ignore[attr-defined]
    for module in (*network.modules(), *healthy.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("norm", ["batch", "scratch"])
def test_looking_changes_no_bit(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for looks in (True, False):
        if not looks:
            monkeypatch.setattr(NormObserver, "attach", lambda self: None)
        network = seeding.build(lambda: make_network(norm, dropout=0.5), 0)
        list(Trainer(network, DATA, CONFIG).epochs())
        states.append(network.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_no_test_image_enters_the_running_statistics() -> None:
    def trained(data: Any) -> Tensor:
        network = seeding.build(lambda: Single(nn.BatchNorm2d(4), in_training), 0)
        list(Trainer(network, data, CONFIG).epochs())
        return network.get_buffer("norm.running_mean")

    other = replace(DATA, test=make_data(test=33).test)
    assert torch.equal(trained(DATA), trained(other))


@pytest.mark.parametrize(
    ("norm", "use", "batch", "running"),
    [
        (nn.BatchNorm2d(4), None, None, True),
        (nn.BatchNorm2d(4), in_training, 20, False),
        (nn.BatchNorm2d(4, track_running_stats=False), None, 20, False),
        (nn.BatchNorm2d(4), in_evaluation, None, True),
        (nn.InstanceNorm2d(4), None, None, False),
    ],
)
def test_an_accuracy_by_test_batches_is_not_sold_as_another(
    norm: nn.Module, use: Any, batch: int | None, running: bool
) -> None:
    *_, last = Trainer(Single(norm, use), DATA, CONFIG).epochs()
    assert last.test_batch == batch
    assert (last.test_accuracy_running is not None) == running
    if use is in_evaluation:  # precise statistics would be another network
        assert (last.test_loss, last.test_accuracy) == (last.test_loss_running, last.test_accuracy_running)


def test_a_layer_on_another_device_type_has_no_values_to_read() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    with observing_uses(network) as observer:
        network(torch.empty(2, 1, 8, 8, device="meta"))
    assert observer._seen[0].modes["training"] == {"batch"}
