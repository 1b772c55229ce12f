"""Several runs, from their configurations to the store, as one program where that is possible and quicker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archlab.errors import RunError
from archlab.networks import members
from archlab.records import Run, TrainingConfig
from archlab.training import seeding
from archlab.training.grouping import by_update
from archlab.training.preparation import Preparer
from archlab.training.progress import Progress
from archlab.training.session import BusyError, ReadyRun, computing, course
from archlab.training.stacking.choice import Choice, choose
from archlab.training.stacking.lockstep import Outcome, in_lockstep
from archlab.training.step import driven
from archlab.training.stopping import Stop, StoppedError

PASSING = (RunError, BusyError)
"""What one run may raise without ending the others."""


def run_together(
    configs: Sequence[TrainingConfig], preparer: Preparer, tell: Callable[[Progress], None], stop: Stop
) -> list[Run | None]:
    """The runs of some configurations, in their order; None of those that failed, or that another process trains.

    Which way they are trained is chosen by a few steps before they begin, and told. Runs that the store has are taken
    from there.

    Args:
        configs: which `grouping.may_stack` lets be trained as one program.
        preparer: where and how.
        tell: called with each event.
        stop: asks for all trainings to be kept and stopped at the end of a step.

    Raises:
        InputError: a setting, the network or the data can't be used.
        StoreError: a newer archlab wrote one of the runs, which is not trained over.
        StoppedError: they were asked to stop; what is done is kept, and the same call goes on from there.
    """
    places = sorted(range(len(configs)), key=lambda place: by_update(configs[place]))
    with computing(configs[0]), seeding.preserved(preparer.device):
        ready = {place: ReadyRun.of(configs[place], preparer) for place in places}
        left = [place for place in places if ready[place].stored(preparer) is None]
        outcomes = {place: _outcome(ready[place], preparer, tell, stop) for place in places if place not in left}
        choice = _chosen([ready[place] for place in left], preparer, tell)
        if choice.most > 1:
            chosen = {place: ready[place].stacked() for place in left}
            config = configs[left[0]]
            found = in_lockstep(
                [course(chosen[place], preparer, tell, wait=False, stop=stop, sharers=len(left)) for place in left],
                precision=config.precision,
                most=choice.most,
                tell=lambda words: tell(Progress(config, "stacked", error=words)),
            )
            outcomes |= dict(zip(left, found, strict=True))
        else:
            for place in left:
                run = ready[place].stacked() if _has_begun_stacked(ready[place], preparer) else ready[place]
                outcomes[place] = _outcome(run, preparer, tell, stop)
    raised = [outcome.error for outcome in outcomes.values() if outcome.error is not None]
    grave = [error for error in raised if not isinstance(error, PASSING)]
    for error in sorted(grave, key=lambda error: not isinstance(error, StoppedError)):
        raise error
    return [outcomes[place].value for place in range(len(configs))]


def _chosen(ready: Sequence[ReadyRun], preparer: Preparer, tell: Callable[[Progress], None]) -> Choice:
    """How the runs that are left are trained."""
    if len(ready) < 2 or not preparer.stacks:
        return Choice(1, "")
    asked = preparer.execution.stack or "auto"
    networks = [members.moved(run.network, preparer.device) for run in ready]
    configs = [run.prepared.config for run in ready]
    most = None if asked == "auto" else int(asked)
    choice = choose(networks, configs, preparer.dataset(ready[0].prepared), most, measured=most is None)
    tell(Progress(configs[0], "stacked", error=choice.words))
    return choice


def _has_begun_stacked(ready: ReadyRun, preparer: Preparer) -> bool:
    """Whether a run was begun as a part of a stack, from whose checkpoint it then goes on."""
    if not preparer.stacks:
        return False
    checkpoints = preparer.execution.home.checkpoints
    return any(True for _ in checkpoints(ready.stacked().key)) and not any(True for _ in checkpoints(ready.key))


def _outcome(ready: ReadyRun, preparer: Preparer, tell: Callable[[Progress], None], stop: Stop) -> Outcome[Run]:
    """What comes of a run that is trained by itself."""
    try:
        return Outcome(driven(course(ready, preparer, tell, wait=False, stop=stop)))
    except PASSING as error:
        return Outcome(error=error)
