"""On which images, and in which batches, a network is examined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archlab.errors import InputError

IMAGES = 1000
"""Enough for an interval of some points of accuracy, and for means to a few hundredths of a deviation."""
TESTED = 3
"""One image of so many is tested, which takes three passes; the others are for precise statistics, which take one."""
BATCH_SIZE = 32
"""Where nobody says what the training's was."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a network is examined."""

    batch_size: int | None = None
    """Images per step of the training; None for `BATCH_SIZE`."""
    images: int = IMAGES
    """Images that are looked at: two thirds for precise statistics, a third to be tested."""
    size: int | None = None
    """Height and width of the images; None for what the network was made for, else their own."""
    normalise: str = "none"
    """How images of a data set are normalised: `none`, `data`, `imagenet`, as in a training."""
    data_dir: str | Path | None = None
    """Where data sets lie."""
    download: bool = False
    """Whether one that is missing is fetched through torchvision."""
    device: str | None = None
    """Where the network runs; None for the accelerator if there is one."""

    def tested(self, images: int) -> int:
        """How many of so many images are tested."""
        return images // TESTED

    def __post_init__(self) -> None:
        for name, value, least in (
            ("batch_size", self.batch_size, 2),
            ("images", self.images, 16),
            ("size", self.size, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"{name} is {value}, expected {least} or more")
