"""What the live page shows of one experiment: how far each run is, what each variant reached, the curves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean, median
from typing import Any

from archlab.analysis.metrics import BY_NAME
from archlab.analysis.statistics import estimate
from archlab.analysis.variants import by_variant
from archlab.analysis.wording import spoken_time
from archlab.records import NormRecording, Probes, Run, Smoothness, TrainingConfig
from archlab.records.settings import phrases
from archlab.reports.charts.depth import QUANTITY, Look, depth_chart, latest, map_chart, variant_control
from archlab.reports.charts.lag import latest_lag_chart
from archlab.reports.charts.probing import beta_chart
from archlab.reports.charts.training import SMOOTHING, training_panel
from archlab.reports.material import Experiment
from archlab.reports.panel import Panel
from archlab.reports.text import shortened

ACCURACY = BY_NAME["test_accuracy"]
STOPPED = ("diverged", "failed", "interrupted")
"""States of runs that will not go on by themselves, though they are not finished."""

SHOWN_PROBES = ("signals", "smoothness")
"""The fields of `Probes` that are shown."""
ReadCurves = Callable[[Run], Mapping[str, Any] | None]
"""Gives a run's curves by step, as far as it got; None where there are none."""
ReadProbes = Callable[[Run], Probes | None]
"""Gives what was probed of a run, as far as it got; None where nothing was."""
ReadRecording = Callable[[Run], NormRecording | None]
"""Gives what a run's BatchNorm layers held, as far as it was kept; None where nothing was."""
GOING = ("running", "waiting")
"""States of runs that go on."""
PLANNED = "experiment"
"""The anchor of what a plan trains."""
STARTED = 0.02
"""Share of a run from which on its own pace says how long it takes."""


@dataclass(frozen=True)
class RunSet:
    """The runs of one experiment, those that are planned among them."""

    anchor: str
    """Stays the same whatever else comes into the store."""
    members: tuple[tuple[TrainingConfig, Run | None], ...]


@dataclass(frozen=True)
class RunRow:
    """One run, or one that is planned."""

    variant: str
    place: int
    """Of its variant, for the colour."""
    seed: int
    state: str
    """A run's status, or `waiting`."""
    done: int
    """Epochs that have ended."""
    epochs: int | None
    """How many there will be; None where nobody knows."""
    step: int
    """Optimiser steps so far; 0 where they are not known."""
    share: float
    """What is done of it, from 0 to 1."""
    accuracy: str
    """Of the last epoch on the test data; empty before there is one."""
    seconds: str
    error: str
    left: str = ""
    """How long it will go on; empty where it doesn't, or nobody knows."""


@dataclass(frozen=True)
class Standing:
    """What a variant's runs have reached."""

    variant: str
    place: int
    finished: int
    diverged: int
    runs: int
    mean: str
    """Test accuracy of the finished runs, with its interval and n; empty where none is finished."""
    basis: str


@dataclass(frozen=True)
class Board:
    """One experiment as it stands."""

    anchor: str
    title: str
    facts: str
    rows: tuple[RunRow, ...]
    standings: tuple[Standing, ...]
    panels: tuple[Panel, ...]
    """The curves; then, once there is something of them, BatchNorm and the probes."""
    left: str = ""
    """How long all runs together will go on; empty where none does, or nobody knows."""
    watched: bool = False
    """Whether its runs are trained by loops of others."""

    @property
    def brief(self) -> str:
        """What sets it apart from others of the same network and data, in a few words."""
        names = [standing.variant for standing in self.standings]
        return shortened(", ".join(names) if len(names) > 1 else self.facts, 60)

    @property
    def ended(self) -> int:
        """Runs that will not go on by themselves."""
        return sum(row.state in ("finished", *STOPPED) for row in self.rows)

    @property
    def share(self) -> float:
        """What is done of all the runs that have not broken off, from 0 to 1."""
        going = [row.share for row in self.rows if row.state not in STOPPED]
        return fmean(going) if going else 1.0


def planned(plan: Sequence[TrainingConfig], runs: Iterable[Run]) -> RunSet:
    """The experiment that trains these configurations, the baseline's first, without the store's other runs."""
    found = {_identity(run.config): run for run in runs}
    return RunSet(
        PLANNED,
        tuple({_identity(config): (config, found.get(_identity(config))) for config in plan}.values()),
    )


def short(text: str) -> str:
    """A name for a text that can stand in an anchor or a selector."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _identity(config: TrainingConfig) -> str:
    """The same for two configurations that are."""
    return config.to_json(indent=0)


def board(
    group: RunSet,
    read: ReadCurves,
    read_probes: ReadProbes = lambda run: None,
    read_recording: ReadRecording = lambda run: None,
    now: datetime | None = None,
) -> Board:
    """How an experiment stands, now or at another time."""
    members = group.members
    config = members[0][0]
    watched = any(run is not None and run.watched for _, run in members)
    variants = by_variant(members, lambda member: member[0])
    names = list(variants)
    experiment = Experiment(
        title=f"{config.network} on {config.dataset}",
        variants={name: tuple(run for _, run in found if run is not None) for name, found in variants.items()},
    )
    epoch_steps = {_size(config): run.epochs[0].step for config, run in members if run is not None and run.epochs}
    rows = [_row(config, run, names, read, epoch_steps.get(_size(config))) for config, run in members]
    left, whole = _left(rows, [run for _, run in members], now or datetime.now().astimezone())
    return Board(
        anchor=group.anchor,
        title=experiment.title,
        facts=", ".join(phrases(TrainingConfig, config.deciding)) if not watched else "watched",
        watched=watched,
        rows=tuple(replace(row, left=time) for row, time in zip(rows, left, strict=True)),
        left=whole,
        standings=tuple(_standing(experiment, name, names, len(found)) for name, found in variants.items()),
        panels=tuple(
            _live(panel)
            for panel in (
                _training_panel(experiment, group.anchor, read),
                _norm_panel(experiment, group.anchor, read_recording),
                _probe_panel(experiment, group.anchor, read_probes),
            )
            if panel is not None
        ),
    )


def _left(rows: Sequence[RunRow], runs: Sequence[Run | None], now: datetime) -> tuple[list[str], str]:
    """How long each run will go on, and all of them together.

    A run that is going goes on at its own pace, from its start on; one that waits takes as long as its variant's others
    do, or else as all others. As many will run at a time as run now.
    """
    takes: list[float | None] = []
    for row, run in zip(rows, runs, strict=True):
        if run is not None and row.state == "running" and row.share >= STARTED:
            takes.append((now - datetime.fromisoformat(run.created)).total_seconds() / row.share)
        elif run is not None and row.state == "finished":
            takes.append(run.metric("seconds"))
        else:
            takes.append(None)
    of_variant: dict[str, list[float]] = {}
    for row, seconds in zip(rows, takes, strict=True):
        if seconds is not None:
            of_variant.setdefault(row.variant, []).append(seconds)
    every = [seconds for found in of_variant.values() for seconds in found]
    ahead: list[float | None] = []
    for row, seconds in zip(rows, takes, strict=True):
        known = of_variant.get(row.variant) or every
        usual = seconds if seconds is not None else median(known) if known else None
        ahead.append((1 - row.share) * usual if usual is not None and row.state in GOING else None)
    told = [
        f"{spoken_time(seconds)} left" if seconds and row.state == "running" else ""
        for row, seconds in zip(rows, ahead, strict=True)
    ]
    going = sum(row.state == "running" for row in rows)
    still = [seconds for row, seconds in zip(rows, ahead, strict=True) if row.state in GOING]
    known_ones = [seconds for seconds in still if seconds is not None]
    if not going or len(known_ones) < len(still) or not sum(known_ones):
        return told, ""
    return told, f"about {spoken_time(max(sum(known_ones) / going, max(known_ones)))} left"


def _size(config: TrainingConfig) -> tuple[int, int | None]:
    """What decides the number of steps per epoch, within one experiment."""
    return config.batch_size, config.train_samples


def _training_panel(experiment: Experiment, anchor: str, read: ReadCurves) -> Panel:
    """The report's curves, of running and ended runs alike, with single seeds, since they are at different steps."""
    panel = training_panel(experiment, read, f"{anchor}-training")
    controls = [replace(one, start="on") if one.name == "seeds" else one for one in panel.controls]
    if SMOOTHING not in controls:  # there will be something to smooth
        controls.append(SMOOTHING)
    return replace(panel, controls=tuple(controls))


def _norm_panel(experiment: Experiment, anchor: str, read: ReadRecording) -> Panel | None:
    """How far running statistics are off, of each variant's first run that says so; None where none does."""
    found: dict[str, tuple[Run, NormRecording]] = {}
    for variant, runs in experiment.variants.items():
        for run in sorted(runs, key=lambda run: run.config.seed):
            recording = read(run) if run.epochs else None
            if recording is not None and recording.population:
                found[variant] = run, recording
                break
    return Panel(f"{anchor}-norms", (latest_lag_chart(found, experiment.places),)) if found else None


def _probe_panel(experiment: Experiment, anchor: str, read: ReadProbes) -> Panel | None:
    """Signals by depth, at the latest look and over training, and the smoothness; None where nothing was looked at."""
    looks: dict[str, Look] = {}
    looked: dict[str, dict[int, Probes]] = {}
    smoothness: dict[str, dict[int, Smoothness]] = {}
    images = 0
    for variant, runs in experiment.variants.items():
        for run in sorted(runs, key=lambda run: run.config.seed):
            probes = read(run) if run.config.probed or run.watched else None
            if probes is not None and probes.signals is not None and variant not in looks:
                looks[variant] = latest(probes.signals, run.config.seed)
                looked[variant] = {run.config.seed: Probes(signals=probes.signals)}
                images = max(images, probes.signals.images)
            if probes is not None and probes.smoothness is not None:
                smoothness.setdefault(variant, {})[run.config.seed] = probes.smoothness
    charts, controls = [], []
    if looks:
        charts.append(depth_chart(looks, experiment.places, images))
        charts.append(map_chart(looked))
        controls += [QUANTITY, variant_control(looked)]
    if smoothness:
        charts.append(beta_chart(smoothness, experiment.places))
    return Panel(f"{anchor}-probes", tuple(charts), tuple(controls)) if charts else None


def _live(panel: Panel) -> Panel:
    """The panel with charts that keep their zoom, and what was hidden by a legend, when they are drawn anew.

    Traces are known by their names, and by their variants, of which long ones may be shortened to the same name. A
    trace whose name changes as a run goes brings what it is known by.
    """

    def known_by(trace: Mapping[str, Any]) -> str:
        known = trace.get("uid", trace["name"])
        return short(str([trace.get("legendgroup"), known, trace.get("line", {}).get("dash")]))

    charts = (
        replace(
            chart,
            data=[{**trace, "uid": known_by(trace)} for trace in chart.data],  # type: ignore[union-attr]
            layout={**chart.layout, "uirevision": "live"},  # type: ignore[dict-item]
        )
        for chart in panel.charts
    )
    return replace(panel, charts=tuple(charts))


def _row(
    config: TrainingConfig, run: Run | None, names: Sequence[str], read: ReadCurves, steps_per_epoch: int | None
) -> RunRow:
    variant = config.label
    accuracy = run.metric("test_accuracy") if run else None
    seconds = run.metric("seconds") if run else None
    error = run.error if run else ""
    if run and run.status == "interrupted":
        error = "its process is gone"
    done, epochs = len(run.epochs) if run else 0, config.epochs if run is None or run.watched is None else None
    curves = read(run) if run else None
    step = len(curves["step"]) if curves else 0
    within = min(step / steps_per_epoch - done, 1.0) if steps_per_epoch and step > done * steps_per_epoch else 0.0
    return RunRow(
        variant=variant,
        place=names.index(variant),
        seed=config.seed,
        state=run.status if run else "waiting",
        done=done,
        epochs=epochs,
        step=step,
        share=1.0 if run and run.status == "finished" else min((done + within) / epochs, 1.0) if epochs else 0.0,
        accuracy="" if accuracy is None else ACCURACY.written(accuracy),
        seconds="" if seconds is None else f"{seconds:.1f} s",
        error=error,
    )


def _standing(experiment: Experiment, name: str, names: Sequence[str], total: int) -> Standing:
    ended = [run for run in experiment.variants[name] if run.status == "finished" and run.epochs]
    reached = [accuracy for run in ended if (accuracy := run.metric("test_accuracy")) is not None]
    mean = basis = ""
    if reached:
        found = ACCURACY.unit.limited(estimate(reached))
        mean = ACCURACY.written(found.mean)
        basis = ", ".join(text for text in (ACCURACY.unit.interval(found), f"n = {found.n}") if text)
    diverged = sum(run.status == "diverged" for run in experiment.variants[name])
    return Standing(name, names.index(name), len(ended), diverged, total, mean, basis)
