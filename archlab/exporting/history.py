"""A run as other tools see it: settings, tags, and numbers by epoch, by step, and of probes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from archlab.analysis.curves import extended
from archlab.errors import InputError
from archlab.exporting.probed import ProbeRow, probe_rows, scalars
from archlab.records import Epoch, Run, Value

if TYPE_CHECKING:
    from archlab.store import Store

TAGS = ("key", "status", "created", "error", "network", "variant", "dataset")
STEP_CURVES = ("train_loss", "train_accuracy", "learning_rate")
MEASURED = tuple(item.name for item in fields(Epoch) if item.name not in ("epoch", "step"))


@dataclass(frozen=True)
class History:
    """One run, flattened."""

    key: str
    tags: dict[str, str]
    """`TAGS`, and `environment.NAME`."""
    parameters: dict[str, Value | None]
    """Every setting of the configuration, `option.NAME` for those of the network, and its number of `parameters`; of a
    watched training the seed, and `setting.NAME` for what is known of it."""
    epochs: tuple[Epoch, ...]
    steps: tuple[tuple[int, *tuple[float | None, ...]], ...]
    """Step, and its `STEP_CURVES`; None where that isn't known."""
    probes: tuple[ProbeRow, ...] = ()

    def metrics(self, epoch: Epoch) -> dict[str, float]:
        """What was measured at the end of an epoch, without what the network has not."""
        return {name: value for name in MEASURED if (value := getattr(epoch, name)) is not None}

    @property
    def started(self) -> float:
        """Seconds since 1970; 0 where it isn't known."""
        try:
            return datetime.fromisoformat(self.tags["created"]).timestamp()
        except ValueError:
            return 0.0

    def seconds_at(self, steps: Sequence[int]) -> list[float]:
        """Training time at some steps, on the line through the ends of epochs; zeros where no epoch has ended."""
        if not self.epochs:
            return [0.0] * len(steps)
        ends = [(0, 0.0), *((epoch.step, epoch.seconds) for epoch in self.epochs)]
        known, seconds = map(np.array, zip(*ends, strict=True))
        found: list[float] = extended(np.array(steps), known, seconds).tolist()
        return found

    def by_step(self, prefix: str) -> Iterator[tuple[str, int, float, float]]:
        """Name, step, value and training time of everything by step: `PREFIXtrain_loss`, and what was probed."""
        curves = (
            (f"{prefix}{name}", step, value)
            for step, *values in self.steps
            for name, value in zip(STEP_CURVES, values, strict=True)
            if value is not None
        )
        every = [*curves, *scalars(self.probes)]
        times = self.seconds_at([step for _, step, _ in every])
        return ((*one, seconds) for one, seconds in zip(every, times, strict=True))


def history(run: Run, store: Store | None) -> History:
    """A run with its curves and probes from the store; without a store it has none.

    Raises:
        StoreError: they can't be read.
    """
    config = asdict(run.config)
    options = config.pop("options")
    named = {name: str(config.pop(name)) for name in ("network", "variant", "dataset")}
    if run.watched is not None:  # whose configuration has no settings
        config = {"seed": run.config.seed} | {f"setting.{name}": value for name, value in run.watched.settings.items()}
    tags = {"key": run.key, "status": run.status, "created": run.created, "error": run.error}
    tags |= named
    tags |= {f"environment.{name}": str(value) for name, value in run.environment.items()}
    return History(
        key=run.key,
        tags=tags,
        parameters={
            **config,
            **{f"option.{name}": value for name, value in options.items()},
            "parameters": run.parameters,
        },
        epochs=run.epochs,
        steps=_steps(run, store),
        probes=_probes(run, store),
    )


def union(columns: Sequence[Sequence[str]]) -> list[str]:
    """Every name once, in the order of first appearance."""
    return list(dict.fromkeys(name for names in columns for name in names))


def _steps(run: Run, store: Store | None) -> tuple[tuple[int, *tuple[float | None, ...]], ...]:
    try:
        curves = store.curves(run.key) if store else {}
    except InputError:  # a run that the store does not hold
        curves = {}
    if not curves:
        return ()
    steps = curves["step"].tolist()
    columns: list[list[float | None]] = []
    for name in STEP_CURVES:
        values = curves[name].tolist() if name in curves else [None] * len(steps)
        untold = run.watched is not None or name == "learning_rate"
        columns.append([None if value is None or (untold and math.isnan(value)) else value for value in values])
    return tuple((int(step), *values) for step, *values in zip(steps, *columns, strict=True))


def _probes(run: Run, store: Store | None) -> tuple[ProbeRow, ...]:
    try:
        return tuple(probe_rows(store.probes(run.key))) if store else ()
    except InputError:  # a run that the store does not hold
        return ()
