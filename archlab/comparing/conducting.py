"""A comparison: variants of a network, trained with the same seeds and data, and held side by side.

`design` settles what is compared before anything trains, `conduct` trains and condenses it, `compare` does both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from archlab.analysis.claims import PRIMARY, checked_margin, claimable
from archlab.comparing.designing import Design, design
from archlab.records import Comparison, Trace, TrainingConfig, Value
from archlab.records.settings import divided
from archlab.training.execution import Execution
from archlab.training.notebook import showing

if TYPE_CHECKING:
    from archlab.networks.given import Trained
    from archlab.training import Progress
    from archlab.training.preparation import Preparer


def compare(
    network: Trained = "lenet",
    *,
    bn: Literal["on", "off", "scratch"] | None = None,
    skip: Literal["on", "off"] | None = None,
    vary: Mapping[str, Sequence[Value]] | Iterable[tuple[str, Sequence[Value]]] = (),
    seeds: int | Sequence[int] = 6,
    execution: Execution | None = None,
    progress: Callable[[Progress], None] | Literal[False] | None = None,
    metric: str = PRIMARY,
    margin: float | None = None,
    **settings: Any,
) -> Comparison:
    """The comparison of a network as it is with its variants, kept in the store; runs that are there are not repeated.

    What varies is crossed: two values of each of two options make four variants. The first is the baseline.

    One process per core trains, each building its networks anew. What other processes can't build (a module; a class or
    function that a notebook, the running script or another function defines) is trained in this process, one run after
    another, which a warning says. A module has no options to switch: of it, settings alone can vary, and every run
    begins with its weights.

    Args:
        network: its source; a class or function that gives a module; a module; or a whole `TrainingConfig`, of which
            the settings then replace fields.
        bn: compare its normalisation with BatchNorm (`on`), none (`off`), or BatchNorm from scratch.
        skip: compare its skip connections with those `on` or `off`.
        vary: name of an option of the network, or of a setting that can vary -> the values, the baseline's first.
        seeds: how many, from 0, or which.
        execution: where and how.
        progress: called with every event of every run. None for a bar in a notebook and nothing elsewhere, False for
            nothing.
        metric: the primary metric, which claims are about.
        margin: differences in it up to this count as equal, in its own unit; by default 0.01 of accuracies (one
            percentage point), 0.02 nats of losses.
        settings: fields of `TrainingConfig` (`epochs=1`, `options={"width": 2}`, ...) and of `Execution` (`store=...`,
            `workers=1`, ...), by their own names or the command's (`lr=0.01`). Several values of a setting that can
            vary are compared: `learning_rate=[0.001, 0.01]`.

    Raises:
        InputError: nothing varies; the network, an option, a setting or the data set is unknown or can't be used.
        KeyboardInterrupt: it was stopped; what is finished is kept, and the same call goes on from there.

    >>> compare("lenet", bn="off").findings[0]  # doctest: +SKIP
    'norm=none has a lower test accuracy than norm=batch: ...'
    """
    chosen, where = divided(settings, TrainingConfig, Execution)
    designed = design(network, bn=bn, skip=skip, vary=vary, seeds=seeds, **chosen)
    execution = replace(execution or Execution(), **where)
    with showing(progress, len(designed.configs)) as tell:
        return conduct(designed, execution, tell, metric=metric, margin=margin)


def conduct(
    designed: Design,
    execution: Execution = Execution(),
    progress: Callable[[Progress], None] | None = None,
    *,
    command: str = "",
    metric: str = PRIMARY,
    margin: float | None = None,
) -> Comparison:
    """The comparison that a design gives, kept in the store.

    Args:
        designed: what is trained.
        execution: where and how.
        progress: called with every event of every run.
        command: what to type to have it again, for the report.
        metric: the primary metric, which claims are about.
        margin: differences in it up to this count as equal, in its own unit.

    Raises:
        InputError: the data set, the device or a setting can't be used.
        KeyboardInterrupt: it was stopped; what is finished is kept, and the same call goes on from there.
    """
    from archlab.analysis.comparison import summarise
    from archlab.training import train_all

    claimable(metric)
    if margin is not None:
        checked_margin(margin)
    runs = train_all(designed.configs, execution, progress, designed.sources)
    return execution.home.save_comparison(summarise(runs, command=command, metric=metric, margin=margin))


def traces(configs: Iterable[TrainingConfig], where: Execution | Preparer = Execution()) -> list[Trace]:
    """A trace of each different network of some configurations, fitted to its data and on inputs as it is trained.

    Args:
        configs: a design's variants, for instance, or the configurations of runs.
        where: where the data lies; or a preparer, whose networks and images are used.

    Raises:
        InputError: the data can't be had.
        ForwardError: a network does not take the data.
    """
    from archlab.training.preparation import Preparer, distinct

    preparer = Preparer.of(where)
    found: list[Trace] = []
    for config in distinct(configs):
        traced = preparer.prepare(config).trace()
        if not any(traced.layers == other.layers for other in found):
            found.append(traced)
    return found
