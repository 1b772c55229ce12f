"""Verdicts on what a trained network answers: with running, precise and batch statistics, on the same images."""

from __future__ import annotations

import math
from statistics import median, quantiles

from archlab.analysis.metrics import EVALUATION, PRECISE, SHARE
from archlab.analysis.verdicts.group import NORMAL_QUANTILE, worst
from archlab.analysis.verdicts.norms import (
    IOFFE_SZEGEDY_2015,
    OFF_SHARE,
    PROBLEM_COST,
    WARNING_COST,
    WU_JOHNSON_2021,
    off_sentence,
    off_share,
)
from archlab.analysis.verdicts.trained import group_of
from archlab.analysis.wording import counted
from archlab.records import Verdict
from archlab.records.norm_health import NormHealth, NormLayerHealth, Outcome
from archlab.records.verdict import Level

PROBLEM_CHANGED, WARNING_CHANGED = 0.2, 0.1
"""Shares of answers that change between running and precise statistics, where no label says which are right, for a
problem and a warning."""
LEFT = 0.05
"""Share of the initial values that is worth a word: half of the images' own variance of 0.1 is then the start's."""
MUCH_LEFT = 0.5
"""From which on evaluation knows more of the start than of the data."""
FAR = 2.0
"""Factor that a precise variance must lie from 1 to tell how much of the initial 1 is left."""
AGREEING = 0.25
"""Range of the middle half of channels, as a share of their median, within which they agree on what is left. Where
variances are off for another reason, by a common factor for instance, it is as wide as the variances themselves."""
FEW = 4
"""Channels that must tell."""


def running_statistics(health: NormHealth) -> list[Verdict]:
    """Whether evaluation with running statistics gives what precise ones give.

    *Counting semantics.* With labels: accuracy with precise statistics minus that with running ones, on the same
    images. Its interval is that of paired answers: if a share d of them changes, the difference c has a deviation of
    sqrt((d - c^2) / n) (McNemar 1947). Without: the share of answers that change. Where neither is, how far outputs
    drift. Nothing where evaluation normalises by the test batch, so that it has no running statistics. Channels are off
    as in `norms.running_statistics`, and decide a note alone.
    """
    running, precise = health.outcome("running"), health.outcome("precise")
    if running is None or precise is None or any(use.tracks and use.depends_on_test_batch for use in health.uses):
        return []
    off = worst(group_of(health, tracking=True), off_share, OFF_SHARE)
    level, text = _by_accuracy(health, running, precise) if running.accuracy is not None else _by_answers(running)
    if level == "good" and off is not None and off.touched:
        level = "note"
    if off is not None:
        text += f" {off_sentence(off)}"
    layer = off.layer if off is not None and off.touched else ""
    if level == "good":
        return [Verdict("running-statistics", level, text)]
    first = health.layers[0]
    remedy = (
        "This is the averages' error, not the weights': write precise statistics into the checkpoint (--recalibrate "
        "OUT). "
        if level != "note"
        else ""
    )
    if initial_values(health):
        remedy += "What is left of the initial values explains it."
    elif level != "note" and _is_off(first, health):
        remedy += (
            f"The first layer, {first.path}, is off already: make sure that the images have the size and the scale "
            "that "
            "the network was trained on."
        )
    return [Verdict("running-statistics", level, text, layer=layer, remedy=remedy.strip(), source=WU_JOHNSON_2021)]


def _by_accuracy(health: NormHealth, running: Outcome, precise: Outcome) -> tuple[Level, str]:
    assert running.accuracy is not None
    assert precise.accuracy is not None
    cost, half = paired_cost(running, precise)
    settled = abs(cost) > half
    level: Level = "good"
    if cost >= WARNING_COST:
        level = "note" if not settled else "problem" if cost >= PROBLEM_COST else "warning"
    batch = health.outcome("batch")
    shown = [(running, EVALUATION), (precise, f"with {PRECISE}")]
    texts = [f"{SHARE.number(one.accuracy)} % {name}" for one, name in shown if one.accuracy is not None]
    texts[0] = texts[0].replace("% eval", "% in eval")
    if batch is not None and batch.accuracy is not None and health.data is not None:
        texts.append(f"{SHARE.number(batch.accuracy)} % with those of batches of {health.data.batch_size}")
    interval = (
        f"95 % interval {SHARE.number(max(-1.0, cost - half), '+')} to {SHARE.number(min(1.0, cost + half), '+')}"
    )
    said = (
        f"cost {SHARE.number(cost)} points of accuracy"
        if cost >= 0
        else f"gain {SHARE.number(-cost)} points of accuracy"
    )
    text = f"Running statistics {said} ({interval}, n = {counted(running.images, 'image')}): {'; '.join(texts)}."
    return level, text + (" That may be the noise of so few images." if level == "note" else "")


def paired_cost(running: Outcome, precise: Outcome) -> tuple[float, float]:
    """Accuracy that running statistics cost, and half its 95 % interval."""
    cost = (precise.accuracy or 0.0) - (running.accuracy or 0.0)
    changed = max(1 - (running.agreement if running.agreement is not None else 0.0), abs(cost))
    return cost, NORMAL_QUANTILE * math.sqrt(max(changed - cost**2, 0) / running.images)


def _by_answers(running: Outcome) -> tuple[Level, str]:
    drift = "beyond any number" if running.drift is None else f"by {running.drift:.2g} of their own deviation"
    text = f"In {EVALUATION} outputs drift {drift} from those with {PRECISE}"
    if running.agreement is None:
        level: Level = "good" if running.drift is not None and running.drift < 0.2 else "warning"
        return level, f"{text} ({counted(running.images, 'image')})."
    changed = 1 - running.agreement
    level = "problem" if changed >= PROBLEM_CHANGED else "warning" if changed >= WARNING_CHANGED else "good"
    half = NORMAL_QUANTILE * math.sqrt(changed * (1 - changed) / running.images)
    return level, (
        f"{text}, and {SHARE.number(changed)} % of the answers change (95 % interval "
        f"{SHARE.number(max(0.0, changed - half))} to {SHARE.number(min(1.0, changed + half))}, n = "
        f"{counted(running.images, 'image')} without labels)."
    )


def _is_off(layer: NormLayerHealth, health: NormHealth) -> bool:
    ends = {end.path: end for ends in group_of(health, tracking=True).ends.values() for end in ends}
    share = off_share(ends[layer.path])
    return share is not None and share >= OFF_SHARE


def initial_values(health: NormHealth) -> list[Verdict]:
    """Whether the running variances look as if much of the initial 1 were left in them.

    *Counting semantics.* If a share s of the start is left, a running variance is s + (1 - s) v, v being the precise
    one: so s = (running - v) / (1 - v). Channels with v at least a factor of `FAR` from 1 tell it; a layer counts if
    `FEW` or more do, their middle half agrees within `AGREEING`, and their median is `LEFT` or more. Half of the layers
    must count. Momentum is not in a checkpoint, so this is how a small one is seen.
    """
    found = {
        layer.path: left for layer in health.layers if (left := _left(layer)) is not None and not is_initial(layer)
    }
    counting = {path: left for path, left in found.items() if left >= LEFT}
    if not found or len(counting) < max(1, len(found) / 2):
        return []
    layer = max(counting, key=lambda path: counting[path])
    held = next(one for one in health.layers if one.path == layer)
    share = median(counting.values())
    expected = ""
    if held.momentum and held.batches:
        rest = (1 - held.momentum) ** held.batches
        expected = (
            f" After the {counted(held.batches, 'batch').replace('batchs', 'batches')} that its counter says, momentum "
            f"{held.momentum:g} would leave {100 * rest:.2g} %."
        )
    weight = 1 - share ** (1 / held.batches) if held.batches and 0 < share < 1 else None
    remedy = "The momentum of the training was smaller than the network's own, or it had too few steps"
    if weight is not None:
        remedy += f" (a momentum of {weight:.2g} leaves as much)"
    return [
        Verdict(
            "initial-values",
            "problem" if share >= MUCH_LEFT else "warning",
            f"The running variances look as if {100 * share:.0f} % of the initial 1 were left in them (median of "
            f"{counted(len(counting), 'layer')}, so in {len(counting)} of {len(found)} that can tell).{expected}",
            layer=layer,
            remedy=f"{remedy}. Take precise statistics (--recalibrate OUT).",
            source=IOFFE_SZEGEDY_2015,
        )
    ]


def is_initial(layer: NormLayerHealth) -> bool:
    """Whether the running statistics are the initial ones to the last digit, as another check says."""
    return set(layer.running_mean) == {0.0} and set(layer.running_var) == {1.0}


def _left(layer: NormLayerHealth) -> float | None:
    """The share of the initial variance that seems left, 0 where channels don't agree; None where they can't tell."""
    shares = [
        (running - precise) / (1 - precise)
        for running, precise in zip(layer.running_var, layer.variance, strict=False)
        if running is not None and precise is not None and not 1 / FAR < precise < FAR
    ]
    if len(shares) < FEW:
        return None
    low, middle, high = quantiles(shares, n=4)
    return middle if high - low <= AGREEING * abs(middle) and middle <= 1 + AGREEING else 0.0


def batch_dependence(health: NormHealth) -> list[Verdict]:
    """Whether each batch's own statistics give better answers than any fixed ones.

    *Counting semantics.* Accuracy with the statistics of batches of the training's size minus that with precise ones,
    on the same images; its interval as in `running_statistics`.
    """
    batch, precise = health.outcome("batch"), health.outcome("precise")
    if batch is None or precise is None or batch.accuracy is None or precise.accuracy is None or health.data is None:
        return []
    lost, half = paired_cost(precise, batch)
    changed = max(1 - (batch.agreement or 0.0), abs(lost))
    half = NORMAL_QUANTILE * math.sqrt(max(changed - lost**2, 0) / batch.images)
    if lost < WARNING_COST or lost <= half:
        return []
    return [
        Verdict(
            "batch-dependence",
            "problem" if lost >= PROBLEM_COST else "warning",
            f"Statistics of batches of {health.data.batch_size} give {SHARE.number(lost)} points more accuracy than "
            f"{PRECISE} (95 % interval {SHARE.number(lost - half, '+')} to "
            f"{SHARE.number(min(1.0, lost + half), '+')}, n = "
            f"{counted(batch.images, 'image')}): no fixed statistics fit what the network has learnt.",
            remedy="It has learnt with batches that are unlike each other (one class, one domain or one device "
            "each), or one "
            "layer serves inputs of different kinds: mix the batches, or give each kind a layer of its own.",
            source=WU_JOHNSON_2021.replace("section 3", "section 5"),
        )
    ]
