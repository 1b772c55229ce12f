"""Many runs: those that the store has are taken from there, the others are trained by an engine.

`archlab.training.engines` has them: processes of this machine, or of a cluster. What other processes can't build is
trained in this one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from archlab.circumstances import cores
from archlab.errors import InputError, RunError
from archlab.records import Run, TrainingConfig
from archlab.records.config import consistent
from archlab.records.run import RESULTS
from archlab.records.settings import settled
from archlab.training import images
from archlab.training.asked import Asked
from archlab.training.calibration import keep_seconds
from archlab.training.engines.choosing import check_engine, opened
from archlab.training.engines.local import started_ahead
from archlab.training.engines.pool import Pool
from archlab.training.execution import Execution
from archlab.training.grouping import share
from archlab.training.progress import Progress
from archlab.training.stopping import Stop, stopping_by_signals
from archlab.training.worker import Greeting

if TYPE_CHECKING:
    from archlab.networks import Source
    from archlab.training.preparation import Preparer


def train_all(
    configs: Sequence[TrainingConfig],
    execution: Execution = Execution(),
    progress: Callable[[Progress], None] | None = None,
    sources: Sequence[Source] = (),
) -> list[Run]:
    """The runs of some configurations, in their order; those that diverged or failed have that status.

    Finished and diverged runs of the same key are taken from the store. At Ctrl-C or SIGTERM all end their step and
    keep what they have done, and `StoppedError` goes on to the caller; a second Ctrl-C ends them where they are. What
    came to its end is in the store, what did not is there as interrupted, and the same call goes on from there.

    Args:
        configs: what to train; equal ones are trained once.
        execution: where and how; on each accelerator a single process trains unless `workers` says otherwise.
        progress: called with each event, in this thread.
        sources: networks that were given as objects. Where other processes can't build one, all is trained in this
            process, one run after another, and a warning says so.

    Raises:
        InputError: a configuration, a network, the device, the data or the engine can't be used, or several workers
            or a cluster are asked for where other processes can't build the network; nothing more is trained.
        RunError: the workers don't start.
        StoppedError: it was asked to stop.
    """
    execution, configs = settled(execution), [consistent(settled(config)) for config in configs]
    check_engine(execution)
    if execution.download:
        for dataset in sorted({config.dataset for config in configs}):
            images.load_images(dataset, execution.data_dir, download=True)
    unique = _different(configs)
    if not unique:
        return []
    execution = replace(execution, store=execution.home)
    places = _places(unique)
    if reason := next((source.local for source in sources if source.local), ""):
        runs = _train_here(unique, execution, progress or (lambda event: None), sources, reason)
        return [runs[places[_name(config)]] for config in configs]
    asked = Asked(unique, execution)
    known, tell = asked.stored(), progress or (lambda event: None)
    for place, run in known.items():
        tell(Progress(unique[place], "reused", run.key, epoch=len(run.epochs), run=run))
    left = [place for place in range(len(unique)) if place not in known]
    if left:
        stop = Stop()
        waiting = [unique[place] for place in left]
        pool = Pool(opened(execution, waiting), execution, waiting, tell, stop)
        try:
            with pool, stopping_by_signals(stop):
                pool.work(lambda: _check_last_batches(waiting, execution))
        finally:
            found = {left[place]: run for place, run in pool.runs.items()}
            asked.keep({place: run for place, run in found.items() if run.status in RESULTS})
            keep_seconds(unique, found, execution)
        known |= found
    return [known[places[_name(config)]] for config in configs]


@contextlib.contextmanager
def starting(execution: Execution, runs: int) -> Iterator[None]:
    """A context in which the processes of this machine start, which `train_all` then finds ready.

    For who has something else to do before: loading torch, resolving networks, estimating the time.

    Args:
        execution: where and how.
        runs: how many there are to train; no more processes are started.
    """
    execution = settled(execution)
    execution = replace(execution, store=execution.home)
    wanted = execution.workers or cores()
    count = min(wanted, runs) if execution.engine == "local" else 0
    with started_ahead(Greeting(execution, tuple(sys.argv)), count):
        yield


def all_stored(configs: Sequence[TrainingConfig], execution: Execution) -> bool:
    """Whether the store is known to have all runs of some configurations, so that nothing is left to train.

    What was never asked for before counts as missing, though the store may have it.
    """
    unique = _different([consistent(settled(config)) for config in configs])
    return len(Asked(unique, settled(execution)).stored()) == len(unique)


def _train_here(
    configs: Sequence[TrainingConfig],
    execution: Execution,
    tell: Callable[[Progress], None],
    sources: Sequence[Source],
    reason: str,
) -> dict[int, Run]:
    """The runs by the index of their configuration, trained in this process; networks are what `sources` builds."""
    from archlab.training import session, together
    from archlab.training.preparation import Preparer

    remedy = "write a class or function that builds it into a file, and give 'FILE.py:NAME'"
    if execution.engine != "local":
        raise InputError(f"engine is {execution.engine}, and {reason}: leave engine out, or {remedy}")
    if execution.workers is not None and execution.workers > 1:
        raise InputError(
            f"workers is {execution.workers}, and {reason}: leave workers out, for which all is trained in this "
            f"process, or {remedy}"
        )
    if len(configs) > 1 and cores() > 1:
        warnings.warn(
            f"{reason}: runs are trained in this process, one after another. For one process per core, {remedy}",
            stacklevel=_frames_within(),
        )
    preparer = Preparer(execution, sources)
    _check_last_batches(configs, execution, preparer)
    runs: dict[int, Run] = {}

    def on_event(event: Progress) -> None:
        if event.run is not None:
            runs[configs.index(event.config)] = event.run
        tell(event)

    for place, config in enumerate(configs):
        if preparer.stacks and place not in runs:
            group = [config, *(configs[other] for other in share(place, range(place + 1, len(configs)), configs, 1))]
            with stopping_by_signals(stop := Stop()):
                together.run_together(group, preparer, on_event, stop)
        if place not in runs:
            with contextlib.suppress(RunError):  # told and stored already
                session.run(config, preparer, on_event)
    return runs


def _frames_within() -> int:
    """How many calls up, as `warnings` counts from whoever calls this, the caller of archlab is."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("archlab."):
        frame, count = frame.f_back, count + 1
    return count


def _different(configs: Sequence[TrainingConfig]) -> list[TrainingConfig]:
    """Each configuration once."""
    return list({_name(config): config for config in configs}.values())


def _places(unique: Sequence[TrainingConfig]) -> dict[str, int]:
    """The index of each configuration by its name."""
    return {_name(config): place for place, config in enumerate(unique)}


def _name(config: TrainingConfig) -> str:
    """Equal for equal configurations, which can't be keys themselves; of thousands each is looked up at once."""
    return json.dumps(config.to_dict(), sort_keys=True)


def _check_last_batches(
    configs: Sequence[TrainingConfig], execution: Execution, preparer: Preparer | None = None
) -> None:
    """Hold every run to what its last batch allows: now, and not when its turn comes.

    Raises:
        InputError: a run could not train on it.
    """
    read = functools.cache(lambda dataset: images.load_images(dataset, execution.data_dir))
    for config in _different([replace(config, seed=0, variant="") for config in configs]):
        available = len(read(config.dataset).train.labels)
        count = min(config.train_samples or available, available)
        if (count - 1) % config.batch_size == 0:
            from archlab.training import preparation
            from archlab.training.last_batch import check_last_batch

            preparer = preparer or preparation.Preparer(execution)  # made late: it needs torch, and is seldom needed
            prepared = preparer.prepare(config)
            check_last_batch(prepared.network("meta"), prepared.image_shape, count, config.batch_size)
