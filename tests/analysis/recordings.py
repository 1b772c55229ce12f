"""Runs with what was recorded of them, made by hand, healthy unless a fault is planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from archlab.records import Epoch, NormRecording, Run, TrainingConfig
from archlab.records.run import Status

EPOCHS, STEPS = 4, 30
"""Epochs of a run, and steps of an epoch."""
CHANNELS = {"stem.norm": 8, "head.norm": 16}


@dataclass(frozen=True)
class Trained:
    """A run and everything that is kept of it."""

    run: Run
    recording: NormRecording | None
    losses: Any
    """(steps,)"""

    def at(self, status: Status, error: str = "") -> Trained:
        return replace(self, run=replace(self.run, status=status, error=error))

    def configured(self, **settings: Any) -> Trained:
        return replace(self, run=replace(self.run, config=replace(self.run.config, **settings)))

    def ending(self, **values: Any) -> Trained:
        """With other measurements at the end of the last epoch."""
        *others, last = self.run.epochs
        return replace(self, run=replace(self.run, epochs=(*others, replace(last, **values))))

    def held(self, path: str, **arrays: Callable[[Any], Any]) -> Trained:
        """With quantities of a layer put through functions, those of its population too (`mean`, `variance`)."""
        assert self.recording is not None
        layer, population = dict(self.recording.layers[path]), dict(self.recording.population[path])
        for name, change in arrays.items():
            part = population if name in population else layer
            part[name] = change(part[name].copy())
        recording = replace(
            self.recording,
            layers={**self.recording.layers, path: layer},
            population={**self.recording.population, path: population},
        )
        return replace(self, recording=recording)


@dataclass(frozen=True)
class Kept:
    """Several runs, as `examine` takes them."""

    runs: tuple[Run, ...]
    recordings: Mapping[str, NormRecording | None] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def kept(*many: Trained) -> Kept:
    return Kept(
        tuple(one.run for one in many),
        {one.run.key: one.recording for one in many},
        {one.run.key: {"train_loss": one.losses} for one in many if one.losses is not None},
    )


def healthy(
    seed: int = 0,
    variant: str = "norm=batch",
    *,
    epochs: int = EPOCHS,
    every: int = 1,
    momentum: float = 0.1,
    noise: float = 0.05,
    unit: float = 1.0,
) -> Trained:
    """A run in which nothing is wrong.

    Args:
        seed: of the noise, and the run's.
        variant: the run's.
        epochs: of `STEPS` steps each.
        every: steps between two records.
        momentum: of the running statistics.
        noise: of the batch means, in population standard deviations, and of the batch variances, relative.
        unit: factor on what the layers see.
    """
    random = np.random.default_rng(seed)
    steps = epochs * STEPS
    layers: dict[str, Any] = {}
    population: dict[str, Any] = {}
    for path, width in CHANNELS.items():
        mean, deviation = random.normal(0, 1, width), random.uniform(0.5, 2, width)
        batch_mean = unit * (mean + noise * deviation * random.normal(0, 1, (steps + 1, width)))
        batch_var = unit**2 * deviation**2 * np.exp(noise * random.normal(0, 1, (steps + 1, width)))
        layers[path] = {
            **averaged(batch_mean, batch_var, np.zeros(width), unit**2 * np.ones(width), momentum),
            "gamma": 1 + 0.1 * random.normal(0, 1, (steps + 1, width)),
            "beta": 0.2 * random.normal(0, 1, (steps + 1, width)),
        }
        population[path] = {
            "mean": np.tile(unit * mean, (epochs, 1)),
            "variance": np.tile(unit**2 * deviation**2, (epochs, 1)),
        }
    recording = thinned(NormRecording(tuple(range(steps + 1)), layers, population), every)
    losses = 0.1 + 2.2 * np.exp(-np.arange(steps) / (steps / 5)) * np.exp(random.normal(0, 0.05, steps))
    config = TrainingConfig(variant=variant, seed=seed, epochs=epochs, batch_size=64)
    key = f"{variant}-{seed}"
    ended = tuple(
        _epoch(number, losses[STEPS * number - STEPS : STEPS * number], seed) for number in range(1, epochs + 1)
    )
    return Trained(Run(key, config, "finished", ended), recording, losses)


def averaged(batch_mean: Any, batch_var: Any, start_mean: Any, start_var: Any, momentum: float) -> dict[str, Any]:
    """The batch statistics with the running ones that follow them; row 0 comes before any batch."""
    running_mean, running_var = np.empty_like(batch_mean), np.empty_like(batch_var)
    running_mean[0], running_var[0] = start_mean, start_var
    for row in range(1, len(batch_mean)):
        running_mean[row] = (1 - momentum) * running_mean[row - 1] + momentum * batch_mean[row]
        running_var[row] = (1 - momentum) * running_var[row - 1] + momentum * batch_var[row]
    batch_mean[0] = batch_var[0] = np.nan
    return {
        "running_mean": running_mean,
        "running_var": running_var,
        "batch_mean": batch_mean,
        "batch_var": batch_var,
    }


def thinned(recording: NormRecording, every: int) -> NormRecording:
    """The first row, every so many, and those at the ends of epochs."""
    rows = [step for step in recording.steps if step % every == 0 or step % STEPS == 0]
    layers = {path: {name: values[rows] for name, values in layer.items()} for path, layer in recording.layers.items()}
    return replace(recording, steps=tuple(rows), layers=layers)


def _epoch(number: int, losses: Any, seed: int) -> Epoch:
    accuracy = 0.95 - 0.2 / number + 0.002 * seed
    return Epoch(
        epoch=number,
        step=STEPS * number,
        seconds=float(number),
        train_loss=float(losses.mean()),
        train_accuracy=accuracy,
        test_loss=float(losses.mean()),
        test_accuracy=accuracy,
        test_loss_running=float(losses.mean()),
        test_accuracy_running=accuracy - 0.002,
    )
