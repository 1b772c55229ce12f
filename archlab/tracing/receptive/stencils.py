"""Which input positions one output position sees along one axis, exactly.

Away from the borders every layer repeats itself: `stencil(p + period) = stencil(p) + shift`. A convolution has period 1
and its stride as shift; a transposed one or an upsampling has a period above 1, and so has attention within windows. A
`Stencil` holds one set of positions for each phase of the period, so that composing layers is exact, holes included:

>>> convolution = IDENTITY.through(lambda q: range(2 * q - 1, 2 * q + 2), shift=2)  # kernel 3, stride 2, padding 1
>>> convolution.at(5), convolution.jump  # position 5 sees 9, 10, 11; the next one 2 further
((9, 7), Fraction(2, 1))
>>> doubled = convolution.through(lambda q: (q // 2,), period=2)  # an upsampling to the nearest behind it
>>> doubled.at(10), doubled.at(11), doubled.jump
((9, 7), (9, 7), Fraction(1, 1))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd, lcm

PHASE_LIMIT = 4096
"""Positions in a period; longer ones are given up. They come from resizing by odd ratios several times."""

Positions = tuple[int, int]
"""A set of integers: where it starts, and a bit for each position from there on; the first bit is set."""

NO_POSITIONS: Positions = (0, 0)


class PeriodError(ValueError):
    """A period would become too long to be written down."""


@dataclass(frozen=True)
class Stencil:
    """Sets of input positions for the output positions along one axis, as if both went on for ever."""

    shift: int
    """Input positions between outputs that are a period apart; 0 where all outputs see the same."""
    phases: tuple[Positions, ...]
    """The sets of output positions 0, 1, ... of the first period."""

    @property
    def jump(self) -> Fraction:
        """Input positions between neighbouring outputs."""
        return Fraction(self.shift, len(self.phases))

    @cached_property
    def size(self) -> int:
        """Length of the longest interval that a set covers."""
        return max(bits.bit_length() for _, bits in self.phases)

    @cached_property
    def is_dense(self) -> bool:
        """Whether each set is an interval as long as `size`, without holes."""
        return all(bits == (1 << self.size) - 1 for _, bits in self.phases)

    def at(self, position: int) -> Positions:
        """What one output position sees."""
        rounds, phase = divmod(position, len(self.phases))
        start, bits = self.phases[phase]
        return start + rounds * self.shift, bits

    def through(self, taps: Callable[[int], Iterable[int]], period: int = 1, shift: int = 1) -> Stencil:
        """The stencil of a layer behind this one.

        Args:
            taps: the positions of this stencil that the layer's output position takes; `taps(q + period)` must be
                `taps(q)` moved by `shift`.
            period: how many output positions until the layer repeats itself.
            shift: by how many positions it has moved on then; negative where it runs backwards.
        """
        own = len(self.phases)
        rounds = own // gcd(own, abs(shift)) if shift else 1
        if period * rounds > PHASE_LIMIT:
            raise PeriodError(f"a period of {period * rounds} positions")
        phases = tuple(union(self.at(tap) for tap in taps(output)) for output in range(period * rounds))
        return Stencil(shift * rounds // own * self.shift, phases).shortened()

    def moved(self, offset: int, factor: int = 1) -> Stencil:
        """The stencil whose position q is this one's `offset + factor * q`."""
        return self if (offset, factor) == (0, 1) else self.through(lambda q: (offset + factor * q,), shift=factor)

    def swept(self, count: int, step: int) -> Stencil:
        """The stencil whose position p sees what the positions p, p + step, ... see together, `count` of them."""
        stencil, have = self, 1
        while have < count:
            more = min(have, count - have)
            stencil = stencil.through(lambda q, offset=more * step: (q, q + offset))  # type: ignore[misc]
            have += more
        return stencil

    def united(self, other: Stencil) -> Stencil | None:
        """Both together, position by position; None where they move on at different speeds."""
        if self is other:
            return self
        if self.jump != other.jump:
            return None
        period = lcm(len(self.phases), len(other.phases))
        if period > PHASE_LIMIT:
            return None
        phases = tuple(union((self.at(position), other.at(position))) for position in range(period))
        return Stencil(self.shift * (period // len(self.phases)), phases).shortened()

    def shortened(self) -> Stencil:
        """The same with the shortest period."""
        count = len(self.phases)
        for period in range(1, count):
            if count % period or self.shift * period % count:
                continue
            short = Stencil(self.shift * period // count, self.phases[:period])
            if all(short.at(position) == self.phases[position] for position in range(period, count)):
                return short
        return self

    def fixed(self, size: int) -> Stencil | None:
        """What position 0 sees of `range(size)`, for all positions alike; None where that is everything."""
        start, bits = self.phases[0]
        everything = (1 << size) - 1
        inside = (bits >> -start if start < 0 else bits << start) & everything
        if inside == everything:
            return None
        lowest = (inside & -inside).bit_length() - 1 if inside else 0
        return Stencil(0, ((lowest, inside >> lowest),))


IDENTITY = Stencil(1, ((0, 1),))
"""The network's input itself: each position sees one."""


def union(sets: Iterable[Positions]) -> Positions:
    """All positions of several sets."""
    filled = [item for item in sets if item[1]]
    if not filled:
        return NO_POSITIONS
    start = min(first for first, _ in filled)
    together = 0
    for first, bits in filled:
        together |= bits << (first - start)
    return start, together
