"""The BatchNorm of a stored run, as its recording holds it at the end of the training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from archlab.analysis.chance import tested_images
from archlab.analysis.verdicts import examine
from archlab.analysis.verdicts.group import Array, LayerEnd, condense
from archlab.errors import InputError
from archlab.records import NormRecording, Run
from archlab.records.norm_health import Channels, ExaminedData, NormHealth, NormLayerHealth, Outcome


def run_health(run: Run, recording: NormRecording | None, curves: Mapping[str, Any] | None = None) -> NormHealth:
    """What the BatchNorm layers of a run are like after its last epoch, with the verdicts on its training.

    Args:
        run: that has ended.
        recording: what its layers held.
        curves: its loss by step.

    Raises:
        InputError: nothing of its layers was recorded.
    """
    if recording is None or not recording.layers:
        raise InputError(
            f"nothing was recorded of the BatchNorm layers of run {run.key}: train it with --record-every 1, or a "
            "network "
            "that has such layers"
        )
    ends = condense(run, recording)
    if not ends:
        raise InputError(f"run {run.key} is {run.status}: its layers are known at the end of a finished run alone")
    found = examine([run], lambda _: recording, lambda _: curves)
    last, images = run.epochs[-1], tested_images(run.config.dataset, run.config.test_samples)
    outcomes = []
    if last.test_accuracy_running is not None:
        outcomes = [
            Outcome("running", images, last.test_accuracy_running, last.test_loss_running),
            Outcome("precise", images, last.test_accuracy, last.test_loss),
        ]
    return NormHealth(
        network=run.config.network,
        layers=tuple(map(_layer, ends)),
        data=ExaminedData(
            name=run.config.dataset,
            statistics_images=run.config.precise_images,
            tested_images=images,
            image_shape=(),
            batch_size=run.config.batch_size,
        ),
        outcomes=tuple(outcomes),
        verdicts=found.verdicts,
        run=run.key,
    )


def _layer(end: LayerEnd) -> NormLayerHealth:
    import numpy as np

    mean_noise = variance_noise = None
    if end.variance is not None and len(end.batch_mean) > 3:
        with np.errstate(divide="ignore", invalid="ignore"):
            mean_noise = _spread(end.batch_mean) / np.sqrt(end.variance)
            variance_noise = _spread(end.batch_var) / end.variance
    return NormLayerHealth(
        path=end.path,
        kind="BatchNorm",
        epsilon=end.epsilon,
        momentum=end.momentum,
        gamma=_numbers(end.gamma),
        beta=_numbers(end.beta),
        running_mean=_numbers(end.running_mean),
        running_var=_numbers(end.running_var),
        batches=end.steps,
        mean=_numbers(end.mean),
        variance=_numbers(end.variance),
        mean_noise=_numbers(mean_noise),
        variance_noise=_numbers(variance_noise),
    )


def _spread(rows: Array) -> Array:
    """The deviation of neighbouring batches, as `norms.batch_noise` takes it."""
    import numpy as np

    return np.sqrt((np.diff(rows, axis=0) ** 2).mean(axis=0) / 2)


def _numbers(values: Array | None) -> Channels:
    if values is None:
        return ()
    return tuple(float(f"{value:.7g}") if math.isfinite(value) else None for value in values.tolist())
