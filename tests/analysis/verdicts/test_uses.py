from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from archlab.analysis.verdicts import examine
from archlab.analysis.verdicts.uses import verdicts_on
from archlab.records import Examination, NormUse, Verdict
from tests.analysis.recordings import CHANNELS, Trained, healthy, kept
from tests.analysis.verdicts.test_data import data

USUAL = NormUse(
    "stem.norm",
    channels=8,
    steps=6,
    in_training="batch",
    in_evaluation="running",
    calls=1,
    passes=1,
    updates=1,
    moves=True,
    fewest_values=30,
    most_values=64,
    fewest_images=30,
    evaluation_images=256,
)
BATCHED = {"test_accuracy_running": None, "test_loss_running": None, "test_batch": 256}


def observed(trained: Trained | None = None, **use: Any) -> Trained:
    """A run whose layers are used as usual, but for the first, `stem.norm`."""
    trained = trained or healthy()
    assert trained.recording is not None
    uses = tuple(replace(USUAL, path=path) for path in CHANNELS)
    uses = (replace(uses[0], **use), *uses[1:])
    return replace(trained, recording=replace(trained.recording, uses=uses))


def verdicts(*many: Trained) -> Examination:
    found = kept(*many)
    return examine(found.runs, found.recordings.get, found.curves.get)


def only(*many: Trained, check: str) -> Verdict:
    (found,) = (verdict for verdict in verdicts(*many).verdicts if verdict.check == check)
    return found


def costly(running: float = 0.4, precise: float = 0.9, train: float = 0.9, **use: Any) -> Trained:
    return observed(healthy().ending(test_accuracy=precise, test_accuracy_running=running, train_accuracy=train), **use)


def start(values: Any) -> Any:
    return np.broadcast_to(values[0], values.shape).copy()


FAULTS: dict[str, tuple[Callable[[], Trained], str, str, tuple[str, ...]]] = {
    "training mode in evaluation": (
        lambda: observed(healthy().ending(**BATCHED), in_evaluation="batch", evaluation_updates=2),
        "evaluation-mode",
        "problem",
        ("1 of 2 BatchNorm layers normalises by the test batch", "256 images", "2 times", "no precise ones"),
    ),
    "training mode after the first batch": (
        lambda: observed(healthy().ending(**BATCHED), in_evaluation="both"),
        "evaluation-mode",
        "problem",
        ("sometimes by the test batch",),
    ),
    "no running statistics": (
        lambda: observed(healthy().ending(test_batch=256), tracks=False, in_evaluation="batch", updates=0, moves=False),
        "no-running-statistics",
        "warning",
        ("track_running_stats=False", "256 images", "The test accuracy, 90.00 %"),
    ),
    "a momentum of 0": (
        lambda: costly(momentum=0.0, is_initial=True, moves=False),
        "norm-momentum",
        "problem",
        ("momentum of 0", "means of 0 and variances of 1", "40.00 % in evaluation", "90.00 % with precise"),
    ),
    "a momentum of 0 with other statistics": (
        lambda: costly(momentum=0.0, moves=False),
        "norm-momentum",
        "problem",
        ("still those that it began with",),
    ),
    "a momentum of 1": (
        lambda: costly(momentum=1.0),
        "norm-momentum",
        "warning",
        ("momentum of 1", "last training batch's alone (30 images"),
    ),
    "a cumulative average": (lambda: observed(momentum=None), "norm-momentum", "note", ("momentum=None",)),
    "one layer for two inputs": (
        lambda: costly(precise=0.5, calls=2, updates=2, shift=5.25, stretch=40.0),
        "shared-layer",
        "problem",
        ("called 2 times per training step", "5.2 standard deviations", "a factor of 40", "train accuracy is 90.00 %"),
    ),
    "one layer for two inputs, without cost": (
        lambda: observed(calls=2, updates=2, stretch=2.0),
        "shared-layer",
        "warning",
        ("called 2 times",),
    ),
    "one layer for two passes of other images": (
        lambda: observed(calls=2, passes=2, updates=2, shift=1.0),
        "shared-layer",
        "warning",
        ("in 2 forward passes",),
    ),
    "one layer for two equal inputs": (
        lambda: observed(calls=2, updates=2, shift=0.3, stretch=1.4),
        "shared-layer",
        "note",
        ("alike", "1 - (1 - 0.1)^2 = 0.19 instead of 0.1"),
    ),
    "gamma and beta frozen alone": (
        lambda: observed(trains=False),
        "half-frozen",
        "warning",
        ("gamma and beta are not trained", "once per step"),
    ),
    "statistics frozen alone": (
        lambda: observed(in_training="running", updates=0, moves=False),
        "half-frozen",
        "warning",
        ("gamma or beta is trained, but training normalises by the running statistics",),
    ),
    "frozen before anything was averaged": (
        lambda: observed(in_training="running", trains=False, updates=0, moves=False, is_initial=True),
        "frozen-layers",
        "warning",
        ("In 1 of 1 they are still the initial ones",),
    ),
    "frozen": (
        lambda: observed(in_training="running", trains=False, updates=0, moves=False),
        "frozen-layers",
        "note",
        ("gamma and beta are not trained either",),
    ),
    "frozen from some step on": (lambda: observed(in_training="both"), "changing-mode", "note", ("now by the batch",)),
    "checkpointed": (
        lambda: observed(recomputed=1, updates=2),
        "recomputed-layers",
        "warning",
        ("called again by the backward pass", "2 updates", "= 0.19 instead of 0.1"),
    ),
    "a look at other images": (
        lambda: costly(calls=2, idle=1, updates=2, shift=3.0),
        "extra-passes",
        "warning",
        ("1 of 2 calls per training step", "3 standard deviations"),
    ),
    "a look at the same images": (
        lambda: observed(calls=2, idle=1, updates=2),
        "extra-passes",
        "warning",
        ("nothing is trained by it",),
    ),
    "a last batch of one": (
        lambda: costly(fewest_values=1, fewest_images=1),
        "small-batch",
        "warning",
        ("statistics of 1 image: 1 value per channel, against 64 in the largest", "weight of 0.1"),
    ),
    "SyncBatchNorm alone": (
        lambda: observed(kind="SyncBatchNorm"),
        "unsynchronised",
        "note",
        ("not distributed",),
    ),
    "InstanceNorm with averages": (
        lambda: observed(kind="InstanceNorm2d"),
        "instance-statistics",
        "note",
        ("1 of 2 normalisation layers", "each image by its own"),
    ),
    "an infinity": (
        lambda: costly(running=0.1, not_finite_step=5),
        "statistics-not-finite",
        "problem",
        ("infinite or NaN, seen first after step 5", "10.00 % in evaluation"),
    ),
    "an infinity that a test could not stand": (
        lambda: observed(healthy().at("diverged", "the test loss after epoch 1 is nan"), not_finite_step=5),
        "statistics-not-finite",
        "problem",
        ("step 5",),
    ),
    "infinities that are left out": (
        lambda: observed(left_out=3),
        "statistics-not-finite",
        "warning",
        ("leave such batches out: 3",),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_sets_off_no_other_check(name: str) -> None:
    fault, check, level, parts = FAULTS[name]
    found = only(fault(), check=check)
    assert (found.level, found.layer, found.seeds, found.variant) == (level, "stem.norm", (0,), "norm=batch")
    assert found.remedy
    assert found.source
    for part in parts:
        assert part in found.text
    assert "[" not in found.text
    examined = verdicts(fault())
    assert {verdict.check for verdict in examined.alarming} == ({check} if level in ("problem", "warning") else set())
    assert "norm-use" not in {verdict.check for verdict in examined.verdicts}


def test_layers_that_are_used_as_usual_are_cleared() -> None:
    assert verdicts(observed()).headline == ""
    found = only(observed(), check="norm-use")
    assert found.level == "good"
    assert found.text == (
        "In training 2 BatchNorm layers normalise by the batch and update the running statistics once per step, in "
        "evaluation they normalise by those, as outputs and counters show (6 steps looked at)."
    )


@pytest.mark.parametrize(
    "use",
    [
        {"fewest_values": 2, "fewest_images": 2, "most_values": 6},  # all are small: that is the noise of batches
        {"fewest_values": 20, "fewest_images": 20, "most_values": 256},
        {"calls": 2, "passes": 2, "updates": 2},  # gradients of two batches are accumulated
        {"recomputed": 1},  # whose second call updates nothing
        {"kind": "SyncBatchNorm", "processes": 2},
        {"affine": False, "trains": False},
        {"momentum": 0.2},
        {"epsilon": 1e-3},
    ],
)
def test_what_is_unusual_and_right_is_no_alarm(use: dict[str, Any]) -> None:
    assert verdicts(observed(**use)).headline == ""


def test_infinite_statistics_of_a_training_that_ran_away_are_no_cause() -> None:
    for loss in (np.nan, 50.0):
        trained = healthy().at("diverged", "the loss at step 51 (epoch 2) is nan")
        trained = replace(trained, losses=np.where(np.arange(len(trained.losses)) > 50, loss, trained.losses))
        found = verdicts(observed(trained, not_finite_step=51))
        assert [verdict.check for verdict in found.alarming] == ["diverged-runs"]


def test_runs_of_a_variant_are_told_together() -> None:
    runs = [observed(healthy(seed), **({"momentum": 1.0} if seed else {})) for seed in range(3)]
    found = only(*runs, check="norm-momentum")
    assert found.seeds == (1, 2)
    assert found.text.endswith("So it is in 2 of 3 observed runs.")
    assert "norm-use" not in {verdict.check for verdict in verdicts(*runs).verdicts}


def test_the_worst_layer_is_named_and_all_are_counted() -> None:
    uses = [replace(USUAL, path=f"norm_{step}", not_finite_step=step) for step in (9, 4, 7)]
    (found,) = verdicts_on([*uses, USUAL])
    assert found.layer == "norm_4"
    assert found.text.startswith("3 of 4 BatchNorm layers hold running statistics that are infinite or NaN")


def test_a_network_without_a_training_has_the_same_checks() -> None:
    evaluated = NormUse("norm", in_evaluation="batch", evaluation_images=32)
    (found,) = verdicts_on([evaluated])
    assert (found.check, found.level) == ("evaluation-mode", "problem")
    assert "(32 images here)" in found.text
    running = replace(evaluated, in_evaluation="running")
    for unseen in (running, replace(running, momentum=1.0), replace(running, kind="SyncBatchNorm")):
        assert verdicts_on([unseen]) == []  # training was not seen
    (found,) = verdicts_on([replace(running, momentum=0.0, is_initial=True)])
    assert (found.check, found.level) == ("norm-momentum", "problem")
    assert verdicts_on([]) == []


def test_a_momentum_is_taken_from_the_layer_where_it_was_seen() -> None:
    trained = healthy(epochs=1, momentum=0.05)
    assert trained.recording is not None
    layer = trained.recording.layers["stem.norm"]
    far = trained.held("stem.norm", running_var=lambda values: 1e3 + values, variance=lambda values: values * 1e-3)
    assert layer is not None
    assert "with momentum 0.05" in only(far, check="initial-values").text
    # two updates of 0.05 per step leave 0.9025 of what was there: 1 - 0.0975
    seen = only(observed(far, momentum=0.05, recomputed=1, updates=2), check="initial-values")
    assert "with momentum 0.0975" in seen.text
    assert not [one for one in verdicts(observed(far, momentum=0.0)).verdicts if one.check == "initial-values"]


def test_a_collapsed_answer_of_a_misused_layer_has_one_cause() -> None:
    alarms = {}
    for shift in (0.0, 5.0):
        trained = costly(running=0.1, precise=0.12, calls=2, updates=2, shift=shift)
        run = replace(trained.run, data=data(), predicted=(1000, *[0] * 9))
        alarms[shift] = {verdict.check for verdict in verdicts(replace(trained, run=run)).alarming}
    assert alarms[5.0] == {"shared-layer"}
    assert alarms[0.0] == {"collapsed-output"}
