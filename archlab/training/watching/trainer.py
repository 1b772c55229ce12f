"""A callback for the `Trainer` of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archlab.errors import InputError
from archlab.training.watching.opening import watch

if TYPE_CHECKING:
    from archlab.training.watching.watched_run import WatchedRun


def trainer_callback(**settings: Any) -> Any:
    """A callback that records what a `transformers.Trainer` trains: `Trainer(..., callbacks=[trainer_callback()])`.

    The loss of a step is the one that the model gives; where it gives none, or gradients are accumulated, the mean that
    the trainer logs every `logging_steps`. Of an epoch, `eval_loss` and `eval_accuracy` are taken.

    Args:
        settings: what `archlab.watch` takes beside model and optimiser: `store`, `name`, `dataset`, `every`, ...

    Raises:
        InputError: transformers is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError as error:
        raise InputError("transformers is not installed: pip install transformers accelerate") from error

    class WatchingCallback(TrainerCallback):  # type: ignore[misc]
        """Records the training; `run` is the `WatchedRun` while it goes, and afterwards."""

        def __init__(self) -> None:
            self.run: WatchedRun | None = None
            self._evaluated: dict[str, float] = {}
            self._losses: list[Any] = []
            self._handle: Any = None
            self._has_ended = False  # an epoch that waits for its evaluation

        def on_train_begin(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:
            model = keywords["model"]
            known = {"seed": args.seed} | settings
            known["settings"] = {
                "batch_size": args.per_device_train_batch_size,
                "accumulated_batches": args.gradient_accumulation_steps,
            } | dict(settings.get("settings") or {})
            self.run = watch(model, keywords.get("optimizer"), **known)
            if args.gradient_accumulation_steps == 1 and self.run.is_open:
                self._handle = model.register_forward_hook(self._note)

        def on_step_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:
            if self.run is not None and self._losses:
                self.run.step(loss=self._losses[-1])
                self._losses.clear()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **keywords: Any) -> None:
            if self.run is not None and self._handle is None and logs and "loss" in logs:
                self.run.step(loss=float(logs["loss"]))

        def on_epoch_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:
            self._end_epoch()  # one before, whose evaluation never came
            self._has_ended = True

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **keywords: Any) -> None:
            self._evaluated = {
                name: float(metrics[key])
                for name, key in (("test_loss", "eval_loss"), ("test_accuracy", "eval_accuracy"))
                if metrics and key in metrics
            }
            self._end_epoch()

        def on_train_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:
            self._end_epoch()
            if self._handle is not None:
                self._handle.remove()
            if self.run is not None:
                self.run.close()

        def _end_epoch(self) -> None:
            if self.run is not None and self._has_ended:
                self.run.epoch(**self._evaluated)
                self._has_ended, self._evaluated = False, {}

        def _note(self, module: Any, inputs: Any, output: Any) -> None:
            import torch

            loss = output.get("loss") if isinstance(output, dict) else None
            if loss is not None and torch.is_grad_enabled():
                self._losses.append(loss.detach())

    return WatchingCallback()
