"""Images and labels as tensors: uint8, whole on the device, resized once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from archlab.errors import DataError
from archlab.training.images import Images, Labels, Part

RESIZED_IMAGES = 4096
"""Images resized together: bounds the memory that it takes."""
SHARED_BYTES = 8 << 20
"""Of images, from which on it is worth having them in common."""


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's training images, red, green and blue, as torchvision's weights have them."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """What is taken off each channel of images in [0, 1], and what it is divided by."""

    mean: Tensor
    """(channels, 1, 1)."""
    deviation: Tensor
    """(channels, 1, 1)."""

    def __call__(self, images: Tensor) -> Tensor:
        """Images (images, channels, height, width), normalised."""
        return (images - self.mean) / self.deviation


@dataclass(frozen=True, slots=True)
class Split:
    """Images and their classes."""

    images: Tensor
    """uint8 (images, channels, height, width)."""
    labels: Tensor
    """int64 (images,)."""
    scaling: Scaling | None = None
    """How images are normalised; None where they stay in [0, 1]."""

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, change: Callable[[Tensor, Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The images at some places as float32, and their classes.

        Args:
            indices: the places.
            change: is given images in [0, 1], where black is 0, and their places, before they are normalised.
        """
        images = self.images.index_select(0, indices).to(torch.float32).div_(255)
        if change is not None:
            images = change(images, indices)
        if self.scaling is not None:
            images = self.scaling(images)
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


Share = Callable[[str, Callable[[], Tensor]], Tensor]
"""Gives the images of that name, which are made as it says where nobody else has made them."""


def alone(name: str, make: Callable[[], Tensor]) -> Tensor:
    """The images of a process that has none in common with others."""
    return make()


def prepare(
    images: Images,
    size: int | None,
    train_samples: int | None = None,
    test_samples: int | None = None,
    device: torch.device | str = "cpu",
    channels: int | None = None,
    normalise: str = "none",
    share: Share = alone,
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
        channels: what the network takes; grey images are repeated to fill them. None for the images' own.
        normalise: `none`, `data` (mean and deviation of these training images, per channel) or `imagenet`.
        share: how processes have the images in common (`archlab.training.sharing`); they are on the CPU then.

    Raises:
        DataError: fewer images are there than were asked for, or they have no common size, or are no squares; or
            ImageNet's constants are asked for images of other than three channels.
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
    copies = channels if channels is not None and images.channels == 1 else 1

    def split(name: str, part: Part, count: int | None) -> Split:
        chosen = _chosen(part, count, name)
        what = f"{images.fingerprint}: {name} {len(chosen)}, {size} x {size}, {copies} times"
        is_large = len(chosen) * images.channels * copies * size**2 >= SHARED_BYTES
        whole = (share if is_large else alone)(what, lambda: _pixels(part, chosen, size, device, copies))
        return Split(whole, torch.from_numpy(part.labels[chosen]).to(device))

    train, test = split("train", images.train, train_samples), split("test", images.test, test_samples)
    scaling = _scaling(normalise, train.images, images.name)
    return Dataset(
        train=replace(train, scaling=scaling),
        test=replace(test, scaling=scaling),
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


def _scaling(normalise: str, images: Tensor, name: str) -> Scaling | None:
    """What normalises the images, from the training images as the network is given them, uint8."""
    if normalise == "none":
        return None
    if normalise == "imagenet":
        if images.shape[1] != 3:
            raise DataError(
                f"the images of {name} have {images.shape[1]} channel, and ImageNet's mean and deviation are those of "
                "red, green and blue: expected a network that takes three channels, or --normalise data"
            )
        mean, deviation = (torch.tensor(values, device=images.device) for values in IMAGENET)
    else:
        mean, deviation = channel_statistics(images)
        deviation = torch.where(deviation > 0, deviation, 1.0)  # a channel of one value stays at 0
    return Scaling(mean.view(-1, 1, 1), deviation.view(-1, 1, 1))


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (biased) of each channel of uint8 images, as of values in [0, 1]: float32 (channels,) each.

    >>> channel_statistics(torch.tensor([[[[0, 255]]], [[[0, 255]]]], dtype=torch.uint8))
    (tensor([0.5000]), tensor([0.5000]))
    """
    sums = torch.zeros(2, images.shape[1], dtype=torch.float64)
    for piece in torch.split(images, RESIZED_IMAGES):
        values = piece.to(torch.int64)
        sums += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))]).cpu()
    mean, square = sums / (images.numel() // images.shape[1])
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    return (mean / 255).to(images.device, torch.float32), (deviation / 255).to(images.device, torch.float32)


def _pixels(part: Part, indices: Labels, size: int, device: torch.device | str, copies: int) -> Tensor:
    # Read, resized and moved piece by piece: the images at their own size are never whole beside the resized ones.
    pieces = [
        _resize(torch.from_numpy(part.pixels(chosen, size)), size).to(device)
        for chosen in np.array_split(indices, range(RESIZED_IMAGES, len(indices), RESIZED_IMAGES))
    ]
    whole = torch.cat(pieces)
    return whole.repeat(1, copies, 1, 1) if copies > 1 else whole


def _resize(images: Tensor, size: int) -> Tensor:
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)
