"""Images mirrored and shifted at random, as the papers train on CIFAR (He et al. 2016, section 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from archlab.records import TrainingConfig
from archlab.training import seeding


class Augmentation:
    """What happens to each training image in one epoch.

    An image's draws depend on the seed, the epoch and the image's place in the data set, so that variants of a seed see
    the same images whatever their batch size; flips and shifts are drawn apart, so that variants that differ in one
    share the other. They are drawn on the CPU.

    Args:
        config: its `flip` and `crop` say what happens, its seed how the dice fall.
        epoch: from 1.
        count: training images.
        device: where the images are.
    """

    def __init__(self, config: TrainingConfig, epoch: int, count: int, device: torch.device) -> None:
        self._crop = config.crop
        self._flipped = self._shifts = None
        if config.flip:
            draws = torch.rand(count, generator=_generator(config, "flip", epoch))
            self._flipped = (draws < config.flip).to(device)
        if config.crop:
            size = (count, 2)
            draws = torch.randint(2 * config.crop + 1, size, generator=_generator(config, "crop", epoch))
            self._shifts = draws.to(device)

    def __call__(self, images: Tensor, indices: Tensor) -> Tensor:
        """Some images as they are trained on.

        Args:
            images: (images, channels, height, width), any type; black is 0.
            indices: their places in the data set, (images,).
        """
        if self._flipped is not None:
            flipped = self._flipped.index_select(0, indices)[:, None, None, None]
            images = torch.where(flipped, images.flip(-1), images)
        if self._shifts is not None:
            count, channels, height, width = images.shape
            down, right = self._shifts.index_select(0, indices).T[..., None]
            rows = down + torch.arange(height, device=images.device)
            columns = right + torch.arange(width, device=images.device)
            padded = F.pad(images, (self._crop,) * 4)
            places = torch.arange(count, device=images.device)[:, None, None, None]
            kinds = torch.arange(channels, device=images.device)[:, None, None]
            images = padded[places, kinds, rows[:, None, :, None], columns[:, None, None, :]]
        return images


def _generator(config: TrainingConfig, what: str, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(seeding.derive(config.seed, what, epoch))
