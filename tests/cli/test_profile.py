"""`archlab profile`, and the times that other commands show."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from archlab.profiling import machine
from archlab.records import Profile
from tests.cli.command import run


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LARGEST", 64)
    monkeypatch.setattr(machine, "SMALLEST", 64)
    monkeypatch.setattr(machine, "COPIED_BYTES", 2**16)


def test_the_command_gives_what_the_library_gives(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    settings = ["--batch", "2", "--backward", "--device", "cpu", "--repeats", "5"]
    outcome = run("profile", "lenet", *settings, "--json", "--report", str(page))
    assert outcome.code == 0
    found = Profile.from_json(outcome.out)
    assert (found.repeats, found.mode, found.machine.device, found.inputs[0][0]) == (5, "training", "cpu", 2)
    assert all(layer.forward and layer.backward for layer in found.layers)
    assert f"wrote {page}" in outcome.err
    assert "Where the time goes" in page.read_text()


def test_a_kept_profile_makes_a_report(tmp_path: Path) -> None:
    kept, page = tmp_path / "lenet.json", tmp_path / "page.html"
    assert run("profile", "lenet", "--device", "cpu", "--repeats", "5", "-o", str(kept)).code == 0
    assert run("report", str(kept), "-o", str(page)).code == 0
    assert "Roofline" in page.read_text()


def test_the_column_is_measured_when_it_is_asked_for() -> None:
    rows = list(csv.DictReader(run("shapes", "lenet", "--columns", "time", "--format", "csv").out.splitlines()))
    assert all(float(row["seconds"]) > 0 for row in rows)
    assert json.loads(run("shapes", "lenet", "--json").out)["layers"][0]["seconds"] is None


def test_a_diagram_is_coloured_by_time(tmp_path: Path) -> None:
    path = tmp_path / "lenet.svg"
    assert run("graph", "lenet", "--colour", "time", "-o", str(path)).code == 0
    assert "is-step-" in path.read_text()
    assert "is-unknown" not in path.read_text().partition("</style>")[2]


def test_two_networks_are_measured_side_by_side() -> None:
    outcome = run("diff", "lenet", "lenet", "--after", "norm=none", "--profile", "--format", "csv")
    rows = {row["path"]: row for row in csv.DictReader(outcome.out.splitlines())}
    removed = rows["norm_1"]
    assert removed["change"] == "removed"
    assert float(removed["seconds_difference"]) == -float(removed["seconds"])
    assert "seconds" not in run("diff", "lenet", "lenet", "--format", "csv").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace.json"], "trace.json is a record, and has no weights"),
        (["lenet", "--repeats", "2"], "repeats is 2: a median with its quartiles needs 5 or more"),
        (["lenet", "--device", "toaster"], "there is no device 'toaster'"),
        (["lenet", "--depth", "none"], "--depth 'none' is no depth"),
    ],
)
def test_a_wrong_call_is_one_message(arguments: list[str], message: str) -> None:
    outcome = run("profile", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.out == ""
