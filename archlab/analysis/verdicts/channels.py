"""Checks of a variant's BatchNorm channels: dead, constant, collapsed."""

from __future__ import annotations

from archlab.analysis.verdicts.group import EPS, Array, Group, LayerEnd, Worst, counted, span, worst
from archlab.records import Verdict
from archlab.records.verdict import Level

NEAR = 0.05
"""What |gamma| and |beta| count as nothing below: beside a fresh channel, of gamma 1, a variance of 1 / 400. Adam moves
gamma by at most the learning rate a step, so that a channel started at 1 gets there only if it is pushed."""
SOME, MANY, ALL = 0.05, 0.25, 0.9
"""Shares of a layer's channels for a note, a warning and a problem. One channel in twenty may always be idle; a layer
that passes on a tenth blocks what does not go around it."""

PRUNING = "Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017, section 3"
ZERO_GAMMA = "Goyal et al., Accurate, Large Minibatch SGD, 2017, section 5.1"
BATCH_NORM = "Ioffe and Szegedy, Batch Normalization, 2015, section 3"


KINDS = {
    "dead": (
        f"|gamma| and |beta| below {NEAR:g}: they pass on nothing",
        "Look for what pushed them there: a loss that jumped, too high a learning rate, weight decay on gamma.",
        PRUNING,
    ),
    "constant": (
        f"|gamma| below {NEAR:g} and |beta| above: they pass on beta, whatever the input",
        "They are not dead, but carry no information: the next layer's bias could take their place.",
        PRUNING,
    ),
    "collapsed": (
        f"a population variance of at most {EPS:g}, BatchNorm's eps, which then decides their scale",
        "Look at the layer before: weights near 0, saturated activations, or an input that is constant there.",
        BATCH_NORM,
    ),
}
"""Kind of channel -> what it has, what to do, where to read on."""


def channels(group: Group) -> list[Verdict]:
    """Which channels pass on nothing, or nothing that depends on the input.

    *Counting semantics.* At the end of the last epoch, a channel is dead if |gamma| and |beta| are below `NEAR`: it
    passes on 0. It is constant if |gamma| is, and |beta| is not: it passes on beta, which is no loss of the layer after
    it. It is collapsed if its population variance is at most `EPS`, BatchNorm's default: its input is all but the
    same everywhere, and normalising gives less than 0.71 of the deviation that gamma promises.
    """
    shares = {"dead": _dead, "constant": _constant, "collapsed": _collapsed}
    found = {name: worst(group, share, SOME) for name, share in shares.items()}
    verdicts = [_verdict(name, item, group) for name, item in found.items() if item is not None and item.score >= SOME]
    if not verdicts and (seen := found["dead"]) is not None:
        ends = group.layers[group.recorded[0].key]
        total = counted(sum(end.channels for end in ends), "channel")
        limits = f"|gamma| below {NEAR:g}" + (f" or a variance of at most {EPS:g}" if found["collapsed"] else "")
        text = (
            f"No BatchNorm layer has more than {100 * SOME:.0f} % of channels with {limits} ({total} in "
            f"{counted(len(ends), 'layer')}, {counted(seen.recorded, 'recorded run')})."
        )
        return [Verdict("channels", "good", text, group.variant)]
    return verdicts


def _verdict(name: str, found: Worst, group: Group) -> Verdict:
    end = found.ends[0]
    share = found.score
    started = all(_small(item.first["gamma"]).mean() >= MANY for item in found.ends)
    level: Level = "warning" if share >= MANY else "note"
    if name == "dead" and share >= ALL and not started:
        level = "problem"
    count = span([round(score * end.channels) for score in found.scores], ",d")
    meaning, remedy, source = KINDS[name]
    text = (
        f"In the worst layer {count} of {counted(end.channels, 'channel')} have {meaning}. {100 * SOME:.0f} % or more "
        f"are so in {found.basis}."
    )
    if name != "collapsed" and started:
        text += f" Their gamma started below {NEAR:g} already."
        remedy = (
            "A gamma that starts at 0 is meant for the last BatchNorm of a residual branch, and grows with training: "
            "train longer. Elsewhere start it at 1."
        )
        source = ZERO_GAMMA
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

    return np.abs(values) < NEAR


def _dead(end: LayerEnd) -> float:
    return float((_small(end.gamma) & _small(end.beta)).mean())


def _constant(end: LayerEnd) -> float:
    return float((_small(end.gamma) & ~_small(end.beta)).mean())


def _collapsed(end: LayerEnd) -> float | None:
    return None if end.variance is None else float((end.variance <= EPS).mean())
