"""A callback for Lightning."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from archlab.errors import InputError
from archlab.training.watching.opening import watch

if TYPE_CHECKING:
    from torch import Tensor

    from archlab.training.watching.watched_run import WatchedRun

PACKAGES = ("lightning.pytorch", "pytorch_lightning")
NAMES = {
    "train_loss": ("train_loss_epoch", "train_loss"),
    "train_accuracy": ("train_accuracy_epoch", "train_accuracy", "train_acc_epoch", "train_acc"),
    "test_loss": ("val_loss", "test_loss"),
    "test_accuracy": ("val_accuracy", "val_acc", "test_accuracy", "test_acc"),
}
"""What metrics of an epoch are usually logged as, the first that is there counts."""


def lightning_callback(**settings: Any) -> Any:
    """A callback that records what a `Trainer` trains: `Trainer(callbacks=[lightning_callback()])`.

    The loss of a step is what `training_step` returns; of an epoch, metrics that are logged under the names in `NAMES`.
    Of validation during training those of the epoch's end are taken.

    Args:
        settings: what `archlab.watch` takes beside model and optimiser: `store`, `name`, `dataset`, `every`, ...

    Raises:
        InputError: neither `lightning` nor `pytorch_lightning` is installed.
    """

    class WatchingCallback(_callback_class()):  # type: ignore[misc]
        """Records the training; `run` is the `WatchedRun` while it goes, and afterwards."""

        def __init__(self) -> None:
            self.run: WatchedRun | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.run = watch(pl_module, trainer.optimizers, **settings)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            # With several optimisers the module steps by itself, once per batch; else a batch may only add gradients.
            if self.run is not None and (loss is not None or len(trainer.optimizers) != 1):
                self.run.step(loss=loss)

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if self.run is not None:
                self.run.epoch(**_metrics(trainer.callback_metrics))

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            if self.run is not None:
                self.run.close(exception)

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            if self.run is not None:
                # Lightning takes Ctrl-C as the end of the training.
                self.run.close(KeyboardInterrupt() if getattr(trainer, "interrupted", False) else None)

    return WatchingCallback()


def _callback_class() -> Any:
    for package in PACKAGES:
        try:
            return importlib.import_module(package).Callback
        except ImportError:
            continue
    raise InputError(
        f"Lightning is not installed, neither as {PACKAGES[0]} nor as {PACKAGES[1]}: pip install lightning"
    )


def _metrics(logged: dict[str, Tensor]) -> dict[str, float]:
    found = {}
    for metric, names in NAMES.items():
        name = next((name for name in names if name in logged), None)
        if name is not None:
            found[metric] = float(logged[name])
    return found
