"""Faults of the data: labels, classes, test images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from archlab.training.datasets import Dataset, Split
from benchmarks.faults.fault import Fault, lenet, resnet20


def shuffled(labels: Tensor) -> Tensor:
    """The labels in a random order, the same each time."""
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]


def only(split: Split, chosen: Tensor) -> Split:
    """The images of a mask or of some places."""
    return Split(split.images[chosen], split.labels[chosen])


def leaking(data: Dataset) -> Dataset:
    """A fifth of the test images are training images."""
    count = len(data.test) // 5
    images, labels = data.test.images.clone(), data.test.labels.clone()
    images[:count], labels[:count] = data.train.images[:count], data.train.labels[:count]
    return replace(data, test=Split(images, labels))


def imbalanced(data: Dataset) -> Dataset:
    """Of 80 training images one is of its own class, whatever that is, and the others are of one class."""
    places = torch.arange(len(data.train))
    most = places[data.train.labels == 3]
    chosen = torch.where(places % 80 == 0, places, most[places % len(most)])
    return replace(data, train=only(data.train, chosen))


CHANGES: dict[str, tuple[Callable[[Dataset], Dataset], str]] = {
    "training labels shuffled": (
        lambda data: replace(data, train=Split(data.train.images, shuffled(data.train.labels))),
        "shuffled-labels",
    ),
    "test labels shuffled": (
        lambda data: replace(data, test=Split(data.test.images, shuffled(data.test.labels))),
        "shuffled-labels",
    ),
    "test labels numbered from another class on": (
        lambda data: replace(data, test=Split(data.test.images, (data.test.labels + 1) % 10)),
        "label-order",
    ),
    "one label for all training images": (
        lambda data: replace(data, train=Split(data.train.images, torch.full_like(data.train.labels, 4))),
        "constant-labels",
    ),
    "a fifth of the test images from training": (leaking, "test-in-training"),
    "test images a quarter as bright": (
        lambda data: replace(data, test=Split(data.test.images // 4, data.test.labels)),
        "test-scale",
    ),
    "test images inverted": (
        lambda data: replace(data, test=Split(255 - data.test.images, data.test.labels)),
        "test-scale",
    ),
    "a class without training images": (
        lambda data: replace(data, train=only(data.train, data.train.labels != 7)),
        "missing-classes",
    ),
    "three classes without test images": (
        lambda data: replace(data, test=only(data.test, data.test.labels < 7)),
        "missing-classes",
    ),
    "all but 1.2 % of the training images one class": (imbalanced, "collapsed-output"),
}
"""What is done to the data -> how, and the check that should say so."""
ALSO = {
    "one label for all training images": ("missing-classes", "collapsed-output"),
    "all but 1.2 % of the training images one class": ("missing-classes",),
}


def faults() -> list[Fault]:
    """All of them, on both networks."""
    networks: dict[str, Callable[[], nn.Module]] = {"LeNet": lambda: lenet(activation="relu"), "ResNet-20": resnet20}
    return [
        Fault(name, network, build, (check,), ALSO.get(name, ()), {}, change)
        for network, build in networks.items()
        for name, (change, check) in CHANGES.items()
    ]
