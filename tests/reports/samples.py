"""Records and stores for the tests of reports, made by hand: no torch, no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from archlab.analysis.comparison import summarise
from archlab.records import (
    Comparison,
    Epoch,
    Layer,
    NormRecording,
    Run,
    Totals,
    Trace,
    TrainingConfig,
    Value,
)
from archlab.store import Store, open_store

STEPS_PER_EPOCH = 6
CHARTS = 20
"""On the page of `lenet_trace` and the comparison."""
ENVIRONMENT: dict[str, Value] = {
    "python": "3.11.9",
    "torch": "2.9.0",
    "device": "cpu",
    "threads": 1,
    "data": "sha256:1f2e",
}


def lenet_trace(network: str = "lenet", conv: str = "conv_1", kind: str = "Conv2d") -> Trace:
    """The first layers of LeNet and its head: 156 + 12 + 2,570 = 2,738 parameters."""
    rows = (
        Layer(conv, kind, 1, ((1, 1, 28, 28),), ((1, 6, 24, 24),), 156, 86_400, own_parameters=156, inputs=(-1,)),
        Layer("norm_1", "BatchNorm2d", 1, ((1, 6, 24, 24),), ((1, 6, 24, 24),), 12, 0, buffers=13, inputs=(0,)),
        Layer("pool_1", "MaxPool2d", 1, ((1, 6, 24, 24),), ((1, 6, 12, 12),), 0, 0, inputs=(1,)),
        Layer("head", "Sequential", 1, ((1, 6, 12, 12),), ((1, 10),), 2_570, 2_560, inputs=(2,)),
        Layer("head.flatten", "Flatten", 2, ((1, 6, 12, 12),), ((1, 864),), 0, 0, inputs=(2,)),
        Layer("head.linear", "Linear", 2, ((1, 864),), ((1, 10),), 2_570, 2_560, own_parameters=2_570, inputs=(4,)),
    )
    totals = Totals(2_738, 2_738, 13, 88_960, 177_920, counted_operations=5)
    return Trace(network, ((1, 1, 28, 28),), rows, totals, options={"norm": "batch"})


def unlike(place: int) -> Trace:
    """A network that shares no layer with another one's."""
    trace = lenet_trace(f"net{place}")
    return replace(trace, layers=tuple(replace(layer, detail=f"{place}") for layer in trace.layers))


def recording(steps: int, channels: Sequence[int] = (6, 16), epochs: int = 3, seed: int = 0) -> NormRecording:
    """Running statistics that follow noisy batch statistics, as momentum 0.1 makes them; row 0 is before any batch."""
    random = np.random.default_rng(seed)
    layers: dict[str, dict[str, np.ndarray]] = {}
    population: dict[str, dict[str, np.ndarray]] = {}
    at = np.arange(steps + 1)[:, None]
    ends = [steps * (epoch + 1) // epochs for epoch in range(epochs)]
    for place, width in enumerate(channels):
        goal_mean, goal_var = random.normal(0, 1, width), random.uniform(0.3, 3, width)
        grown = 1 - np.exp(-at / (steps / 3))
        batch_mean = goal_mean * grown + random.normal(0, 0.1, (steps + 1, width))
        batch_var = (0.2 + goal_var * grown) * np.exp(random.normal(0, 0.1, (steps + 1, width)))
        running_mean, running_var = np.zeros((steps + 1, width)), np.ones((steps + 1, width))
        batch_mean[0] = batch_var[0] = np.nan
        for step in range(1, steps + 1):
            running_mean[step] = 0.9 * running_mean[step - 1] + 0.1 * batch_mean[step]
            running_var[step] = 0.9 * running_var[step - 1] + 0.1 * batch_var[step]
        arrays = {
            "running_mean": running_mean,
            "running_var": running_var,
            "batch_mean": batch_mean,
            "batch_var": batch_var,
            "gamma": 1 + 0.3 * grown * random.normal(0, 1, width),
            "beta": 0.3 * grown * random.normal(0, 1, width),
        }
        layers[f"norm_{place + 1}"] = {name: array.astype(np.float32) for name, array in arrays.items()}
        population[f"norm_{place + 1}"] = {
            "mean": (goal_mean * grown)[ends].astype(np.float32),
            "variance": (0.2 + goal_var * grown)[ends].astype(np.float32),
        }
    return NormRecording(tuple(range(steps + 1)), layers, population)


def add_run(
    store: Store,
    variant: str,
    seed: int,
    *,
    epochs: int = 3,
    steps_an_epoch: int = STEPS_PER_EPOCH,
    recorded: bool = True,
) -> Run:
    """A finished run in the store whose curves fall as curves do; `norm=none` learns more slowly."""
    random = np.random.default_rng(1000 * ("none" in variant) + seed)
    config = TrainingConfig(variant=variant, seed=seed, epochs=epochs, batch_size=300)
    steps = epochs * steps_an_epoch
    pace = 0.35 if "none" in variant else 1.0
    fall = np.exp(-pace * np.arange(1, steps + 1) / (steps / 3))
    loss = 2.3 * fall * np.exp(random.normal(0, 0.08, steps)) + 0.05
    accuracy = np.clip(1 - 0.9 * fall + random.normal(0, 0.01, steps), 0, 1)
    writer = store.writer(config, ENVIRONMENT, parameters=44_878)
    with writer:
        for epoch in range(1, epochs + 1):
            end = epoch * steps_an_epoch
            test = float(accuracy[end - 1]) - 0.02
            writer.append(
                Epoch(
                    epoch=epoch,
                    step=end,
                    seconds=0.5 * epoch,
                    train_loss=float(loss[end - steps_an_epoch : end].mean()),
                    train_accuracy=float(accuracy[end - steps_an_epoch : end].mean()),
                    test_loss=float(loss[end - 1]) + 0.05,
                    test_accuracy=test,
                    test_loss_running=None if "none" in variant else float(loss[end - 1]) + 0.2,
                    test_accuracy_running=None if "none" in variant else test - 0.05 * random.random(),
                )
            )
        curves = {"step": np.arange(1, steps + 1), "train_loss": loss, "train_accuracy": accuracy}
        return writer.finish(curves, recording(steps, seed=seed) if recorded and "none" not in variant else None)


def comparison_of(runs: Sequence[Run], store: Store | None = None) -> Comparison:
    """The comparison of finished runs; the first variant is the baseline."""
    comparison = summarise(runs, command="archlab compare --bn off")
    return store.save_comparison(comparison) if store else comparison


def experiment(
    path: Path, seeds: int = 3, variants: Sequence[str] = ("norm=batch", "norm=none")
) -> tuple[Store, Comparison]:
    """A store with a comparison in it."""
    store = open_store(path)
    runs = [add_run(store, variant, seed) for variant in variants for seed in range(seeds)]
    return store, comparison_of(runs, store)
