from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from archlab.comparing import design, rate_grid, search
from archlab.comparing.searching import rounds
from archlab.errors import InputError
from archlab.records import Run, TrainingConfig
from archlab.records.search import RateSearch
from archlab.tables.search import search_table
from archlab.training.execution import Execution
from tests.training.tiny import SOURCE

GRID = rate_grid(0.01, 10)  # 3 decades of 8: 25 rates


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainingConfig]:
    """What is trained: width=1 diverges above 0.5, width=2 above 2 (5 for seed 1), width=3 never, width=4 always."""
    done: list[TrainingConfig] = []

    def train_all(configs: Sequence[TrainingConfig], *_: object) -> list[Run]:
        done.extend(configs)
        return [Run(f"{len(done)}", config, _status(config)) for config in configs]  # type: ignore[arg-type]

    monkeypatch.setattr("archlab.training.train_all", train_all)
    return done


def _status(config: TrainingConfig) -> str:
    width = config.options["width"]
    if width == 5:
        return "failed"
    limit = {1: 0.5, 2: 5.0 if config.seed == 1 else 2.0, 3: math.inf, 4: 0.0}[int(width)]
    return "finished" if config.learning_rate <= limit else "diverged"


def found(trained: list[TrainingConfig], *widths: int) -> RateSearch:
    return search(design("lenet", vary={"width": list(widths)}, seeds=2), grid=GRID)


def test_the_largest_rate_of_the_grid_is_found_for_each_variant_and_seed(trained: list[TrainingConfig]) -> None:
    result = found(trained, 1, 2)
    one, two = result.variants
    # 0.01 * 10 ** (13 / 8) = 0.422 <= 0.5 < 0.562; 10 ** (18 / 8) = 1.78 <= 2 < 2.37; 4.22 <= 5 < 5.62
    assert (one.rates, two.rates) == ((0.422, 0.422), (1.78, 4.22))
    assert (one.above, one.below, one.failed) == (0, 0, 0)
    (difference,) = result.differences
    assert difference.n == 2
    # sqrt(1.78 * 4.22) / 0.422 = 6.49
    assert 10**difference.mean == pytest.approx(6.49, abs=0.01)
    assert rounds(GRID) == 5  # 26 places: below the first, or at one of 25
    assert len(trained) <= 4 * 5
    per_pair = {(config.label, config.seed, config.learning_rate) for config in trained}
    assert len(per_pair) == len(trained)  # nothing is tried twice


def test_what_lies_beyond_the_bounds_is_said(trained: list[TrainingConfig]) -> None:
    result = found(trained, 3, 4, 5)
    never, always, failing = result.variants
    assert (never.rates, never.above) == ((10.0, 10.0), 2)
    assert (always.rates, always.below, always.log10) == ((None, None), 2, None)
    assert (failing.rates, failing.failed, failing.below) == ((None, None), 2, 0)
    assert result.differences == ()
    notes = " ".join(search_table(result).footer)
    assert "2 of 2 seeds did not diverge at 10 either" in notes
    assert "2 of 2 seeds diverged at 0.01 already" in notes
    assert "2 of 2 seeds have no rate, since a run failed" in notes


def test_table_and_json(trained: list[TrainingConfig]) -> None:
    result = found(trained, 1, 2)
    assert RateSearch.from_json(result.to_json()) == result
    first, second = search_table(result).rows
    assert first.cells[:2] == ("width=1", 2)
    assert first.cells[2] == pytest.approx(0.422)
    assert second.cells[4] == pytest.approx(6.49, abs=0.01)


def test_a_rate_that_varies_is_not_searched_for() -> None:
    with pytest.raises(InputError, match="leave --lr, or --max-lr, out"):
        search(design("lenet", learning_rate=[0.1, 0.2]), grid=GRID)


@pytest.mark.parametrize("bounds", [(1.0, 0.1), (0.1, 0.1), (0.0, 1.0), (1.0, math.inf)])
def test_bounds_that_hold_nothing_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="expected LOW,HIGH"):
        rate_grid(*bounds)


STEEP = (0.1, 1.0, 1e2, 1e4, 1e6)


def test_a_search_that_trains(tmp_path: Path) -> None:
    """One linear layer, plain SGD, on few digits: the bisection's runs are in the store, and are not trained again."""
    base = TrainingConfig(
        network=f"{SOURCE}:Linear", optimizer="sgd", epochs=1, batch_size=16, size=8, train_samples=64, test_samples=20
    )
    designed = design(base, vary={"label_smoothing": [0.0, 0.1]}, seeds=1)
    execution = Execution(store=tmp_path / "store", workers=1, device="cpu")
    result = search(designed, execution, grid=STEEP)
    runs = execution.home.runs()
    assert {run.status for run in runs} == {"finished", "diverged"}
    states: set[str] = set()
    assert search(designed, execution, lambda event: states.add(event.state), grid=STEEP) == result
    assert states == {"reused"}
    rates = [rate for variant in result.variants for rate in variant.rates]
    assert all(rate is not None and 0.1 <= rate < 1e6 for rate in rates)
