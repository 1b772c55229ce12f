"""A training that takes no time: runs made by hand, with the events that a real one sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from archlab.records import Epoch, Run, TrainingConfig
from archlab.store import Store
from archlab.training import Execution, Progress


def made(config: TrainingConfig, store: Store) -> Run:
    """A finished run in the store: accuracy .9 with BatchNorm, .7 without, a percent more for every second seed."""
    has_norm = config.options.get("norm", "batch") == "batch"
    accuracy = (0.9 if has_norm else 0.7) + 0.01 * (config.seed % 2)
    with store.writer(config, {"torch": "2.14"}, 44_878 if has_norm else 44_426) as writer:
        for number in range(1, config.epochs + 1):
            writer.append(
                Epoch(
                    epoch=number,
                    step=number,
                    seconds=float(number),
                    train_loss=0.5,
                    train_accuracy=accuracy,
                    test_loss=0.6,
                    test_accuracy=accuracy,
                    test_loss_running=0.7 if has_norm else None,
                    test_accuracy_running=accuracy - 0.1 if has_norm else None,
                )
            )
        return writer.finish({})


def told(run: Run, progress: Callable[[Progress], None] | None) -> Run:
    """The run, after the events of its training."""
    steps = run.config.epochs
    for event in (
        Progress(run.config, "started", run.key, steps=steps),
        Progress(run.config, "step", run.key, 0, 1, steps),
        Progress(run.config, "epoch", run.key, 1, 1, steps, metrics=run.epochs[0]),
        Progress(run.config, "finished", run.key, steps, steps, steps, run=run),
    ):
        if progress is not None:
            progress(event)
    return run


def train_all(
    configs: Sequence[TrainingConfig],
    execution: Execution,
    progress: Callable[[Progress], None] | None = None,
    sources: Sequence[object] = (),
) -> list[Run]:
    return [told(made(config, execution.home), progress) for config in configs]


def train_all_but_one(
    configs: Sequence[TrainingConfig],
    execution: Execution,
    progress: Callable[[Progress], None] | None = None,
    sources: Sequence[object] = (),
) -> list[Run]:
    """The last run fails."""
    runs = train_all(configs[:-1], execution, progress)
    with execution.home.writer(configs[-1], {"torch": "2.14"}) as writer:
        failed = replace(writer.fail("the network failed on a batch", {}))
    if progress is not None:
        progress(Progress(configs[-1], "failed", failed.key, run=failed, error=failed.error))
    return [*runs, failed]


def diverged(config: TrainingConfig, store: Store, progress: Callable[[Progress], None] | None = None) -> Run:
    """A run whose loss left the bound, after the event of it."""
    with store.writer(config, {"torch": "2.14"}) as writer:
        run = writer.diverge("the loss at step 3 (epoch 1) is nan", {})
    if progress is not None:
        progress(Progress(config, "diverged", run.key, run=run, error=run.error))
    return run


def train_and_diverge(
    configs: Sequence[TrainingConfig],
    execution: Execution,
    progress: Callable[[Progress], None] | None = None,
    sources: Sequence[object] = (),
) -> list[Run]:
    """The last run diverges."""
    return [*train_all(configs[:-1], execution, progress), diverged(configs[-1], execution.home, progress)]


def train_until_stopped(
    configs: Sequence[TrainingConfig],
    execution: Execution,
    progress: Callable[[Progress], None] | None = None,
    sources: Sequence[object] = (),
) -> list[Run]:
    """Ctrl-C comes after the second run."""
    train_all(configs[:2], execution, progress)
    raise KeyboardInterrupt


def train_one(
    config: TrainingConfig, *, execution: Execution, progress: Callable[[Progress], None] | None = None
) -> Run:
    return told(made(config, execution.home), progress)
