from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from archlab.experiments import names
from archlab.records.experiment import Experiment, ExperimentResult
from tests.cli.conftest import Call

MINE = """
title = "Mine"
claim = "Without BatchNorm it is worse."
source = "Nobody 2026"
protocol = "LeNet."
refuted = "It is as good."
look = "The curves."
seeds = 4

[[parts]]
name = "norm"
network = "lenet"
vary = { norm = ["batch", "none"] }

[[parts.expect]]
variant = "norm=none"
baseline = "norm=batch"
direction = "DIRECTION"
published = "much worse"
"""


def mine(folder: Path, direction: str = "lower") -> str:
    path = folder / "mine.toml"
    path.write_text(MINE.replace("DIRECTION", direction), encoding="utf-8")
    return str(path)


def test_the_list_names_each_experiment_with_its_claim(archlab: Call) -> None:
    lines = archlab("experiment", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[2:] if line[:1].strip() and not line.startswith("archlab ")] == names()
    assert max(map(len, lines)) < 180, "prose is wrapped in a pipe too"
    document = json.loads(archlab("experiment", "list", "--json").stdout)
    assert [one["name"] for one in document["experiments"]] == names()


def test_the_protocol_and_the_commands_are_shown_and_nothing_is_built(archlab: Call, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = MINE.replace("DIRECTION", "lower").replace('"lenet"', '"nowhere.py:build"')
    path.write_text(text, encoding="utf-8")
    out = archlab("experiment", "show", str(path)).stdout
    assert "refuted if  It is as good." in out
    assert "archlab compare nowhere.py:build --vary norm=batch,none --seeds 4" in out
    assert Experiment.from_json(archlab("experiment", "show", str(path), "--json").stdout).name == "mine"


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("direction", "conclusion"),
    [
        ("lower", "The claim comes out: every expectation holds."),
        ("higher", "The claim does not come out: 1 of 1 expectations fail."),
    ],
)
def test_a_run_ends_with_the_verdict(archlab: Call, tmp_path: Path, direction: str, conclusion: str) -> None:
    # made-up accuracies: .90 .91 .90 .91 with BatchNorm, .70 .71 .70 .71 without
    result = archlab("experiment", "run", mine(tmp_path, direction))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    (row,) = [line.split() for line in lines if line.startswith("  norm=none minus norm=batch")]
    assert row[3:6] == [direction, "-20.00", "points"]
    assert "norm=none minus norm=batch: 70.50 % against 90.50 % here. Published: much worse." in lines
    page = Path(next(line for line in lines if line.startswith("Page: ")).removeprefix("Page: "))
    assert page == tmp_path / "store" / "reports" / "mine-digits.html"
    assert conclusion in page.read_text(encoding="utf-8")
    assert lines[-1] == f"Verdict: {conclusion}"


def test_a_file_to_begin_with_is_an_experiment(archlab: Call, tmp_path: Path) -> None:
    assert archlab("experiment", "show", "degradation", "--toml", "-o", "mine.toml").exit_code == 0
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert archlab("experiment", "show", "degradation", "--toml").stdout == text
    documents = [
        json.loads(archlab("experiment", "show", name, "--json").stdout) for name in ("mine.toml", "degradation")
    ]
    assert [document.pop("name") for document in documents] == ["mine", "degradation"]
    assert documents[0] == documents[1]
    assert archlab("experiment", "show", "degradation", "--toml", "--json").exit_code == 2


@pytest.mark.usefixtures("no_training")
def test_the_result_is_a_document_and_a_table_for_programs(archlab: Call, tmp_path: Path) -> None:
    found = archlab("experiment", "run", mine(tmp_path), "--seeds", "3", "--json", "--no-report")
    document = ExperimentResult.from_json(found.stdout)
    assert (document.verdict, document.comparisons[0].seeds) == ("comes out", (0, 1, 2))
    (tmp_path / "result.json").write_text(found.stdout, encoding="utf-8")
    assert archlab("report", "result.json", "-o", "again.html").exit_code == 0
    assert "The claim comes out" in (tmp_path / "again.html").read_text(encoding="utf-8")
    fresh = archlab("experiment", "run", mine(tmp_path), "--seeds", "100-102", "--json", "--no-report")
    (compared,) = ExperimentResult.from_json(fresh.stdout).comparisons
    assert compared.seeds == (100, 101, 102)
    assert "--seeds 100-102" in compared.command
    markdown = archlab("experiment", "run", mine(tmp_path), "--format", "markdown", "--no-report").stdout
    assert "Verdict: The claim comes out" in markdown
    text = archlab("experiment", "run", mine(tmp_path), "--format", "csv", "--no-report").stdout
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["variant"], row["expected"], row["fulfilment"], row["n"]) == ("norm=none", "lower", "holds", "4")
    assert float(row["mean"]) == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "degradatoin"], "did you mean degradation"),
        (["run", "missing.toml"], "missing.toml can't be read"),
        (["run", "degradation", "--report", "a.html", "--no-report"], "leave one of them out"),
        (["run", "degradation", "--dataset", "nowhere"], "nowhere"),
        (["show", "nothing"], "there is no experiment 'nothing'"),
    ],
)
def test_a_wrong_call_is_one_message_and_leaves_with_2(archlab: Call, arguments: list[str], message: str) -> None:
    result = archlab("experiment", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
