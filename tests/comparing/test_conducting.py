from __future__ import annotations

from pathlib import Path

import pytest

import archlab
from archlab.comparing import traces
from archlab.errors import InputError
from archlab.records import TrainingConfig
from archlab.store import open_store
from archlab.training import Progress


def test_a_comparison_is_trained_condensed_and_kept_and_its_runs_are_used_again(tmp_path: Path) -> None:
    events: list[Progress] = []

    def compare(seeds: int) -> archlab.Comparison:
        return archlab.compare(
            "lenet",
            bn="off",
            seeds=seeds,
            epochs=2,
            batch_size=32,
            train_samples=64,
            test_samples=40,
            workers=1,
            store=tmp_path,
            progress=events.append,
        )

    comparison = compare(1)
    assert [variant.name for variant in comparison.variants] == ["norm=batch", "norm=none"]
    assert [variant.parameters for variant in comparison.variants] == [44_878, 44_426]
    assert "test_accuracy_running" in comparison.variants[0].metrics
    assert "test_accuracy_running" not in comparison.variants[1].metrics
    store = open_store(tmp_path)
    assert store.comparison(comparison.key) == comparison
    assert [store.run(key).status for key in comparison.runs] == ["finished", "finished"]
    assert [event.state for event in events if event.run is not None] == ["finished", "finished"]

    events.clear()
    more = compare(2)
    assert [(event.state, event.config.seed) for event in events if event.run is not None] == [
        ("reused", 0),
        ("reused", 0),
        ("finished", 1),
        ("finished", 1),
    ]
    assert set(comparison.runs) < set(more.runs)
    assert (
        more.variants[0].metrics["test_accuracy"].values[:1] == comparison.variants[0].metrics["test_accuracy"].values
    )


def test_several_learning_rates_are_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []

    def train_all(configs: list[archlab.TrainingConfig], *_: object) -> list[object]:
        seen.extend(configs)
        raise InputError("enough")

    monkeypatch.setattr("archlab.training.train_all", train_all)
    with pytest.raises(InputError, match="enough"):
        archlab.compare(learning_rate=[0.1, 0.2], batch_size=64, seeds=1, store=tmp_path)
    assert [(config.variant, config.learning_rate, config.batch_size) for config in seen] == [
        ("lr=0.1", 0.1, 64),
        ("lr=0.2", 0.2, 64),
    ]


def test_networks_are_traced_as_they_are_trained_each_once() -> None:
    configs = [
        TrainingConfig(network="resnet20", options={"skip": skip}, learning_rate=rate)
        for skip in ("on", "off")
        for rate in (0.1, 0.2)
    ]
    found = traces(configs)
    assert [trace.inputs for trace in found] == [((1, 1, 32, 32),)] * 2  # digits are grey, the paper's images are not
    # The paper's 0.27M: 269,722 for colours, less 2 * 16 * 3 * 3 of the first convolution.
    assert [trace.totals.parameters for trace in found] == [269_722 - 288] * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": []}, "no value was given"),
        ({"learning_rate": [0.1, 0.2], "vary": {"lr": [1, 2]}}, "lr is varied twice"),
        ({}, "nothing varies"),
        ({"learning_rate": {0.1, 0.2}}, "expected values in an order"),
        ({"network": 3, "bn": "off"}, "network is of type int, expected a source"),
        ({"bn": "off", "options": ["a"]}, r"options is \['a'\], expected names and values"),
        ({"bn": "off", "dataset": ["digits"]}, r"dataset is \['digits'\], expected a text"),
        ({"bn": "off", "fresh": "no"}, "fresh is 'no', expected True or False"),
        ({"seed": 3}, "seed was given, which a comparison decides itself"),
        ({"epoch": 3}, "there is no setting 'epoch': did you mean epochs"),
        ({"bn": "off", "workers": 0}, "workers is 0, expected 1 or more"),
    ],
)
def test_bad_calls_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        archlab.compare(**settings)  # type: ignore[arg-type]
