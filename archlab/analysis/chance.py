"""What guessing reaches, where the records say how many classes there are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from archlab.records import Comparison, Run, TrainingConfig, Value, VariantResult

CLASS_COUNTS = {"digits": 10, "fashion-mnist": 10, "mnist": 10, "cifar10": 10, "cifar100": 100}
"""Of the data sets that archlab knows by name; else the network's option `classes` says it."""
TEST_IMAGES = {"digits": 359, "fashion-mnist": 10_000, "mnist": 10_000, "cifar10": 10_000, "cifar100": 10_000}
"""Of the data sets that come with archlab."""
FEWEST_IMAGES = 100
"""Taken where the records don't say how many test images there are, as in a folder of images per class."""
CHANCE_ERRORS = 3
"""Standard errors above chance that guessing exceeds once in 740 runs."""


def class_count(dataset: str, options: Mapping[str, Value]) -> int | None:
    """How many classes there are; None where the records don't say it.

    >>> class_count("cifar100", {}), class_count("photos", {"classes": 5}), class_count("photos", {})
    (100, 5, None)
    """
    classes = options.get("classes", CLASS_COUNTS.get(dataset))
    return classes if isinstance(classes, int) and classes > 1 else None


def chance_of(configs: Iterable[TrainingConfig]) -> float | None:
    """The accuracy of guessing, as a share; None where nobody knows it, or it isn't the same for all."""
    return _chance({class_count(config.dataset, config.options) for config in configs})


def comparison_chance(comparison: Comparison) -> float | None:
    """The accuracy of guessing on a comparison's data, as a share; None where the records don't say it."""
    return _chance(
        {class_count(comparison.dataset, {**comparison.settings, **variant.options}) for variant in comparison.variants}
    )


def _chance(counts: set[int | None]) -> float | None:
    only = counts.pop() if len(counts) == 1 else None
    return None if only is None else 1 / only


def tested_images(dataset: str, chosen: Value | None) -> int:
    """How many images the runs on a data set were tested with, as far as their records say; `chosen` of the settings.

    >>> tested_images("digits", None), tested_images("digits", 50), tested_images("photos", None)
    (359, 50, 100)
    """
    there = TEST_IMAGES.get(dataset)
    number = chosen if isinstance(chosen, int) else None
    return min(number or there or FEWEST_IMAGES, there or number or FEWEST_IMAGES)


def has_learnt(run: Run) -> bool | None:
    """Whether a run ended above chance; None where it has no accuracy or nobody knows what chance is."""
    chance = 1 / len(run.data.classes) if run.data is not None else chance_of([run.config])
    accuracy = run.epochs[-1].best_accuracy if run.epochs else None
    if chance is None or accuracy is None:
        return None
    images = run.data.test.images if run.data else tested_images(run.config.dataset, run.config.test_samples)
    return is_above_chance(accuracy, chance, images)


def variant_has_learnt(variant: VariantResult, comparison: Comparison) -> bool | None:
    """Whether any run of a variant ended above chance, as `has_learnt`, by its test accuracies."""
    chance = comparison_chance(comparison)
    if chance is None:
        return None
    images = tested_images(comparison.dataset, comparison.settings.get("test_samples"))
    names = [name for name in ("test_accuracy", "test_accuracy_running") if name in variant.metrics]
    values = [value for name in names for value in variant.metrics[name].values]
    return any(is_above_chance(value, chance, images) for value in values)


def is_above_chance(accuracy: float, chance: float, images: int) -> bool:
    """Whether an accuracy over so many test images is above what guessing reaches, by `CHANCE_ERRORS` standard errors.

    >>> is_above_chance(0.14, 0.1, 359), is_above_chance(0.15, 0.1, 359)
    (False, True)
    """
    return accuracy > chance + CHANCE_ERRORS * math.sqrt(chance * (1 - chance) / images)
