from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from archlab.analysis.verdicts import examine
from archlab.records import DataSummary, Examination, PartSummary, Verdict
from tests.analysis.recordings import Trained, healthy, kept

CLASSES = tuple("0123456789")
EVEN = tuple([100] * 10)


def part(counts: tuple[int, ...] = EVEN, **changed: Any) -> PartSummary:
    known: dict[str, Any] = {"mean": (0.3,), "deviation": (0.35,), "spread": (0.1,), "separation": 50.0}
    return PartSummary(counts, **(known | changed))


def data(train: PartSummary | None = None, test: PartSummary | None = None, **changed: Any) -> DataSummary:
    known: dict[str, Any] = {"duplicates": 0, "nearest": tuple(range(10))}
    return DataSummary(CLASSES, train or part(), test or part(), **(known | changed))


def verdicts(trained: Trained, summary: DataSummary | None, predicted: tuple[int, ...] = EVEN) -> Examination:
    run = replace(trained.run, data=summary, predicted=predicted)
    found = kept(replace(trained, run=run))
    return examine(found.runs, found.recordings.get, found.curves.get)


def ending(train: float, test: float) -> Trained:
    """A run that learnt, with these accuracies."""
    return healthy().ending(train_accuracy=train, test_accuracy=test, test_accuracy_running=test)


def counts(**changed: int) -> tuple[int, ...]:
    """A hundred of each class, but for `c3=0`."""
    return tuple(changed.get(f"c{place}", 100) for place in range(10))


Fault = Callable[[], Examination]
FAULTS: dict[str, tuple[Fault, str, str, str]] = {
    "one test image in twenty was trained on": (
        lambda: verdicts(healthy(), data(duplicates=50)),
        "test-in-training",
        "problem",
        "50 of 1,000 test images (5.00 %)",
    ),
    "one in a hundred": (
        lambda: verdicts(healthy(), data(duplicates=10, mislabelled=3)),
        "test-in-training",
        "warning",
        "3 of them with another label",
    ),
    "a test half as bright": (
        lambda: verdicts(ending(0.95, 0.7), data(test=part(mean=(0.15,), deviation=(0.175,)))),
        "test-scale",
        "warning",
        "0.15 ± 0.175 against 0.3 ± 0.35",
    ),
    "a test that was inverted": (
        lambda: verdicts(ending(0.95, 0.2), data(test=part(mean=(0.7,)))),
        "test-scale",
        "problem",
        "0.7 ± 0.35",
    ),
    "colours in another order": (
        lambda: verdicts(
            ending(0.95, 0.7),
            data(
                part(mean=(0.6, 0.4, 0.2), deviation=(0.2, 0.2, 0.2), spread=(0.1, 0.1, 0.1)),
                part(mean=(0.2, 0.4, 0.6), deviation=(0.2, 0.2, 0.2), spread=(0.1, 0.1, 0.1)),
            ),
        ),
        "test-scale",
        "warning",
        "in channel 1",
    ),
    "a class that was never trained": (
        lambda: verdicts(healthy(), data(part(counts(c3=0)))),
        "missing-classes",
        "problem",
        "'3': the 100 test images of it can't be right",
    ),
    "a class that is hardly tested and was never trained": (
        lambda: verdicts(healthy(), data(part(counts(c3=0)), part(counts(c3=5)))),
        "missing-classes",
        "warning",
        "the 5 test images of it",
    ),
    "classes that are not tested": (
        lambda: verdicts(healthy(), data(test=part(counts(c3=0, c4=0)))),
        "missing-classes",
        "warning",
        "2 classes of 10 have no test images, '3', '4': accuracy says nothing of them",
    ),
    "one label for all": (
        lambda: verdicts(
            healthy().ending(train_accuracy=1.0, train_loss=0.0, test_accuracy=0.1, test_accuracy_running=0.1),
            data(part(counts(c4=999_999), separation=None)),
        ),
        "constant-labels",
        "problem",
        "are labelled '4'",
    ),
    "training labels learnt by heart that mean nothing": (
        lambda: verdicts(ending(0.9, 0.1), data(part(separation=1.05))),
        "shuffled-labels",
        "problem",
        (
            "The training labels have nothing to do with the images, as far as means show: the classes' mean images "
            "differ 1.1 times"
        ),
    ),
    "test labels that mean nothing": (
        lambda: verdicts(ending(0.9, 0.1), data(test=part(separation=0.9), nearest=(3, 1, 2, 0, 5, 4, 7, 6, 9, 8))),
        "shuffled-labels",
        "problem",
        "The test labels",
    ),
    "test labels in another order": (
        lambda: verdicts(ending(0.9, 0.0), data(nearest=(1, 2, 3, 4, 5, 6, 7, 8, 9, 0))),
        "label-order",
        "problem",
        "in 10 of 10 classes",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_sets_off_its_own_check_alone(name: str) -> None:
    plant, check, level, words = FAULTS[name]
    found = plant()
    assert [(one.check, one.level) for one in found.alarming if one.check != "collapsed-output"] == [(check, level)]
    verdict = only(found, check)
    assert words in verdict.text
    assert verdict.remedy
    assert verdict.source


def only(found: Examination, check: str) -> Verdict:
    (verdict,) = (verdict for verdict in found.verdicts if verdict.check == check)
    return verdict


@pytest.mark.parametrize(("of_it", "remedy"), [(100, "differs between the two"), (60_000, "Balance the classes")])
def test_one_class_for_everything(of_it: int, remedy: str) -> None:
    predicted = (0, 0, 0, 0, 0, 0, 0, 995, 5, 0)
    verdict = only(verdicts(ending(0.9, 0.1), data(part(counts(c7=of_it))), predicted), "collapsed-output")
    assert verdict.level == "problem"
    assert "995 of 1,000 test images are put into '7', of which 100 are" in verdict.text
    assert remedy in verdict.remedy


def test_one_class_for_everything_is_said_of_who_learnt_something() -> None:
    stuck = healthy().ending(train_loss=2.3, train_accuracy=0.1, test_accuracy=0.1, test_accuracy_running=0.1)
    found = verdicts(stuck, data(), (1000, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    assert [one.check for one in found.alarming] == ["learning"]


def test_shuffled_labels_are_the_reason_why_nothing_is_learnt() -> None:
    stuck = healthy().ending(train_loss=2.3, train_accuracy=0.1, test_accuracy=0.1, test_accuracy_running=0.1)
    found = verdicts(stuck, data(part(separation=1.0)))
    assert [one.check for one in found.alarming] == ["shuffled-labels", "learning"]
    assert only(found, "learning").remedy.startswith("See to the shuffled labels first")


HEALTHY: dict[str, Callable[[], Examination]] = {
    "even classes": lambda: verdicts(healthy(), data()),
    "no summary, as of older runs": lambda: verdicts(healthy(), None, ()),
    "one test image in a thousand twice": lambda: verdicts(healthy(), data(duplicates=1)),
    "a test of another hundred images": lambda: verdicts(
        healthy(), data(test=part(tuple([10] * 10), mean=(0.34,), deviation=(0.365,)))
    ),
    "so few images that a class is missing": lambda: verdicts(
        healthy(), data(test=part((2, 1, 0, 1, 2, 1, 1, 1, 2, 1)))
    ),
    "classes of too few images to know their means": lambda: verdicts(
        ending(0.9, 0.55), data(part(tuple([1000] + [9] * 9)), nearest=(0,) * 10)
    ),
    "classes whose means are alike, and learnt": lambda: verdicts(healthy(), data(part(separation=1.1))),
    "classes whose means are near to each other, and learnt": lambda: verdicts(
        healthy(), data(nearest=(1, 0, 3, 2, 5, 4, 7, 6, 9, 8))
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_data_gets_no_alarm(name: str) -> None:
    assert HEALTHY[name]().headline == ""


def test_statistics_are_not_blamed_for_test_images_of_another_scale() -> None:
    costly = healthy().ending(train_accuracy=0.95, test_accuracy=0.5, test_accuracy_running=0.3)
    assert "running-statistics" in {one.check for one in verdicts(costly, data()).alarming}
    scaled = verdicts(costly, data(test=part(mean=(0.1,))))
    assert [one.check for one in scaled.alarming] == ["test-scale"]
