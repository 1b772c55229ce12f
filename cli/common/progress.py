"""What commands that train say: the estimate before the start, progress while it goes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from archlab.analysis.wording import spoken_time
from archlab.cli.common.console import message, prints_aside, progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from archlab.records import TrainingConfig
    from archlab.training import Progress
    from archlab.training.preparation import Preparer

LONG_SECONDS = 600
"""From here on the user is told how to make it shorter."""


def announce(configs: Sequence[TrainingConfig], preparer: Preparer, *, sought: bool = False) -> None:
    """Say what will be trained and how long it will take, and how to shorten it where that is long.

    Nothing is said where the store has all runs.

    Args:
        configs: what is trained.
        preparer: what the runs are made by.
        sought: whether they only stand for the runs of a search, which settles its own learning rates.

    Raises:
        InputError: a configuration, the device or the data can't be used.
    """
    from archlab.training import estimate_time, missing
    from archlab.training.preparation import notes

    with prints_aside():
        waiting = list(configs) if sought else missing(configs, preparer)
    if not waiting:
        return
    count = "1 run" if len(configs) == 1 else f"{len(configs)} runs"
    networks = ", ".join(dict.fromkeys(config.network for config in configs))
    there = len(configs) - len(waiting)
    if preparer.execution.engine == "ray":
        message(f"connecting to the Ray cluster{f' at {address}' if (address := preparer.execution.address) else ''}")
    what = f"{count} of {networks} on {configs[0].dataset}" + (f", {there} of them in the store" if there else "")
    with prints_aside():
        estimate = estimate_time(waiting, preparer)
        for note in notes(waiting, preparer):
            message(note)
    seconds = estimate.seconds
    without = f", without what already failed when it was tried: {estimate.failures[0]}" if estimate.failures else ""
    where = "on this machine" if preparer.execution.engine == "local" else "on the cluster, if its cores are like these"
    message(f"{what}: about {spoken_time(seconds)} {where}{without}")
    if seconds > LONG_SECONDS:
        epochs = configs[0].epochs
        once = f"--epochs 1 (about {spoken_time(seconds / epochs)}), " if epochs > 1 else ""
        message(
            f"Shorter: {once}fewer seeds, --train-samples N, a smaller --size. Ctrl-C stops it and keeps what is "
            "finished."
        )


class ProgressDisplay:
    """Shows the events of some runs: a bar for each that is trained, a line for each that ended."""

    def __init__(self, bars: Bars, total: int) -> None:
        self._bars = bars
        self._total = total
        self._overall = bars.add_task("all runs", total=total, note="") if total > 1 else None
        self._tasks: dict[tuple[str, int], TaskID] = {}
        self.ended = 0
        """Runs that have ended, those from the store among them."""
        self.reused = 0
        self._is_stopping = False

    def __call__(self, event: Progress) -> None:
        """Show what has happened."""
        config = event.config
        place = (config.variant, config.seed)
        if event.state == "waiting":
            self._tasks[place] = self._bars.add_task(_name(config), total=None, note="trained by another process")
        elif event.state == "again":
            self._end_bar(place)
            message(f"{_name(config)} is begun again: {event.error}")
        elif event.state == "stacked":
            message(event.error)
        elif event.state == "started":
            self._end_bar(place)
            self._tasks[place] = self._bars.add_task(
                _name(config), total=event.steps, completed=event.step, note=f"epoch {event.epoch + 1}/{config.epochs}"
            )
            if event.step:
                message(f"{_name(config)} goes on after step {event.step:,} of {event.steps:,}, where it was stopped")
        elif event.state == "stopping":
            if not self._is_stopping:
                message("stopping at the end of the step, what is done is kept (Ctrl-C again stops at once)")
            self._is_stopping = True
        elif event.state in ("step", "measuring", "epoch"):
            epoch = min(event.epoch + (event.state != "epoch"), config.epochs)
            self._bars.update(self._tasks[place], completed=event.step, note=f"epoch {epoch}/{config.epochs}")
        elif event.state == "landscape":
            self._bars.update(self._tasks[place], completed=event.step, total=event.steps, note="landscape")
        else:
            self.ended += 1
            self._end_bar(place)
            if event.state == "reused":
                self.reused += 1
            elif self._total > 1:
                message(f"[{self.ended:{len(str(self._total))}}/{self._total}] {_outcome(event)}")
        if self._overall is not None:
            self._bars.update(self._overall, completed=self.ended)

    def _end_bar(self, place: tuple[str, int]) -> None:
        if place in self._tasks:
            self._bars.remove_task(self._tasks.pop(place))


@contextlib.contextmanager
def showing_progress(total: int) -> Iterator[ProgressDisplay]:
    """A function for the events of so many runs, which shows them."""
    with prints_aside(), progress() as bars:
        watch = ProgressDisplay(bars, total)
        yield watch
    if watch.reused:
        message(f"{watch.reused} of {total} runs were in the store already (--fresh trains them again)")


def _name(config: TrainingConfig) -> str:
    return f"{config.label}, seed {config.seed}"


def _outcome(event: Progress) -> str:
    if event.state == "diverged":
        return f"{_name(event.config)}: diverged: {event.error}"
    if event.state == "failed" or event.run is None:
        return f"{_name(event.config)}: failed: {event.error}"
    last = event.run.epochs[-1]
    return f"{_name(event.config)}: test accuracy {last.test_accuracy:.1%} ({spoken_time(last.seconds)})"
