"""A tracker for Accelerate."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from archlab.errors import InputError
from archlab.training.watching.opening import watch
from archlab.training.watching.watched_run import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archlab.training.watching.watched_run import WatchedRun

ALIASES = {
    "eval_loss": "test_loss",
    "val_loss": "test_loss",
    "eval_accuracy": "test_accuracy",
    "val_accuracy": "test_accuracy",
}
STEP = ("loss", "accuracy")


def accelerate_tracker(model: object, optimizer: object = None, **settings: Any) -> Any:
    """A tracker that records a loop of Accelerate: `Accelerator(log_with=accelerate_tracker(model, optimizer))`.

    `accelerator.log({"loss": loss}, step=n)` tells the loss of a step; a call with metrics of an epoch (`train_loss`,
    `test_loss` or `eval_loss`, `test_accuracy` or `eval_accuracy`, ...) ends it. The run begins with
    `accelerator.init_trackers(name, config)`, whose configuration is noted, and ends with `accelerator.end_training()`.

    Args:
        model: what is trained, before or after `accelerator.prepare`.
        optimizer: that trains it.
        settings: what else `archlab.watch` takes: `store`, `dataset`, `every`, ...

    Raises:
        InputError: accelerate is not installed.
    """

    class WatchingTracker(_tracker_class()):  # type: ignore[misc]
        """Records the training; `tracker` is the `WatchedRun` once it has begun."""

        name = "archlab"
        requires_logging_directory = False
        main_process_only = True

        def __init__(self) -> None:
            super().__init__()
            self.run: WatchedRun | None = None

        @property
        def tracker(self) -> WatchedRun | None:
            return self.run

        def start(self) -> None:
            self.run = watch(model, optimizer, **settings)

        def store_init_configuration(self, values: Mapping[str, Any]) -> None:
            if self.run is not None:
                self.run.note({name: value for name, value in values.items() if isinstance(value, (int, float, str))})

        def log(self, values: Mapping[str, Any], step: int | None = None, **keywords: Any) -> None:
            if self.run is None:
                return
            if any(name in values for name in STEP):
                self.run.step(**{name: values[name] for name in STEP if name in values})
            named = {ALIASES.get(name, name): value for name, value in values.items()}
            if told := {name: value for name, value in named.items() if name in METRICS}:
                self.run.epoch(**told)

        def finish(self) -> None:
            if self.run is not None:
                self.run.close()

    return WatchingTracker()


def _tracker_class() -> Any:
    try:
        return importlib.import_module("accelerate.tracking").GeneralTracker
    except ImportError as error:
        raise InputError("accelerate is not installed: pip install accelerate") from error
