"""Runs by variant: the one grouping that comparisons, verdicts, reports, the live page and the terminal share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from archlab.records import Run, TrainingConfig, Value

T = TypeVar("T")


def by_variant(items: Iterable[T], config: Callable[[T], TrainingConfig]) -> dict[str, list[T]]:
    """Label of a variant -> its items, both in the order in which they first come.

    Args:
        items: runs, or what stands for them.
        config: gives an item's configuration.
    """
    variants: dict[str, list[T]] = {}
    for item in items:
        variants.setdefault(config(item).label, []).append(item)
    return variants


def runs_by_variant(runs: Iterable[Run]) -> dict[str, tuple[Run, ...]]:
    """Label of a variant -> its runs, seeds in order; variants in the order in which they first come."""
    found = by_variant(runs, lambda run: run.config)
    return {label: tuple(sorted(members, key=lambda run: run.config.seed)) for label, members in found.items()}


def shared_items(many: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """What all have in common: the settings of some variants, for instance."""
    first, *others = many
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
