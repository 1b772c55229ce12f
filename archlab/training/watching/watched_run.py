"""A training that somebody else's loop runs, while it is watched."""

from __future__ import annotations

import atexit
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self

import torch
from torch import Tensor, nn

from archlab.errors import InputError, nearest
from archlab.records import Epoch, NormRecording, Probes, Run, Value, Watched
from archlab.records.config import PRECISE_IMAGES
from archlab.training import population, seeding
from archlab.training.environment import peak_memory
from archlab.training.norm_uses import NormObserver, with_recorded
from archlab.training.norms import norm_layers
from archlab.training.probes.listening import first_tensor
from archlab.training.recorder import RunRecorder
from archlab.training.recording import NormRecorder
from archlab.training.watching.looks import LayerLooks
from archlab.training.watching.subject import Subject, gradient_scale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archlab.store.run_writer import RunWriter

METRICS = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "test_loss_running",
    "test_accuracy_running",
)
"""What `epoch` takes: fields of `Epoch`."""
Number = Tensor | float | None
P = ParamSpec("P")


def _harmless(method: Callable[Concatenate[WatchedRun, P], None]) -> Callable[Concatenate[WatchedRun, P], None]:
    """A method that never ends the training: where it fails, a warning says why, and nothing more is recorded."""

    @wraps(method)
    def tried(self: WatchedRun, /, *args: P.args, **keywords: P.kwargs) -> None:
        if not self.is_open:
            return
        try:
            with torch.no_grad():
                method(self, *args, **keywords)
        except InputError:
            raise
        except Exception as error:
            self._give_up(error)

    return tried


class WatchedRun:
    """Records one training of somebody else's loop; `archlab.watch` makes it.

    Args:
        subject: what is trained.
        optimizers: that train it. A step of the only one is a step of the training; of several, or of none, `step`
            ends one.
        writer: of the run; None where nothing is recorded, as in all but the first process of several.
        watched: how it is watched.
        record_every: steps between two records of the BatchNorm layers; 0 for none.
        precise: batches of training data for precise statistics, or None.
    """

    def __init__(
        self,
        subject: Subject,
        optimizers: Sequence[torch.optim.Optimizer],
        writer: RunWriter | None,
        watched: Watched,
        *,
        record_every: int = 20,
        precise: Iterable[Any] | None = None,
    ) -> None:
        self._subject, self._optimizers, self._writer = subject, optimizers, writer
        self._watched, self._precise = watched, precise
        self._handles: list[Any] = []
        self._given: list[tuple[Number, Number]] = []  # what was told of the step that goes on
        self._told = 0  # the last step that something was told of
        self._epochs: list[Epoch] = []
        self._seconds = 0.0
        self._started = self._stepped = time.perf_counter()
        self._process = os.getpid()
        self.record: Run | None = None
        """What came of it, once it is closed."""
        if writer is None:
            return
        norms = norm_layers(subject.network) if record_every else []
        self._norms = norms
        self._looks = LayerLooks(subject.networks, watched.every, listens=not subject.is_compiled)
        self._recorder = RunRecorder(
            subject.device,
            NormRecorder(norms, record_every) if norms else None,
            probes=self._probes,
            looks=lambda: self._looks.count,
            uses=self._with_uses,
        )
        self._recorder.keep_in(writer)
        trained = [held for one in optimizers for group in one.param_groups for held in group["params"]]
        self._uses = NormObserver(subject.network, trained or None)
        self._start()

    @property
    def is_open(self) -> bool:
        """Whether it records."""
        return self._writer is not None and self.record is None

    @property
    def key(self) -> str:
        """The run's name in the store; empty where nothing is recorded."""
        return "" if self._writer is None else self._writer.key

    @property
    def steps(self) -> int:
        """Steps so far."""
        return len(self._recorder.steps) if self._writer is not None else 0

    @_harmless
    def step(self, loss: Number = None, accuracy: Number = None) -> None:
        """Tell what a step gave; without an optimiser, or with several, this ends the step.

        A tensor stays where it is, so that nothing waits for it. Several calls in a step, as gradients are accumulated,
        are averaged.

        Args:
            loss: of the batch, in nats.
            accuracy: of the batch, as a share.
        """
        self._given.append((_kept(loss), _kept(accuracy)))
        if len(self._optimizers) != 1:
            self._end_step()
        elif self.steps > self._told:
            self._tell()

    @_harmless
    def epoch(self, /, **metrics: float | Tensor | None) -> None:
        """Tell that an epoch has ended, and what was measured of it.

        Args:
            metrics: `train_loss` (default: the mean of what `step` was told), `train_accuracy`, `test_loss`,
                `test_accuracy`; losses in nats, accuracies as shares.

        Raises:
            InputError: there is no such metric.
        """
        for name in metrics:
            if name not in METRICS:
                raise InputError(f"there is no metric {name!r} of an epoch: {nearest(name, METRICS)}")
        self._end_epoch({name: float(value) for name, value in metrics.items() if value is not None})

    @_harmless
    def note(self, settings: Mapping[str, Value]) -> None:
        """Have the run say what is known of its settings, beside what it says already."""
        self._watched = replace(self._watched, settings={**self._watched.settings, **settings})
        assert self._writer is not None
        self._writer.settle(self._watched)

    def close(self, error: BaseException | str | None = None) -> Run | None:
        """The run, which has ended; nothing of the watching stays behind. None where nothing was recorded.

        Args:
            error: why it failed; a KeyboardInterrupt leaves it as interrupted.
        """
        if not self.is_open:
            return self.record
        if isinstance(error, SystemExit) and not error.code:
            error = None
        try:
            with torch.no_grad():
                if self.steps > (self._epochs[-1].step if self._epochs else 0):
                    self._end_epoch({})
                self._stop()
                self._writer_settle()
                self.record = self._ended(error)
        except Exception as failure:
            self._give_up(failure)
        return self.record

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    def _start(self) -> None:
        """Begin to observe: every hook and observer of the network starts here, and ends in `_stop`."""
        for optimizer in self._optimizers:
            self._handles.append(optimizer.register_step_pre_hook(self._before_update))
        if len(self._optimizers) == 1:
            self._handles.append(self._optimizers[0].register_step_post_hook(lambda *_: self._end_optimizer_step()))
        if not self._subject.is_compiled:
            self._handles.append(self._subject.network.register_forward_pre_hook(self._observe_evaluation))
        self._open_step()
        atexit.register(self._at_exit)

    def _stop(self) -> None:
        self._uses.detach()
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._looks.drop()
        atexit.unregister(self._at_exit)

    def _open_step(self) -> None:
        """Prepare for the next step."""
        self._recorder.before()
        if self._looks.due(self.steps + 1):
            self._looks.open(copying=not self._optimizers)
            self._observe()

    def _before_update(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self._looks.is_open:
            self._look_before_update(optimizer)

    @_harmless
    def _look_before_update(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = [held for group in optimizer.param_groups for held in group["params"]]
        self._looks.before_update(parameters, gradient_scale(optimizer))

    @_harmless
    def _end_optimizer_step(self) -> None:
        self._end_step()

    def _end_step(self) -> None:
        """Note a step."""
        rate = float(self._optimizers[0].param_groups[0]["lr"]) if self._optimizers else float("nan")
        self._recorder.after(rate=rate)
        self._stepped = time.perf_counter()
        if self._given:
            self._tell()
        if self._looks.is_open:
            self._looks.close(self.steps)
        self._uses.step(self.steps)
        self._uses.detach()
        self._open_step()
        self._recorder.keep()

    def _tell(self) -> None:
        """Note what was told of the last step."""
        losses, accuracies = zip(*self._given, strict=True)
        self._recorder.steps.tell(self.steps, _mean(losses), _mean(accuracies))
        self._given, self._told = [], self.steps

    def _end_epoch(self, metrics: dict[str, float]) -> None:
        now, first = time.perf_counter(), self._epochs[-1].step if self._epochs else 0
        if self._recorder.norms is not None:
            self._recorder.norms.end_epoch(self.steps)
        precise = self._measure_precise()
        curves = self._recorder.steps
        for name, values in (("train_loss", curves.losses), ("train_accuracy", curves.accuracies)):
            told = values[first:][~values[first:].isnan()]
            if name not in metrics and len(told):
                metrics[name] = float(told.mean())
        self._seconds += max(0.0, self._stepped - self._started)
        epoch = Epoch(
            epoch=len(self._epochs) + 1,
            step=self.steps,
            seconds=self._seconds,
            evaluation_seconds=max(0.0, now - max(self._stepped, self._started)),
            precise_seconds=precise,
            peak_memory_bytes=peak_memory(self._subject.device),
        )
        epoch = replace(epoch, **metrics)  # type: ignore[arg-type]
        self._epochs.append(epoch)
        self._recorder.add_epoch(epoch)
        self._started = time.perf_counter()

    def _measure_precise(self) -> float:
        """The seconds that precise statistics took."""
        if self._precise is None or not self._norms:
            return 0.0
        started = time.perf_counter()
        with seeding.preserved(self._subject.device):
            moments = population.measure(self._subject.network, self._norms, _inputs(self._precise, self._subject))
        self._recorder.add_population(moments)
        return time.perf_counter() - started

    def _observe(self) -> None:
        """See how the BatchNorm layers are used until the end of the step."""
        if not self._subject.is_compiled and len(self._subject.networks) == 1:
            self._uses.attach()

    def _observe_evaluation(self, network: nn.Module, _: Any) -> None:
        """See an evaluation: a pass in evaluation mode that records no gradients."""
        if not (torch.compiler.is_compiling() or network.training or torch.is_grad_enabled()):
            self._observe()

    def _with_uses(self, held: NormRecording | None) -> NormRecording | None:
        uses = self._uses.uses() if self._uses else ()
        return with_recorded(held or NormRecording((), {}), uses, {}) if uses else held

    def _probes(self) -> Probes | None:
        series = self._looks.series()
        return None if series is None else Probes(signals=series)

    def _ended(self, error: BaseException | str | None) -> Run:
        if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            return self._recorder.leave()
        if error is not None:
            return self._recorder.end("failed", error if isinstance(error, str) else _reason(error))
        # Nobody knows how many classes there are, so only a loss that is not finite tells.
        if reason := self._recorder.divergence(classes=1):
            return self._recorder.end("diverged", reason.partition(", above")[0])
        return self._recorder.end("finished")

    def _writer_settle(self) -> None:
        """Have the run say what could not be recorded."""
        notes = list(self._watched.notes)
        if self._looks.count and not self._looks.is_heard and not self._subject.is_compiled:
            notes.append(
                "No layer was heard, as where torch.compile has made code of the network: of the layers, only weights "
                "and their gradients were recorded."
            )
        if not self._looks.copies:
            notes.append("How far steps move the weights was not measured: a copy of them takes more than 1 GiB.")
        if not self.steps:
            notes.append("No step was seen: give the optimizer to archlab.watch, or call run.step(loss=...).")
        assert self._writer is not None
        self._writer.settle(replace(self._watched, notes=tuple(notes)))

    def _give_up(self, error: Exception) -> None:
        """Record nothing more, and say why."""
        warnings.warn(f"archlab records no more of {self.key}: {_reason(error)}", stacklevel=3)
        self._stop()
        assert self._writer is not None
        self.record = self._writer.leave()

    def _at_exit(self) -> None:
        """Close a run whose process ends without having closed it."""
        if os.getpid() != self._process:  # a copy of the process that trains
            return
        if hasattr(sys, "ps1") or "ipykernel" in sys.modules:  # an error there may be of anything
            self.close(KeyboardInterrupt())
        else:
            self.close(getattr(sys, "last_value", None))


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _kept(value: Number) -> Number:
    """A number that no later operation of the loop changes."""
    if not isinstance(value, Tensor):
        return value
    kept = value.detach().clone()
    return kept if kept.dim() == 0 else kept.float().mean()


def _mean(values: Sequence[Number]) -> Number:
    """The mean of what was told of a step, of that which is finite if anything is: a skipped step may give infinity."""
    told = [value for value in values if value is not None]
    if len(told) < 2:
        return told[0] if told else None
    stacked = torch.stack([torch.as_tensor(value, dtype=torch.float32).cpu() for value in told])
    finite = stacked[stacked.isfinite()]
    return (finite if len(finite) else stacked).mean()


def _inputs(batches: Iterable[Any], subject: Subject) -> Iterator[Tensor]:
    """The images of some batches, each the first tensor in it, until there are enough."""
    count = 0
    for batch in batches:
        images = first_tensor(list(batch.values()) if isinstance(batch, dict) else batch)
        if images is None or count >= PRECISE_IMAGES:
            return
        count += len(images)
        yield images.to(subject.device)
