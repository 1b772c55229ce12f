"""Faults planted in a trained network are found with their cause, and a healthy one is cleared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from archlab.normalisation import examine
from archlab.normalisation.activations import ZeroCounter
from archlab.records.norm_health import NormHealth
from tests.normalisation.trained import SOURCE, Forced, State, build, saved, trained

IMAGES = 600


def looked_at(path: Path) -> NormHealth:
    return examine(SOURCE, "digits", weights=path, images=IMAGES, batch_size=64)


def found(health: NormHealth) -> dict[str, str]:
    return {verdict.check: verdict.layer for verdict in health.alarming}


@pytest.mark.parametrize("batch_size", [32, 64])
def test_a_healthy_network_is_cleared(tmp_path: Path, batch_size: int) -> None:
    health = examine(SOURCE, "digits", weights=saved(tmp_path), images=IMAGES, batch_size=batch_size)
    assert not health.alarming
    good = {verdict.check for verdict in health.verdicts if verdict.level == "good"}
    assert {"batch-noise", "channels", "folding"} <= good
    accuracies = [one.accuracy or 0 for one in health.outcomes]
    assert min(accuracies) > 0.9
    assert max(accuracies) - min(accuracies) < 0.02


def test_a_healthy_module_is_cleared_and_stays_as_it_is() -> None:
    network = build()
    network.load_state_dict(trained())
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert not examine(network, "digits", images=IMAGES).alarming
    assert not network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def little_momentum(state: State) -> None:
    """As after steps of which (1 - momentum)^steps leaves 0.7 of the start."""
    for layer in ("1", "4"):
        state[f"{layer}.running_mean"] *= 0.3
        state[f"{layer}.running_var"] = 0.7 + 0.3 * state[f"{layer}.running_var"]


def poisoned(state: State) -> None:
    state["4.running_mean"] += 4 * state["4.running_var"].sqrt()


def not_finite(state: State) -> None:
    state["1.running_var"][3] = torch.inf


def never_updated(state: State) -> None:
    for layer in ("1", "4"):
        state[f"{layer}.running_mean"].zero_()
        state[f"{layer}.running_var"].fill_(1)
        state[f"{layer}.num_batches_tracked"].zero_()


def without_statistics(state: State) -> None:
    for name in [name for name in state if "running" in name]:
        del state[name]


def dead_gamma(state: State) -> None:
    state["4.weight"][:12] = state["4.bias"][:12] = 0


def dead_beta(state: State) -> None:
    state["4.bias"][:12] = -20


def collapsed(state: State) -> None:
    state["3.weight"][:12] = 0
    state["4.running_mean"][:12] = state["4.running_var"][:12] = 0


def near_epsilon(state: State) -> None:
    scale = 1e-4**0.5 / state["1.running_var"].sqrt()
    state["0.weight"] *= scale.view(-1, 1, 1, 1) / 2
    state["1.running_mean"] *= scale / 2
    state["1.weight"] *= (1 + 1e-5 / 2.5e-5) ** 0.5  # so that only the first layer is touched
    state["1.running_var"] *= (scale / 2) ** 2


@pytest.mark.parametrize(
    ("change", "expected", "phrase"),
    [
        (little_momentum, {"running-statistics": None, "initial-values": None}, "70 % of the initial 1"),
        (poisoned, {"running-statistics": "4"}, "in 1 of 2 BatchNorm layers"),
        (not_finite, {"statistics-not-finite": "1"}, "1 of 16 channels"),
        (never_updated, {"never-updated": "1"}, "their counters say 0 batches"),
        (without_statistics, {"weights-without-statistics": "1"}, "the running statistics of 2 of 2"),
        (dead_gamma, {"dead-channels": "4", "always-off": "4"}, "by gamma"),
        (dead_beta, {"always-off": "4"}, "12 by beta"),
        (collapsed, {"collapsed-channels": "4"}, "12 of 32 channels"),
        (near_epsilon, {"variance-near-eps": "1"}, "below 10 eps"),
    ],
)
def test_a_planted_fault_is_found(
    tmp_path: Path, change: Callable[[State], None], expected: dict[str, str | None], phrase: str
) -> None:
    health = looked_at(saved(tmp_path, change))
    said = found(health)
    assert expected.keys() <= said.keys()
    assert all(layer in (None, said[check]) for check, layer in expected.items())
    assert any(phrase.lower() in verdict.text.lower() for verdict in health.alarming)


@pytest.mark.parametrize(
    ("change", "absent"),
    [
        (poisoned, "initial-values"),
        (dead_gamma, "running-statistics"),
        (dead_beta, "dead-channels"),
        (near_epsilon, "running-statistics"),
        (never_updated, "initial-values"),
    ],
)
def test_a_fault_is_not_taken_for_another(tmp_path: Path, change: Callable[[State], None], absent: str) -> None:
    assert absent not in found(looked_at(saved(tmp_path, change)))


def test_a_network_that_forces_training_mode_is_named() -> None:
    network = Forced()
    network.net.load_state_dict(trained())
    health = examine(network, "digits", images=IMAGES)
    assert found(health) == {"evaluation-mode": "net.1"}


def test_a_network_without_running_statistics_is_named() -> None:
    network = build(tracks=False)
    state = trained()
    network.load_state_dict({name: value for name, value in state.items() if name in network.state_dict()})
    health = examine(network, "digits", images=IMAGES, batch_size=64)
    assert found(health) == {"no-running-statistics": "1"}
    assert [one.statistics for one in health.outcomes] == ["batch"]
    assert (health.outcomes[0].accuracy or 0) > 0.9


def test_another_number_of_classes_is_named(tmp_path: Path) -> None:
    def other_head(state: State) -> None:
        state["8.weight"], state["8.bias"] = torch.zeros(7, 128), torch.zeros(7)

    class Fixed(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(*build().children())

    health = examine(Fixed, "digits", weights=saved(tmp_path, other_head), images=IMAGES)
    assert "weights-not-loaded" in found(health)
    assert health.weights is not None
    assert [(one.name, one.stored, one.expected) for one in health.weights.wrong] == [
        ("8.weight", (7, 128), (10, 128)),
        ("8.bias", (7,), (10,)),
    ]


def test_without_images_the_weights_alone_are_judged(tmp_path: Path) -> None:
    health = examine(SOURCE, weights=saved(tmp_path, dead_gamma))
    assert health.data is None
    assert not health.outcomes
    assert found(health) == {"dead-channels": "4"}
    assert health.folding is not None
    assert health.folding.folded == ("1", "4")


def test_without_labels_the_answers_that_change_are_counted(tmp_path: Path) -> None:
    from archlab.training import datasets, images

    pixels = datasets.prepare(images.load_images("digits"), None).test.images[:200].float() / 255
    health = examine(SOURCE, pixels, weights=saved(tmp_path, poisoned), images=200)
    (verdict,) = [verdict for verdict in health.alarming if verdict.check == "running-statistics"]
    assert "% of the answers change" in verdict.text
    assert verdict.layer == "4"
    assert not examine(SOURCE, pixels, weights=saved(tmp_path), images=200).alarming


@pytest.mark.parametrize("function", [nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.ReLU(inplace=True)])
def test_zeros_are_counted_behind_the_function_that_takes_the_layers_output(function: nn.Module) -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), function, nn.Flatten(), nn.Linear(12, 2)).eval()
    with torch.no_grad(), ZeroCounter({"0": network[0]}) as zeros:
        # Channel 0 is at -9, where all of them give 0, channel 1 at 2, channel 2 at 0 in a quarter of its places.
        x = torch.tensor([-9.0, 2.0, 1.0]).view(1, 3, 1, 1).expand(2, 3, 2, 2).clone()
        x[:, 2, 0, 0] = 0
        network(x)
    assert zeros.shares()["0"].tolist() == [1, 0, 0.25]
