"""What is wrong with some trainings, and above all with their BatchNorm layers, found from the records alone.

Each check looks at the runs of one variant (`CHECKS`) or at all of them (`DESIGN_CHECKS`), and says what it measured,
what to do, and where to read on. Its docstring has its counting semantics, and its limits stand beside it with their
reasons. A check that has nothing to look at says nothing; `good` is only said of what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from archlab.analysis.variants import by_variant
from archlab.analysis.verdicts import channels, data, design, norms, signals, training, uses
from archlab.analysis.verdicts.group import NOISE_STEPS, Group, LayerEnd, condense
from archlab.records import Comparison, Examination, LayerSeries, NormRecording, NormUse, Probes, Run, Verdict
from archlab.records.run import RESULTS
from archlab.records.verdict import LEVELS

CHECKS: tuple[Callable[[Group], list[Verdict]], ...] = (
    data.labels,
    data.test_scale,
    data.shared_images,
    data.missing_classes,
    signals.dead_units,
    signals.saturated_units,
    signals.gradients,
    signals.update_ratios,
    training.failures,
    training.progress,
    data.collapse,
    uses.uses,
    norms.running_statistics,
    norms.initial_values,
    norms.batch_noise,
    channels.channels,
    training.jumps,
    training.gap,
)
"""What is asked of each variant; within a level, verdicts stand in this order: causes before what they lead to."""
DESIGN_CHECKS: tuple[Callable[[Sequence[Group], Comparison | None], list[Verdict]], ...] = (
    design.missing,
    design.seeds,
    design.unrecorded,
)
"""What is asked of all variants together."""
OPTIONS = re.compile(r" \(--[^()]*\)")
"""What remedies say to archlab's own trainings alone."""
CAUSES = frozenset(
    {
        "constant-labels",
        "shuffled-labels",
        "dead-units",
        "saturated-units",
        "cut-gradients",
        "vanishing-gradients",
        "exploding-gradients",
        "update-ratios",
    }
)
"""Checks that say why a network does not learn, or diverges."""
SYMPTOMS = frozenset({"learning", "diverged-runs"})
"""Checks that say that it does, and what to try where nobody knows why."""
ENDED = ("finished", "diverged", "failed")
"""Statuses of runs whose BatchNorm layers and losses are looked at."""
LAST_ROWS = NOISE_STEPS + 1
"""Rows at the end of a recording that checks look at, beside the first two: `store.recording(key, last=LAST_ROWS)` is
enough, and quicker to read than all of it."""


def examine(
    runs: Sequence[Run],
    recording: Callable[[str], NormRecording | None] = lambda key: None,
    curves: Callable[[str], Mapping[str, Any] | None] = lambda key: None,
    probes: Callable[[str], Probes | None] = lambda key: None,
    *,
    comparison: Comparison | None = None,
) -> Examination:
    """The verdicts on some runs, the worst first.

    Recordings are asked for one at a time and condensed to the end of the training, so that a store of any size fits.

    Args:
        runs: any order; those of one variant are looked at together.
        recording: a run's key -> what its BatchNorm layers held, or None; `store.recording`, or `recordings.get`.
        curves: a run's key -> `train_loss` by step, (steps,) in nats, or None; `store.curves`.
        probes: a run's key -> what was probed of it, of which the signals are looked at, or None; `store.probes`.
        comparison: that the runs belong to; it says which there should be.

    >>> from archlab.records import Epoch, TrainingConfig
    >>> epoch = Epoch(1, 6, 0.5, 2.3, 0.1, 2.3, 0.1)
    >>> found = examine([Run("lenet-digits-seed0", TrainingConfig(epochs=1), "finished", (epoch,))])
    >>> [(verdict.check, verdict.level) for verdict in found.verdicts]
    [('learning', 'problem'), ('not-recorded', 'note')]
    >>> found.headline
    '1 problem'
    """
    groups = _groups(runs, recording, curves, probes)
    found = _explained([verdict for check in CHECKS for group in groups for verdict in check(group)])
    found += [verdict for design in DESIGN_CHECKS for verdict in design(groups, comparison)]
    if all(run.watched for run in runs):  # whose loops have no options of archlab
        found = [replace(verdict, remedy=OPTIONS.sub("", verdict.remedy)) for verdict in found]
    found = _shared(found)
    return Examination(
        tuple(sorted(found, key=lambda verdict: LEVELS.index(verdict.level))), tuple(run.key for run in runs)
    )


def _explained(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, of which a symptom with a known cause names that in place of a remedy of its own.

    A network of dead ReLUs does not learn, but training it longer would be no use.
    """
    result = []
    for verdict in verdicts:
        causes = [
            other.title
            for other in verdicts
            if other.variant == verdict.variant and other.check in CAUSES and other.level in LEVELS[:2]
        ]
        if verdict.check in SYMPTOMS and verdict.level == "problem" and causes:
            names = " and ".join(dict.fromkeys(causes))
            verdict = replace(verdict, remedy=f"See to the {names} first: that is a reason for it.")
        result.append(verdict)
    return result


def _shared(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with those that differ in nothing but variant and numbers as one, which names the others.

    Three variants whose learning rate is too high have one fault: the first is told with its numbers.
    """
    found: dict[tuple[str, ...], list[Verdict]] = {}
    for place, verdict in enumerate(verdicts):
        alone = (str(place),) if not verdict.variant else ()
        remedy = re.sub(r"\d[\d.,]*", "N", verdict.remedy)
        found.setdefault((verdict.check, verdict.level, remedy, verdict.source, *alone), []).append(verdict)
    result = []
    for first, *others in found.values():
        names = ", ".join(verdict.variant for verdict in others)
        text = f"{first.text} Likewise in {names}." if others else first.text
        result.append(replace(first, text=text))
    return result


def _groups(
    runs: Sequence[Run],
    recording: Callable[[str], NormRecording | None],
    curves: Callable[[str], Mapping[str, Any] | None],
    probes: Callable[[str], Probes | None],
) -> list[Group]:
    """The runs by variant, with what is kept of each."""
    groups = []
    for variant, members in by_variant(runs, lambda run: run.config).items():
        layers: dict[str, tuple[LayerEnd, ...]] = {}
        losses: dict[str, Any] = {}
        looks: dict[str, LayerSeries] = {}
        observed: dict[str, tuple[NormUse, ...]] = {}
        for run in members:
            if run.status in RESULTS and (probed := probes(run.key)) is not None and probed.signals is not None:
                looks[run.key] = probed.signals
            if run.status not in ENDED:
                continue
            held = recording(run.key)
            if held is not None and held.uses:
                observed[run.key] = held.uses
            if held is not None and held.layers and held.steps and run.status == "finished":
                layers[run.key] = condense(run, held)
            found = curves(run.key) or {}
            told = found.get("train_loss", ())
            # What a watched loop told now and then is no curve.
            if len(told) and not (run.watched and any(value != value for value in told)):
                losses[run.key] = told
        groups.append(Group(variant, tuple(members), layers, losses, looks, observed))
    return groups
