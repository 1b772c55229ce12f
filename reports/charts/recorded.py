"""A recording as it is drawn: few enough steps and channels, and the choices of run and layer above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from archlab.analysis import curves
from archlab.analysis.deviation import WorstChannel, deviation, worst_channel
from archlab.records import NormRecording, Run
from archlab.reports.panel import Color, Switch

MOST_STEPS = 240
"""Steps of a recording that are drawn at most."""
FEWEST_STEPS = 22
"""Before fewer steps than these are drawn, channels are left out."""
RUNNING_COLOR, PRECISE_COLOR = Color("evaluation"), Color("text")
"""What running and what precise statistics are drawn in: colours that are no variant's."""
DEVIATIONS = ("ratio", "shift")
"""The fields of `archlab.analysis.deviation.Deviation` that are drawn."""


def population_steps(run: Run, recording: NormRecording) -> list[int]:
    """The steps at which a run's precise statistics were measured: the ends of its epochs."""
    rows = max((len(part["mean"]) for part in recording.population.values()), default=0)
    return [epoch.step for epoch in run.epochs][:rows]


class Recorded:
    """One run's recording within a budget of values."""

    def __init__(self, run: Run, recording: NormRecording, budget: int) -> None:
        import numpy as np

        self.run = run
        self.recording = recording
        self.deviation = cache(lambda path: deviation(run, recording, path, self.steps.tolist()))
        self.worst = worst_channel(run, recording)
        widths = {path: int(layer["gamma"].shape[1]) for path, layer in recording.layers.items()}
        drawn = len(NormRecording.QUANTITIES) + (len(DEVIATIONS) if self.has_precise else 0)
        a_step = drawn * max(1, sum(widths.values()))
        self.points = max(FEWEST_STEPS, min(MOST_STEPS, budget // a_step))
        self.steps = curves.thinned_steps(np.asarray(recording.steps, dtype=np.int64), self.points)
        share = min(1.0, budget / (a_step * len(self.steps)))
        self.channels = {path: _chosen(width, share) for path, width in widths.items()}
        if self.worst is not None:
            chosen = self.channels[self.worst.layer]
            chosen[abs(chosen - self.worst.channel).argmin()] = self.worst.channel
        self.notes = self._notes(sum(widths.values()))
        self.values = cache(self._values)
        self.spread = cache(self._spread)

    def _values(self, path: str, quantity: str) -> Any:
        """(steps, channels): of a deviation what it is at each step, NaN where no precise statistics are known."""
        import numpy as np

        chosen = self.channels[path]
        if quantity not in DEVIATIONS:
            return curves.thinned(self.recording.layers[path][quantity][:, chosen], self.points)
        found = self.deviation(path)
        if found is None:
            return np.full((len(self.steps), len(chosen)), np.nan, dtype=np.float32)
        return getattr(found, quantity)[:, chosen].astype(np.float32)

    @property
    def has_precise(self) -> bool:
        """Whether deviations from precise statistics are known."""
        return bool(self.recording.population) and not set(self.population_steps).isdisjoint(self.recording.steps)

    def _spread(self, path: str, quantity: str) -> Any:
        return curves.spread(self.values(path, quantity))

    def population(self, path: str, quantity: str) -> Any:
        """(epochs, channels) of the precise statistics; a single row of NaN where nothing was measured."""
        import numpy as np

        found = self.recording.population.get(path, {}).get(quantity)
        chosen = self.channels[path]
        return np.full((1, len(chosen)), np.nan) if found is None else found[:, chosen]

    @property
    def population_steps(self) -> list[int]:
        """The steps at which precise statistics were measured: the ends of epochs."""
        return population_steps(self.run, self.recording)

    def _notes(self, width: int) -> tuple[str, ...]:
        notes = []
        recorded, drawn = len(self.recording.steps), len(self.steps)
        if recorded > drawn:
            notes.append(
                f"{recorded:,} recorded steps are drawn as {drawn}: each stretch between two of them keeps every "
                "channel's least and greatest value, in their order; deviations from precise statistics are those of "
                "the step itself."
            )
        kept = sum(len(channels) for channels in self.channels.values())
        if kept < width:
            notes.append(
                f"Of {width:,} channels {kept:,} are drawn, evenly chosen in each layer, the worst among them."
            )
        return tuple(notes)


def _chosen(width: int, share: float) -> Any:
    import numpy as np

    kept = max(min(width, 8), int(width * share))
    return np.unique(np.linspace(0, width - 1, kept).astype(int))


class Choices:
    """What stands for the chosen run, and for the chosen layer of it."""

    def __init__(self, views: Mapping[str, Recorded]) -> None:
        self.views = views
        self.steps = self.by_run(lambda view: view.steps)
        self.channels = self.by_layer(lambda view, path: view.channels[path])
        self.has_precise = any(view.has_precise for view in views.values())

    @property
    def worst(self) -> tuple[str, WorstChannel] | None:
        """The run with the running statistics that are the furthest off, and where; None where it can't be told."""
        found = [(title, view.worst) for title, view in self.views.items()]
        known = [(title, worst) for title, worst in found if worst is not None]
        return max(known, key=lambda one: one[1].rank, default=None)

    def by_run(self, part: Callable[[Recorded], Any]) -> Switch:
        """A node for something that each run has."""
        return Switch("run", {title: part(view) for title, view in self.views.items()})

    def by_layer(self, part: Callable[[Recorded, str], Any]) -> Switch:
        """A node for something that each layer of each run has."""
        return self.by_run(lambda view: Switch("layer", {path: part(view, path) for path in view.recording.layers}))

    @cache  # noqa: B019 - lives as long as the page is written
    def matrix(self, quantity: str) -> Switch:
        """A node for a quantity's values, (steps, channels)."""
        return self.by_layer(lambda view, path: view.values(path, quantity))
