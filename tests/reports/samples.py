"""Records and stores for the tests of reports, made by hand: no torch, no training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from archlab.records import (
    Comparison,
    Difference,
    Epoch,
    Estimate,
    Layer,
    NormRecording,
    Run,
    Totals,
    Trace,
    TrainingConfig,
    VariantResult,
)
from archlab.store import Store, open_store

STEPS_AN_EPOCH = 6
ENVIRONMENT = {"python": "3.11.9", "torch": "2.9.0", "device": "cpu", "threads": 1, "data": "sha256:1f2e"}


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


def recording(steps: int, channels: Sequence[int] = (6, 16), epochs: int = 3, seed: int = 0) -> NormRecording:
    """Running statistics that follow noisy batch statistics, as momentum 0.1 makes them."""
    random = np.random.default_rng(seed)
    layers: dict[str, dict[str, np.ndarray]] = {}
    population: dict[str, dict[str, np.ndarray]] = {}
    at = np.arange(steps)[:, None]
    ends = [steps * (epoch + 1) // epochs - 1 for epoch in range(epochs)]
    for place, width in enumerate(channels):
        goal_mean, goal_var = random.normal(0, 1, width), random.uniform(0.3, 3, width)
        grown = 1 - np.exp(-at / (steps / 3))
        batch_mean = goal_mean * grown + random.normal(0, 0.1, (steps, width))
        batch_var = (0.2 + goal_var * grown) * np.exp(random.normal(0, 0.1, (steps, width)))
        running_mean, running_var = np.zeros((steps, width)), np.ones((steps, width))
        for step in range(1, steps):
            running_mean[step] = 0.9 * running_mean[step - 1] + 0.1 * batch_mean[step - 1]
            running_var[step] = 0.9 * running_var[step - 1] + 0.1 * batch_var[step - 1]
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
    return NormRecording(tuple(range(steps)), layers, population)


def add_run(
    store: Store, variant: str, seed: int, *, epochs: int = 3, steps_an_epoch: int = STEPS_AN_EPOCH, recorded: bool = True
) -> Run:
    """A finished run in the store whose curves fall as curves do; `norm=none` learns more slowly."""
    random = np.random.default_rng(1000 * len(variant) + seed)
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


def estimate(values: Sequence[float]) -> Estimate:
    """A mean with a rough interval: good enough to be drawn."""
    n = len(values)
    mean = sum(values) / n
    half = 2.0 * math.sqrt(sum((value - mean) ** 2 for value in values) / max(n - 1, 1) / n)
    return Estimate(n, mean, mean - half, mean + half, tuple(values))


def comparison_of(runs: Sequence[Run], store: Store | None = None) -> Comparison:
    """A comparison of finished runs; the first variant is the baseline."""
    names = list(dict.fromkeys(run.config.variant for run in runs))
    grouped = {name: [run for run in runs if run.config.variant == name] for name in names}
    metrics = ("test_accuracy", "test_accuracy_running", "test_loss", "train_accuracy")
    variants = []
    for name, members in grouped.items():
        found = {metric: [run.metric(metric) for run in members] for metric in metrics}
        kept = {metric: estimate(values) for metric, values in found.items() if None not in values}  # type: ignore[arg-type]
        variants.append(VariantResult(name, kept))
    differences = []
    for variant in variants[1:]:
        for metric in ("test_accuracy", "test_loss"):
            pairs = zip(variants[0].metrics[metric].values, variant.metrics[metric].values, strict=True)
            part = estimate([after - before for before, after in pairs])
            differences.append(
                Difference(part.n, part.mean, part.low, part.high, 0.031, 0.4, metric, names[0], variant.name, part.values)
            )
    comparison = Comparison(
        network="lenet",
        dataset="digits",
        seeds=tuple(run.config.seed for run in grouped[names[0]]),
        variants=tuple(variants),
        differences=tuple(differences),
        findings=("Without BatchNorm, LeNet's test accuracy is lower by 20.1 points (95 % interval 18.2 to 22.0, n = 6 pairs).",),
        runs=tuple(run.key for run in runs),
        settings={"epochs": 3, "batch_size": 300, "learning_rate": 0.001},
        environment=dict(ENVIRONMENT),
        command="archlab compare --bn off",
        created="2026-03-01T12:00:00+01:00",
    )
    return store.save_comparison(comparison) if store else comparison


def experiment(path: Path, seeds: int = 3, variants: Sequence[str] = ("norm=batch", "norm=none")) -> tuple[Store, Comparison]:
    """A store with a comparison in it."""
    store = open_store(path)
    runs = [add_run(store, variant, seed) for variant in variants for seed in range(seeds)]
    return store, comparison_of(runs, store)
