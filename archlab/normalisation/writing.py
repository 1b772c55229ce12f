"""Checkpoints written anew, with precise statistics or with BatchNorm folded away, and read again to prove it.

What is written has the format and the nesting of the original; what is in it beside the weights (an optimiser's state,
the epoch) stays. The original is only read: its hash is taken again afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from archlab.networks.surgery import fold
from archlab.normalisation import weights
from archlab.normalisation.feeding import Feed
from archlab.normalisation.measuring import Measured, Passes, Tell, finite
from archlab.normalisation.subject import Subject
from archlab.records.norm_health import FoldingCheck, WrittenWeights

FOLDED_IMAGES = 64
"""That the outputs of a folded network are compared on, where no checkpoint is written."""
EXAMPLES = 2
"""Images that the network is run on once, to see what feeds what."""


def write_recalibrated(subject: Subject, path: Path, feed: Feed, measured: Measured, tell: Tell) -> WrittenWeights:
    """A checkpoint with precise statistics for running ones, and what it answers when it is read again.

    Raises:
        InputError: the path is there already.
        StoreError: it can't be written.
    """
    assert subject.held is not None
    assert subject.found is not None
    tensors = dict(subject.held.at(subject.found.key))
    for layer_path, moments in measured.moments.items():
        for name, value in (("running_mean", moments.mean), ("running_var", moments.variance)):
            stored = _stored_name(subject, f"{layer_path}.{name}")
            tensors[stored] = value.to(tensors[stored].dtype if stored in tensors else torch.float32)
    weights.save(subject.held, subject.found.key, tensors, path)
    written = weights.read_weights(path)
    return _proof("recalibrated", subject, path, subject.again(written), len(measured.moments), feed, measured, tell)


def write_folded(subject: Subject, path: Path, feed: Feed, measured: Measured, tell: Tell) -> WrittenWeights:
    """A checkpoint with BatchNorm folded into convolutions, and what it answers when it is read again.

    It goes into the network without those layers: `archlab.networks.surgery.fold(network)` gives it.

    Raises:
        InputError: no layer can be folded, or the path is there already.
        StoreError: it can't be written.
    """
    assert subject.held is not None
    assert subject.found is not None
    folded, record = fold(subject.network, example(subject, feed))
    state = folded.state_dict()
    original = subject.held.at(subject.found.key)
    own = set(subject.found.names.values())
    tensors = {name: value for name, value in original.items() if name not in own}
    for name, value in state.items():
        stored = _stored_name(subject, name)
        like = original.get(stored, original.get(_stored_name(subject, f"{name.rpartition('.')[0]}.weight")))
        tensors[stored] = value.cpu().contiguous().to(value.dtype if like is None else like.dtype)
    weights.save(subject.held, subject.found.key, tensors, path)
    bare, _ = fold(subject.source.build().to(subject.device), example(subject, feed))  # the same layers, other weights
    written = weights.read_weights(path)
    weights.load(bare, written, weights.fit(bare, written, subject.found.key))
    return _proof("folded", subject, path, bare, len(record.done), feed, measured, tell)


def check_folding(subject: Subject, feed: Feed | None, measured: Measured | None, tell: Tell) -> FoldingCheck | None:
    """What folding would do to the answers; without images, which layers can be folded. None where that can't be "
    "told."""
    from archlab.errors import InputError

    try:
        folded, record = fold(subject.network, None if feed is None else example(subject, feed))
    except InputError:
        return None
    done = tuple(cut.path for cut in record.done)
    left = tuple(f"{cut.path}: {cut.reason}" for cut in record.left)
    if feed is None or measured is None or not done:
        return FoldingCheck(done, left)
    before = measured.running[:FOLDED_IMAGES]
    after = Passes(folded, subject.device, tell).answers(feed.tested.first(FOLDED_IMAGES), "folded")
    return FoldingCheck(
        done,
        left,
        images=len(after),
        difference=finite((after - before).abs().max().item()),
        largest=finite(before.abs().max().item()),
        agreement=_agreement(before, after),
    )


def example(subject: Subject, feed: Feed) -> Tensor:
    """A few images on the network's device."""
    return next(feed.tested.first(EXAMPLES).batches(EXAMPLES, subject.device))


def _proof(
    kind: str,
    subject: Subject,
    path: Path,
    network: nn.Module,
    layers: int,
    feed: Feed,
    measured: Measured,
    tell: Tell,
) -> WrittenWeights:
    after = Passes(network, subject.device, tell).answers(feed.tested, f"{kind} weights, read again")
    labels = feed.tested.labels if measured.labelled else None
    accuracies = [
        None if labels is None else (given.argmax(1) == labels.to(given.device)).double().mean().item()
        for given in (measured.running, after)
    ]
    assert subject.held is not None
    return WrittenWeights(
        kind="folded" if kind == "folded" else "recalibrated",
        path=str(path),
        sha256=weights.sha256((path,)),
        layers=layers,
        images=len(after),
        accuracy_before=accuracies[0],
        accuracy_after=accuracies[1],
        difference=finite((after - measured.running).abs().max().item()),
        agreement=_agreement(measured.running, after),
        original_sha256=weights.sha256(subject.held.parts),
    )


def _agreement(before: Tensor, after: Tensor) -> float | None:
    return (before.argmax(1) == after.argmax(1)).double().mean().item() if before.shape[1] > 1 else None


def _stored_name(subject: Subject, name: str) -> str:
    """What the file calls a tensor of the network; one that it hasn't is called as its neighbour is."""
    assert subject.found is not None
    names: Mapping[str, str] = subject.found.names
    if name in names:
        return names[name]
    layer, _, own = name.rpartition(".")
    known = next((other for other in names if other.rpartition(".")[0] == layer), None)
    if known is None:
        return name
    return names[known].removesuffix(known.rpartition(".")[2]) + own
