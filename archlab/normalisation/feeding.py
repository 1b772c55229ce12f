"""The images that a network is examined on, fitted to it: some for precise statistics, others to be tested."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archlab.errors import DataError
from archlab.networks import imports
from archlab.networks.sources import Source
from archlab.normalisation.terms import Terms
from archlab.records import TrainingConfig
from archlab.training.datasets import Scaling
from archlab.training.execution import Execution
from archlab.training.preparation import Preparation, Preparer

LOADER = re.compile(r".+\.py:[\w.]+|[^\W\d]\w*(\.[^\W\d]\w*)*:[\w.]+")
"""`FILE.py:LOADER` or `package.module:LOADER`."""
IMAGE_NAMES, LABEL_NAMES = ("image", "images", "pixel_values", "img", "x", "input"), ("label", "labels", "target", "y")
"""What batches that are dictionaries call them."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Images in a fixed order."""

    images: Tensor
    """(images, channels, height, width): bytes, or numbers as the network takes them."""
    labels: Tensor | None = None
    scaling: Scaling | None = None
    """What normalises bytes that have become numbers in [0, 1]."""

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> Stack:
        """The first so many images."""
        return Stack(self.images[:count], None if self.labels is None else self.labels[:count], self.scaling)

    def batches(self, size: int, device: torch.device) -> Iterator[Tensor]:
        """All images in batches of a size, as float32; a last one of a single image goes with the one before."""
        starts = list(range(0, len(self), size))
        if len(starts) > 1 and len(self) - starts[-1] == 1:
            starts.pop()
        for start, end in zip(starts, [*starts[1:], len(self)], strict=True):
            batch = self.images[start:end]
            batch = batch.to(torch.float32).div_(255) if batch.dtype == torch.uint8 else batch
            yield (batch if self.scaling is None else self.scaling(batch)).to(device)


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """What a network is examined on."""

    name: str
    statistics: Stack
    tested: Stack
    classes: int
    """0 where nothing says."""
    is_split: bool
    fitting: tuple[str, ...]


def prepared(data: Any, source: Source, terms: Terms) -> Preparation | None:
    """A data set as a training has it, and the network fitted to it; None for data of another kind.

    Raises:
        InputError: there is no such data set, or the network's options don't go with it.
    """
    if not isinstance(data, str | Path) or is_loader(str(data)):
        return None
    where = Execution(data_dir=None if terms.data_dir is None else Path(terms.data_dir), download=terms.download)
    config = TrainingConfig(
        network=source.name,
        options=dict(source.options),
        dataset=str(data),
        size=terms.size,
        normalise=terms.normalise,
    )
    return Preparer(where, [source]).prepare(config)


def feed(data: Any, run: Preparation | None, terms: Terms) -> Feed:
    """The images that data stands for, as the network takes them.

    Args:
        data: a data set's name, a folder, `FILE.py:LOADER`, a tensor of images, a pair of images and labels, what gives
            batches (or single images) one after the other, or a function that gives any of these.
        run: what `prepared` made of it.
        terms: how many.

    Raises:
        DataError: there are none, or they can't be read.
    """
    if run is not None:
        return _of_images(run, terms)
    if terms.size is not None or terms.normalise != "none":
        raise DataError("size and normalise are for data sets: what a loader gives is taken as it is, leave them out")
    if isinstance(data, str | Path):
        return _of_batches(str(data), _loader(str(data)), terms)
    return _of_batches(type(data).__name__, data, terms)


def is_loader(data: str) -> bool:
    """Whether a string names a factory of data, and no data set."""
    return LOADER.fullmatch(data) is not None and not Path(data).is_dir()


def _of_images(run: Preparation, terms: Terms) -> Feed:
    found, tested = run.images, terms.tested(terms.images)
    train, test = min(terms.images - tested, len(found.train.labels)), min(tested, len(found.test.labels))
    dataset = run.dataset(train, test, torch.device("cpu"))
    fitting = []
    side = dataset.image_shape[-1]
    if found.size != side:
        fitting.append(f"Images are resized to {side} x {side}.")
    if run.channels != found.channels:
        fitting.append(f"Grey images are repeated into {run.channels} channels.")
    if terms.normalise != "none":
        whose = "ImageNet" if terms.normalise == "imagenet" else "the data"
        fitting.append(f"Images are normalised by the mean and deviation of {whose}.")
    parts = [Stack(*_shuffled(split.images, split.labels), split.scaling) for split in (dataset.train, dataset.test)]
    return Feed(found.name, parts[0], parts[1], len(found.classes), is_split=True, fitting=tuple(fitting))


def _of_batches(name: str, data: Any, terms: Terms) -> Feed:
    """Of what comes, a fixed random part is for statistics, the rest is tested."""
    given, labels = _shuffled(*_gathered(name, data, terms.images))
    first = terms.tested(len(given))
    tested, statistics = (
        Stack(given[part], None if labels is None else labels[part]) for part in (slice(first), slice(first, None))
    )
    classes = 0 if labels is None else int(labels.max()) + 1
    return Feed(name, statistics, tested, classes, is_split=True, fitting=("Images are taken as the data gives them.",))


def _shuffled(given: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """In a fixed random order: batches of images that lie class by class would be no batches of a training."""
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(given)))
    return given[order], None if labels is None else labels[order]


def _loader(name: str) -> Any:
    """What a source of data names, called where it is a function."""
    before, _, after = name.rpartition(":")
    path = Path(before).expanduser()
    module = imports.load_file(path) if before.endswith(".py") else imports.load_module(before)
    found = imports.find(module, after, before)
    return _called(name, found)


def _called(name: str, found: Any) -> Any:
    if isinstance(found, type) or (
        callable(found) and not hasattr(found, "__iter__") and not hasattr(found, "__getitem__")
    ):
        try:
            return found()
        except Exception as error:
            raise DataError(f"{name} fails when it is called without arguments: {imports.quote(error)}") from error
    return found


def _gathered(name: str, data: Any, count: int) -> tuple[Tensor, Tensor | None]:
    """The first so many images of some data, and their labels where it has some."""
    data = _called(name, data)
    if isinstance(data, Tensor):
        data = [data]
    elif isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        data = [tuple(data)] if data[0].dim() > data[1].dim() else list(data)
    pieces: list[Tensor] = []
    labels: list[Tensor] = []
    try:
        for batch in _items(data, name):
            given, classes = _pair(batch, name)
            if given.dim() == 3:
                given, classes = given[None], None if classes is None else torch.as_tensor(classes).reshape(1)
            if given.dim() != 4:
                raise DataError(
                    f"{name} gives images of shape {tuple(given.shape)}, expected (images, channels, height, width)"
                )
            pieces.append(given)
            if classes is not None:
                labels.append(torch.as_tensor(classes))
            if sum(map(len, pieces)) >= count:
                break
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name} fails while it gives images: {imports.quote(error)}") from error
    total = sum(map(len, pieces))
    if total < 16:
        raise DataError(f"{name} gives {total} images, expected 16 or more")
    if len({piece.shape[1:] for piece in pieces}) > 1:
        raise DataError(f"{name} gives images of several shapes, expected one: resize them in the loader")
    known = [label for label in labels if label.dim() == 1 and not label.is_floating_point()]
    complete = sum(map(len, known)) == total
    return torch.cat(pieces)[:count], torch.cat(known)[:count].to(torch.int64) if complete else None


def _items(data: Any, name: str) -> Iterable[Any]:
    if hasattr(data, "__iter__"):
        return data  # type: ignore[no-any-return]
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):  # a data set of torch has no iterator of its own
        return (data[place] for place in range(len(data)))
    raise DataError(
        f"{name} is of type {type(data).__name__}: expected batches of (images, labels) or of images one after the "
        "other, a loader of torch for instance, or a function that gives them"
    )


def _pair(batch: Any, name: str) -> tuple[Tensor, Any]:
    """The images and the labels of a batch in any of the usual forms."""
    if isinstance(batch, Mapping):
        found = {key: next((batch[one] for one in names if one in batch), None) for key, names in
                 (("images", IMAGE_NAMES), ("labels", LABEL_NAMES))}  # fmt: skip
        given, labels = found["images"], found["labels"]
    elif isinstance(batch, tuple | list):
        given, labels = batch[0], batch[1] if len(batch) > 1 else None
    else:
        given, labels = batch, None
    if not isinstance(given, Tensor):
        raise DataError(
            f"{name} gives batches of type {type(batch).__name__} with {type(given).__name__} in it, expected a tensor "
            "of images, or a pair of images and labels"
        )
    return given, labels
