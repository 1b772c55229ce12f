"""Checks of the modes that BatchNorm layers were in: by the batch in evaluation, frozen in training, half frozen."""

from __future__ import annotations

from collections.abc import Sequence

from archlab.analysis.verdicts.found import IOFFE_SZEGEDY_2015, WU_JOHNSON_2021, Found, accuracies
from archlab.analysis.wording import counted
from archlab.records import NormUse, Run

ULYANOV_2016 = "Ulyanov et al., Instance Normalization, 2016, section 2"
PENG_2018 = "Peng et al., MegDet, 2018, section 3.3"


def evaluation_mode(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Layers that could evaluate by running statistics, and take the test batch's."""
    layers = [use for use in uses if use.tracks and use.depends_on_test_batch]
    if not layers:
        return None
    updates = max(use.evaluation_updates for use in layers)
    sometimes = "sometimes " if layers[0].in_evaluation == "both" else ""
    by_batch = "The test accuracy, {test}, is with the statistics of such batches; no precise ones were measured"
    return Found(
        "evaluation-mode",
        "problem",
        layers,
        f"[normalises|normalise] {sometimes}by the test batch in evaluation, as outputs show: [it is|they are] in "
        "training mode then, so that what an image gives depends on the others of its batch "
        f"({counted(layers[0].evaluation_images, 'image')} here)."
        + (f" One evaluation changed the running statistics {counted(updates, 'time')}." if updates else "")
        + accuracies(run, by_batch),
        "Look for train() or training=True in the network's forward, and for a call of eval() that is missing: running "
        "statistics are used in evaluation mode alone.",
        IOFFE_SZEGEDY_2015,
    )


def no_statistics(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Layers that keep no running statistics."""
    layers = [use for use in uses if not use.tracks and use.depends_on_test_batch]
    if not layers:
        return None
    images = max(use.evaluation_images for use in layers)
    return Found(
        "no-running-statistics",
        "warning",
        layers,
        "[keeps|keep] no running statistics (track_running_stats=False): evaluation normalises by the test batch, of "
        f"{counted(images, 'image')} here, so that what an image gives depends on the others in it."
        + accuracies(run, "The test accuracy, {test}, holds for batches like these alone"),
        "Build the layer with track_running_stats=True. Where single images are predicted, take a normalisation that "
        "needs no batch (--vary norm=batch,group).",
        IOFFE_SZEGEDY_2015,
    )


def half_frozen(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Layers of which gamma and beta stay and the statistics move, or the other way round."""
    tracking = [use for use in uses if use.tracks]
    moving = [use for use in tracking if use.affine and not use.trains and not use.is_frozen and use.moves]
    if moving:
        return Found(
            "half-frozen",
            "warning",
            moving,
            "[is|are] half frozen: gamma and beta are not trained (requires_grad=False), but training still "
            "normalises by the batch and changes the running statistics, "
            f"{_often(moving[0].updates)}.",
            "To freeze a layer call its eval() too, and again after every train() of the network. To train it, leave "
            "requires_grad on.",
            WU_JOHNSON_2021 + " 4",
        )
    still = sorted((use for use in tracking if use.trains and use.is_frozen), key=lambda use: not use.is_initial)
    if still:
        return Found(
            "half-frozen",
            "warning",
            still,
            "[is|are] half frozen: gamma or beta is trained, but training normalises by the running statistics, as "
            f"outputs show, and these stay.{_initial(still)}",
            "To train the layer, leave it in training mode (look for eval() in the network). To freeze it, set "
            "requires_grad=False for gamma and beta too.",
            WU_JOHNSON_2021 + " 4",
        )
    return None


def _often(updates: int) -> str:
    return "once per step" if updates <= 1 else f"{updates} times per step"


def frozen(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Layers that training leaves as they are."""
    layers = [use for use in uses if use.tracks and use.is_frozen and not use.trains]
    layers.sort(key=lambda use: not use.is_initial)
    if not layers:
        return None
    return Found(
        "frozen-layers",
        "warning" if layers[0].is_initial else "note",
        layers,
        "[is|are] frozen: training normalises by the running statistics, as outputs show, and these stay; gamma and "
        f"beta are not trained either.{_initial(layers)}",
        "Load statistics before the layer is frozen, or leave it in training mode (look for eval() in the network)."
        if layers[0].is_initial
        else "That is right for the statistics of an earlier training. Else leave the layer in training mode.",
        WU_JOHNSON_2021 + " 4",
    )


def _initial(layers: Sequence[NormUse]) -> str:
    count = sum(use.is_initial for use in layers)
    if not count:
        return ""
    return f" In {count} of {len(layers)} they are still the initial ones, means of 0 and variances of 1."


def changing(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """Layers that training normalises now by the batch, now by running statistics."""
    layers = [use for use in uses if use.tracks and use.in_training == "both"]
    if not layers:
        return None
    return Found(
        "changing-mode",
        "note",
        layers,
        "[normalises|normalise] in training now by the batch, now by the running statistics, as outputs show: [it "
        "is|they are] frozen from some step on, or in some calls.",
        "Nothing need be done where that is meant.",
        WU_JOHNSON_2021 + " 4",
    )


def unsynchronised(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """SyncBatchNorm where there is nothing to synchronise with."""
    layers = [use for use in uses if use.kind == "SyncBatchNorm" and use.processes == 1 and use.in_training]
    if not layers:
        return None
    return Found(
        "unsynchronised",
        "note",
        layers,
        "[is|are] SyncBatchNorm in a training that is not distributed: there is no other process, and [it acts|they "
        "act] as BatchNorm.",
        "Nothing need be done. Among several processes, torch.distributed must be initialised before the network runs.",
        PENG_2018,
    )


def per_image(uses: Sequence[NormUse], run: Run | None) -> Found | None:
    """InstanceNorm whose running statistics evaluation uses, which training does not."""
    layers = [use for use in uses if use.is_per_image and use.in_evaluation == "running" and not use.is_frozen]
    if not layers:
        return None
    return Found(
        "instance-statistics",
        "note",
        layers,
        "[is|are] InstanceNorm with running statistics: training normalises each image by its own mean and variance, "
        "evaluation all of them by averages over the training images.",
        "Leave track_running_stats off, its default, to have both alike.",
        ULYANOV_2016,
    )
