"""Where a tensor's axes stand in the network's input, and what each of its elements sees of it.

An element may see several regions: one for each way that leads to it. A `Region` is a box, with a `Stencil` along each
spatial axis of the input. Its `layout` says which axes of the tensor the position along an input's axis is spread over,
so that it survives being permuted, flattened, or split into windows: a position is the sum of `digit * weight` over the
factors of the layout that belong to it. Position 11 of 16, split into 4 windows of 4, is digit 2 of weight 4 and digit
3 of weight 1:

>>> row = Region(0, (16,), (IDENTITY,), ((Factor(16, (0,)),),))
>>> row.regrouped((4, 4)).layout
((Factor(size=4, axes=(0,), weight=4),), (Factor(size=4, axes=(0,), weight=1),))

How regions join: behind a skip connection an element sees what it saw before and what the block added, which are two
regions; where one holds the other, or both differ along one axis only, they become one (`simplified`), with the sets of
positions united:

>>> block = row.tapped(0, lambda q: range(q - 1, q + 2), 16)  # a convolution with kernel 3
>>> simplified([row, block]) == (block,)
True
>>> apart = row.tapped(0, lambda q: (q + 2,), 16)
>>> simplified([row, apart])[0].stencils[0].at(0)  # positions 0 and 2: a hole between, so that it is no exact field
(0, 5)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import NamedTuple

from archlab.records import ReceptiveField, Shape
from archlab.tracing.receptive.stencils import IDENTITY as IDENTITY
from archlab.tracing.receptive.stencils import PeriodError, Stencil

REGION_LIMIT = 16
"""Regions per tensor; more are taken as one that may hold everything."""


class Factor(NamedTuple):
    """A part of a tensor's axis: how many steps it has, and what a step means."""

    size: int
    axes: tuple[int, ...] = ()
    """The input's spatial axis whose position it counts; none for channels; several where their order is lost."""
    weight: int = 1


Layout = tuple[tuple[Factor, ...], ...]
"""The factors of each axis of a tensor, outermost first."""


class Region(NamedTuple):
    """A box of the input that the elements of a tensor see."""

    source: int
    """Which of the network's inputs it lies in."""
    sizes: Shape
    """That input's spatial sizes."""
    stencils: tuple[Stencil | None, ...]
    """One for each spatial axis; None where all of it is seen, or may be, if the layout still has factors of it."""
    layout: Layout
    loose: bool = False
    """Whether the box is only known to hold whatever is seen."""

    # What becomes of a region when its tensor is viewed differently

    def permuted(self, order: Sequence[int]) -> Region:
        """With the tensor's axes in another order."""
        return self._replace(layout=tuple(self.layout[axis] for axis in order))

    def inserted(self, axis: int, size: int = 1) -> Region:
        """With a new axis of the tensor, along which nothing changes."""
        return self._replace(layout=(*self.layout[:axis], (Factor(size),), *self.layout[axis:]))

    def removed(self, axis: int) -> Region:
        """Without an axis that has one step."""
        return self.reduced(axis)._without(axis)

    def _without(self, axis: int) -> Region:
        return self._replace(layout=(*self.layout[:axis], *self.layout[axis + 1 :]))

    def _with(self, axis: int, *factors: Factor) -> Region:
        return self._replace(layout=(*self.layout[:axis], factors, *self.layout[axis + 1 :]))

    def regrouped(self, shape: Shape) -> Region:
        """With the tensor viewed in another shape, in the order of its elements."""
        if tuple(map(_length, self.layout)) == shape:
            return self
        layout = _regroup([factor for factors in self.layout for factor in factors], shape)
        if layout is None:
            return self.unknown(shape)
        region = self._replace(layout=layout)
        for axis in range(len(shape)):
            region = region._unwindowed(axis)
        return region

    def selected(self, axis: int, index: int) -> Region:
        """With one step along an axis taken, and the axis dropped."""
        region = self
        for factor in reversed(self.layout[axis]):
            index, digit = divmod(index, factor.size)
            for place in factor.axes:
                stencil = region.stencils[place]
                if stencil is None:
                    region = region._replace(loose=True)
                else:
                    region = region._with_stencil(place, stencil.moved(digit * factor.weight))
        return region._without(axis)._settled()

    def sliced(self, axis: int, start: int, step: int, size: int) -> Region:
        """With steps `start`, `start + step`, ... along an axis taken, `size` of them."""
        factors = [factor for factor in self.layout[axis] if factor.axes]
        if not factors:
            return self._with(axis, Factor(size))
        if (start, step, size) == (0, 1, _length(self.layout[axis])):
            return self
        if len(factors) == 1 and len(self.layout[axis]) == 1:
            ((_, (place, *others), weight),) = factors
            stencil = self.stencils[place]
            if stencil is not None and not others:
                moved = self._with_stencil(place, stencil.moved(start * weight))
                return moved._with(axis, Factor(size, (place,), weight * step))._normal(place)
        return self.unordered(axis, size)._replace(loose=True)

    def aligned(self, shape: Shape) -> Region:
        """With the tensor broadcast to a shape."""
        region = self._replace(layout=((Factor(1),),) * (len(shape) - len(self.layout)) + self.layout)
        for axis, size in enumerate(shape):
            if _length(region.layout[axis]) != size:
                region = region.reduced(axis, size)
        return region

    # What becomes of a region in a layer

    def reduced(self, axis: int, size: int = 1) -> Region:
        """With everything along an axis put together, and the result the same along it."""
        region = self._with(axis, Factor(size))
        for factor in self.layout[axis]:
            for place in factor.axes:
                stencil = region.stencils[place]
                if stencil is not None:
                    region = region._with_stencil(place, stencil.swept(factor.size, factor.weight))
        return region._settled()

    def tapped(
        self, axis: int, taps: Callable[[int], Iterable[int]], size: int, period: int = 1, shift: int = 1
    ) -> Region:
        """With a layer's taps applied along an axis, as `Stencil.through` takes them."""
        factors = [factor for factor in self.layout[axis] if factor.axes]
        if not factors:
            return self._with(axis, Factor(size))
        if len(factors) > 1 or len(self.layout[axis]) > 1 or len(factors[0].axes) > 1:
            return self.unordered(axis, size)._replace(loose=True)
        place, weight = factors[0].axes[0], factors[0].weight
        stencil = self.stencils[place]
        if stencil is None or self._count(place) > 1:
            return self.unordered(axis, size)._replace(loose=True)
        try:
            stencil = stencil.moved(0, weight).through(taps, period, shift)
        except PeriodError:
            return self.unordered(axis, size)._replace(loose=True)
        return self._with_stencil(place, stencil)._with(axis, Factor(size, (place,)))

    def unordered(self, axis: int, size: int) -> Region:
        """With everything along an axis still there, but in an order that isn't followed."""
        places = tuple(dict.fromkeys(place for factor in self.layout[axis] for place in factor.axes))
        whole = self.reduced(axis)
        region = self
        for place in places:
            loose = whole.stencils[place] is not None
            region = region._with_stencil(place, None)._replace(loose=region.loose or loose)
        return region._with(axis, Factor(size, places))

    def unknown(self, shape: Shape) -> Region:
        """With nothing known but that it comes from this input."""
        layout = tuple((Factor(size),) for size in shape)
        return self._replace(stencils=(None,) * len(self.stencils), layout=layout, loose=True)

    # Bookkeeping

    def _with_stencil(self, place: int, stencil: Stencil | None) -> Region:
        return self._replace(stencils=(*self.stencils[:place], stencil, *self.stencils[place + 1 :]))

    def _count(self, place: int) -> int:
        return sum(place in factor.axes for factors in self.layout for factor in factors)

    def _settled(self) -> Region:
        """With the stencils that no axis of the tensor belongs to any more made the same for every position."""
        region = self
        for place, stencil in enumerate(self.stencils):
            if stencil is not None and not (stencil.shift == 0 and len(stencil.phases) == 1) and not self._count(place):
                region = region._with_stencil(place, stencil.fixed(self.sizes[place]))
        return region

    def _unwindowed(self, axis: int) -> Region:
        """With windows that lie side by side along an axis, each the same throughout, written as positions again."""
        factors = self.layout[axis]
        if len(factors) != 2 or len(factors[0].axes) != 1 or factors[1].axes:
            return self
        (outer, (place,), weight), inner = factors[0], factors[1].size
        stencil = self.stencils[place]
        if stencil is None or self._count(place) > 1:
            return self
        steps = stencil.through(lambda q: (q // inner * weight,), inner, weight)
        return self._with_stencil(place, steps)._with(axis, Factor(outer * inner, (place,)))

    def _normal(self, place: int) -> Region:
        """With a weight of 1, where one factor has all of an axis."""
        stencil = self.stencils[place]
        if stencil is None or self._count(place) != 1:
            return self
        axis, position, factor = next(
            (axis, position, factor)
            for axis, factors in enumerate(self.layout)
            for position, factor in enumerate(factors)
            if place in factor.axes
        )
        if factor.weight == 1 or len(factor.axes) > 1:
            return self
        factors = list(self.layout[axis])
        factors[position] = Factor(factor.size, (place,))
        return self._with_stencil(place, stencil.moved(0, factor.weight))._with(axis, *factors)

    def steps(self, place: int) -> tuple[tuple[int, int, int], ...]:
        """Which axes of the tensor an input's axis is spread over: (axis, size, weight) each."""
        return tuple(
            (axis, factor.size, factor.weight)
            for axis, factors in enumerate(self.layout)
            for factor in factors
            if place in factor.axes
        )

    def repeats(self, place: int) -> int:
        """How many neighbours along the tensor's axis see the same: those in a window that was put together."""
        count = 1
        for factors in self.layout:
            inner = 1
            for factor in reversed(factors):
                if factor.axes == (place,):
                    count = max(count, inner)
                inner = inner * factor.size if not factor.axes else 1
        return count

    @property
    def is_loose(self) -> bool:
        """Whether less may be seen than the box holds."""
        return self.loose or any(
            stencil is None and self._count(place) > 0 for place, stencil in enumerate(self.stencils)
        )


def _length(factors: Sequence[Factor]) -> int:
    return prod(factor.size for factor in factors)


def _regroup(factors: list[Factor], shape: Shape) -> Layout | None:
    """Factors in the order of the elements as axes of these sizes; None where they don't fit."""
    waiting = _joined(factors)[::-1]
    layout: list[tuple[Factor, ...]] = []
    for size in shape:
        group: list[Factor] = []
        have = 1
        if size == 1 and waiting and waiting[-1].size == 1:
            group.append(waiting.pop())
        while have < size:
            factor = waiting.pop()
            if size % (have * factor.size) == 0:
                group.append(factor)
                have *= factor.size
                continue
            need, remainder = divmod(size, have)
            inner, uneven = divmod(factor.size, need)
            if remainder or uneven or len(factor.axes) > 1:
                return None
            group.append(factor._replace(size=need, weight=factor.weight * inner))
            waiting.append(factor._replace(size=inner))
            have = size
        layout.append(tuple(_joined(group)) or (Factor(1),))
    if waiting:  # axes of one step at the end
        layout[-1:] = [(*(layout[-1] if layout else ()), *waiting[::-1])]
    return tuple(tuple(_joined(group)) for group in layout)


def _joined(factors: Sequence[Factor]) -> list[Factor]:
    """Neighbouring factors as one, where they count on from each other; without those that mean nothing."""
    joined: list[Factor] = []
    for factor in factors:
        if factor.size == 1 and not factor.axes and len(factors) > 1:
            continue
        if joined and len(factor.axes) < 2 and joined[-1].axes == factor.axes:
            last = joined[-1]
            if not factor.axes or last.weight == factor.weight * factor.size:
                joined[-1] = factor._replace(size=last.size * factor.size)
                continue
        joined.append(factor)
    return joined or list(factors[:1])


def simplified(regions: Iterable[Region]) -> tuple[Region, ...]:
    """The same regions in fewer: those within others are left out, those that make one box are joined."""
    kept: list[Region] = []
    for region in regions:
        waiting = region
        place = 0
        while place < len(kept):
            both = _together(kept[place], waiting)
            if both is None:
                place += 1
            else:
                waiting = both
                del kept[place]
                place = 0
        kept.append(waiting)
    if len(kept) > REGION_LIMIT:
        shape = tuple(map(_length, kept[0].layout))
        return simplified({region.source: region.unknown(shape) for region in kept}.values())
    return tuple(kept)


def _together(one: Region, other: Region) -> Region | None:
    """One region for two, where one holds the other or both make a box; None otherwise."""
    if one.source != other.source:
        return None
    for large in (one, other):
        if not large.is_loose and all(stencil is None for stencil in large.stencils):
            return large
    for large in (one, other):
        if large.loose and all(stencil is None for stencil in large.stencils):
            return large
    differing = [place for place in range(len(one.stencils)) if not _equal(one, other, place)]
    if not differing:
        return one if other.loose else other
    for large, small in ((one, other), (other, one)):
        if all(_holds(large, small, place) for place in differing):
            return large
    if len(differing) > 1:
        return None
    (place,) = differing
    first, second = one.stencils[place], other.stencils[place]
    if first is None or second is None or one.steps(place) != other.steps(place):
        return None
    stencil = first.united(second)
    return None if stencil is None else one._with_stencil(place, stencil)._replace(loose=one.loose or other.loose)


def _equal(one: Region, other: Region, place: int) -> bool:
    return one.stencils[place] == other.stencils[place] and one.steps(place) == other.steps(place)


def _holds(large: Region, small: Region, place: int) -> bool:
    outer, inner = large.stencils[place], small.stencils[place]
    if outer is None:
        return not large.steps(place) or large.steps(place) == small.steps(place)
    more = set(small.steps(place)) - set(large.steps(place))
    if inner is None or not set(large.steps(place)) <= set(small.steps(place)):
        return False
    for _, size, weight in more:  # the large one sees the same from everywhere in a window
        inner = inner.swept(size, weight)
    return outer.united(inner) == outer


def receptive_field(regions: Sequence[Region]) -> ReceptiveField | None:
    """The receptive field of a tensor's elements, in the first of the inputs that they see; None if they see none."""
    if not regions:
        return None
    first = min(region.source for region in regions)
    boxes = [region for region in regions if region.source == first]
    sizes = boxes[0].sizes
    kind = "exact"
    stencils: list[Stencil | None] = []
    for place in range(len(sizes)):
        together = _at_positions(boxes[0], place)
        for region in boxes[1:]:
            more = _at_positions(region, place)
            together = together.united(more) if together is not None and more is not None else None
        stencils.append(together)
    if len(boxes) > 1 or boxes[0].is_loose or not all(stencil is None or stencil.is_dense for stencil in stencils):
        kind = "upper bound"
    elif all(stencil is None for stencil in stencils):
        kind = "whole input"
    jumps = [
        abs(stencil.jump) / boxes[0].repeats(place) if stencil is not None else 0
        for place, stencil in enumerate(stencils)
    ]
    return ReceptiveField(
        tuple(size if stencil is None else stencil.size for size, stencil in zip(sizes, stencils, strict=True)),
        tuple(int(jump) if jump == int(jump) else float(jump) for jump in jumps),
        kind,  # type: ignore[arg-type]
    )


def _at_positions(region: Region, place: int) -> Stencil | None:
    """The stencil at the positions that the tensor has."""
    stencil = region.stencils[place]
    if stencil is None or not region.steps(place):
        return stencil
    return stencil.moved(0, min(weight for _, _, weight in region.steps(place)))
