"""Which variants of a comparison are held against each other.

Where one thing varies, every variant stands against the first. Where several are crossed, one factor is changed at a
time, and the others are held at each of their values:

    norm=batch, skip=on     norm=none, skip=on      norm: 2 - 1 at skip=on, 4 - 3 at skip=off
    norm=batch, skip=off    norm=none, skip=off     skip: 3 - 1 at norm=batch, 4 - 2 at norm=none

and the interaction is the difference of two such differences: whether what `norm` does depends on `skip`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from archlab.analysis.wording import assigned
from archlab.records import Difference, Value, VariantResult

Levels = Mapping[str, Value | None]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two variants that differ in one factor."""

    baseline: VariantResult
    variant: VariantResult
    factor: str = ""
    """What they differ in, where several things vary."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """Two contrasts in one factor that differ in another."""

    first: Contrast
    second: Contrast
    factor: str
    other: str

    @property
    def corners(self) -> tuple[VariantResult, ...]:
        """The four variants: baseline and variant of the first contrast, then of the second."""
        return self.first.baseline, self.first.variant, self.second.baseline, self.second.variant

    @property
    def names(self) -> tuple[str, str]:
        """The two contrasts in words: `norm=none minus norm=batch at skip=on`, and at `skip=off`."""
        return contrast_name(self.first, self.factor), contrast_name(self.second, self.factor)


def contrasts(variants: Sequence[VariantResult]) -> list[Contrast]:
    """The pairs of variants that a comparison speaks of, factor by factor.

    A factor's first value is the baseline's. A variant without a partner that differs from it in one factor alone
    stands against the first variant.
    """
    factors = factors_of(variants)
    first, *others = variants
    if len(factors) < 2:
        return [Contrast(first, variant) for variant in others]
    known = _by_levels(variants, factors)
    found = [
        Contrast(partner, variant, factor)
        for factor, levels in factors.items()
        for variant in others
        if _level(variant, factor) != levels[0]
        and (partner := known.get(_key(variant, factors, {factor: levels[0]}))) is not None
    ]
    paired = {id(contrast.variant) for contrast in found}
    return found + [Contrast(first, variant) for variant in others if id(variant) not in paired]


def interactions(variants: Sequence[VariantResult]) -> list[Interaction]:
    """The differences of differences, two factors at a time, at each value of the others; none without crossing."""
    factors = factors_of(variants)
    known = _by_levels(variants, factors)
    found = []
    for (factor, levels), (other, other_levels) in combinations(factors.items(), 2):
        for variant in variants:
            if _level(variant, factor) == levels[0] or _level(variant, other) == other_levels[0]:
                continue
            corners = [
                known.get(_key(variant, factors, changed))
                for changed in (
                    {factor: levels[0], other: other_levels[0]},
                    {other: other_levels[0]},
                    {factor: levels[0]},
                )
            ]
            if None not in corners:
                both, changed_factor, changed_other = (corner for corner in corners if corner is not None)
                first, second = Contrast(both, changed_factor, factor), Contrast(changed_other, variant, factor)
                found.append(Interaction(first, second, factor, other))
    return found


def factors_of(variants: Sequence[VariantResult]) -> dict[str, list[Value | None]]:
    """What varies, and its values as they first come: `{"norm": ["batch", "none"]}`."""
    names = dict.fromkeys(name for variant in variants for name in variant.options)
    found = {name: list(dict.fromkeys(_level(variant, name) for variant in variants)) for name in names}
    return {name: levels for name, levels in found.items() if len(levels) > 1}


def contrast_name(contrast: Contrast, factor: str) -> str:
    """Two variants by what differs and what is held: `norm=none minus norm=batch at skip=on`."""
    if not factor:
        return f"{contrast.variant.name} minus {contrast.baseline.name}"
    sides = " minus ".join(assigned(factor, _level(side, factor)) for side in (contrast.variant, contrast.baseline))
    held = [assigned(name, value) for name, value in contrast.variant.options.items() if name != factor]
    return f"{sides} at {', '.join(held)}" if held else sides


def interaction_name(interaction: Difference) -> str:
    """What an interaction compares: `norm=none minus norm=batch: at skip=off against at skip=on`.

    >>> interaction_name(Difference(6, 0, 0, 0, 1, None, baseline="b - a at skip=on", variant="b - a at skip=off"))
    'b - a: at skip=off against at skip=on'
    """
    sides = [name.partition(" at ") for name in (interaction.variant, interaction.baseline)]
    (what, _, variant), (_, _, baseline) = sides
    return f"{what}: at {variant} against at {baseline}"


def _level(variant: VariantResult, factor: str) -> Value | None:
    return variant.options.get(factor)


def _key(variant: VariantResult, factors: Mapping[str, object], changed: Levels) -> tuple[Value | None, ...]:
    return tuple(changed.get(factor, _level(variant, factor)) for factor in factors)


def _by_levels(
    variants: Sequence[VariantResult], factors: Mapping[str, object]
) -> dict[tuple[Value | None, ...], VariantResult]:
    return {_key(variant, factors, {}): variant for variant in variants}
