from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archlab.analysis.comparison import summarise
from archlab.analysis.verdicts import LAST_ROWS, examine
from archlab.records import Comparison, Examination, Verdict
from tests.analysis.recordings import EPOCHS, STEPS, Trained, averaged, healthy, kept
from tests.analysis.runs import run

Fault = Callable[[], Trained]


def verdicts(*many: Trained, comparison: Comparison | None = None) -> Examination:
    found = kept(*many)
    return examine(found.runs, found.recordings.get, found.curves.get, comparison=comparison)


def only(*many: Trained, check: str, comparison: Comparison | None = None) -> Verdict:
    (found,) = (verdict for verdict in verdicts(*many, comparison=comparison).verdicts if verdict.check == check)
    return found


def restarted(start_mean: float, start_var: float, scale: float = 1.0, **settings: Any) -> Trained:
    """`stem.norm` with running statistics from another start, and a population of another size."""
    trained = healthy(**settings)
    assert trained.recording is not None
    layer = trained.recording.layers["stem.norm"]
    momentum = settings.get("momentum", 0.1)
    width = layer["gamma"].shape[1]
    again = averaged(
        scale * layer["batch_mean"],
        scale**2 * layer["batch_var"],
        np.full(width, start_mean),
        np.full(width, start_var),
        momentum,
    )
    return trained.held(
        "stem.norm",
        mean=lambda values: scale * values,
        variance=lambda values: scale**2 * values,
        **{name: (lambda _, value=value: value) for name, value in again.items()},
    )


def with_losses(change: Callable[[Any], Any]) -> Trained:
    trained = healthy()
    return replace(trained, losses=change(trained.losses.copy()))


def set_to(value: float, channels: int) -> Callable[[Any], Any]:
    """The first channels, in all rows but the first."""

    def change(values: Any) -> Any:
        values[1:, :channels] = value
        return values

    return change


def jump_to(value: float, start: int, stop: int) -> Callable[[Any], Any]:
    def change(losses: Any) -> Any:
        losses[start:stop] = value
        return losses

    return change


# Of the 8 channels of stem.norm, 1 is 12 %, 2 are 25 %, 8 are all.
def guessing(train_loss: float) -> Trained:
    return healthy().ending(train_loss=train_loss, test_accuracy=0.1, test_accuracy_running=0.1)


FAULTS: dict[str, tuple[Fault, str, str, str]] = {
    "running statistics that cost 20 points": (
        lambda: healthy().ending(test_accuracy=0.9, test_accuracy_running=0.7),
        "running-statistics",
        "problem",
        "",
    ),
    "running statistics that cost 3 points": (
        lambda: healthy().ending(test_accuracy=0.90, test_accuracy_running=0.87),
        "running-statistics",
        "warning",
        "",
    ),
    "running means that are off and cost nothing": (
        lambda: healthy().held("head.norm", running_mean=lambda values: values + 1),
        "running-statistics",
        "note",
        "head.norm",
    ),
    "running variances that are off": (
        lambda: healthy().held("stem.norm", running_var=lambda values: 2 * values).ending(test_accuracy_running=0.5),
        "running-statistics",
        "problem",
        "stem.norm",
    ),
    "running statistics that are no numbers": (
        lambda: healthy().held("stem.norm", running_var=lambda values: np.nan * values),
        "running-statistics",
        "note",
        "stem.norm",
    ),
    "too few steps": (lambda: restarted(0, 1, scale=0.1, epochs=1), "initial-values", "warning", "stem.norm"),
    "batches of three values": (lambda: healthy(noise=3**-0.5), "batch-noise", "problem", ""),
    "batches of eight values": (lambda: healthy(noise=8**-0.5), "batch-noise", "warning", ""),
    "a layer of dead channels": (
        lambda: healthy().held("stem.norm", gamma=set_to(0.01, 8), beta=set_to(-0.01, 8)),
        "dead-channels",
        "problem",
        "stem.norm",
    ),
    "two dead channels": (
        lambda: healthy().held("stem.norm", gamma=set_to(0.01, 2), beta=set_to(0.01, 2)),
        "dead-channels",
        "warning",
        "stem.norm",
    ),
    "one constant channel": (
        lambda: healthy().held("stem.norm", gamma=set_to(0.0, 1), beta=set_to(3.0, 1)),
        "constant-channels",
        "note",
        "stem.norm",
    ),
    "channels that collapsed": (
        lambda: healthy().held("head.norm", variance=set_to(1e-6, 5)),
        "collapsed-channels",
        "warning",
        "head.norm",
    ),
    "a run that diverged": (
        lambda: healthy().at("diverged", "the loss at step 3 (epoch 1) is nan"),
        "diverged-runs",
        "problem",
        "",
    ),
    "a run that failed": (lambda: healthy().at("failed", "its process was killed"), "failed-runs", "problem", ""),
    "a loss that is no number": (lambda: healthy().ending(train_loss=float("nan")), "diverged-runs", "problem", ""),
    "a run that was interrupted": (lambda: healthy().at("interrupted"), "interrupted-runs", "warning", ""),
    "a loss of guessing among ten": (lambda: guessing(train_loss=2.3), "learning", "problem", ""),
    "a loss far above guessing": (lambda: guessing(train_loss=400.0), "learning", "problem", ""),
    "a loss that stays, of who knows how many classes": (
        lambda: (
            with_losses(lambda losses: 0 * losses + 4.0)
            .configured(dataset="/photos", options={})
            .ending(train_loss=3.99)
        ),
        "learning",
        "problem",
        "",
    ),
    "a loss that jumped and came back": (lambda: with_losses(jump_to(1.5, 60, 70)), "loss-jumps", "note", ""),
    "a loss that jumped and stayed": (lambda: with_losses(jump_to(1.5, 90, 120)), "loss-jumps", "warning", ""),
    "a loss thrown far off at the start": (lambda: with_losses(jump_to(30.0, 1, 6)), "loss-jumps", "warning", ""),
    "a network that learnt by heart": (
        lambda: healthy().ending(train_accuracy=0.99, test_accuracy=0.8, test_accuracy_running=0.8),
        "generalisation-gap",
        "note",
        "",
    ),
    "a recording that is missing": (lambda: replace(healthy(), recording=None), "not-recorded", "note", ""),
    "a recording with too few rows": (lambda: healthy(every=20), "not-recorded", "note", ""),
    "curves that are missing": (lambda: replace(healthy(), losses=None), "not-recorded", "note", ""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_where_it_was_planted(name: str) -> None:
    fault, check, level, layer = FAULTS[name]
    found = only(fault(), check=check)
    assert found.level == level
    if layer:
        assert found.layer == layer
    assert found.remedy
    assert found.variant in ("norm=batch", "")
    assert found.seeds == (0,)
    assert any(character.isdigit() for character in found.text)
    alarms = {verdict.check for verdict in verdicts(fault()).alarming}
    assert alarms == ({check} if level in ("problem", "warning") else set())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("noise", [0.01, 0.25])
def test_a_healthy_run_gets_no_alarm_and_is_called_good(seed: int, noise: float) -> None:
    found = verdicts(healthy(seed, noise=noise))
    assert found.headline == ""
    assert [verdict.check for verdict in found.at("good")] == [
        "learning",
        "running-statistics",
        "batch-noise",
        "channels",
    ]
    assert not found.at("note")


def test_only_what_was_measured_is_called_good() -> None:
    run = replace(healthy().ending(test_accuracy_running=None), recording=None, losses=None)
    found = verdicts(run.configured(dataset="/photos"))
    assert [(verdict.check, verdict.level) for verdict in found.verdicts] == [("not-recorded", "note")]
    assert "the loss by step of 1 of 1 run" in found.verdicts[0].text
    assert "BatchNorm" not in found.verdicts[0].text  # it has none


def test_a_run_that_goes_on_is_nothing_to_complain_of() -> None:
    assert verdicts(healthy().at("running")).verdicts == ()


def test_the_cost_of_running_statistics_is_told_with_interval_and_n() -> None:
    runs = [
        healthy(seed).ending(test_accuracy=0.9, test_accuracy_running=0.9 - cost)
        for seed, cost in enumerate((0.04, 0.06))
    ]
    text = only(*runs, check="running-statistics").text
    # mean of 4 and 6 points 5; the values' smallest gap is 2 points: half width 12.706 * sqrt((2 + 4 / 6) / 2) = 14.67
    assert text.startswith(
        "Running statistics cost 5.00 points of test accuracy (95 % interval -9.67 to +19.67, n = 2 runs, 359 test "
        "images): 85.00 % in evaluation (running statistics), 90.00 % with precise statistics. That may be the noise "
        "of so few runs or images."
    )


def test_what_is_left_of_the_start_is_told_with_the_steps_that_it_would_take() -> None:
    found = only(restarted(0, 1, scale=0.1, epochs=1, momentum=0.05), check="initial-values")
    # .95 ** 30 = .215
    assert "After 30 steps, 21 % of the initial running statistics is left" in found.text
    assert "with momentum 0.05, as recorded" in found.text
    population = healthy(epochs=1).recording.population["stem.norm"]["variance"][-1]  # type: ignore[union-attr]
    steps = int(found.remedy.split()[2].replace(",", ""))
    for count, small in ((steps, True), (steps - 1, False)):
        assert bool(0.95**count * np.median(1 / (0.01 * population)) <= 0.2) is small


def test_where_the_momentum_was_not_recorded_the_default_is_taken_and_said() -> None:
    assert "the default, since the records don't show it" in only(restarted_every(4), check="initial-values").text


def restarted_every(every: int) -> Trained:
    from tests.analysis.recordings import thinned

    trained = restarted(0, 1, scale=0.1, epochs=1)
    assert trained.recording is not None
    return replace(trained, recording=thinned(trained.recording, every))


def test_an_average_over_all_steps_holds_nothing_of_its_start() -> None:
    trained = restarted(0, 1, scale=0.1, epochs=1)
    assert trained.recording is not None
    layer = trained.recording.layers["stem.norm"]
    counts = np.arange(1, STEPS + 1)[:, None]
    cumulative = {
        f"running_{name}": np.concatenate(
            [layer[f"running_{name}"][:1], np.cumsum(layer[f"batch_{name}"][1:], 0) / counts]
        )
        for name in ("mean", "var")
    }
    mended = trained.held("stem.norm", **{name: (lambda _, value=value: value) for name, value in cumulative.items()})
    assert verdicts(mended).headline == ""


def test_a_momentum_of_one_over_the_number_of_steps_is_no_average_over_all_of_them() -> None:
    """Ten steps at momentum 0.1: the last weight is 1 / 10, but so is the first."""
    trained = restarted(0, 1, scale=0.1, epochs=1)
    assert trained.recording is not None
    cut = replace(
        trained.recording,
        steps=trained.recording.steps[:11],
        layers={
            path: {name: values[:11] for name, values in layer.items()}
            for path, layer in trained.recording.layers.items()
        },
    )
    (last,) = trained.run.epochs
    short = replace(trained, run=replace(trained.run, epochs=(replace(last, step=10),)), recording=cut)
    assert "After 10 steps, 35 % of the initial" in only(short, check="initial-values").text  # .9 ** 10 = .349


def test_collapsed_channels_have_no_part_in_what_the_start_moves() -> None:
    trained = restarted(0, 1, scale=0.1, epochs=1, momentum=0.05).held("stem.norm", variance=set_to_all(1e-9, 4))
    found = only(trained, check="initial-values")  # half of the 8 channels are left, and are moved
    assert "(medians of 4 channels)" in found.text
    for word in ("inf", "nan"):
        assert word not in found.text.split()


def set_to_all(value: float, channels: int) -> Callable[[Any], Any]:
    """The first channels, in all rows."""

    def change(values: Any) -> Any:
        values[:, :channels] = value
        return values

    return change


def test_a_loss_that_stays_is_held_against_each_run_s_own_first_steps() -> None:
    runs = [
        with_losses(lambda losses, level=level: 0 * losses + level)  # type: ignore[misc]
        .configured(dataset="/photos", options={}, seed=seed)
        .ending(train_loss=level)
        for seed, level in enumerate((2.0, 5.0))
    ]
    runs = [replace(one, run=replace(one.run, key=f"photos-{seed}")) for seed, one in enumerate(runs)]
    found = only(*runs, check="learning")
    assert "is 2.000 to 5.000 in the last epoch, against 2.000 to 5.000, the mean of the first 5 steps" in found.text
    assert "far worse than guessing" not in found.remedy


def test_a_run_that_goes_on_is_not_called_failed_for_a_loss_that_is_no_number() -> None:
    assert verdicts(healthy().at("running").ending(test_loss=float("inf"))).verdicts == ()


def test_of_several_jumps_the_one_that_stayed_is_told() -> None:
    back, stayed = with_losses(jump_to(2.5, 60, 66)), with_losses(jump_to(1.5, 90, 120)).configured(seed=1)
    other = replace(stayed, run=replace(stayed.run, key="other"))
    assert only(back, check="loss-jumps").level == "note"
    found = only(back, other, check="loss-jumps")
    assert found.level == "warning"
    assert "jumped in 2 of 2 runs" in found.text
    assert "to 1.5 nats" in found.text
    assert "was not made good" in found.text


def test_drift_is_not_taken_for_noise() -> None:
    """Batch means that move by ten deviations over the last epoch, in small steps."""
    ramp = np.concatenate([np.zeros((EPOCHS - 1) * STEPS + 1), np.linspace(-10, 0, STEPS)])[:, None]
    trained = healthy().held("stem.norm", batch_mean=lambda values: values + ramp)
    assert only(trained, check="batch-noise").level == "good"


def test_a_collapsed_layer_is_not_called_noisy() -> None:
    """Its deviation is next to nothing, so that any scatter is large beside it."""
    trained = healthy()
    for path in ("stem.norm", "head.norm"):
        trained = trained.held(path, variance=set_to(1e-9, 16))
    assert {verdict.check for verdict in verdicts(trained).alarming} == {"collapsed-channels"}


def test_gamma_that_started_at_zero_is_told_apart_from_gamma_that_went_there() -> None:
    grown = np.linspace(0, 0.03, EPOCHS * STEPS + 1)[:, None]
    trained = healthy().held("stem.norm", gamma=lambda values: 0 * values + grown, beta=set_to(0.0, 8))
    found = only(trained, check="dead-channels")
    assert found.level == "warning"
    assert "started below 0.05" in found.text
    assert "Goyal" in found.source


def test_a_fault_in_some_runs_says_in_how_many() -> None:
    runs = [healthy(seed, noise=0.6 if seed == 1 else 0.05) for seed in range(3)]
    found = only(*runs, check="batch-noise")
    assert found.level == "problem"
    assert found.seeds == (1,)
    assert "3 recorded runs" in found.text


def test_each_variant_has_verdicts_of_its_own() -> None:
    runs = [healthy(seed, name, noise=noise) for name, noise in (("a", 0.05), ("b", 0.6)) for seed in range(6)]
    found = verdicts(*runs)
    assert [(verdict.variant, verdict.check) for verdict in found.alarming] == [("b", "batch-noise")]
    shared = {verdict.check: verdict.text.endswith("Likewise in b.") for verdict in found.at("good")}
    assert shared == {"learning": True, "running-statistics": False, "batch-noise": False, "channels": True}


def stuck(network: str, norm: str, accuracy: float, **options: str) -> tuple[str, str, str] | None:
    """Level, text and remedy of the verdict on a run whose last epoch's loss is that of guessing."""
    running = accuracy if norm == "batch" else None
    config = run(f"norm={norm}", 0, accuracy, running=running, loss=2.303)
    changed = replace(config.config, network=network, options={"norm": norm, **options})
    found = [one for one in examine([replace(config, config=changed)]).verdicts if one.check == "learning"]
    return (found[0].level, found[0].text, found[0].remedy) if found else None


def test_a_run_above_chance_has_learnt_whatever_its_last_loss() -> None:
    # 359 digits of ten classes: chance is 10 %, and three standard errors of it 3 * sqrt(.1 * .9 / 359) = 4.75 points
    assert stuck("lenet", "none", 0.35) is None
    assert stuck("lenet", "none", 0.148) is None
    level, text, _ = stuck("lenet", "none", 0.147) or ("", "", "")
    assert level == "problem"
    assert text.endswith("; test accuracy is 14.7 %, where chance is 10 %.")


@pytest.mark.parametrize(
    ("network", "norm", "options", "expected"),
    [
        ("lenet", "none", {}, True),
        ("lenet", "batch", {}, False),
        ("lenet", "none", {"activation": "relu"}, False),
        ("resnet20", "none", {}, False),
        ("resnet20", "none", {"activation": "tanh"}, True),
    ],
)
def test_advice_on_plateaus_is_for_networks_that_saturate(
    network: str, norm: str, options: dict[str, str], expected: bool
) -> None:
    *_, remedy = stuck(network, norm, 0.1, **options) or ("",)
    assert ("plateau" in remedy) == expected


def test_variants_with_one_fault_have_one_verdict() -> None:
    runs = [healthy(seed, name, noise=0.6) for name in ("a", "b", "c") for seed in range(3)]
    (noise,) = (verdict for verdict in verdicts(*runs).verdicts if verdict.check == "batch-noise")
    assert noise.variant == "a"
    assert noise.text.endswith(" Likewise in b, c.")


@pytest.mark.parametrize(
    ("costs", "samples", "level"),
    [
        # .05 lost by every run; of 359 images 18 change sides at least, give or take sqrt(18) = 4.2
        ([0.05, 0.051, 0.049], None, "problem"),
        # .03 by runs that scatter: 3 +- 12.7 * 1.41 / 1.41 points
        ([0.02, 0.04], None, "note"),
        # .04 of 50 images are 2, give or take 1.4: a coin's throw
        ([0.04, 0.04, 0.04], 50, "note"),
        ([0.04, 0.041, 0.039], None, "warning"),
        ([-0.04, -0.041, -0.039], None, "note"),
    ],
)
def test_a_cost_counts_beyond_the_noise_of_seeds_and_images(
    costs: list[float], samples: int | None, level: str
) -> None:
    runs = [
        run("norm=batch", seed, 0.9, running=0.9 - cost, test_samples=samples)  # type: ignore[arg-type]
        for seed, cost in enumerate(costs)
    ]
    (found,) = (one for one in examine(runs).verdicts if one.check == "running-statistics")
    assert found.level == level
    assert ("precise ones are the worse estimate" in found.text) == (costs[0] < 0)


@pytest.mark.parametrize(("count", "level"), [(1, "warning"), (2, "warning"), (3, ""), (6, "")])
def test_too_few_seeds_are_told(count: int, level: str) -> None:
    found = verdicts(*(healthy(seed, name) for name in ("a", "b") for seed in range(count)))
    assert [verdict.level for verdict in found.verdicts if verdict.check == "seeds"] == ([level] if level else [])


def test_one_variant_needs_no_pairs() -> None:
    assert not [verdict for verdict in verdicts(healthy()).verdicts if verdict.check == "seeds"]


def test_runs_that_the_comparison_has_and_the_store_has_not_are_missing() -> None:
    runs = [healthy(seed, name) for name in ("a", "b") for seed in range(6)]
    comparison = summarise([one.run for one in runs])
    found = only(*runs[:-2], check="missing-runs", comparison=comparison)
    assert (found.variant, found.seeds, found.level) == ("b", (4, 5), "warning")
    assert "2 of 6 runs" in found.text


def test_diverged_runs_are_counted_apart_from_failed_ones() -> None:
    runs = [healthy(0), *(healthy(seed).at("diverged", f"the loss at step {seed} is nan") for seed in (1, 2))]
    found = only(*runs, check="diverged-runs")
    assert found.text == "2 of 3 runs diverged, seed 1 for instance: the loss at step 1 is nan."
    assert found.seeds == (1, 2)


def test_failed_runs_are_counted_by_reason() -> None:
    runs = [
        healthy(0),
        healthy(1).at("failed", "the network failed on a batch"),
        healthy(2).at("failed", "its process was killed (SIGKILL)"),
    ]
    found = only(*runs, check="failed-runs")
    assert found.text == "2 of 3 runs failed: the network failed on a batch. 1 other reason beside it."
    assert found.seeds == (1, 2)


@settings(max_examples=25, deadline=None)
@given(unit=st.floats(0.1, 1e4), seed=st.integers(0, 3), noise=st.sampled_from([0.05, 0.4]))
def test_the_unit_of_the_channels_changes_no_verdict(unit: float, seed: int, noise: float) -> None:
    """Above BatchNorm's eps: 0.1 ** 2 * 0.5 ** 2 = 0.0025."""

    def told(unit: float) -> list[tuple[str, str, str]]:
        return [
            (verdict.check, verdict.level, verdict.layer)
            for verdict in verdicts(healthy(seed, noise=noise, unit=unit)).verdicts
        ]

    assert told(unit) == told(1.0)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(4)))
def test_the_order_of_runs_changes_no_verdict(order: list[int]) -> None:
    runs = [healthy(seed, noise=0.3) for seed in range(4)]

    def told(runs: list[Trained]) -> list[tuple[str, str, str]]:
        return [(verdict.check, verdict.level, verdict.layer) for verdict in verdicts(*runs).verdicts]

    assert told([runs[place] for place in order]) == told(runs)


def test_the_worst_come_first_and_are_counted() -> None:
    found = verdicts(
        healthy(noise=3**-0.5)
        .held("stem.norm", gamma=set_to(0.0, 2), beta=set_to(0.0, 2))
        .ending(train_loss=2.31, test_accuracy=0.1, test_accuracy_running=0.1)
    )
    levels = [verdict.level for verdict in found.verdicts]
    assert levels == sorted(levels, key=["problem", "warning", "note", "good"].index)
    assert found.headline == "2 problems, 1 warning"
    assert [verdict.check for verdict in found.alarming] == ["learning", "batch-noise", "dead-channels"]


def test_verdicts_survive_json() -> None:
    found = verdicts(healthy(noise=3**-0.5))
    assert Examination.from_json(found.to_json()) == found
    assert found.to_dict()["schema"] == "archlab.verdicts/1"
    assert found.runs == ("norm=batch-0",)


@pytest.mark.parametrize("trained", [healthy(noise=0.4), healthy(every=4), healthy(epochs=1)])
def test_the_ends_of_a_recording_are_enough(trained: Trained) -> None:
    assert trained.recording is not None
    rows = len(trained.recording.steps)
    ends = [*range(2), *range(max(2, rows - LAST_ROWS), rows)]
    layers = {
        path: {name: values[ends] for name, values in layer.items()} for path, layer in trained.recording.layers.items()
    }
    steps = tuple(trained.recording.steps[row] for row in ends)
    cut = replace(trained, recording=replace(trained.recording, steps=steps, layers=layers))
    assert verdicts(cut) == verdicts(trained)


def test_the_cost_of_running_statistics_has_the_interval_that_the_finding_has() -> None:
    precise, running = [0.90, 0.92, 0.91, 0.93, 0.90, 0.91], [0.80, 0.83, 0.85, 0.84, 0.79, 0.83]
    runs = [
        run("norm=batch", seed, accuracy, running=held)
        for seed, (accuracy, held) in enumerate(zip(precise, running, strict=True))
    ]
    (cost,) = (one for one in examine(runs).verdicts if one.check == "running-statistics")
    (found,) = (finding for finding in summarise(runs).findings if "running statistics" in finding)
    ends = re.search(r"95 % interval ([+-].*?) to ([+-].*?)[,)]", found)
    assert ends is not None
    low, high = (f"{-float(end):+.2f}" for end in ends.groups())  # the finding is running minus precise
    assert f"95 % interval {high} to {low}, n = 6 runs" in cost.text
