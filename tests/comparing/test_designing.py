from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from archlab.comparing.designing import design
from archlab.errors import InputError
from archlab.records import TrainingConfig


def names(**what: Any) -> list[str]:
    base = TrainingConfig(network=what.pop("network", "lenet"), options=what.pop("options", {}))
    return [variant.variant for variant in design(base, **what).variants]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({"bn": "off"}, ["norm=batch", "norm=none"]),
        ({"bn": "scratch"}, ["norm=batch", "norm=scratch"]),
        ({"bn": "on", "options": {"norm": "none"}}, ["norm=none", "norm=batch"]),
        ({"network": "resnet20", "skip": "off"}, ["skip=on", "skip=off"]),
        ({"network": "plain20", "skip": "on"}, ["skip=off", "skip=on"]),
        ({"vary": {"norm": ["none", "group", "layer"]}}, ["norm=none", "norm=group", "norm=layer"]),
        ({"vary": {"lr": ["0.1", "1e-3"]}}, ["lr=0.1", "lr=0.001"]),
        ({"vary": {"batch_size": [256, 16]}}, ["batch_size=256", "batch_size=16"]),
        ({"vary": {"train_samples": ["100", "200"]}}, ["train_samples=100", "train_samples=200"]),
        (
            {"bn": "off", "vary": {"lr": [0.1, 0.2]}},
            ["norm=batch, lr=0.1", "norm=batch, lr=0.2", "norm=none, lr=0.1", "norm=none, lr=0.2"],
        ),
        # What the switch finds as it is varies nothing, and is set for all.
        ({"bn": "on", "vary": {"lr": [0.1, 0.2]}}, ["lr=0.1", "lr=0.2"]),
    ],
)
def test_variants_are_named_after_what_varies_with_the_baseline_first(
    what: dict[str, Any], expected: list[str]
) -> None:
    assert names(**what) == expected


def test_variants_hold_their_settings_in_their_own_types() -> None:
    base = TrainingConfig(options={"width": "2"}, epochs=3)
    first, second = design(base, vary={"norm": ["batch", "none"]}).variants
    assert first.options == {"width": 2.0, "norm": "batch"}
    assert second.options == {"width": 2.0, "norm": "none"}
    assert first.epochs == second.epochs == 3
    rates = design(base, vary={"lr": ["0.1", "0.2"], "epochs": ["1", "2"]}).variants
    assert [(item.learning_rate, item.epochs) for item in rates] == [(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]


def test_runs_go_seed_by_seed_so_that_an_interruption_leaves_whole_pairs() -> None:
    configs = design(TrainingConfig(), bn="off", seeds=2).configs
    assert [(config.seed, config.variant) for config in configs] == [
        (0, "norm=batch"),
        (0, "norm=none"),
        (1, "norm=batch"),
        (1, "norm=none"),
    ]


def test_several_values_of_a_setting_are_the_setting_s_though_the_network_has_such_an_option() -> None:
    found = design("lenet", batch_size=[16, 32], size=[28, 32], learning_rate=[0.1, 0.2]).variants
    assert {variant.size for variant in found} == {28, 32}
    assert all("size" not in variant.options for variant in found)
    # The learning rate first: a run's key holds its variant's name, and stored ones are called so.
    assert found[0].variant == "lr=0.1, batch_size=16, size=28"
    option = design("lenet", vary={"size": [28, 32]}).variants
    assert [(variant.size, variant.options) for variant in option] == [(None, {"size": 28}), (None, {"size": 32})]


def test_seeds_can_be_named() -> None:
    assert design(TrainingConfig(), bn="off", seeds=[7, 3]).seeds == (7, 3)


def test_values_can_come_as_an_array() -> None:
    what: dict[str, Any] = {"vary": {"lr": np.array([0.1, 0.2])}, "seeds": np.arange(2)}
    experiment = design(TrainingConfig(), **what)
    assert experiment.seeds == (0, 1)
    assert [variant.learning_rate for variant in experiment.variants] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({}, "nothing varies, so that there is nothing to compare lenet with"),
        ({"bn": "on"}, "nothing varies"),
        ({"bn": "maybe"}, "bn is 'maybe', expected one of on, off, scratch"),
        ({"skip": "off"}, "lenet has no skip connections to switch.*Its options: in_channels, classes"),
        ({"network": "resnet20", "skip": "half"}, "option skip of resnet20 takes on or off, given 'half'"),
        ({"network": "lenett", "bn": "off"}, "there is no network 'lenett': did you mean lenet"),
        ({"vary": {"nom": ["batch", "none"]}}, "lenet has no option 'nom': did you mean norm"),
        ({"vary": {"norm": ["batch", "nothing"]}}, "option norm of lenet takes batch.*given 'nothing'"),
        ({"vary": {"norm": ["batch"]}}, r"norm is to vary over \['batch'\], expected two values or more"),
        ({"vary": {"norm": "batch"}}, "norm is to vary over 'batch', expected two values or more"),
        ({"vary": {"norm": ["batch", "batch"]}}, "norm is to vary over batch, batch: each value can be there once"),
        ({"vary": {"norm": {"batch", "none"}}}, "norm is to vary over {.*}, expected two values or more"),
        ({"vary": {"lr": 0.1}}, "lr is to vary over 0.1, expected two values or more"),
        ({"vary": {"lr": ["fast", "slow"]}}, "lr is to be 'fast', expected a number above 0"),
        ({"vary": {"lr": [None, 0.1]}}, "lr is to be None, expected a number above 0"),
        ({"vary": {"lr": [0.1, 0]}}, "lr is to be 0, expected a number above 0"),
        ({"vary": {"lr": [0.1, math.inf]}}, "lr is to be inf, expected a number above 0"),
        ({"vary": {"epochs": [10**400, 1]}}, "epochs is to be 1000*, expected a whole number"),
        ({"vary": {"batch_size": ["16", "0.5"]}}, "batch_size is to be '0.5', expected a whole number"),
        ({"vary": {"width": ["1", "0"]}}, "width=0.0"),
        ({"bn": "off", "vary": {"norm": ["none", "group"]}}, "norm is set or varied already"),
        ({"options": {"norm": "group"}, "vary": {"norm": ["none", "group"]}}, "norm is set or varied already"),
        ({"options": {"depth": 3}, "bn": "off"}, "lenet has no option 'depth'"),
        ({"bn": "off", "seeds": 0}, "seeds is 0, expected how many"),
        ({"bn": "off", "seeds": [1, 1]}, r"seeds is \[1, 1\]"),
        ({"bn": "off", "seeds": [-1]}, r"seeds is \[-1\]"),
        ({"bn": "off", "seeds": ["a"]}, r"seeds is \['a'\], expected how many"),
        ({"bn": "off", "seeds": 2.0}, r"seeds is 2.0, expected how many"),
        (
            {"options": {"norm": "none"}, "momentum": [0.1, 0.2]},
            "momentum is varied, and no layer of lenet is BatchNorm",
        ),
        ({"bn": "off", "seeds": True}, r"seeds is True, expected how many"),
    ],
)
def test_what_makes_no_experiment_is_refused_before_anything_trains(what: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        names(**what)


def test_each_optimiser_of_a_comparison_has_the_momentum_that_it_can_have() -> None:
    variants = design("lenet", optimizer=["adam", "sgd", "nesterov"], sgd_momentum=0.9).variants
    assert [(item.variant, item.sgd_momentum) for item in variants] == [
        ("optimizer=adam", 0.0),
        ("optimizer=sgd", 0.9),
        ("optimizer=nesterov", 0.9),
    ]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"sgd_momentum": [0.0, 0.9]}, "sgd_momentum is 0.9, which adam has not"),
        ({"optimizer": ["adam", "sgd"], "sgd_momentum": [0.0, 0.9]}, "sgd_momentum is 0.9, which adam has not"),
        ({"optimizer": ["sgd", "nesterov"]}, "nesterov and sgd_momentum is 0, expected a momentum"),
        ({"epochs": [1, 3], "warmup": 1.5}, "warmup is 1.5 with epochs=1, expected fewer"),
        ({"epochs": [1, 3], "until": "accuracy=0.9"}, "epochs is varied, and until is 'accuracy=0.9'"),
        ({"optimizer": ["adam", "lion"]}, "optimizer is to be 'lion', expected one of adam, adamw, sgd, nesterov"),
        ({"schedule": ["constant", "linear"]}, "expected one of constant, cosine, step"),
        ({"flip": [0.0, 1.5]}, "expected a probability from 0 to 1"),
        ({"label_smoothing": [0.0, 1.0]}, "expected a number from 0 to below 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(what: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        design("lenet", **what)
