"""Images and labels as tensors: uint8, whole on the device, resized once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from archlab.errors import DataError
from archlab.training.images import Images, Labels, Part

RESIZED_IMAGES = 4096
"""Images resized together: bounds the memory that it takes."""


@dataclass(frozen=True, slots=True)
class Split:
    """Images and their classes."""

    images: Tensor
    """uint8 (images, channels, height, width)."""
    labels: Tensor
    """int64 (images,)."""

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The images at some places as float32 in [0, 1], and their classes."""
        images = self.images.index_select(0, indices).to(torch.float32).div_(255)
        return images, self.labels.index_select(0, indices)


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a network is trained on and tested with."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    fingerprint: str
    """A hash of the whole data set's images and labels, before any subset or resizing."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


def prepare(
    images: Images,
    size: int | None,
    train_samples: int | None = None,
    test_samples: int | None = None,
    device: torch.device | str = "cpu",
) -> Dataset:
    """The data set on a device, with images of one size.

    Resizing is bilinear, with antialiasing where it shrinks, as torchvision's `Resize` does on an image. A subset
    is the first part of a fixed random order, the same for every seed.

    Args:
        images: what `images.load_images` found.
        size: height and width; None for the images' own.
        train_samples: how many training images to use; None for all.
        test_samples: how many test images to use; None for all.
        device: where the tensors shall lie.

    Raises:
        DataError: fewer images are there than were asked for, or they have no common size, or are no squares.
    """
    size = size or images.size
    if images.oblong is not None and size is None:
        height, width = images.oblong
        raise DataError(
            f"the images of {images.name} are {height} pixels high and {width} wide, expected squares: name a size to "
            "stretch them to (--size, size=)"
        )
    if size is None:
        raise DataError(f"the images of {images.name} differ in size: name one to resize them to (--size, size=)")
    return Dataset(
        train=_split(images.train, _chosen(images.train, train_samples, "train"), size, device),
        test=_split(images.test, _chosen(images.test, test_samples, "test"), size, device),
        classes=images.classes,
        fingerprint=images.fingerprint,
    )


def subset(available: int, count: int) -> Labels:
    """Indices, in order, of the images that a subset of that size takes: the first of a fixed random order."""
    return np.sort(np.random.RandomState(0).permutation(available)[:count])


def _chosen(part: Part, count: int | None, name: str) -> Labels:
    available = len(part.labels)
    if count is not None and not 1 <= count <= available:
        raise DataError(f"{name}_samples is {count}, expected 1 to {available}, the images that there are")
    return subset(available, available if count is None else count)


def _split(part: Part, indices: Labels, size: int, device: torch.device | str) -> Split:
    # Read, resized and moved piece by piece: the images at their own size are never whole beside the resized ones.
    pieces = [
        _resize(torch.from_numpy(part.pixels(chosen, size)), size).to(device)
        for chosen in np.array_split(indices, range(RESIZED_IMAGES, len(indices), RESIZED_IMAGES))
    ]
    return Split(torch.cat(pieces), torch.from_numpy(part.labels[indices]).to(device))


def _resize(images: Tensor, size: int) -> Tensor:
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)
