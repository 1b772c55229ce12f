"""Examining a trained network: its weights are loaded, its layers measured, and verdicts drawn from the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from archlab.analysis.verdicts.health import judged
from archlab.errors import InputError
from archlab.networks.given import source_of
from archlab.normalisation import weights as files_of_weights
from archlab.normalisation.feeding import Feed, feed, prepared
from archlab.normalisation.layers import described, numbers
from archlab.normalisation.measuring import Measured, Passes, Tell
from archlab.normalisation.subject import Subject, choose_layout, subject_of
from archlab.normalisation.terms import BATCH_SIZE, Terms
from archlab.normalisation.weights import WeightsFile
from archlab.normalisation.writing import check_folding, example, write_folded, write_recalibrated
from archlab.records import Value
from archlab.records.norm_health import ExaminedData, NormHealth, NormLayerHealth
from archlab.training.seeding import preserved


def examine(
    network: Any,
    data: Any = None,
    *,
    weights: str | Path | None = None,
    key: str | None = None,
    options: Mapping[str, Value] | None = None,
    recalibrate: str | Path | None = None,
    fold: str | Path | None = None,
    progress: Tell | None = None,
    **terms: Any,
) -> NormHealth:
    """What the BatchNorm layers of a trained network are like, what they do to its answers, and what is wrong.

    A module that is given is not changed: a copy of it is examined.

    Args:
        network: a source's name, a module, or a class or function that gives one.
        data: a data set's name, a folder of images per class, `FILE.py:LOADER`, batches of (images, labels) or of
            images; None to look at the weights alone.
        weights: a safetensors file or a checkpoint of torch that holds tensors alone; None for a network that has its
            own.
        key: where in the file the weights lie (`ema`); None for the place that fits best.
        options: of the network's factory.
        recalibrate: a new file, which gets the checkpoint with precise statistics.
        fold: a new file, which gets the checkpoint with BatchNorm folded into convolutions.
        progress: called with what is done, how many images of it, and of how many.
        terms: fields of `Terms` (`batch_size=64`, `images=2000`, ...).

    Raises:
        InputError: the network, the weights or the data can't be used, or a file can't be written.
        ForwardError: the network doesn't take the images.

    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    >>> health = examine(network, "digits", images=200)
    >>> [layer.path for layer in health.layers], health.verdicts[0].check
    (['1'], 'never-updated')
    """
    chosen, tell = Terms(**terms), progress or (lambda what, done, total: None)
    source = source_of(network, options)
    held = None if weights is None else files_of_weights.read_weights(weights)
    if held is None and key is not None:
        raise InputError(f"key is {key!r}, but no weights are given that it could be in: leave it out")
    targets = {kind: Path(path) for kind, path in (("recalibrate", recalibrate), ("fold", fold)) if path is not None}
    _check_targets(targets, held, data)
    with preserved():
        run = None if data is None else prepared(data, source, chosen)
        subject = subject_of(run.source if run else source, held, key, tuple(options or ()), chosen.device)
        layers = described(subject.network, frozenset(subject.found.loaded.missing if subject.found else ()))
        if not layers:
            raise InputError(f"{source.name} has no BatchNorm layer, so that there is nothing to examine")
        health = NormHealth(
            network=source.name,
            layers=tuple(layers),
            weights=subject.found.loaded if subject.found else None,
            notes=subject.notes,
        )
        if data is None:
            health = replace(health, folding=check_folding(subject, None, None, tell))
        else:
            health = _on_images(health, subject, feed(data, run, chosen), chosen, targets, tell)
    return replace(health, verdicts=judged(health))


def _check_targets(targets: Mapping[str, Path], held: WeightsFile | None, data: Any) -> None:
    """Refuse what can't be written, before the work begins."""
    for kind, path in targets.items():
        if held is None:
            raise InputError(f"--{kind} writes a checkpoint like the one that it is made from: name that by --weights")
        if data is None:
            raise InputError(f"--{kind} needs images, on which it shows what it did: name some by --dataset")
        files_of_weights.refuse_existing(path, held, f"--{kind}")
    if len({path.resolve() for path in targets.values()}) < len(targets):
        raise InputError("--recalibrate and --fold name the same file: give each its own")


def _on_images(
    health: NormHealth, subject: Subject, given: Feed, terms: Terms, targets: Mapping[str, Path], tell: Tell
) -> NormHealth:
    batch_size = terms.batch_size or BATCH_SIZE
    choose_layout(subject, example(subject, given))
    measured = Passes(subject.network, subject.device, tell).measure(given, batch_size)
    makers = {"recalibrate": write_recalibrated, "fold": write_folded}
    fitting = given.fitting
    if given.tested.labels is not None and not measured.labelled:
        fitting = (*fitting, "Labels are left aside: the network has fewer outputs than there are classes.")
    return replace(
        health,
        layers=tuple(_with_measured(layer, measured) for layer in health.layers),
        data=ExaminedData(
            name=given.name,
            statistics_images=len(given.statistics),
            tested_images=len(given.tested),
            image_shape=tuple(given.tested.images.shape[1:]),
            batch_size=batch_size,
            batch_size_given=terms.batch_size is not None,
            labelled=measured.labelled,
            classes=given.classes,
            fitting=fitting,
        ),
        outcomes=measured.outcomes,
        folding=check_folding(subject, given, measured, tell),
        uses=measured.uses,
        written=tuple(makers[kind](subject, path, given, measured, tell) for kind, path in targets.items()),
    )


def _with_measured(layer: NormLayerHealth, measured: Measured) -> NormLayerHealth:
    moments, noise = measured.moments.get(layer.path), measured.noise.get(layer.path)
    found: dict[str, Any] = {}
    if moments is not None:
        found |= {"mean": numbers(moments.mean), "variance": numbers(moments.variance)}
    if noise is not None:
        found |= {"mean_noise": numbers(noise[0]), "variance_noise": numbers(noise[1])}
    if layer.path in measured.zeros:
        found["zeros"] = numbers(measured.zeros[layer.path])
    return replace(layer, **found, activation=measured.functions.get(layer.path, ""))
