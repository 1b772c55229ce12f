"""The one sentence that says what a comparison found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from archlab.analysis.comparison import summarise
from archlab.analysis.headline import headline, runs_headline
from archlab.records import Comparison, Epoch, Run, TrainingConfig, Value

Options = dict[str, Value]
WITH: Options = {"norm": "batch"}
WITHOUT: Options = {"norm": "none"}
NEAR = (0.002, -0.003, 0.001, 0.0, 0.003, -0.002)


def compared(
    sides: Sequence[tuple[Options, float]], noise: Sequence[float] = NEAR, network: str = "lenet"
) -> Comparison:
    """A comparison whose runs end at these accuracies, with noise by seed that grows from side to side."""
    runs = []
    for place, (options, accuracy) in enumerate(sides):
        variant = ", ".join(f"{name}={value}" for name, value in options.items())
        for seed, error in enumerate(noise):
            named = {name: value for name, value in options.items() if name in ("norm", "skip", "depth")}
            config = TrainingConfig(
                network=str(options.get("network", network)),
                options=named,
                variant=variant,
                seed=seed,
                epochs=1,
                batch_size=int(options.get("batch_size", 16)),
            )
            value = accuracy + (place + 1) * error
            epochs = (Epoch(1, 6, 0.5, 1.0, value, 1.0, value),)
            runs.append(Run(f"{variant}-{seed}", config, "finished", epochs))
    return summarise(runs)


@pytest.mark.parametrize(
    ("sides", "noise", "text", "more"),
    [
        pytest.param(
            [(WITH, 0.94), (WITHOUT, 0.10)],
            NEAR,
            "Without BatchNorm, LeNet stays at chance: 10 % against 94 % test accuracy, in 6 of 6 seeds.",
            "",
            id="chance",
        ),
        pytest.param(
            [(WITH, 0.94), (WITHOUT, 0.15)],
            NEAR,
            "Without BatchNorm, LeNet reaches a lower test accuracy: 15 % against 94 %, in 6 of 6 seeds.",
            "",
            id="above chance: 3 standard errors of 359 images are 4.75 points",
        ),
        pytest.param(
            [({"skip": "off"}, 0.90), ({"skip": "on"}, 0.95)],
            NEAR,
            "With skip connections, LeNet reaches a higher test accuracy: 95.0 % against 90.0 %, in 6 of 6 seeds.",
            "",
            id="higher",
        ),
        pytest.param(
            [(WITH, 0.94), ({"norm": "group"}, 0.9402)],
            NEAR,
            "With GroupNorm, LeNet reaches the same test accuracy within 1 point: 94.05 % against 94.02 %, 6 seeds.",
            "",
            id="equal",
        ),
        pytest.param(
            [(WITH, 0.94), (WITHOUT, 0.93)],
            (0.01,),
            "One seed can't tell whether LeNet has another test accuracy without BatchNorm: 95.00 % against 95.00 %.",
            "",
            id="one seed",
        ),
        pytest.param(
            [(WITH, 0.90), (WITHOUT, 0.85)],
            (0.0, 0.05, -0.05),
            "3 seeds can't tell yet whether LeNet has another test accuracy without BatchNorm: 85.0 % against 90.0 %; "
            "about 10 would.",
            "",
            id="unclear",  # differences -5, 0 and -10 points
        ),
        pytest.param(
            [
                ({**WITH, "batch_size": 4}, 0.95),
                ({**WITH, "batch_size": 64}, 0.95),
                ({**WITHOUT, "batch_size": 4}, 0.50),
                ({**WITHOUT, "batch_size": 64}, 0.10),
            ],
            NEAR,
            "Without BatchNorm, LeNet at batch size 64 stays at chance: 10 % against 95 % test accuracy, "
            "in 6 of 6 seeds.",
            "Of 4 paired differences: 3 different, 1 equal. What the normalisation does depends on batch size.",
            id="crossed",
        ),
    ],
)
def test_the_sentence(sides: list[tuple[Options, float]], noise: Sequence[float], text: str, more: str) -> None:
    found = headline(compared(sides, noise))
    assert found is not None
    assert (found.text, found.more) == (text, more)


def run(accuracy: float, running: float | None = None, seed: int = 0, epochs: int = 1) -> Run:
    ends = tuple(Epoch(at + 1, 6, 0.5, 1.0, accuracy, 1.0, accuracy, None, running) for at in range(epochs))
    return Run(f"lenet-{seed}", TrainingConfig(seed=seed, epochs=epochs), "finished", ends)


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        pytest.param(
            [run(0.979, 0.969, epochs=5)],
            "LeNet reaches 97.9 % test accuracy with precise statistics, 96.9 % in evaluation (running statistics), "
            "after 5 epochs: one run, which says nothing of other seeds.",
            id="one",
        ),
        pytest.param(
            [run(0.10), run(0.12, seed=1)],
            "LeNet stays at chance: 10.0 to 12.0 % test accuracy, after 1 epoch: 2 runs.",
            id="at chance",
        ),
    ],
)
def test_runs_that_nobody_compares(runs: list[Run], text: str) -> None:
    found = runs_headline(runs)
    assert found is not None
    assert found.text == text
    assert runs_headline([replace(runs[0], epochs=())]) is None


def test_an_accuracy_by_test_batches_is_called_so() -> None:
    batched = replace(Epoch(1, 6, 0.5, 2.3, 0.1, 0.6, 0.8), test_batch=256)
    found = runs_headline([Run("a", TrainingConfig(epochs=1), "finished", (batched,))])
    assert found is not None
    assert found.text.startswith("LeNet reaches 80.0 % test accuracy by the statistics of test batches of 256 images, ")


def test_without_two_variants_there_is_none() -> None:
    assert headline(compared([(WITH, 0.9)])) is None
