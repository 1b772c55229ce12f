"""Numbers in sentences, for texts of any kind."""

from __future__ import annotations

from collections.abc import Sequence

from archlab.records import TrainingConfig, Value, VariantResult
from archlab.records.settings import settings


def counted(count: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "run"), counted(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def left_out(variant: VariantResult) -> list[str]:
    """How many runs of a variant are in no mean, by why: `1 of 6 runs diverged`."""
    kinds = ((variant.diverged, "diverged"), (variant.failed, "failed"))
    return [f"{count} of {counted(variant.ended, 'run')} {word}" for count, word in kinds if count]


def spoken_time(seconds: float) -> str:
    """A time as people say it.

    >>> spoken_time(7260)
    '2.0 hours'
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def range_text(values: Sequence[float], form: str) -> str:
    """One number, or the least and the greatest of several.

    >>> range_text([0.674, 0.641, 0.65], ".2f")
    '0.64 to 0.67'
    """
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def shape_text(shape: Sequence[int | float]) -> str:
    """A shape as the command line takes it: `1x64x48x48`.

    >>> shape_text((1, 64, 48, 48))
    '1x64x48x48'
    """
    return "x".join(map(str, shape)) or "scalar"


def assigned(name: str, value: Value | None) -> str:
    """A setting and its value as variants are called: `lr=0.001`.

    >>> assigned("learning_rate", 1e-3)
    'lr=0.001'
    """
    known = settings(TrainingConfig).get(name)
    called = known.name if known else name
    return f"{called}={value:g}" if isinstance(value, float) else f"{called}={value}"
