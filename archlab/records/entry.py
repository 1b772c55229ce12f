"""What lists say of a run: little enough that tens of thousands of them are at hand at once."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from archlab.records.config import TrainingConfig, Value
from archlab.records.run import Run, Status
from archlab.records.watched import Watched


class Setup:
    """What runs share that differ in their seed alone: their configuration, read from its text when it is asked for.

    Args:
        config: JSON of a `TrainingConfig` whose seed is 0.
        watched: JSON of a `Watched`, of which only the settings count; empty where the training was archlab's own.
    """

    def __init__(self, config: str, watched: str = "") -> None:
        self.text = config
        self.watched = watched

    @cached_property
    def config(self) -> TrainingConfig:
        """The configuration with seed 0."""
        import msgspec

        return msgspec.json.decode(self.text, type=TrainingConfig)

    @cached_property
    def settings(self) -> dict[str, Value] | None:
        """What is known of the settings of a watched training; None of archlab's own."""
        import msgspec

        return msgspec.json.decode(self.watched, type=Watched).settings if self.watched else None


class Entry(NamedTuple):
    """One run as lists show it. Measurements are those of its last epoch."""

    key: str
    status: Status
    created: str
    setup: Setup
    seed: int
    done: int
    """Epochs that have ended."""
    parameters: int
    test_accuracy: float | None = None
    test_accuracy_running: float | None = None
    test_loss: float | None = None
    train_accuracy: float | None = None
    train_loss: float | None = None
    seconds: float | None = None

    @property
    def config(self) -> TrainingConfig:
        """Its configuration, but with seed 0."""
        return self.setup.config

    @property
    def is_watched(self) -> bool:
        """Whether somebody else's loop trained it, so that nobody knows how many epochs there will be."""
        return bool(self.setup.watched)

    @property
    def order(self) -> tuple[str, str]:
        """Sorts the oldest first."""
        return self.created, self.key


MEASURES = ("test_accuracy", "test_accuracy_running", "test_loss", "train_accuracy", "train_loss", "seconds")
"""The measurements of an entry."""


def setup_of(config: TrainingConfig, watched: Watched | None = None) -> Setup:
    """What a run shares with those that differ in their seed alone."""
    import msgspec

    text = msgspec.json.encode(msgspec.to_builtins(config) | {"seed": 0}).decode()
    return Setup(text, msgspec.json.encode(Watched(watched.settings)).decode() if watched else "")


def entry_of(run: Run, setup: Setup | None = None) -> Entry:
    """The run as lists show it; `setup` is its own, where it is known already."""
    last = run.epochs[-1] if run.epochs else None
    return Entry(
        run.key,
        run.status,
        run.created,
        setup or setup_of(run.config, run.watched),
        run.config.seed,
        len(run.epochs),
        run.parameters,
        *(None if last is None else getattr(last, name) for name in MEASURES),
    )
