from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from archlab.analysis.verdicts import examine
from archlab.records import DataSummary, Examination, LayerSeries, PartSummary, Probes, Verdict
from tests.analysis.recordings import Trained, healthy, kept

LAYERS = ("conv", "relu", "middle", "sigmoid", "linear", "head")
WEIGHTED = (True, False, True, False, True, True)
HEALTHY: dict[str, tuple[float, ...]] = {
    "activation_dead": (np.nan, 0.34, np.nan, np.nan, np.nan, np.nan),
    "activation_saturated": (np.nan, np.nan, np.nan, 0.55, np.nan, np.nan),
    "gradient_norm": (0.3, 0.2, 0.2, 0.1, 0.1, 0.1),
    "weight_gradient_norm": (0.6, np.nan, 0.5, np.nan, 0.4, 0.5),
    "update_ratio": (6e-3, np.nan, 4e-3, np.nan, 5e-3, 3e-3),
}
PART = PartSummary((100,) * 10, (0.3,), (0.35,), (0.1,), 50.0)
DATA = DataSummary(tuple("0123456789"), PART, PART, 0, 0, tuple(range(10)))


def looked(step: int = 120, **rows: tuple[float, ...]) -> LayerSeries:
    """One look, healthy but for these rows."""
    found = {name: np.array([values], dtype=np.float32) for name, values in (HEALTHY | rows).items()}
    return LayerSeries((step,), LAYERS, found, 64, np.array(WEIGHTED))


def verdicts(trained: Trained, *looks: LayerSeries) -> Examination:
    """Of runs of seeds 0, 1, ..., with a look each."""
    many = [
        replace(trained, run=replace(trained.run, key=str(seed), config=replace(trained.run.config, seed=seed)))
        for seed in range(len(looks))
    ]
    found = kept(*(replace(one, run=replace(one.run, data=DATA)) for one in many))
    probes = {str(seed): Probes(signals=look) for seed, look in enumerate(looks)}
    return examine(found.runs, found.recordings.get, found.curves.get, probes.get)


def stuck() -> Trained:
    return healthy().ending(train_loss=2.3, test_accuracy=0.1, test_accuracy_running=0.1)


def at(place: int, value: float) -> tuple[float, ...]:
    """A row of NaN with one number."""
    return tuple(value if layer == place else np.nan for layer in range(len(LAYERS)))


FAULTS: dict[str, tuple[dict[str, Any], str, str, float]] = {
    "half of the units are silent": ({"activation_dead": at(1, 0.5)}, "dead-units", "relu", 50),
    "all units are silent": (
        {"activation_dead": at(1, 1.0), "gradient_norm": (0, 0, 0.1, 0.1, 0.1, 0.1)},
        "dead-units",
        "relu",
        100,
    ),
    "sigmoids at their ends": (
        {"activation_saturated": at(3, 0.9), "gradient_norm": (1e-6, 1e-6, 0.1, 0.1, 0.1, 0.1)},
        "saturated-units",
        "sigmoid",
        90,
    ),
    "a gradient that fades": (
        {"gradient_norm": (5e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1)},
        "vanishing-gradients",
        "conv",
        5e-5,
    ),
    "a gradient that grows": (
        {"gradient_norm": (2e3, 1e3, 200, 50, 10, 2)},
        "exploding-gradients",
        "conv",
        1e3,
    ),
    "a gradient that is cut off": (
        {
            "gradient_norm": (np.nan, np.nan, np.nan, 0.1, 0.1, 0.1),
            "weight_gradient_norm": (0, np.nan, 0, np.nan, 0.4, 0.5),
        },
        "cut-gradients",
        "middle",
        2,
    ),
    "steps that move nothing": (
        {"update_ratio": (1e-6, np.nan, 2e-6, np.nan, 1e-6, 3e-6)},
        "update-ratios",
        "",
        1.5e-6,
    ),
    "steps that move a tenth": (
        {"update_ratio": (0.1, np.nan, 0.2, np.nan, 0.3, 0.2)},
        "update-ratios",
        "",
        0.2,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_a_problem_of_its_own_where_nothing_was_learnt(name: str) -> None:
    rows, check, layer, number = FAULTS[name]
    found = verdicts(stuck(), looked(**rows))
    assert {verdict.check for verdict in found.alarming} == {check, "learning"}
    (cause,) = (verdict for verdict in found.verdicts if verdict.check == check)
    assert (cause.level, cause.layer, cause.seeds) == ("problem", layer, (0,))
    assert f"{number:.2g}" in cause.text or f"{number:.0f}" in cause.text
    assert cause.remedy
    assert cause.source
    (symptom,) = (verdict for verdict in found.verdicts if verdict.check == "learning")
    assert symptom.remedy == f"See to the {check.replace('-', ' ')} first: that is a reason for it."


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "steps that move nothing"])
def test_it_is_a_warning_where_the_network_learnt_in_spite_of_it(name: str) -> None:
    rows, check, _, _ = FAULTS[name]
    assert [(one.check, one.level) for one in verdicts(healthy(), looked(**rows)).alarming] == [(check, "warning")]


def test_healthy_signals_are_said_to_be() -> None:
    found = verdicts(healthy(), looked())
    assert found.headline == ""
    good = {verdict.check: verdict.text for verdict in found.at("good")}
    assert {"dead-units", "saturated-units", "gradients-by-depth", "update-ratios"} < set(good)
    assert "34 % of the units" in good["dead-units"]
    assert "3 times that at the last" in good["gradients-by-depth"]  # 0.3 / 0.1


def test_who_has_learnt_or_slows_down_may_make_small_steps() -> None:
    small = looked(update_ratio=FAULTS["steps that move nothing"][0]["update_ratio"])
    assert "update-ratios" not in {one.check for one in verdicts(healthy(), small).alarming}
    falling = stuck().configured(schedule="cosine")
    assert "update-ratios" not in {one.check for one in verdicts(falling, small).alarming}


def test_batches_are_not_called_small_where_the_weights_move_from_one_to_the_next() -> None:
    noisy = healthy(noise=3**-0.5)
    assert [one.check for one in verdicts(noisy, looked()).alarming] == ["batch-noise"]
    moving = looked(update_ratio=FAULTS["steps that move a tenth"][0]["update_ratio"])
    assert [one.check for one in verdicts(noisy, moving).alarming] == ["update-ratios"]
    decayed = only(verdicts(noisy.configured(weight_decay=9.0), moving), "update-ratios")
    assert decayed.remedy == "Lower the learning rate (--lr) or the weight decay (--weight-decay)."


def test_lenet_of_sigmoids_on_its_plateau_has_no_vanishing_gradient() -> None:
    plateau = looked(gradient_norm=(7e-4, 1e-3, 2e-3, 1e-2, 0.1, 1.0))
    assert [one.check for one in verdicts(stuck(), plateau).alarming] == ["learning"]


def test_what_stops_the_gradient_is_the_cause_and_not_depth() -> None:
    fading = FAULTS["a gradient that fades"][0]
    blocked = looked(**fading, activation_dead=at(1, 0.95))
    assert {one.check for one in verdicts(stuck(), blocked).alarming} == {"learning", "dead-units"}


def only(found: Examination, check: str) -> Verdict:
    (verdict,) = (verdict for verdict in found.verdicts if verdict.check == check)
    return verdict


def test_several_runs_are_one_verdict_with_their_number() -> None:
    found = only(
        verdicts(stuck(), looked(), looked(activation_dead=at(1, 0.6)), looked(activation_dead=at(1, 0.8))),
        "dead-units",
    )
    assert found.seeds == (2, 1)
    assert "60 to 80 %" in found.text
    assert "in 2 of 3 runs" in found.text


def test_the_last_look_counts() -> None:
    series = looked(activation_dead=at(1, 1.0))
    both = {name: np.concatenate([values, looked().quantities[name]]) for name, values in series.quantities.items()}
    later = replace(series, steps=(0, 120), quantities=both)
    assert verdicts(healthy(), later).headline == ""


def test_a_diverged_run_is_looked_at_and_its_cause_named() -> None:
    diverged = stuck().at("diverged", "the loss at step 3 (epoch 1) is nan")
    found = verdicts(diverged, looked(0, gradient_norm=FAULTS["a gradient that grows"][0]["gradient_norm"]))
    assert {one.check for one in found.alarming} == {"diverged-runs", "exploding-gradients"}
    assert "at the first weights" in only(found, "exploding-gradients").text
    assert only(found, "diverged-runs").remedy.startswith("See to the exploding gradients first")


def test_two_layers_have_no_depth() -> None:
    layers = ("conv", "head")
    ends = {name: (values[0], values[-1]) for name, values in HEALTHY.items()} | {"gradient_norm": (1e-7, 1.0)}
    rows: dict[str, Any] = {name: np.array([values]) for name, values in ends.items()}
    found = verdicts(healthy(), LayerSeries((120,), layers, rows, 64))
    assert found.headline == ""


def test_a_look_that_saw_no_gradient_says_nothing_of_one() -> None:
    blind = looked(gradient_norm=(np.nan,) * 6, weight_gradient_norm=(0, np.nan, 0, np.nan, 0, 0))
    found = verdicts(healthy(), blind)
    assert found.headline == ""
    assert not {"gradients-by-depth", "cut-gradients"} & {one.check for one in found.verdicts}


def test_records_without_these_quantities_say_nothing() -> None:
    old = LayerSeries((120,), LAYERS, {"activation_norm": np.ones((1, 6), dtype=np.float32)}, 64, np.array(WEIGHTED))
    found = verdicts(healthy(), old)
    assert not {"dead-units", "saturated-units", "gradients-by-depth", "update-ratios"} & {
        one.check for one in found.verdicts
    }
