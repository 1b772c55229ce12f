"""The input sizes that a network takes, found by trying them without values."""

from __future__ import annotations

import time
from collections.abc import Callable

from archlab.records import Shape
from archlab.tracing.inputs import shape_text

SEARCH_SECONDS = 3.0
"""How long sizes are tried."""
_USUAL_SIZES = (224, 96, 64, 32, 28, 128, 256, 299, 384, 512)
_SIZE_STEPS = (2, 4, 7, 8, 14, 16, 32)


class OutOfTimeError(Exception):
    """There was no time to try more."""


class Sizes:
    """Tries square inputs of a network, each size once."""

    def __init__(self, takes: Callable[[int], bool]) -> None:
        self.takes = takes
        self.known: dict[int, bool] = {}
        self.end = time.monotonic() + SEARCH_SECONDS

    def fit(self, size: int) -> bool:
        """Whether the network takes a size.

        Raises:
            OutOfTimeError: it hasn't been tried, and the time is over.
        """
        if size < 1:
            return False
        if size not in self.known:
            if time.monotonic() > self.end:
                raise OutOfTimeError
            self.known[size] = self.takes(size)
        return self.known[size]

    def edge(self, good: int, bad: int) -> int:
        """The last size that fits, from one that does towards one that doesn't."""
        while abs(good - bad) > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if self.fit(middle) else (good, middle)
        return good


def sizes_that_fit(network: str, takes: Callable[[int], bool], default: Shape, given: int, axes: int) -> str:
    """A sentence about the sizes that a network takes: `lenet takes 28x28 to 31x31`; empty if none was found.

    Args:
        network: its name.
        takes: whether it takes a size, the same along all spatial axes.
        default: the sizes of those axes that it was made for; empty if nobody knows.
        given: the size that failed.
        axes: how many of the last axes have the size.
    """
    sizes = Sizes(takes)
    sizes.known[given] = False
    anchor: int | None = None

    def square(size: int) -> str:
        return shape_text((size,) * axes)

    try:
        anchor = next((size for size in (*default[-1:], *_USUAL_SIZES) if sizes.fit(size)), None)
        if anchor is None:
            return ""
        sentence = f"{network} takes {square(anchor)}"
        if not sizes.fit(anchor + 1) and not sizes.fit(anchor - 1):
            step = next(
                (step for step in _SIZE_STEPS if sizes.fit(anchor + step) and sizes.fit(anchor + 2 * step)), None
            )
            return f"{sentence} and others in steps of {step}" if step else sentence
        least = 1 if sizes.fit(1) else sizes.edge(anchor, given if given < anchor else 1)
        if given > anchor:
            return f"{network} takes {square(least)} to {square(sizes.edge(anchor, given))}"
        if sizes.fit(2 * anchor):
            return f"{network} takes {square(least)} and larger"
        return f"{network} takes {square(least)} to {square(sizes.edge(anchor, 2 * anchor))}"
    except OutOfTimeError:
        return f"{network} takes {square(anchor)}" if anchor else ""
