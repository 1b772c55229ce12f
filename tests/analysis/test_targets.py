from __future__ import annotations

import pytest

from archlab.analysis.comparison import summarise
from archlab.errors import InputError
from archlab.records import TrainingConfig
from archlab.records.settings import settled
from archlab.records.target import Target
from tests.analysis.runs import run


def test_runs_that_do_not_reach_the_target_are_censored_and_counted_with_their_horizon() -> None:
    runs = [
        run("norm=batch", 0, 0.5, 0.92, until="accuracy=0.9", epochs=3),  # after 2 epochs of 10 steps
        run("norm=batch", 1, 0.91, until="accuracy=0.9", epochs=3),
        run("norm=none", 0, 0.1, 0.2, 0.3, until="accuracy=0.9", epochs=3),
        run("norm=none", 1, 0.1, 0.2, 0.9, until="accuracy=0.9", epochs=3),  # with its last
    ]
    comparison = summarise(runs)
    batch, none = comparison.variants
    assert batch.metrics["steps_to_target"].values == (20, 10)
    assert none.metrics["steps_to_target"].values == (30, 30)
    assert none.metrics["seconds_to_target"].values == (6.0, 6.0)  # 2 s an epoch
    assert (batch.censored, none.censored) == (0, 1)
    (steps,) = [item for item in comparison.differences if item.metric == "steps_to_target"]
    assert (steps.n, steps.mean) == (2, 15)  # ((30 - 20) + (30 - 10)) / 2
    assert comparison.findings[-2] == (
        "A test accuracy of 90 % was reached by 2 of 2 runs of norm=batch, 1 of 2 runs of norm=none; it is looked at "
        "after each epoch."
    )
    assert comparison.findings[-1].endswith("lower bounds where runs did not reach it.")


def test_a_run_that_diverged_did_not_reach_the_target() -> None:
    runs = [run("a", 0, 0.95, until="accuracy=0.9"), run("a", 1, status="diverged", until="accuracy=0.9")]
    comparison = summarise(runs)
    assert (comparison.variants[0].censored, comparison.variants[0].diverged) == (0, 1)
    assert comparison.findings[-1].startswith("A test accuracy of 90 % was reached by 1 of 2 runs of a;")


def test_without_a_target_there_is_no_such_metric() -> None:
    comparison = summarise([run("a", 0, 0.95)])
    assert "steps_to_target" not in comparison.variants[0].metrics
    assert not any("reached" in sentence for sentence in comparison.findings)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("accuracy=0.9", Target("test_accuracy", 0.9)),
        ("test_accuracy=1", Target("test_accuracy", 1.0)),
        ("train_accuracy=.5", Target("train_accuracy", 0.5)),
        ("accuracy=90", None),
        ("accuracy=0", None),
        ("accuracy=nan", None),
        ("test_loss=0.1", None),
        ("accuracy", None),
    ],
)
def test_target_as_text(text: str, target: Target | None) -> None:
    assert Target.read(text) == target
    if target is None:
        with pytest.raises(InputError, match="expected accuracy=X or train_accuracy=X"):
            settled(TrainingConfig(until=text))
    else:
        assert settled(TrainingConfig(until=text)).target == target
