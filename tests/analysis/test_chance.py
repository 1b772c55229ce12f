"""Whether runs and variants are above chance: one question, asked in one way."""

from __future__ import annotations

import pytest

from archlab.analysis.chance import has_learnt, variant_has_learnt
from archlab.analysis.comparison import summarise
from archlab.records import Epoch, Run, TrainingConfig


def ended(precise: float, running: float | None = None, **chosen: object) -> Run:
    config = TrainingConfig(epochs=1, **chosen)  # type: ignore[arg-type]
    epoch = Epoch(1, 6, 0.5, 2.3, 0.1, 2.3, precise, test_accuracy_running=running)
    return Run("run", config, "finished", (epoch,))


@pytest.mark.parametrize(
    ("run", "learnt"),
    [
        # 359 digits of ten classes: 0.1 + 3 sqrt(0.1 x 0.9 / 359) = 0.1475
        (ended(0.14), False),
        (ended(0.15), True),
        (ended(0.10, 0.15), True),  # running statistics count too
        (ended(0.15, 0.10), True),
        (ended(0.15, test_samples=100), False),  # 0.1 + 3 x 0.03 = 0.19
        (ended(0.02, dataset="cifar100"), True),  # 0.01 + 3 sqrt(0.01 x 0.99 / 10,000) = 0.013
        (ended(0.9, dataset="photos"), None),  # nobody says how many classes there are
        (Run("run", TrainingConfig(), "running"), None),
    ],
)
def test_a_run_above_chance_has_learnt(run: Run, learnt: bool | None) -> None:
    assert has_learnt(run) is learnt


@pytest.mark.parametrize(("accuracies", "learnt"), [((0.1, 0.14), False), ((0.1, 0.15), True)])
def test_a_variant_has_learnt_if_one_of_its_runs_has(accuracies: tuple[float, ...], learnt: bool) -> None:
    runs = [ended(value, seed=seed, variant="a") for seed, value in enumerate(accuracies)]
    comparison = summarise([*runs, *(ended(0.9, seed=seed, variant="b") for seed in range(2))])
    assert variant_has_learnt(comparison.variants[0], comparison) is learnt
