"""Checks of a variant's BatchNorm channels: dead, constant, collapsed."""

from __future__ import annotations

from archlab.analysis.verdicts.group import Array, Group, LayerEnd, Worst, worst
from archlab.analysis.wording import counted, range_text
from archlab.records import Verdict
from archlab.records.verdict import Level

NEGLIGIBLE_WEIGHT = 0.05
"""What |gamma| and |beta| count as nothing below: beside a new channel, of gamma 1, a variance of 1 / 400. Adam moves
gamma by at most the learning rate per step, so that a channel started at 1 gets there only if it is pushed."""
NOTE_SHARE, WARNING_SHARE, PROBLEM_SHARE = 0.05, 0.25, 0.9
"""Shares of a layer's channels for a note, a warning and a problem. One channel in twenty may always be idle; a layer
that passes on a tenth blocks what does not go around it."""

LIU_2017 = "Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017, section 3"
GOYAL_2017 = "Goyal et al., Accurate, Large Minibatch SGD, 2017, section 5.1"
IOFFE_SZEGEDY_2015 = "Ioffe and Szegedy, Batch Normalization, 2015, section 3"


CHANNEL_KINDS = {
    "dead": (
        f"|gamma| and |beta| below {NEGLIGIBLE_WEIGHT:g}: they pass on nothing",
        "Look for what pushed them there: a loss that jumped, too high a learning rate, weight decay on gamma.",
        LIU_2017,
    ),
    "constant": (
        f"|gamma| below {NEGLIGIBLE_WEIGHT:g} and |beta| above: they pass on beta, whatever the input",
        "They are not dead, but carry no information: the next layer's bias could take their place.",
        LIU_2017,
    ),
    "collapsed": (
        "a precise variance of at most BatchNorm's eps, which then decides their scale",
        "Look at the layer before: weights near 0, saturated activations, or an input that is constant there.",
        IOFFE_SZEGEDY_2015,
    ),
}
"""Kind of channel -> what it has, what to do, where to read on."""


def channels(group: Group) -> list[Verdict]:
    """Which channels pass on nothing, or nothing that depends on the input.

    *Counting semantics.* At the end of the last epoch, a channel is dead if |gamma| and |beta| are below
    `NEGLIGIBLE_WEIGHT`: it passes on 0. It is constant if |gamma| is, and |beta| is not: it passes on beta, which is no
    loss of the layer after it. It is collapsed if its precise variance is at most eps (1e-5 where it isn't recorded):
    its input is all but the same everywhere, and normalising gives less than 0.71 of the deviation that gamma promises.
    """
    shares = {"dead": _dead, "constant": _constant, "collapsed": _collapsed}
    found = {name: worst(group, share, NOTE_SHARE) for name, share in shares.items()}
    verdicts = [_verdict(name, item, group) for name, item in found.items() if item and item.score >= NOTE_SHARE]
    if not verdicts and (dead := found["dead"]) is not None:
        total = counted(sum(end.channels for end in next(iter(group.ends.values()))), "channel")
        collapse = " or a variance of at most eps" if found["collapsed"] else ""
        limits = f"|gamma| below {NEGLIGIBLE_WEIGHT:g}{collapse}"
        text = (
            f"No BatchNorm layer has more than {100 * NOTE_SHARE:.0f} % of channels with {limits} ({total} in "
            f"{dead.whole})."
        )
        return [Verdict("channels", "good", text, group.variant)]
    return verdicts


def _verdict(name: str, found: Worst, group: Group) -> Verdict:
    end = found.ends[0]
    share = found.score
    started = all(_small(item.first["gamma"]).mean() >= WARNING_SHARE for item in found.ends)
    level: Level = "warning" if share >= WARNING_SHARE else "note"
    if name == "dead" and share >= PROBLEM_SHARE and not started:
        level = "problem"
    count = range_text([round(score * end.channels) for score in found.scores], ",d")
    meaning, remedy, source = CHANNEL_KINDS[name]
    text = (
        f"In the worst layer {count} of {counted(end.channels, 'channel')} have {meaning}. "
        f"{100 * NOTE_SHARE:.0f} % or more are so in {found.basis}."
    )
    if name != "collapsed" and started:
        text += f" Their gamma started below {NEGLIGIBLE_WEIGHT:g} already."
        remedy = (
            "A gamma that starts at 0 is meant for the last BatchNorm of a residual branch, and grows with training: "
            "train longer. Elsewhere start it at 1."
        )
        source = GOYAL_2017
    return Verdict(
        check=f"{name}-channels",
        level=level,
        text=text,
        variant=group.variant,
        seeds=found.seeds,
        layer=found.layer,
        remedy=remedy,
        source=source,
    )


def _small(values: Array) -> Array:
    import numpy as np

    return np.abs(values) < NEGLIGIBLE_WEIGHT


def _dead(end: LayerEnd) -> float:
    return float((_small(end.gamma) & _small(end.beta)).mean())


def _constant(end: LayerEnd) -> float:
    return float((_small(end.gamma) & ~_small(end.beta)).mean())


def _collapsed(end: LayerEnd) -> float | None:
    return None if end.variance is None else float((end.variance <= end.epsilon).mean())
