"""Checks of what BatchNorm's running statistics took up: momentum, calls and updates per step, values that are none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from archlab.analysis.metrics import EVALUATION, PRECISE
from archlab.analysis.verdicts.found import IOFFE_SZEGEDY_2015, WU_JOHNSON_2021, Found, accuracies
from archlab.analysis.wording import counted
from archlab.records import NormUse, Run

FEW_IMAGES, FEW_VALUES = 2, 8
"""Images, and values per channel, up to which the smallest batch of a training says next to nothing: the variance of 8
values has a noise of a half (2 / 8, to the root)."""
SMALLER = 4
"""Times that the largest batch must be as large: where all are small, that is the noise of batches, another check."""
PROBLEM_GAP = 0.05
"""Accuracy by which evaluation must fall below training for a shared layer to be a problem: what BatchNorm itself may
be worth."""
BOTH_ACCURACIES = f"Test accuracy is {{running}} in {EVALUATION}, {{test}} with {PRECISE}"
ALL_ACCURACIES = BOTH_ACCURACIES + "; train accuracy is {train}"

CHEN_2016 = "Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, section 4"


def not_finite(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Running statistics that are infinite or NaN, or inputs that make them so."""
    layers = sorted((use for use in uses if use.not_finite_step is not None), key=lambda use: use.not_finite_step or 0)
    if not layers:
        partial = sorted((use for use in uses if use.left_out), key=lambda use: -use.left_out)
        return _left_out(partial) if partial else None
    return Found(
        "statistics-not-finite",
        "problem",
        layers,
        "[holds|hold] running statistics that are infinite or NaN, seen first after step "
        f"{layers[0].not_finite_step:,}. The training loss stays finite, since training normalises by the batch; an "
        "average keeps an infinity for ever, and evaluation meets "
        f"it.{accuracies(run, BOTH_ACCURACIES)}{_left_out_text(layers[0])}",
        "Look at what the layer was given in that step: an overflow, a division by 0, a broken image. Then reset its "
        "statistics (reset_running_stats()) and measure them anew. The training loss gives no reason to lower the "
        "learning rate.",
        IOFFE_SZEGEDY_2015,
        breaks_averages=True,
    )


def _left_out(layers: list[NormUse]) -> Found:
    return Found(
        "statistics-not-finite",
        "warning",
        layers,
        f"[gets|get] inputs that are infinite or NaN for some training images.{_left_out_text(layers[0])}",
        "Look for an overflow, a division by 0 or a broken image before the layer.",
        IOFFE_SZEGEDY_2015,
    )


def _left_out_text(use: NormUse) -> str:
    return f" Precise statistics leave such batches out: {use.left_out:,} of them." if use.left_out else ""


def momentum(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """A momentum by which running statistics are no moving average: 0, 1, or None."""
    averaging = [use for use in uses if use.tracks and (use.in_training in ("batch", "both") or _never_moved(use))]
    weighted = [(use, use.momentum) for use in averaging if use.momentum is not None]
    if zero := sorted((use for use, weight in weighted if weight < 1e-9), key=lambda use: not use.is_initial):
        start = "the initial ones, means of 0 and variances of 1" if zero[0].is_initial else "those that it began with"
        return Found(
            "norm-momentum",
            "problem",
            zero,
            f"[has|have] a momentum of 0: the running statistics are still {start}, and more steps can't change that."
            + accuracies(run, BOTH_ACCURACIES),
            "Set the momentum to 0.1, torch's default (--momentum 0.1), and train again; or give these weights precise "
            "statistics. Training longer does not help.",
            IOFFE_SZEGEDY_2015,
            breaks_averages=True,
        )
    if whole := [use for use, weight in weighted if weight > 1 - 1e-9]:
        images = f" ({counted(whole[0].fewest_images, 'image')} in the smallest)" if whole[0].fewest_images else ""
        return Found(
            "norm-momentum",
            "warning",
            whole,
            f"[has|have] a momentum of 1: the running statistics are the last training batch's alone{images}."
            + accuracies(run, BOTH_ACCURACIES),
            "Set the momentum to 0.1, torch's default (--momentum 0.1), which averages over some 20 batches.",
            IOFFE_SZEGEDY_2015,
            breaks_averages=True,
        )
    if cumulative := [use for use in averaging if use.momentum is None]:
        return Found(
            "norm-momentum",
            "note",
            cumulative,
            "[averages|average] all training batches alike (momentum=None), those of the first weights too.",
            "That is right where weights stand still, as when statistics are measured anew. While they change, a "
            "momentum of 0.1 forgets the old ones.",
            WU_JOHNSON_2021 + " 3",
        )
    return None


def shared(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Layers that a step calls more than once, by different inputs or by ones that are alike."""
    calling = [use for use in uses if use.tracks and not use.is_frozen and use.calls - use.idle > 1]
    if mixing := sorted((use for use in calling if use.mixes), key=lambda use: -max(use.shift, math.log(use.stretch))):
        worst = mixing[0]
        passes = f", in {worst.passes} forward passes" if worst.passes > 1 else ""
        return Found(
            "shared-layer",
            "problem" if _loses(run) else "warning",
            mixing,
            f"[is|are] called {counted(worst.calls, 'time')} per training step{passes}, by inputs that differ: in the "
            f"worst their means lie {worst.shift:.2g} standard deviations apart, and their variances a factor of "
            f"{worst.stretch:.3g} (medians of its channels). Training normalises each call by its own batch; running "
            "statistics, and precise ones, mix the calls and fit none of them in evaluation."
            + accuracies(run, ALL_ACCURACIES),
            "Give each input a BatchNorm layer of its own; convolutions may be shared.",
            WU_JOHNSON_2021 + " 5",
            breaks_averages=True,
        )
    if alike := [use for use in calling if use.calls - use.idle > max(1, use.passes)]:
        return Found(
            "shared-layer",
            "note",
            alike,
            f"[is|are] called {counted(alike[0].calls, 'time')} per training step, by inputs that are alike: "
            f"{_weights(alike[0])}.",
            "Nothing need be done. A smaller momentum averages over as many steps as one call per step.",
            WU_JOHNSON_2021 + " 5",
        )
    return None


def _weights(use: NormUse) -> str:
    """What several updates per step make of the newest step's weight."""
    updates = f"{counted(use.updates, 'update')} of the running statistics per step"
    if use.step_weight is None or use.momentum is None:
        return updates
    return (
        f"{updates}, which give the newest batch a weight of 1 - (1 - {use.momentum:.3g})^{use.updates} = "
        f"{use.step_weight:.2g} instead of {use.momentum:.3g}"
    )


def recomputed(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Layers that the backward pass calls again, which updates their running statistics once more."""
    layers = [use for use in uses if use.tracks and use.recomputed and use.updates > use.calls]
    layers.sort(key=lambda use: -use.updates)
    if not layers:
        return None
    worst = layers[0]
    remedy = "keep BatchNorm out of what is checkpointed, or keep the second call from updating."
    if worst.momentum:
        usual = 1 - (1 - worst.momentum) ** (worst.calls / worst.updates)
        remedy = (
            f"give it a momentum of {usual:.3g}, whose {worst.updates} updates weigh as much as one usual; or {remedy}"
        )
    return Found(
        "recomputed-layers",
        "warning",
        layers,
        f"[is|are] called again by the backward pass, as activation checkpointing does: {_weights(worst)}.",
        remedy[0].upper() + remedy[1:],
        CHEN_2016,
    )


def idle(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Layers that are called in training mode by passes that train nothing."""
    layers = sorted((use for use in uses if use.tracks and use.idle), key=lambda use: -use.idle)
    if not layers:
        return None
    worst = layers[0]
    apart = ""
    if worst.mixes:
        apart = (
            f" Inputs lie {worst.shift:.2g} standard deviations and a factor of {worst.stretch:.3g} in variance apart."
            + accuracies(run, BOTH_ACCURACIES)
        )
    return Found(
        "extra-passes",
        "warning",
        layers,
        f"[is|are] called in training mode without a gradient, in {worst.idle} of {counted(worst.calls, 'call')} per "
        f"training step: nothing is trained by it, but the running statistics are updated.{apart}",
        "Put the layer into evaluation mode (eval()) for passes that don't train; torch.no_grad() alone leaves it in "
        "training mode.",
        IOFFE_SZEGEDY_2015,
        breaks_averages=any(use.mixes for use in layers),
    )


def small_batch(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Layers that the smallest training batch, as a rule an epoch's last, gives next to nothing to normalise by."""
    layers = [use for use in uses if use.in_training in ("batch", "both") and _has_small_batch(use)]
    layers.sort(key=lambda use: use.fewest_values)
    if not layers:
        return None
    worst = layers[0]
    weight = f" with a weight of {worst.momentum:.3g}" if worst.momentum is not None and worst.tracks else ""
    return Found(
        "small-batch",
        "warning",
        layers,
        "[normalises|normalise] the smallest training batch by the statistics of "
        f"{counted(worst.fewest_images, 'image')}: {counted(worst.fewest_values, 'value')} per channel, against "
        f"{worst.most_values:,} in the largest. It enters the running statistics{weight} as any other, and just "
        "before the evaluation where it is an epoch's last." + accuracies(run, BOTH_ACCURACIES),
        "Leave it out (drop_last=True), or take a batch size or a number of images that leaves more over "
        "(--batch-size, --train-samples).",
        WU_JOHNSON_2021 + " 3",
        breaks_averages=True,
    )


def _never_moved(use: NormUse) -> bool:
    """Whether the layer shows without a training that its momentum of 0 kept the first statistics."""
    return use.in_training == "" and use.momentum == 0 and use.is_initial


def _has_small_batch(use: NormUse) -> bool:
    is_small = use.fewest_images <= FEW_IMAGES or use.fewest_values <= FEW_VALUES
    return is_small and 0 < SMALLER * use.fewest_values <= use.most_values


def _loses(run: Run | None) -> bool:
    """Whether evaluation is far below training."""
    train, test = (run.metric(name) if run else None for name in ("train_accuracy", "test_accuracy_running"))
    return train is not None and test is not None and train - test >= PROBLEM_GAP
