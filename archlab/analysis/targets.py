"""Steps and time to a target (`TrainingConfig.until`), and the runs that did not reach it."""

from __future__ import annotations

from archlab.records import Comparison, Run
from archlab.records.target import Target


def is_censored(run: Run) -> bool:
    """Whether a run ended before it reached the target that its configuration names."""
    target = run.config.target
    return target is not None and bool(run.epochs) and not target.is_reached(run.epochs[-1])


def target_sentences(comparison: Comparison) -> tuple[str, ...]:
    """How many runs of each variant reached the target, and what the means of steps and time are; none without one.

    *Counting semantics.* Accuracies are known at the ends of epochs alone, so that steps to a target are whole epochs.
    A run that did not reach it (censored) counts with the steps and seconds that it trained: the mean is that of the
    smaller of the two, time to the target and horizon, known as the restricted mean, a lower bound of the mean. Runs
    that diverged or failed have not reached it, and are in no mean.
    """
    text = comparison.settings.get("until")
    target = Target.read(text) if isinstance(text, str) else None
    if target is None:
        return ()
    reached = ", ".join(
        f"{len(variant.seeds) - variant.censored} of {variant.ended} runs of {variant.name}"
        for variant in comparison.variants
    )
    found = [f"A {target} was reached by {reached}; it is looked at after each epoch."]
    if any(variant.censored for variant in comparison.variants):
        found.append(
            "Runs that ended without it count with the steps and the time that they trained: the means of steps and "
            "time to the target are restricted to that, and are lower bounds where runs did not reach it."
        )
    return tuple(found)
