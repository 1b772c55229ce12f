"""Checks of an experiment as a whole: seeds, runs that are missing, and what was not recorded."""

from __future__ import annotations

from collections.abc import Sequence

from archlab.analysis.statistics import student_quantile
from archlab.analysis.verdicts.group import Group
from archlab.analysis.wording import counted
from archlab.records import Comparison, Verdict

USUAL_SEEDS = 6
WARNING_RUNS = 3
"""Finished runs per variant below which it is a warning: two give an interval of 12.7 standard errors to each side."""
STUDENT_1908 = "Student, The Probable Error of a Mean, Biometrika, 1908"


def seeds(groups: Sequence[Group], comparison: Comparison | None) -> list[Verdict]:
    """Whether there are enough seeds to tell variants apart.

    *Counting semantics.* The finished runs of the variant that has the fewest; at least one. Nothing where there is one
    variant.
    """
    counts = {group.variant: len({run.config.seed for run in group.finished}) for group in groups}
    if len(counts) < 2 or not any(counts.values()):
        return []
    fewest = min(count for count in counts.values() if count)
    if fewest >= WARNING_RUNS:
        return []
    width = "no interval" if fewest == 1 else f"an interval of {student_quantile(fewest - 1):.1f} standard errors"
    return [
        Verdict(
            check="seeds",
            level="warning",
            text=f"There {'is' if fewest == 1 else 'are'} {counted(fewest, 'seed')} per variant, which gives a paired "
            f"difference {width}{' to each side' if fewest > 1 else ''}.",
            remedy=f"Train {USUAL_SEEDS} seeds (--seeds {USUAL_SEEDS}); finished runs are kept.",
            source=STUDENT_1908,
        )
    ]


def missing(groups: Sequence[Group], comparison: Comparison | None) -> list[Verdict]:
    """Which runs a comparison should have and hasn't.

    *Counting semantics.* Each variant of the comparison with each of its seeds is a run. Runs that failed are there.
    """
    if comparison is None:
        return []
    have = {(group.variant, run.config.seed) for group in groups for run in group.runs}
    verdicts = []
    for variant in comparison.variants:
        lacking = tuple(seed for seed in comparison.seeds if (variant.name, seed) not in have)
        if lacking:
            verdicts.append(
                Verdict(
                    check="missing-runs",
                    level="warning",
                    text=f"{len(lacking)} of {counted(len(comparison.seeds), 'run')} can't be found, so that nothing "
                    "can be said of them here.",
                    variant=variant.name,
                    seeds=lacking,
                    remedy="Run the comparison's command again with the same store: it trains what is missing.",
                )
            )
    return verdicts


def unrecorded(groups: Sequence[Group], comparison: Comparison | None) -> list[Verdict]:
    """One note that lists what the checks could not look at, and what to switch on.

    *Counting semantics.* Finished runs with BatchNorm (those that have an accuracy with running statistics) that lack a
    recording, or have one in which no layer has four steps of the last epoch; finished runs without curves by step.
    """
    finished = [(group, run) for group in groups for run in group.finished]
    with_norm = [(group, run) for group, run in finished if run.epochs[-1].test_accuracy_running is not None]
    without_recording = [run for group, run in with_norm if not group.layers.get(run.key)]
    sparse = [
        run
        for group, run in with_norm
        if (layers := group.layers.get(run.key)) and all(len(layer.batch_mean) < 4 for layer in layers)
    ]
    without_curves = [run for group, run in finished if run.key not in group.losses]
    parts, remedies = [], []
    if without_recording:
        parts.append(f"the BatchNorm layers of {len(without_recording)} of {counted(len(with_norm), 'run')}")
        remedies.append("Record every step (--record-every 1).")
    if sparse:
        parts.append(
            f"four steps of the last epoch in {len(sparse)} of {counted(len(with_norm), 'run')}, for their noise"
        )
        remedies.append("Record every step (--record-every 1), with batches that make five steps per epoch or more.")
    if without_curves:
        parts.append(f"the loss by step of {len(without_curves)} of {counted(len(finished), 'run')}")
        remedies.append("Keep the runs in a store.")
    if not parts:
        return []
    return [
        Verdict(
            check="not-recorded",
            level="note",
            text=f"Not recorded, and so not looked at: {'; '.join(parts)}.",
            seeds=tuple(dict.fromkeys(run.config.seed for run in (*without_recording, *sparse, *without_curves))),
            remedy=" ".join(remedies),
        )
    ]
