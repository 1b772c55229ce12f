from __future__ import annotations

import json

import pytest

from archlab.store import open_store
from tests.cli import trained
from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("no_training")


def test_a_run_is_shown_and_kept(archlab: Call) -> None:
    result = archlab("train", "lenet", "--bn", "off", "--epochs", "2", "--seed", "1")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "lenet on digits: norm=none, seed 1, batch 16, learning rate 0.001"
    assert lines[4:6] == [
        "    1      0.5000      71.00%     0.6000     71.00%     1.00",
        "    2      0.5000      71.00%     0.6000     71.00%     2.00",
    ]
    (run,) = open_store().runs()
    assert run.config.options == {"norm": "none"}
    assert result.stderr.splitlines() == [
        "1 run of lenet on digits: about 7 s on this machine",
        f"kept in {open_store().path} as {run.key}",
    ]


def test_a_run_that_diverged_is_shown_kept_and_leaves_with_1(archlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "archlab.training.train",
        lambda config, *, execution, progress: trained.diverged(config, execution.home, progress),
    )
    result = archlab("train", "lenet", "--lr", "100")
    assert result.exit_code == 1
    assert "diverged: the loss at step 3 (epoch 1) is nan" in result.stdout
    assert result.stderr.splitlines()[-1] == "diverged: the loss at step 3 (epoch 1) is nan"
    assert open_store().runs()[0].status == "diverged"


def test_json_on_stdout_is_the_run_alone(archlab: Call) -> None:
    document = json.loads(archlab("train", "lenet", "--lr", "0.01", "--option", "width=2", "--json").stdout)
    assert document["schema"] == "archlab.run/1"
    assert document["config"]["learning_rate"] == 0.01
    assert document["config"]["options"] == {"width": 2.0}


def test_probes_are_asked_for_by_options(archlab: Call) -> None:
    chosen = ["--probe-every", "30", "--probes", "rank, signals", "--landscape", "21"]
    result = archlab("train", "lenet", *chosen, "--epochs", "1", "--train-samples", "480")
    assert result.exit_code == 0
    (run,) = open_store().runs()
    assert (run.config.probe_every, run.config.probed, run.config.landscape) == (30, ("signals", "rank"), 21)


def test_help_promises_no_training_of_a_trace(archlab: Call) -> None:
    assert "FILE.json" not in archlab("train", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["lenett"], "did you mean lenet"),
        (["lenet", "--option", "norm=nothing"], "option norm of lenet takes"),
        (["lenet", "--bn", "maybe"], "--bn 'maybe' is none of on, off, scratch"),
        (["lenet", "--bn", "off", "--option", "norm=none"], "given twice"),
        (["lenet", "--epochs", "0"], "Invalid value for '--epochs'"),
        (["lenet", "--probe-every", "-1"], "Invalid value for '--probe-every'"),
    ],
)
def test_a_wrong_call_is_one_message_and_leaves_with_2(archlab: Call, arguments: list[str], message: str) -> None:
    result = archlab("train", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
