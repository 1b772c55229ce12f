from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from archlab.analysis.comparison import summarise
from archlab.errors import InputError
from archlab.records import Comparison, TrainingConfig
from tests.analysis.runs import pair, run

BASELINE = [0.90, 0.92, 0.91]
VARIANT = [0.80, 0.83, 0.84]


def test_the_first_run_names_the_baseline_and_differences_are_variant_minus_baseline() -> None:
    comparison = summarise(pair(BASELINE, VARIANT))
    assert [variant.name for variant in comparison.variants] == ["norm=batch", "norm=none"]
    assert comparison.seeds == (0, 1, 2)
    first = comparison.differences[0]
    assert (first.metric, first.baseline, first.variant, first.n) == ("test_accuracy", "norm=batch", "norm=none", 3)
    assert first.mean == pytest.approx(-0.26 / 3)  # (-.10 - .09 - .07) / 3
    assert first.values == pytest.approx((-0.10, -0.09, -0.07))


def test_every_metric_has_its_estimate() -> None:
    comparison = summarise(pair(BASELINE, VARIANT, running=0.7))
    baseline, variant = comparison.variants
    assert list(baseline.metrics) == [
        "test_accuracy",
        "test_accuracy_running",
        "test_accuracy_first_epoch",
        "train_accuracy",
        "test_loss",
        "test_loss_running",
        "train_loss",
        "seconds",
    ]
    assert set(baseline.metrics) - set(variant.metrics) == {"test_accuracy_running", "test_loss_running"}
    assert baseline.metrics["test_accuracy"].mean == pytest.approx(0.91)  # (.90 + .92 + .91) / 3
    assert baseline.metrics["test_accuracy_first_epoch"].mean == pytest.approx(0.455)  # halves: .91 / 2
    assert baseline.metrics["train_accuracy"].mean == pytest.approx(0.92)
    assert baseline.metrics["seconds"].values == (4.0, 4.0, 4.0)
    assert {difference.metric for difference in comparison.differences} == set(variant.metrics)


def test_one_epoch_has_no_first_epoch_apart() -> None:
    comparison = summarise([run("norm=batch", 0, 0.9), run("norm=none", 0, 0.8)])
    assert "test_accuracy_first_epoch" not in comparison.variants[0].metrics


def test_what_varies_belongs_to_the_variant_and_the_rest_to_all() -> None:
    comparison = summarise(pair(BASELINE, VARIANT), command="archlab compare --bn off")
    assert [variant.options for variant in comparison.variants] == [{"norm": "batch"}, {"norm": "none"}]
    shared = {name: value for name, value in TrainingConfig().deciding.items() if name not in ("network", "dataset")}
    assert comparison.settings == shared
    assert shared.items() >= {"epochs": 5, "batch_size": 16, "learning_rate": 0.001, "precise_images": 4_096}.items()
    assert (comparison.network, comparison.dataset) == ("lenet", "digits")
    assert comparison.environment == {"torch": "2.14"}  # pid differs from run to run
    assert comparison.command == "archlab compare --bn off"
    assert comparison.created


def test_a_setting_of_the_training_can_vary_too() -> None:
    runs = [run("lr=0.1", 0, 0.9, learning_rate=0.1), run("lr=0.2", 0, 0.8, learning_rate=0.2)]
    runs = [replace(item, config=replace(item.config, options={})) for item in runs]
    comparison = summarise(runs)
    assert [variant.options for variant in comparison.variants] == [{"learning_rate": 0.1}, {"learning_rate": 0.2}]
    assert "learning_rate" not in comparison.settings


def test_keys_of_runs_go_variant_by_variant_and_seed_by_seed() -> None:
    comparison = summarise(pair([0.9, 0.9], [0.8, 0.8]))
    assert comparison.runs == ("norm=batch-0", "norm=batch-1", "norm=none-0", "norm=none-1")


@pytest.mark.parametrize(
    ("bad", "diverged"),
    [
        (run("norm=none", 1, 0.1, 0.1, status="failed"), False),
        (run("norm=none", 1, 0.1, 0.1, status="interrupted"), False),
        (run("norm=none", 1, 0.1, 0.1, status="diverged"), True),
        (run("norm=none", 1, status="diverged"), True),
        (run("norm=none", 1, 0.1, 0.1, loss=math.nan), True),
        (run("norm=none", 1), False),
    ],
    ids=["failed", "interrupted", "diverged", "diverged at once", "not finite", "without an epoch"],
)
def test_failed_runs_are_counted_and_left_out_with_the_pairs_kept_together(bad: object, diverged: bool) -> None:
    runs = [item for item in pair(BASELINE, VARIANT) if item.key != "norm=none-1"]
    comparison = summarise([*runs, bad])  # type: ignore[list-item]
    baseline, variant = comparison.variants
    assert (baseline.failed, baseline.diverged) == (0, 0)
    assert (variant.failed, variant.diverged) == ((0, 1) if diverged else (1, 0))
    assert (baseline.seeds, variant.seeds) == ((0, 1, 2), (0, 2))
    assert variant.metrics["test_accuracy"].n == 2
    assert comparison.differences[0].n == 2
    assert comparison.differences[0].values == pytest.approx((-0.10, -0.07))  # seeds 0 and 2


def test_a_variant_without_a_finished_run_has_no_numbers() -> None:
    comparison = summarise([run("norm=batch", 0, 0.9), run("norm=none", 0, status="failed")])
    assert comparison.variants[1].metrics == {}
    assert comparison.differences == ()


def test_several_variants_are_each_held_against_the_first() -> None:
    runs = [run(f"depth={depth}", seed, 0.8 + depth / 1000) for seed in range(2) for depth in (20, 32, 56)]
    comparison = summarise(runs)
    firsts = [item for item in comparison.differences if item.metric == "test_accuracy"]
    assert [(item.baseline, item.variant) for item in firsts] == [("depth=20", "depth=32"), ("depth=20", "depth=56")]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "there is no run"),
        ([run("a", 0, 0.9), run("b", 0, 0.9, dataset="faces")], "trained on digits, faces"),
        ([run("a", 0, 0.9), run("a", 0, 0.8)], "a has two runs of seed 0"),
        ([run("a", 0, 0.9), run("a", 1, 0.8, epochs=6)], "differ in more than the seed"),
    ],
)
def test_runs_that_make_no_comparison_are_refused(runs: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        summarise(runs)  # type: ignore[arg-type]


def test_the_json_has_the_documented_names() -> None:
    comparison = summarise(pair(BASELINE, VARIANT))
    document = json.loads(comparison.to_json())
    assert document["schema"] == "archlab.comparison/1"
    assert {"network", "dataset", "seeds", "variants", "differences"} <= set(document)
    assert document["variants"][0]["name"] == "norm=batch"
    estimate = document["variants"][0]["metrics"]["test_accuracy"]
    assert set(estimate) == {"n", "mean", "low", "high", "values"}
    assert estimate["values"] == BASELINE
    named = {"metric", "baseline", "variant", "n", "mean", "low", "high", "p_value", "correlation"}
    assert named <= set(document["differences"][0])
    assert Comparison.from_json(comparison.to_json()) == comparison


def test_a_comparison_from_before_runs_could_diverge_can_be_read() -> None:
    comparison = summarise(pair(BASELINE, VARIANT))
    document = json.loads(comparison.to_json())
    for variant in document["variants"]:
        del variant["diverged"]
    assert Comparison.from_json(json.dumps(document)) == comparison


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "test_accurasy"}, "a difference in 'test_accurasy', of which"),
        ({"variant": "norm=nine"}, "a difference of 'norm=nine', which is none of its variants"),
    ],
)
def test_a_difference_of_what_is_not_there_is_refused(change: dict[str, str], message: str) -> None:
    made = summarise(pair([0.9, 0.8], [0.5, 0.6]))
    assert Comparison.from_json(made.to_json()) == made
    wrong = replace(made, differences=(replace(made.differences[0], **change),))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        Comparison.from_json(wrong.to_json())
