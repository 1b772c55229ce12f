"""Runs made by hand, for the tests of what is made of runs."""

from __future__ import annotations

from archlab.records import Epoch, Run, TrainingConfig, Value


def epoch(number: int, accuracy: float, running: float | None = None, loss: float = 0.5) -> Epoch:
    return Epoch(
        epoch=number,
        step=10 * number,
        seconds=2.0 * number,
        train_loss=loss,
        train_accuracy=accuracy + 0.01,
        test_loss=loss + 0.1,
        test_accuracy=accuracy,
        test_loss_running=None if running is None else loss + 0.2,
        test_accuracy_running=running,
    )


def run(
    variant: str,
    seed: int,
    *accuracies: float,
    running: float | None = None,
    status: str = "finished",
    loss: float = 0.5,
    **settings: Value,
) -> Run:
    """A run whose epochs end with the given test accuracies; `norm=none` becomes an option of the network."""
    options: dict[str, Value] = {}
    for part in variant.split(", "):
        name, mark, value = part.partition("=")
        options |= {name: value} if mark else {}
    config = TrainingConfig(variant=variant, seed=seed, options=options, **settings)  # type: ignore[arg-type]
    epochs = tuple(epoch(number, value, running, loss) for number, value in enumerate(accuracies, start=1))
    return Run(
        key=f"{variant}-{seed}",
        config=config,
        status=status,  # type: ignore[arg-type]
        epochs=epochs,
        environment={"torch": "2.14", "pid": seed},
        parameters=44_878,
    )


def pair(baseline: list[float], variant: list[float], running: float | None = None) -> list[Run]:
    """Runs of `norm=batch` and `norm=none`, seed by seed, of two epochs that end with these test accuracies."""
    sides = (("norm=batch", baseline, running), ("norm=none", variant, None))
    return [
        run(name, seed, values[seed] / 2, values[seed], running=running_accuracy)
        for seed in range(max(len(baseline), len(variant)))
        for name, values, running_accuracy in sides
        if seed < len(values)
    ]
