"""How BatchNorm layers were used: modes, settings, calls and updates, as they were seen and not as assumed.

The checks (`CHECKS`) look at `NormUse` records alone: a network that is examined on data (`verdicts_on(uses)`) and a
variant's trainings (`uses(group)`) have the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from archlab.analysis.verdicts import modes, updates
from archlab.analysis.verdicts.found import Found
from archlab.analysis.verdicts.group import Group
from archlab.analysis.wording import counted
from archlab.records import NormUse, Run, Verdict

CHECKS: tuple[Callable[[Sequence[NormUse], Run | None], Found | None], ...] = (
    updates.not_finite,
    modes.evaluation_mode,
    modes.no_statistics,
    updates.momentum,
    updates.shared,
    modes.half_frozen,
    modes.frozen,
    modes.changing,
    updates.recomputed,
    updates.idle,
    updates.small_batch,
    modes.unsynchronised,
    modes.per_image,
)
"""The most grave first."""
GRAVE_LOSS_FACTOR = 2.0
"""Times the first loss, which is that of guessing, that the last tenth of the steps may have."""


def uses(group: Group) -> list[Verdict]:
    """How a variant's BatchNorm layers were used, wherever that is not as usual.

    *Counting semantics.* As `verdicts_on`, of each run whose layers were observed; what is found in several runs is
    told with the numbers of the first.
    """
    observed = [run for run in group.runs if group.uses.get(run.key)]
    found: dict[str, list[tuple[Run, Verdict]]] = {}
    for run in observed:
        for verdict in verdicts_on(_believed(group, run), run):
            found.setdefault(verdict.check, []).append((run, verdict))
    verdicts = []
    for entries in found.values():
        _, first = entries[0]
        if first.level == "good" and len(found) > 1:  # other runs are not so well
            continue
        basis = f" So it is in {len(entries)} of {counted(len(observed), 'observed run')}." if len(observed) > 1 else ""
        verdicts.append(
            Verdict(
                check=first.check,
                level=first.level,
                text=first.text + basis,
                variant=group.variant,
                seeds=tuple(run.config.seed for run, _ in entries) if first.level != "good" else (),
                layer=first.layer,
                remedy=first.remedy,
                source=first.source,
            )
        )
    return verdicts


def verdicts_on(uses: Sequence[NormUse], run: Run | None = None) -> list[Verdict]:
    """What is unusual about how some BatchNorm layers were used; one `good` verdict where nothing is.

    *Counting semantics.* One verdict per check, which names the worst layer and says how many have it. `good` is said
    where training and evaluation were both seen.

    Args:
        uses: of a network's layers.
        run: the training they are from, whose accuracies are then named; None for a network that is only evaluated.

    >>> found = verdicts_on([NormUse("norm", momentum=0.0, in_training="batch")])
    >>> [(verdict.check, verdict.layer) for verdict in found]
    [('norm-momentum', 'norm')]
    """
    if not uses:
        return []
    verdicts = []
    for check in CHECKS:
        if (found := check(uses, run)) is not None:
            text = f"{len(found.layers)} of {counted(len(uses), _noun(uses))} {found.text}"
            agreeing = _agreeing(text, len(found.layers))
            layer = found.layers[0].path
            verdicts.append(
                Verdict(found.check, found.level, agreeing, layer=layer, remedy=found.remedy, source=found.source)
            )
    return verdicts or _in_order(uses)


def _noun(uses: Sequence[NormUse]) -> str:
    return "normalisation layer" if any(use.is_per_image for use in uses) else "BatchNorm layer"


def breaks_averages(group: Group) -> bool:
    """Whether running statistics are wrong by how layers were used, in some run: nothing else need explain them."""
    observed = [_believed(group, run) for run in group.runs]
    findings = [check(uses, None) for uses in observed if uses for check in CHECKS]
    return any(found.breaks_averages for found in findings if found is not None)


def is_poisoned(group: Group, run: Run) -> bool:
    """Whether running statistics stopped being finite while the training loss did not."""
    return any(use.not_finite_step is not None for use in _believed(group, run))


def _believed(group: Group, run: Run) -> tuple[NormUse, ...]:
    """How the run's layers were used, without infinite statistics where the training loss rose or was infinite itself.

    Those follow from weights that ran away, of which the checks of the training speak.
    """
    import numpy as np

    observed = group.uses.get(run.key, ())
    losses = np.asarray(group.losses.get(run.key, ()), dtype=np.float64)
    if not len(losses):
        is_healthy = run.status == "finished"
    else:
        last = losses[-max(1, len(losses) // 10) :].mean()
        is_healthy = bool(np.isfinite(losses).all()) and last <= GRAVE_LOSS_FACTOR * losses[0]
    return observed if is_healthy else tuple(replace(use, not_finite_step=None, left_out=0) for use in observed)


def _agreeing(text: str, count: int) -> str:
    """The text with one of two forms where it has both.

    >>> _agreeing("2 layers [keeps|keep] none", 2)
    '2 layers keep none'
    """
    return re.sub(r"\[([^|\]]*)\|([^\]]*)\]", lambda match: match[1 if count == 1 else 2], text)


def _in_order(uses: Sequence[NormUse]) -> list[Verdict]:
    """The `good` verdict, where training and evaluation were both seen."""
    steps = max(use.steps for use in uses)
    usual = not any(use.is_per_image for use in uses) and all(
        use.in_training == "batch" and use.in_evaluation == "running" and use.updates == 1 for use in uses
    )
    if not usual or not steps:
        return []
    text = (
        f"In training {counted(len(uses), 'BatchNorm layer')} [normalises|normalise] by the batch and "
        "[updates|update] the running statistics once per step, in evaluation [it normalises|they normalise] by "
        f"those, as outputs and counters show ({counted(steps, 'step')} looked at)."
    )
    return [Verdict("norm-use", "good", _agreeing(text, len(uses)))]
