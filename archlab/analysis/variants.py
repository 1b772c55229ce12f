"""Runs by variant: the one grouping that comparisons, verdicts, reports, the live page and the terminal share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from archlab.records import Run, TrainingConfig

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
