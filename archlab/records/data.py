"""What the data of a training is, in a few numbers: enough to see that labels or test images are not what they seem."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartSummary:
    """The training or the test images, as the network is given them: resized, each value from 0 to 1."""

    counts: tuple[int, ...]
    """Images of each class."""
    mean: tuple[float, ...]
    """Of each channel, over all places of all images."""
    deviation: tuple[float, ...]
    """The same: standard deviation of the values."""
    spread: tuple[float, ...]
    """Of each channel, the standard deviation of the images' own means; over the root of their number it is how well
    `mean` is known."""
    separation: float | None = None
    """Variance between the classes' mean images over what chance would give, an F ratio: about 1 where the labels have
    nothing to do with the images. None for fewer than two classes, or images that are all alike."""

    @property
    def images(self) -> int:
        """How many there are."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class DataSummary:
    """The images and labels that one run was trained on and tested with, subsets among them."""

    classes: tuple[str, ...]
    train: PartSummary
    test: PartSummary
    duplicates: int
    """Test images that are training images too, byte for byte as the network is given them."""
    mislabelled: int = 0
    """Of these, how many have no training image of their own class."""
    nearest: tuple[int, ...] = ()
    """For each class, the one whose training images' mean is nearest to the mean of its test images; -1 where the
    class has no test images."""

    def conflict(self) -> str:
        """Numbers that are of other classes or channels than there are, in words; empty where all go together."""
        classes = len(self.classes)
        for part in (self.train, self.test):
            if not classes or len(part.counts) != classes or min(part.counts) < 0:
                return f"its data has {classes} classes, and counts of images {part.counts}"
            if not len(part.mean) == len(part.deviation) == len(part.spread):
                return "its data has means and deviations of several counts of channels"
        if any(not -1 <= place < classes for place in self.nearest) or len(self.nearest) not in (0, classes):
            return f"its data has {classes} classes, and the nearest of each are {self.nearest}"
        return ""
