"""`archlab bn`: a checkpoint or a stored run at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archlab.records import NormHealth
from tests.cli.conftest import Call
from tests.normalisation.test_faults import little_momentum
from tests.normalisation.trained import SOURCE, saved


def test_what_matters_is_said_first_and_the_exit_code_is_asked_for(archlab: Call, tmp_path: Path) -> None:
    call = ("bn", SOURCE, "--weights", str(saved(tmp_path, little_momentum)), "--dataset", "digits", "--images", "200")
    result = archlab(*call)
    assert result.exit_code == 0
    assert result.stdout.startswith("- Problem: running statistics")
    assert "Answers of tests.normalisation.trained:build" in result.stdout
    assert "found at 'state_dict', 'module.' taken off their names." in result.stderr
    assert archlab(*call, "--strict").exit_code == 1


def test_a_healthy_network_passes_the_strict_exam(archlab: Call, tmp_path: Path) -> None:
    call = ("bn", SOURCE, "--weights", str(saved(tmp_path)), "--dataset", "digits", "--images", "600", "--strict")
    result = archlab(*call)
    assert result.exit_code == 0
    assert result.stdout.startswith("Verdict: nothing wrong was found.")


def test_the_forms_of_what_was_found(archlab: Call, tmp_path: Path) -> None:
    call = ("bn", SOURCE, "--weights", str(saved(tmp_path)))
    assert archlab(*call, "--json", "-o", "net.json").exit_code == 0
    health = NormHealth.read("net.json")
    assert [layer.path for layer in health.layers] == ["1", "4"]
    assert NormHealth.from_json(health.to_json()) == health
    assert archlab(*call, "--format", "csv").stdout.startswith("layer,channels,not_finite,")
    assert archlab(*call, "-o", "net.html").stdout.startswith("Verdict: nothing wrong was found.")
    assert "<title>BatchNorm of tests.normalisation.trained:build" in Path("net.html").read_text()
    assert archlab("report", "net.json", "-o", "again.html").exit_code == 0
    assert "Looked at, and in order" in Path("again.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet"], "lenet is built with random weights"),
        (["lenet", "--weights", "missing.pt"], "there is no file missing.pt"),
        (["lenet", "--key", "ema", "--dataset", "digits"], "--weights was not given"),
        (["nothing"], "nothing"),
        (["lenet", "--weights", "w.pt", "-o", "x.svg"], "no suffix that says what to write"),
    ],
)
def test_bad_input_is_one_message(archlab: Call, arguments: list[str], message: str) -> None:
    result = archlab("bn", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_stored_run_is_examined_by_its_recording(archlab: Call) -> None:
    assert archlab("train", SOURCE, "--epochs", "1", "--train-samples", "256", "--device", "cpu").exit_code == 0
    result = archlab("bn", "newest", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["run"]
    assert [layer["path"] for layer in document["layers"]] == ["1", "4"]
    assert [one["statistics"] for one in document["outcomes"]] == ["running", "precise"]
    refused = archlab("bn", "newest", "--images", "100")
    assert refused.exit_code == 2
    assert "--images is for a network, and a run was named" in refused.stderr
    assert archlab("bn", "newest", "-o", "run.html").exit_code == 0
