"""A comparison of two crossed factors, with numbers that are easy to follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from archlab.records import Comparison, Difference, Estimate, Value, VariantResult


def crossed_comparison() -> Comparison:
    """norm x batch size: BatchNorm loses 0.3 at batch 2, GroupNorm nothing; the interaction is +0.3."""

    def one(norm: str, batch: int, accuracy: float) -> VariantResult:
        held = Estimate(2, accuracy, accuracy - 0.02, accuracy + 0.01, (accuracy - 0.01, accuracy + 0.01))
        options: dict[str, Value] = {"norm": norm, "batch_size": batch}
        return VariantResult(f"norm={norm}, batch_size={batch}", {"test_accuracy": held}, options, seeds=(0, 1))

    values = {("batch", 32): 0.9, ("batch", 2): 0.6, ("group", 32): 0.8, ("group", 2): 0.8}
    variants = tuple(one(*levels, accuracy) for levels, accuracy in values.items())
    shared: dict[str, Any] = {"metric": "test_accuracy", "p_value": None, "correlation": None}
    loss = Difference(
        2, -0.3, -0.32, -0.28, baseline=variants[0].name, variant=variants[1].name, factor="batch_size",
        conclusion="different", **shared,
    )  # fmt: skip
    same = replace(loss, mean=0.0, low=-0.1, high=0.1, baseline=variants[2].name, variant=variants[3].name)
    same = replace(same, conclusion="unclear")
    inter = Difference(
        2, 0.3, 0.2, 0.4, baseline="batch_size=2 minus batch_size=32 at norm=batch", conclusion="different",
        variant="batch_size=2 minus batch_size=32 at norm=group", factor="norm x batch_size", **shared,
    )  # fmt: skip
    return Comparison(
        "n", "digits", (0, 1), variants, (loss, same), metric="test_accuracy", margin=0.01, interactions=(inter,)
    )
