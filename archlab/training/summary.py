"""What a data set is, in a few numbers, which its runs keep.

Measuring semantics: images are taken as the network is given them, resized and divided by 255. Counts of classes and
duplicates are over all images; a test image is a duplicate if its bytes are those of some training image (their BLAKE2b
hashes of 16 bytes, which two different images share by chance once in 10^38). Means, deviations and what classes have
to do with the images are over `SUMMARISED` images of each part at most, the first of a fixed random order: 1.6 % of a
deviation is the error of a mean of so many. `separation` is the F ratio of a one-way analysis of variance, summed over
pixels (of images averaged down to `SIDE` pixels, where they are larger),

    (sum_c n_c |m_c - m|^2 / (k - 1)) / (sum_c sum_i |x_i - m_c|^2 / (n - k)),

for k classes of n_c images x_i with means m_c (Fisher 1925, Statistical Methods for Research Workers, chapter VII): its
expectation is 1 where labels are drawn at random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from archlab.records import DataSummary, PartSummary
from archlab.training.datasets import Dataset, Split, subset

SUMMARISED = 4096
SIDE = 16
"""Height and width of what means of classes are taken of: whole images of a thousand classes would fill the memory."""
PIECE = 512
"""Images that are read together."""


def summarise(dataset: Dataset) -> DataSummary:
    """The summary of a data set.

    >>> from archlab.training.datasets import prepare
    >>> from archlab.training.images import load_images
    >>> found = summarise(prepare(load_images("digits"), 28))
    >>> found.train.images, found.test.images, found.duplicates
    (1438, 359, 0)
    >>> found.nearest
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    """
    duplicates, mislabelled = _duplicates(dataset)
    classes = len(dataset.classes)
    (train, train_means), (test, test_means) = (_part(part, classes) for part in (dataset.train, dataset.test))
    nearest = torch.cdist(test_means, train_means).nan_to_num(torch.inf).argmin(1)
    return DataSummary(
        classes=dataset.classes,
        train=train,
        test=test,
        duplicates=duplicates,
        mislabelled=mislabelled,
        nearest=tuple(torch.where(test_means[:, 0].isnan(), -1, nearest).tolist()),
    )


def _part(split: Split, classes: int) -> tuple[PartSummary, Tensor]:
    """The summary, and the mean image of each class: (classes, values), NaN for one without images."""
    chosen = torch.from_numpy(subset(len(split), min(len(split), SUMMARISED))).to(split.labels.device)
    means, squares, rows, labels = [], [], [], []
    for places in torch.split(chosen, PIECE):
        images, found = split.batch(places)
        exact = images.cpu().double()
        means.append(exact.mean((2, 3)))
        squares.append(exact.square().mean((2, 3)))
        small = F.adaptive_avg_pool2d(images, SIDE) if images.shape[-1] > SIDE else images
        rows.append(small.flatten(1).cpu())
        labels.append(found.cpu())
    each = torch.cat(means)
    mean = each.mean(0)
    variance = (torch.cat(squares).mean(0) - mean.square()).clamp(min=0)
    class_means, separation = _classes(torch.cat(rows), torch.cat(labels), classes)
    summary = PartSummary(
        counts=tuple(torch.bincount(split.labels, minlength=classes).tolist()),
        mean=tuple(mean.tolist()),
        deviation=tuple(variance.sqrt().tolist()),
        spread=tuple(each.std(0, correction=0).tolist()),
        separation=separation,
    )
    return summary, class_means


def _classes(rows: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, float | None]:
    """The mean of each class's rows, and how far these are apart beside what chance would give."""
    counts = torch.bincount(labels, minlength=classes)
    sums = torch.zeros(classes, rows.shape[1], dtype=rows.dtype).index_add_(0, labels, rows)
    means = sums / counts[:, None]  # NaN for a class without images
    there, images = int((counts > 0).sum()), len(rows)
    overall = rows.mean(0)
    between = float((counts[:, None] * (means - overall).square()).nansum())
    within = float((rows - overall).square().sum()) - between
    if there < 2 or images <= there or within <= 0:
        return means, None
    return means, (between / (there - 1)) / (within / (images - there))


def _duplicates(dataset: Dataset) -> tuple[int, int]:
    """How many test images are training images, and how many of those have no such image of their own class."""
    known: dict[bytes, set[int]] = {}
    for digest, label in _digests(dataset.train):
        known.setdefault(digest, set()).add(label)
    found = [known[digest].isdisjoint({label}) for digest, label in _digests(dataset.test) if digest in known]
    return len(found), sum(found)


def _digests(split: Split) -> Iterator[tuple[bytes, int]]:
    """The hash of each image, and its class."""
    for images, labels in zip(torch.split(split.images, PIECE), torch.split(split.labels, PIECE), strict=True):
        for image, label in zip(images.cpu().contiguous().numpy(), labels.tolist(), strict=True):
            yield hashlib.blake2b(image.data, digest_size=16).digest(), label
