from __future__ import annotations

from dataclasses import replace

import pytest

from archlab.analysis.comparison import summarise
from archlab.errors import InputError
from archlab.tables import csv, markdown, text
from archlab.tables.comparison import comparison_table, comparison_tables
from tests.analysis.runs import pair, run

BASELINE = [0.90, 0.92, 0.91, 0.93, 0.90, 0.91]
VARIANT = [0.80, 0.83, 0.84, 0.82, 0.81, 0.83]


def test_the_means_stand_beside_their_n_and_interval() -> None:
    means, _ = comparison_tables(summarise(pair(BASELINE, VARIANT, running=0.85)))
    # means 5.47 / 6 and 4.93 / 6; Student's intervals 2.5706 * sd / sqrt(6)
    assert text(means, 80).splitlines()[:12] == [
        "lenet on digits: 5 epochs, batch 16, learning rate 0.001",
        "",
        "              n     mean     95 % interval",
        "------------------------------------------",
        "test accuracy (precise statistics)",
        "  norm=batch  6  91.17 %    89.94 to 92.39",
        "  norm=none   6  82.17 %    80.62 to 83.71",
        "test accuracy in evaluation (running statistics)",
        "  norm=batch  6  85.00 %    85.00 to 85.00",
        "epoch-1 test accuracy (precise statistics)",
        "  norm=batch  6  45.58 %    44.97 to 46.20",
        "  norm=none   6  41.08 %    40.31 to 41.86",
    ]
    assert "44,878" in text(means)


def test_differences_are_marked_where_they_can_be_called_so() -> None:
    _, differences = comparison_tables(summarise(pair(BASELINE, VARIANT, running=0.85)))
    lines = text(differences, 80, "unicode").splitlines()
    assert lines[4:9] == [
        "norm=none minus norm=batch (n = 6)",
        "├─ test accuracy         -9.00 points     -10.54 to -7.46  <0.001  <0.001  +0.45",
        "   (precise",
        "   statistics)*",
        "├─ epoch-1 test          -4.50 points      -5.27 to -3.73  <0.001  <0.001  +0.45",
    ]
    assert [line for line in lines if "train loss" in line and "*" in line] == []


def test_both_tables_fit_eighty_columns_side_by_side() -> None:
    tables = comparison_tables(summarise(pair(BASELINE, VARIANT, running=0.85)))
    for table in tables:
        drawn = text(table, 80, "unicode")
        assert max(map(len, drawn.splitlines())) <= 80
        assert drawn.count(table.columns[-1].title + "\n") == 1  # no column had to move to a block of its own
    assert "test accuracy" in markdown(tables[0])


def test_each_variant_has_its_own_differences() -> None:
    runs = [run(f"depth={depth}", seed, 0.8 + depth / 1000) for seed in range(2) for depth in (20, 32, 56)]
    _, differences = comparison_tables(summarise(runs))
    assert [row.cells[0] for row in differences.rows if row.depth == 0] == [
        "depth=32 minus depth=20 (n = 2)",
        "depth=56 minus depth=20 (n = 2)",
    ]


def test_a_comparison_without_differences_is_one_table_that_tells_of_failures() -> None:
    tables = comparison_tables(summarise([run("a", 0, 0.9), run("b", 0, status="failed")]))
    assert len(tables) == 1
    assert "b: 1 of 1 run failed; they are in no mean." in tables[0].footer


def test_programs_get_every_number_in_full() -> None:
    comparison = summarise(pair(BASELINE, VARIANT))
    lines = csv(comparison_table(comparison)).splitlines()
    assert lines[0] == (
        "metric,variant,baseline,n,mean,low,high,p_value,correlation,factor,interval_p_value,adjusted_p_value,conclusion,"
        "seeds_needed"
    )
    mean = comparison.variants[0].metrics["test_accuracy"].mean
    assert lines[1].startswith(f"test_accuracy,norm=batch,,6,{mean!r},")
    # 6 metrics of two variants, and 6 differences
    assert len(lines) == 1 + 12 + 6
    assert lines[13].startswith("test_accuracy,norm=none,norm=batch,6,-0.0")


def test_the_title_says_what_was_trained_on_what() -> None:
    runs = [run(name, 0, 0.9, epochs=1, train_samples=2000, test_samples=500) for name in ("a", "b")]
    assert comparison_tables(summarise(runs))[0].title == (
        "lenet on digits: 1 epoch, batch 16, learning rate 0.001, 2,000 training images, 500 test images"
    )


def test_a_metric_that_there_is_not_is_one_message() -> None:
    found = summarise(pair(BASELINE, VARIANT))
    damaged = replace(found, differences=(replace(found.differences[0], metric="test_accurac9"),))
    with pytest.raises(InputError, match="the record names a metric 'test_accurac9', expected one of test_accuracy"):
        comparison_tables(damaged)
