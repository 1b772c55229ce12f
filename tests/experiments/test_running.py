from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from archlab import reports
from archlab.analysis.expectations import verdict_sentence
from archlab.errors import InputError
from archlab.experiments import experiment, planned, run
from archlab.records.experiment import Experiment, ExperimentResult
from archlab.store import open_store
from archlab.training import Execution, Progress
from tests.experiments.tiny import TINY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experiment")
    (path / "tiny.toml").write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Experiment:
    return experiment(folder / "tiny.toml")


@pytest.fixture(scope="module")
def result(folder: Path, tiny: Experiment) -> ExperimentResult:
    return run(tiny, planned(tiny), Execution(workers=1, store=folder / "store"), command="archlab experiment run")


def test_every_part_is_trained_and_judged(result: ExperimentResult) -> None:
    assert [outcome.part for outcome in result.outcomes] == ["norm", "smooth", "running", "rates", "networks"]
    assert [len(comparison.runs) for comparison in result.comparisons] == [4, 4, 4, 4]
    (search,) = result.searches
    assert (search.seeds, search.grid) == ((0,), (0.1, 0.133, 0.178))
    norm, smooth, running, rates, networks = result.outcomes
    for outcome in (norm, networks):
        assert outcome.difference in [one for held in result.comparisons for one in held.differences]
    variant = result.comparisons[2].variants[1]
    errors = [
        one - other
        for one, other in zip(
            variant.metrics["test_accuracy_running"].values, variant.metrics["test_accuracy"].values, strict=True
        )
    ]
    assert running.difference is not None
    assert running.difference.values == pytest.approx(errors)
    assert smooth.difference is not None
    assert smooth.difference.n == 2
    assert rates.difference is not None
    assert rates.fulfilment == "open"  # a single pair
    assert ExperimentResult.from_json(result.to_json()) == result


def test_runs_that_the_store_has_are_not_trained_again(
    folder: Path, tiny: Experiment, result: ExperimentResult
) -> None:
    events: list[Progress] = []
    again = run(tiny, planned(tiny), Execution(workers=1, store=folder / "store"), events.append)
    assert {event.state for event in events} == {"reused"}
    assert again.outcomes == result.outcomes


def test_a_page_shows_claim_verdict_and_what_is_published(folder: Path, result: ExperimentResult) -> None:
    html = reports.page([result], store=open_store(folder / "store"))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).replace("&#39;", "'")
    assert "<title>Tiny, on digits" in html
    for said in (result.experiment.claim, verdict_sentence(result.outcomes), "much worse", "It is as good."):
        assert said in text
    assert html.index('id="claim"') < html.index('id="summary"')


def test_settings_of_a_data_set_hold_there_alone_and_what_is_chosen_everywhere(tiny: Experiment) -> None:
    ours = planned(tiny, seeds=3)
    assert [plan.design.variants[0].size for plan in ours] == [16] * 5
    assert [len(plan.design.seeds) for plan in ours] == [3] * 5
    theirs = planned(tiny, chosen={"dataset": "fashion-mnist", "epochs": 7})
    assert [(plan.design.variants[0].size, plan.design.variants[0].epochs) for plan in theirs] == [(None, 7)] * 5


def test_what_an_experiment_varies_can_not_be_chosen(folder: Path) -> None:
    (folder / "epochs.toml").write_text(
        TINY.replace('vary = { norm = ["batch", "none"] }', "vary = { epochs = [1, 2] }", 1).replace(
            'variant = "norm=none"\nbaseline = "norm=batch"', 'variant = "epochs=2"\nbaseline = "epochs=1"', 1
        ),
        encoding="utf-8",
    )
    found = experiment(folder / "epochs.toml")
    assert [config.epochs for config in planned(found)[0].design.variants] == [1, 2]
    with pytest.raises(InputError, match="epochs is what part 'norm' of the experiment varies"):
        planned(found, chosen={"epochs": 3})


def test_the_command_of_a_part_trains_the_same(tiny: Experiment) -> None:
    commands = [plan.command for plan in planned(tiny)]
    shared = "--epochs 1 --batch-size 32 --train-samples 64 --test-samples 40 --probe-every 1 --size 16"
    assert commands[0] == f"archlab compare lenet --vary norm=batch,none {shared} --seeds 2"
    assert commands[3] == f"archlab compare lenet --vary norm=batch,none {shared} --seeds 1 --max-lr 0.1,0.2"
    assert commands[4] == ""


BRANCHES = """
title = "Branches"
claim = "With BatchNorm branches begin smaller."
source = "A test"
protocol = "ResNets of 8 layers on small digits, at their first weights."
refuted = "They don't."
look = "The branches."
seeds = 2

[settings]
epochs = 1
train_samples = 32
batch_size = 32
size = 8
probe_every = 100
probes = "signals"

[[parts]]
name = "branches"
network = "resnet20"
options = { depth = 14 }
vary = { norm = ["batch", "none"] }
metric = "branch_share"

[[parts.expect]]
variant = "norm=none"
baseline = "norm=batch"
direction = "higher"
"""


def test_branch_share_is_that_of_the_probes_at_the_first_weights(tmp_path: Path) -> None:
    (tmp_path / "branches.toml").write_text(BRANCHES, encoding="utf-8")
    found = experiment(tmp_path / "branches.toml")
    store = open_store(tmp_path / "store")
    (outcome,) = run(found, planned(found), Execution(workers=1, store=store)).outcomes
    assert outcome.difference is not None
    shares: dict[str, dict[int, float]] = {"norm=batch": {}, "norm=none": {}}
    for one in store.runs():
        probes = store.probes(one.key)
        assert probes is not None
        assert probes.branches is not None
        branch, skip = (probes.branches.quantities[name][0] for name in ("branch_variance", "skip_variance"))
        assert len(branch) == 6  # two blocks in each of three stages
        shares[one.config.label][one.config.seed] = float(np.log10(branch / skip).mean())
    expected = [shares["norm=none"][seed] - shares["norm=batch"][seed] for seed in (0, 1)]
    assert outcome.difference.values == pytest.approx(expected, rel=1e-4)


def test_a_quantity_that_nobody_looks_at_is_refused(tmp_path: Path) -> None:
    text = BRANCHES.replace('probes = "signals"', 'probes = "rank"')
    (tmp_path / "branches.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r'about branch_share, which nobody looks at: .* probes = "signals"'):
        planned(experiment(tmp_path / "branches.toml"))
