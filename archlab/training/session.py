"""One run, from its configuration to the store."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import torch
from torch import nn

from archlab.errors import DivergedError, RunError, cut
from archlab.networks import members
from archlab.networks.given import Trained, config_of, with_switches
from archlab.networks.strangers import described, left_as_found, telling
from archlab.records import Run, TrainingConfig, Value
from archlab.records.config import consistent
from archlab.records.settings import divided, settled
from archlab.store import Store, run_key
from archlab.store.checkpoints import Checkpoint
from archlab.store.keys import STACKED
from archlab.store.run_writer import RunWriter
from archlab.training.checkpoint import Checkpoints, decoded
from archlab.training.execution import Execution
from archlab.training.last_batch import check_last_batch
from archlab.training.loop import Trainer
from archlab.training.notebook import showing
from archlab.training.precision import check_precision, products_in
from archlab.training.preparation import Preparation, Preparer
from archlab.training.progress import Pace, Progress, State
from archlab.training.step import Course, driven
from archlab.training.stopping import Stop, StoppedError, stopping_by_signals

THREADED_MACS = 2e9
"""Multiply-accumulates of a step, a tenth of a second of one core, from which on all cores share it. Below, threads
wait for each other longer than they work: on a busy machine a step of LeNet takes ten times as long."""
REPORT_SECONDS = 0.1
"""Seconds between two `step` events."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.05, 2.0
"""Between two looks at whether another process still trains the run; each wait is half as long again as the last."""


class BusyError(Exception):
    """Another process trains the run."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def train(
    network: Trained = "lenet",
    *,
    bn: Literal["on", "off", "scratch"] | None = None,
    skip: Literal["on", "off"] | None = None,
    execution: Execution | None = None,
    progress: Callable[[Progress], None] | Literal[False] | None = None,
    **settings: Any,
) -> Run:
    """The run of a network, trained in this process to its end: finished or diverged.

    Random states and settings of torch are afterwards what they were. A small network is trained by one thread, as a
    worker of a comparison would, so that both have the same run; a larger one by as many as torch has been given.

    Args:
        network: its source; a class or function that gives a module; a module, of which a copy is trained from the
            weights that it has (the seed then decides the order of the data alone); or a whole `TrainingConfig`, of
            which the settings then replace fields.
        bn: its normalisation: BatchNorm (`on`), none (`off`), or BatchNorm from `scratch`: its option `norm`.
        skip: its skip connections: its option `skip`.
        execution: where and how. Without a store nothing is kept but what is returned; without an execution a run that
            the store has is trained again.
        progress: called with each event. None for a bar in a notebook and nothing elsewhere, False for nothing.
        settings: fields of `TrainingConfig` (`epochs=1`, `learning_rate=0.01`, ...) and of `Execution` (`store=...`,
            `device="cpu"`, ...), by their own names or the command's (`lr=0.01`).

    Raises:
        InputError: a setting, the network, the device or the data can't be used.
        RunError: the network fails on a batch; the store has the run as failed. (A run that diverges is returned, with
            the status `diverged`.)

    >>> train(epochs=1).epochs[-1].step
    90
    """
    chosen, where = divided(settings, TrainingConfig, Execution)
    config, source = config_of(network, with_switches(network, chosen, bn=bn, skip=skip))
    config = consistent(config)
    execution = settled(replace(execution or Execution(fresh=True), **where))
    sources = () if source is None else (source,)
    room = contextlib.nullcontext("") if execution.store else TemporaryDirectory()
    with showing(progress, 1) as tell, left_as_found(), room as folder:
        preparer = Preparer(replace(execution, store=execution.store or folder), sources)
        if _is_small(config, preparer):
            torch.set_num_threads(1)
        return run(config, preparer, tell)


def _is_small(config: TrainingConfig, preparer: Preparer) -> bool:
    """Whether a step is too little work for several threads; False where that can't be told."""
    with contextlib.suppress(Exception):  # whatever a stranger's network may raise; training says it
        prepared = preparer.prepare(config)
        trace = preparer.trace(prepared, prepared.network())
        return (
            trace is not None and 3 * trace.totals.macs * config.batch_size < THREADED_MACS
        )  # backward takes twice as many
    return False


def run(
    config: TrainingConfig,
    preparer: Preparer,
    progress: Callable[[Progress], None] | None = None,
    *,
    wait: bool = True,
    stop: Stop | None = None,
) -> Run:
    """As `train`, as the preparer's execution says; a run of the same key that came to its end is the store's.

    Args:
        config: what is trained.
        preparer: where and how.
        progress: called with each event.
        wait: for another process that trains the same run; then the run is the store's, or begun here if that one died.
        stop: asks for the training to be kept and stopped at the end of a step. None to have Ctrl-C and SIGTERM do so.

    Raises:
        BusyError: another process trains it, and nobody waits.
        StoreError: a newer archlab wrote the run of that key, which is not trained over.
        StoppedError: it was asked to stop; what is done is kept, and the same call goes on from there.
    """
    tell = progress or (lambda event: None)
    with computing(config):
        ready = ReadyRun.of(config, preparer)
        if stop is not None:
            return driven(course(ready, preparer, tell, wait=wait, stop=stop))
        stop = Stop()
        with stopping_by_signals(stop, lambda number: tell(Progress(config, "stopping", ready.key))):
            return driven(course(ready, preparer, tell, wait=wait, stop=stop))


@contextlib.contextmanager
def computing(config: TrainingConfig) -> Iterator[None]:
    """A context in which runs are trained: of a configuration, or of several of one network."""
    # Products in TF32 are another experiment.
    with products_in(config.precision), telling(f"{cut(config.network)} can't be trained", BusyError):
        yield


@dataclass(frozen=True, slots=True)
class ReadyRun:
    """A run that is known to the store by a key, and could be trained."""

    prepared: Preparation
    network: nn.Module
    """At its first weights, on the CPU."""
    environment: dict[str, Value]

    @classmethod
    def of(cls, config: TrainingConfig, preparer: Preparer) -> Self:
        """The run of a configuration, trained by itself.

        Raises:
            InputError: a setting, the network, the device or the data can't be used.
        """
        prepared = preparer.prepare(config)
        check_precision(config.precision, preparer.device)
        network = prepared.network()
        return cls(prepared, network, prepared.environment(preparer.device, network))

    @property
    def key(self) -> str:
        """What the store calls it."""
        return run_key(self.prepared.config, self.environment)

    def stacked(self) -> Self:
        """The same run, trained with others as one program, which adds in another order: another key says so."""
        return replace(self, environment=self.environment | {STACKED: True})

    def stored(self, preparer: Preparer) -> Run | None:
        """The run as the store has it, if it came to its end; where stacks are trained, a stacked one answers too.

        Raises:
            StoreError: a newer archlab wrote it, which is not trained over.
        """
        keys = dict.fromkeys([self.key, *([self.stacked().key] if preparer.stacks else [])])
        known = [preparer.execution.home.result(key) for key in keys]  # in any case: it refuses what is newer
        return None if preparer.execution.fresh else next((run for run in known if run is not None), None)


def course(
    ready: ReadyRun, preparer: Preparer, tell: Callable[[Progress], None], *, wait: bool, stop: Stop, sharers: int = 1
) -> Course[Run]:
    """The run from wherever it is to its end, by whoever takes its steps; else as `run`.

    Args:
        ready: which.
        preparer: where and how.
        tell: called with each event.
        wait: for another process that trains it.
        stop: asks for the training to be kept and stopped at the end of a step.
        sharers: trainings that go on side by side, this one among them.
    """
    prepared, network, config = ready.prepared, ready.network, ready.prepared.config
    device, store, key = preparer.device, preparer.execution.home, ready.key

    def stored() -> Run | None:
        known = ready.stored(preparer)
        if known is not None:
            tell(Progress(config, "reused", known.key, epoch=len(known.epochs), run=known))
        return known

    if known := stored():  # of a store that can't be written, too
        return known
    with _claimed(store, key, lambda: tell(Progress(config, "waiting", key)), wait=wait):
        if known := stored():
            return known
        dataset = preparer.dataset(prepared)
        check_last_batch(network, dataset.image_shape, len(dataset.train), config.batch_size)
        trace = preparer.trace(prepared, network)
        trainer, begun = Trainer(members.moved(network, device), dataset, config), None
        for begun in store.checkpoints(key):
            if _goes_on(trainer, begun):
                break
            trainer, begun = Trainer(members.moved(prepared.network(), device), dataset, config), None  # untouched
        data = preparer.summary(prepared)
        writer = store.writer(config, ready.environment, trainer.parameters, data, trace=trace, begun=begun)
        seconds = preparer.execution.checkpoint_seconds
        return (yield from _run(trainer, prepared, writer, seconds, sharers, tell, stop))


def _goes_on(trainer: Trainer, begun: Checkpoint) -> bool:
    """Whether a training could be made what it was at a checkpoint; if not, it is neither that nor new."""
    content = begun.content()
    try:
        if content is not None:
            trainer.restore(decoded(content))
            return True
    except Exception:  # damaged, or of an archlab that kept other things
        pass
    return False


@contextlib.contextmanager
def _claimed(store: Store, key: str, on_wait: Callable[[], None], *, wait: bool) -> Iterator[None]:
    """A context in which no other process trains the run of that name, once none does."""
    pause = FIRST_WAIT_SECONDS
    while True:
        with store.claim(key) as ours:
            if ours:
                yield
                return
        if not wait:
            raise BusyError(key)
        if pause == FIRST_WAIT_SECONDS:
            on_wait()
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_WAIT_SECONDS)


def missing(configs: Sequence[TrainingConfig], preparer: Preparer) -> list[TrainingConfig]:
    """The configurations whose runs `train_all` would train, since the store has none that came to its end.

    A network whose run may be there is built, since its first weights are part of the key; one that can't be built is
    missing, and whoever trains it says why.

    Raises:
        StoreError: a newer archlab wrote a run that one of them would be trained over.
    """
    fresh = preparer.execution.fresh
    stored = [folder.key for folder in preparer.execution.home.run_folders() if not fresh or folder.is_newer]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers have it
    try:
        return [config for config in configs if not _is_there(config, preparer, stored) or fresh]
    finally:
        torch.set_num_threads(threads)


def _is_there(config: TrainingConfig, preparer: Preparer, stored: Sequence[str]) -> bool:
    beginnings = tuple(run_key(config, {STACKED: stacked}).rpartition("-")[0] for stacked in (False, True))
    if not any(key.startswith(beginnings) for key in stored):
        return False
    try:
        ready = ReadyRun.of(config, preparer)
    except Exception:  # whatever a stranger's network may raise
        return False
    return ready.stored(preparer) is not None


def _run(
    trainer: Trainer,
    prepared: Preparation,
    opened: RunWriter,
    checkpoint_seconds: float,
    sharers: int,
    tell: Callable[[Progress], None],
    stop: Stop,
) -> Course[Run]:
    config = prepared.config
    steps = config.epochs * trainer.steps_per_epoch
    reports, recorder = Pace(REPORT_SECONDS), trainer.recorder

    def tell_step(state: State, step: int) -> None:
        if reports.is_due():
            tell(Progress(config, state, writer.key, max(0, step - 1) // trainer.steps_per_epoch, step, steps))

    def stopped() -> StoppedError:
        return stop.stopped(f"after step {trainer.steps_done:,} of {steps:,}: the same call goes on from there")

    def on_step(step: int) -> None:
        tell_step("step", step)
        recorder.keep()
        if stop.is_asked:
            trainer.hold()
            raise stopped()
        checkpoints.keep_if_due()

    def on_batch() -> None:
        tell_step("measuring", len(recorder.steps))
        if stop.is_asked:
            raise stopped()

    def on_point(point: int) -> None:
        if reports.is_due():
            tell(Progress(config, "landscape", writer.key, config.epochs, point, config.landscape**2))
        if stop.is_asked:
            raise stopped()
        checkpoints.keep_if_due()

    with opened as writer:
        checkpoints = Checkpoints(trainer, writer, checkpoint_seconds, sharers)
        for epoch in trainer.ended:
            writer.append(epoch)
        writer.answer(trainer.predicted)
        recorder.keep_in(writer)
        done = len(trainer.ended)
        tell(Progress(config, "started", writer.key, done, trainer.steps_done, steps))
        try:
            while not trainer.has_ended:
                epoch = yield from trainer.epoch(on_step, on_batch)
                recorder.add_epoch(epoch)
                writer.answer(trainer.predicted)
                tell(Progress(config, "epoch", writer.key, epoch.epoch, epoch.step, steps, metrics=epoch))
                if stop.is_asked:
                    raise stopped()
                checkpoints.keep_if_due()
            trainer.look_at_end()
            if reason := trainer.divergence():
                raise DivergedError(reason)
            trainer.measure_landscape(on_point)
        except DivergedError as error:
            trainer.look_at_start(prepared.network())
            diverged = recorder.end("diverged", error.reason)
            done = len(diverged.epochs)
            tell(Progress(config, "diverged", writer.key, done, steps=steps, run=diverged, error=error.reason))
            return diverged
        except StoppedError:
            checkpoints.keep()
            recorder.leave()
            raise
        except Exception as error:  # whatever a stranger's network may raise
            reason = str(error) if isinstance(error, RunError) else described(error)
            failed = recorder.end("failed", reason)
            tell(Progress(config, "failed", writer.key, len(failed.epochs), steps=steps, run=failed, error=reason))
            raise RunError(reason) from error
        finished = recorder.end("finished")
    tell(Progress(config, "finished", writer.key, len(finished.epochs), steps, steps, run=finished))
    return finished
