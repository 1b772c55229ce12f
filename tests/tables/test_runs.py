from __future__ import annotations

from dataclasses import replace

import pytest

from archlab.analysis.comparison import summarise
from archlab.tables import text
from archlab.tables.runs import run_table, runs_table, store_table
from tests.analysis.runs import pair, run


def test_a_run_is_shown_epoch_by_epoch() -> None:
    assert text(run_table(run("norm=batch", 3, 0.45, 0.9, running=0.85)), 80).splitlines() == [
        "lenet on digits: norm=batch, seed 3, batch 16, learning rate 0.001",
        "",
        "epoch  train loss  train acc.  test loss  precise acc.  running acc.  seconds",
        "-----------------------------------------------------------------------------",
        "    1      0.5000      46.00%     0.6000        45.00%        85.00%     2.00",
        "    2      0.5000      91.00%     0.6000        90.00%        85.00%     4.00",
        "",
        "44,878 parameters.",
        "precise acc., test loss: of the test images with precise statistics; running",
        "acc.: in evaluation (running statistics). Precise statistics: BatchNorm's mean",
        "and variance over training images, with the weights frozen. Evaluation (running",
        "statistics): its running averages, as model.eval() uses them.",
        "Run norm=batch-3",
    ]


def test_without_batchnorm_there_are_no_running_statistics() -> None:
    drawn = text(run_table(run("norm=none", 0, 0.5)))
    assert "running" not in drawn


def test_a_failed_run_says_why() -> None:
    failed = replace(run("norm=none", 0, 0.5, status="failed"), error="the loss is nan after step 3")
    assert "failed: the loss is nan after step 3" in run_table(failed).footer
    assert "This run is interrupted." in run_table(run("norm=none", 0, status="interrupted")).footer


def test_runs_are_listed_with_how_far_they_came() -> None:
    listed = runs_table([replace(run("norm=none", 0, 0.5, 0.75), created="2026-01-02T03:04:05+00:00"), run("b", 1)])
    assert listed.rows[0].cells == ("norm=none-0", "finished", "2/5", 0.75, "2026-01-02 03:04")
    assert listed.rows[1].cells == ("b-1", "finished", "0/5", None, "")


def test_runs_and_comparisons_are_one_table_by_time() -> None:
    comparison = replace(summarise(pair([0.9], [0.8])), key="c", created="2026-01-02T03:04:05+00:00")
    runs = [
        replace(run("norm=none", 0, 0.5), created="2026-01-01T00:00:00+00:00"),
        replace(run("b", 1), created="2026-01-03T00:00:00+00:00"),
    ]
    table = store_table(runs, [comparison])
    assert [row.cells[0] for row in table.rows] == ["norm=none-0", "c", "b-1"]
    assert table.rows[1].cells == ("c", "comparison", "2 runs", None, "2026-01-02 03:04")
    assert table.title == "2 runs, 1 comparison"


def test_a_long_key_keeps_its_last_letters_at_80_columns() -> None:
    key = "resnet20-skip-off-depth-14-digits-seed0-98e1aabff349"
    listed = [replace(run("a", 0, 0.5), key=key, created="2026-01-01T00:00:00+00:00")]
    drawn = text(store_table(listed, []), 80).splitlines()
    assert max(map(len, drawn)) <= 80
    assert len(drawn) == 5  # title, blank, heads, rule, the run: no second block
    assert "-98e1aabff349 " in drawn[-1]


@pytest.mark.parametrize(
    ("running", "beginning"), [(None, "test acc., test loss: in"), (0.5, "All test accuracies and losses: in")]
)
def test_an_accuracy_by_test_batches_says_so(running: float | None, beginning: str) -> None:
    made = run("norm=batch", 0, 0.5, running=running)
    batched = replace(made, epochs=tuple(replace(epoch, test_batch=256) for epoch in made.epochs))
    (note,) = (note for note in run_table(batched).footer if "256 images" in note)
    assert note.startswith(beginning)
    assert not any("256" in note for note in run_table(made).footer)
