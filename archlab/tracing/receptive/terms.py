"""Where a tensor's axes stand in the network's input, and what each of its elements sees of it.

An element may see several regions: one for each way that leads to it. A `Term` is one such region, a box with a `Span`
along each spatial axis of the input. Its `layout` says which axes of the tensor the position along an input's axis is
spread over, so that it survives being permuted, flattened, or split into windows: a position is the sum of
`digit * weight` over the factors of the layout that belong to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import NamedTuple

from archlab.records import ReceptiveField, Shape
from archlab.tracing.receptive.spans import PeriodError, Span

MOST_TERMS = 16
"""More regions than this are taken as one that may hold everything."""


class Factor(NamedTuple):
    """A part of a tensor's axis: how many steps it has, and what a step means."""

    size: int
    axes: tuple[int, ...] = ()
    """The input's spatial axis whose position it counts; none for channels; several where that is muddled up."""
    weight: int = 1


Layout = tuple[tuple[Factor, ...], ...]
"""The factors of each axis of a tensor, outermost first."""


class Term(NamedTuple):
    """A box of the input that the elements of a tensor see."""

    source: int
    """Which of the network's inputs it lies in."""
    sizes: Shape
    """That input's spatial sizes."""
    spans: tuple[Span | None, ...]
    """One for each spatial axis; None where all of it is seen, or may be, if the layout still has factors of it."""
    layout: Layout
    loose: bool = False
    """Whether the box is only known to hold whatever is seen."""

    # What becomes of a term when its tensor is viewed differently

    def permuted(self, order: Sequence[int]) -> Term:
        """With the tensor's axes in another order."""
        return self._replace(layout=tuple(self.layout[axis] for axis in order))

    def inserted(self, axis: int, size: int = 1) -> Term:
        """With a new axis of the tensor, along which nothing changes."""
        return self._replace(layout=(*self.layout[:axis], (Factor(size),), *self.layout[axis:]))

    def removed(self, axis: int) -> Term:
        """Without an axis that has one step."""
        return self.reduced(axis)._without(axis)

    def _without(self, axis: int) -> Term:
        return self._replace(layout=(*self.layout[:axis], *self.layout[axis + 1 :]))

    def _with(self, axis: int, *factors: Factor) -> Term:
        return self._replace(layout=(*self.layout[:axis], factors, *self.layout[axis + 1 :]))

    def regrouped(self, shape: Shape) -> Term:
        """With the tensor viewed in another shape, in the order of its elements."""
        if tuple(map(_length, self.layout)) == shape:
            return self
        layout = _regroup([factor for factors in self.layout for factor in factors], shape)
        if layout is None:
            return self.lost(shape)
        term = self._replace(layout=layout)
        for axis in range(len(shape)):
            term = term._unwindowed(axis)
        return term

    def selected(self, axis: int, index: int) -> Term:
        """With one step along an axis taken, and the axis dropped."""
        term = self
        for factor in reversed(self.layout[axis]):
            index, digit = divmod(index, factor.size)
            for place in factor.axes:
                span = term.spans[place]
                if span is None:
                    term = term._replace(loose=True)
                else:
                    term = term._spanning(place, span.moved(digit * factor.weight))
        return term._without(axis)._settled()

    def sliced(self, axis: int, start: int, step: int, size: int) -> Term:
        """With steps `start`, `start + step`, ... along an axis taken, `size` of them."""
        factors = [factor for factor in self.layout[axis] if factor.axes]
        if not factors:
            return self._with(axis, Factor(size))
        if (start, step, size) == (0, 1, _length(self.layout[axis])):
            return self
        if len(factors) == 1 and len(self.layout[axis]) == 1:
            ((_, (place, *others), weight),) = factors
            span = self.spans[place]
            if span is not None and not others:
                moved = self._spanning(place, span.moved(start * weight))
                return moved._with(axis, Factor(size, (place,), weight * step))._normal(place)
        return self.muddled(axis, size)._replace(loose=True)

    def aligned(self, shape: Shape) -> Term:
        """With the tensor broadcast to a shape."""
        term = self._replace(layout=((Factor(1),),) * (len(shape) - len(self.layout)) + self.layout)
        for axis, size in enumerate(shape):
            if _length(term.layout[axis]) != size:
                term = term.reduced(axis, size)
        return term

    # What becomes of a term in a layer

    def reduced(self, axis: int, size: int = 1) -> Term:
        """With everything along an axis put together, and the result the same along it."""
        term = self._with(axis, Factor(size))
        for factor in self.layout[axis]:
            for place in factor.axes:
                span = term.spans[place]
                if span is not None:
                    term = term._spanning(place, span.swept(factor.size, factor.weight))
        return term._settled()

    def tapped(
        self, axis: int, taps: Callable[[int], Iterable[int]], size: int, period: int = 1, shift: int = 1
    ) -> Term:
        """With a layer's taps applied along an axis, as `Span.through` takes them."""
        factors = [factor for factor in self.layout[axis] if factor.axes]
        if not factors:
            return self._with(axis, Factor(size))
        if len(factors) > 1 or len(self.layout[axis]) > 1 or len(factors[0].axes) > 1:
            return self.muddled(axis, size)._replace(loose=True)
        place, weight = factors[0].axes[0], factors[0].weight
        span = self.spans[place]
        if span is None or self._count(place) > 1:
            return self.muddled(axis, size)._replace(loose=True)
        try:
            span = span.moved(0, weight).through(taps, period, shift)
        except PeriodError:
            return self.muddled(axis, size)._replace(loose=True)
        return self._spanning(place, span)._with(axis, Factor(size, (place,)))

    def muddled(self, axis: int, size: int) -> Term:
        """With an axis along which it isn't known any more what stands where, but everything is there."""
        places = tuple(dict.fromkeys(place for factor in self.layout[axis] for place in factor.axes))
        whole = self.reduced(axis)
        term = self
        for place in places:
            loose = whole.spans[place] is not None
            term = term._spanning(place, None)._replace(loose=term.loose or loose)
        return term._with(axis, Factor(size, places))

    def lost(self, shape: Shape) -> Term:
        """With nothing known but that it comes from this input."""
        layout = tuple((Factor(size),) for size in shape)
        return self._replace(spans=(None,) * len(self.spans), layout=layout, loose=True)

    # Bookkeeping

    def _spanning(self, place: int, span: Span | None) -> Term:
        return self._replace(spans=(*self.spans[:place], span, *self.spans[place + 1 :]))

    def _count(self, place: int) -> int:
        return sum(place in factor.axes for factors in self.layout for factor in factors)

    def _settled(self) -> Term:
        """With the spans that no axis of the tensor belongs to any more made the same for every position."""
        term = self
        for place, span in enumerate(self.spans):
            if span is not None and not (span.shift == 0 and len(span.phases) == 1) and not self._count(place):
                term = term._spanning(place, span.fixed(self.sizes[place]))
        return term

    def _unwindowed(self, axis: int) -> Term:
        """With windows that lie side by side along an axis, each the same throughout, written as positions again."""
        factors = self.layout[axis]
        if len(factors) != 2 or len(factors[0].axes) != 1 or factors[1].axes:
            return self
        (outer, (place,), weight), inner = factors[0], factors[1].size
        span = self.spans[place]
        if span is None or self._count(place) > 1:
            return self
        steps = span.through(lambda q: (q // inner * weight,), inner, weight)
        return self._spanning(place, steps)._with(axis, Factor(outer * inner, (place,)))

    def _normal(self, place: int) -> Term:
        """With a weight of 1, where one factor has all of an axis."""
        span = self.spans[place]
        if span is None or self._count(place) != 1:
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
        return self._spanning(place, span.moved(0, factor.weight))._with(axis, *factors)

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
        return self.loose or any(span is None and self._count(place) > 0 for place, span in enumerate(self.spans))


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


def simplified(terms: Iterable[Term]) -> tuple[Term, ...]:
    """The same regions in fewer terms: those within others are left out, those that make one box are joined."""
    kept: list[Term] = []
    for term in terms:
        waiting = term
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
    if len(kept) > MOST_TERMS:
        shape = tuple(map(_length, kept[0].layout))
        return simplified({term.source: term.lost(shape) for term in kept}.values())
    return tuple(kept)


def _together(one: Term, other: Term) -> Term | None:
    """One term for two, where one holds the other or both make a box; None otherwise."""
    if one.source != other.source:
        return None
    for large in (one, other):
        if not large.is_loose and all(span is None for span in large.spans):
            return large
    for large in (one, other):
        if large.loose and all(span is None for span in large.spans):
            return large
    differing = [place for place in range(len(one.spans)) if not _equal(one, other, place)]
    if not differing:
        return one if other.loose else other
    for large, small in ((one, other), (other, one)):
        if all(_holds(large, small, place) for place in differing):
            return large
    if len(differing) > 1:
        return None
    (place,) = differing
    first, second = one.spans[place], other.spans[place]
    if first is None or second is None or one.steps(place) != other.steps(place):
        return None
    span = first.united(second)
    return None if span is None else one._spanning(place, span)._replace(loose=one.loose or other.loose)


def _equal(one: Term, other: Term, place: int) -> bool:
    return one.spans[place] == other.spans[place] and one.steps(place) == other.steps(place)


def _holds(large: Term, small: Term, place: int) -> bool:
    outer, inner = large.spans[place], small.spans[place]
    if outer is None:
        return not large.steps(place) or large.steps(place) == small.steps(place)
    more = set(small.steps(place)) - set(large.steps(place))
    if inner is None or not set(large.steps(place)) <= set(small.steps(place)):
        return False
    for _, size, weight in more:  # the large one sees the same from everywhere in a window
        inner = inner.swept(size, weight)
    return outer.united(inner) == outer


def receptive_field(terms: Sequence[Term]) -> ReceptiveField | None:
    """The receptive field of a tensor's elements, in the first of the inputs that they see; None if they see none."""
    if not terms:
        return None
    first = min(term.source for term in terms)
    boxes = [term for term in terms if term.source == first]
    sizes = boxes[0].sizes
    kind = "exact"
    spans: list[Span | None] = []
    for place in range(len(sizes)):
        together = _fine(boxes[0], place)
        for term in boxes[1:]:
            more = _fine(term, place)
            together = together.united(more) if together is not None and more is not None else None
        spans.append(together)
    if len(boxes) > 1 or boxes[0].is_loose or not all(span is None or span.is_dense for span in spans):
        kind = "upper bound"
    elif all(span is None for span in spans):
        kind = "whole input"
    jumps = [abs(span.jump) / boxes[0].repeats(place) if span is not None else 0 for place, span in enumerate(spans)]
    return ReceptiveField(
        tuple(size if span is None else span.size for size, span in zip(sizes, spans, strict=True)),
        tuple(int(jump) if jump == int(jump) else float(jump) for jump in jumps),
        kind,  # type: ignore[arg-type]
    )


def _fine(term: Term, place: int) -> Span | None:
    """The span at the positions that the tensor has."""
    span = term.spans[place]
    if span is None or not term.steps(place):
        return span
    return span.moved(0, min(weight for _, _, weight in term.steps(place)))
