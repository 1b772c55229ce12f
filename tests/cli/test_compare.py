from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archlab.records import Comparison
from archlab.store import open_store
from archlab.tables import text
from archlab.tables.comparison import answer_table
from archlab.training.estimate import TimeEstimate
from tests.cli import trained
from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("no_training")


def test_a_comparison_shows_means_differences_findings_and_the_report(archlab: Call, tmp_path: Path) -> None:
    result = archlab("compare", "--bn", "off", "--full")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "lenet on digits: 5 epochs, batch 16, learning rate 0.001"
    # accuracies .90 .91 .90 .91 .90 .91: sd .005477, so that the interval is .905 +- 2.5706 * .005477 / sqrt(6)
    assert "  norm=batch  6  90.50 %    89.93 to 91.07" in lines
    assert "  norm=none   6  70.50 %    69.93 to 71.07" in lines
    assert any(line.split() == ["norm=batch", "44,878"] for line in lines)
    assert lines[lines.index("Findings") + 1].startswith("- norm=batch reaches")
    assert lines[-1] == "Without BatchNorm, LeNet reaches a lower test accuracy: 70 % against 91 %, in 6 of 6 seeds."
    assert lines[-3] == (
        "norm=none has a lower test accuracy (precise statistics) than norm=batch: 70.50 % against 90.50 %, a "
        "difference of -20.00 percentage points (95 % interval -20.43 to -19.57, n = 6, p < 0.001)."
    )
    report = Path(lines[-5].removeprefix("Report: "))
    assert report.parent == tmp_path / "store" / "reports"
    assert report.read_text().startswith("<!doctype html>")


def test_a_comparison_ends_with_its_answer_below_the_primary_metric_alone(archlab: Call, tmp_path: Path) -> None:
    lines = archlab("compare", "--bn", "off").stdout.splitlines()
    key = open_store().comparisons()[0].key
    assert lines[:7] == [
        "lenet on digits: 5 epochs, batch 16, learning rate 0.001",
        "",
        "test accuracy               n           mean     95 % interval  verdict",
        "-----------------------------------------------------------------------",
        "norm=batch                  6        90.50 %    89.93 to 91.07",
        "norm=none                   6        70.50 %    69.93 to 71.07",
        "norm=none minus norm=batch  6  -20.00 points  -20.43 to -19.57  lower",
    ]
    assert lines[7:] == [
        "",
        "Verdict: 1 problem; the worst is running statistics (norm=batch).",
        f"Report: {tmp_path / 'store' / 'reports' / key}.html",
        f"More: archlab runs show {key}, or --full",
        "",
        "Without BatchNorm, LeNet reaches a lower test accuracy: 70 % against 91 %, in 6 of 6 seeds.",
    ]


def test_the_short_table_of_a_crossed_design_fits_80_columns(archlab: Call) -> None:
    archlab("compare", "--vary", "norm=batch,none", "--lr", "0.125,0.25", "--seeds", "2", "--no-report")
    drawn = text(answer_table(open_store().comparisons()[0]), 80).splitlines()
    assert max(map(len, drawn)) <= 80
    assert sum(set(line) == {"-"} for line in drawn) == 1  # one block of columns
    assert not any("..." in line for line in drawn)


def test_what_happens_is_told_on_stderr_line_by_line_in_a_pipe(archlab: Call) -> None:
    result = archlab("compare", "--bn", "off", "--seeds", "1", "--no-report")
    assert result.stderr.splitlines() == [
        "2 runs of lenet on digits: about 7 s on this machine",
        "[1/2] norm=batch, seed 0: test accuracy 90.0% (5 s)",
        "[2/2] norm=none, seed 0: test accuracy 70.0% (5 s)",
    ]
    assert "Report" not in result.stdout


def test_json_on_stdout_is_the_document_alone(archlab: Call, tmp_path: Path) -> None:
    result = archlab("compare", "--bn", "off", "--seeds", "2", "--json", "--report", "page.html")
    document = json.loads(result.stdout)
    assert document["schema"] == "archlab.comparison/1"
    assert document["seeds"] == [0, 1]
    assert [variant["name"] for variant in document["variants"]] == ["norm=batch", "norm=none"]
    assert Comparison.from_dict(document).key == document["key"]
    assert "Report: page.html" in result.stderr
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("file", "start", "finding"),
    [
        ("c.md", "**lenet on digits", True),
        ("c.csv", "metric,variant,baseline,n,", False),
        ("c.html", "<", True),
        ("c.txt", "lenet on digits", True),
    ],
)
def test_a_file_gets_its_form_from_its_suffix_and_the_findings_with_it(
    archlab: Call, tmp_path: Path, file: str, start: str, finding: bool
) -> None:
    result = archlab("compare", "--bn", "off", "--no-report", "-o", file)
    assert (result.exit_code, result.stdout) == (0, "")
    text = (tmp_path / file).read_text()
    assert text.startswith(start)
    assert ("a lower test accuracy (precise statistics) than" in text) is finding


def test_settings_are_crossed_and_several_learning_rates_compared(archlab: Call) -> None:
    result = archlab(
        "compare", "--vary", "norm=batch,none", "--lr", "0.1,0.2", "--batch-size", "64", "--seeds", "1", "--json"
    )
    document = json.loads(result.stdout)
    assert [variant["name"] for variant in document["variants"]] == [
        "lr=0.1, norm=batch",
        "lr=0.1, norm=none",
        "lr=0.2, norm=batch",
        "lr=0.2, norm=none",
    ]
    assert document["settings"]["batch_size"] == 64


def test_a_long_comparison_comes_with_ways_to_shorten_it(archlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.training.estimate_time", lambda *_: TimeEstimate(1500.0))
    result = archlab("compare", "resnet20", "--skip", "off", "--no-report")
    assert "12 runs of resnet20 on digits: about 25 minutes on this machine" in result.stderr
    assert "Shorter: --epochs 1 (about 5 minutes), fewer seeds, --train-samples N" in result.stderr


def test_a_variant_that_fails_while_it_is_timed_is_named_and_trained_all_the_same(
    archlab: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate = TimeEstimate(40.0, ("diverged: the loss at step 2 is nan",))
    monkeypatch.setattr("archlab.training.estimate_time", lambda *_: estimate)
    result = archlab("compare", "--lr", "0.1,1e30", "--seeds", "1", "--no-report")
    assert result.exit_code == 0
    told, first, *_ = result.stderr.splitlines()
    assert told == (
        "2 runs of lenet on digits: about 40 s on this machine, without what already failed when it was tried: "
        "diverged: the loss at step 2 is nan"
    )
    assert first == "[1/2] lr=0.1, seed 0: test accuracy 90.0% (5 s)"


def test_a_report_that_cannot_be_kept_is_one_message(archlab: Call, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "reports").write_text("in the way")
    result = archlab("compare", "--bn", "off", "--seeds", "1")
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert "error: " in result.stderr
    assert "reports can't be written" in result.stderr


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(archlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.training.train_all", trained.train_until_stopped)
    result = archlab("compare", "--bn", "off")
    assert result.exit_code == 130
    assert result.stdout == ""
    assert "stopped: 2 of 12 runs are in " in result.stderr
    assert "the same command goes on from there" in result.stderr


def test_a_run_that_failed_is_told_and_leaves_with_1(archlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.training.train_all", trained.train_all_but_one)
    result = archlab("compare", "--bn", "off", "--no-report")
    assert result.exit_code == 1
    assert "norm=none, seed 5: failed: the network failed on a batch" in result.stderr
    assert "norm=none: 1 of 6 runs failed; they are in no mean" in result.stdout


def test_a_run_that_diverged_is_told_counted_and_no_failure(archlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.training.train_all", trained.train_and_diverge)
    result = archlab("compare", "--bn", "off", "--no-report", "--json")
    assert result.exit_code == 0
    assert "norm=none, seed 5: diverged: the loss at step 3 (epoch 1) is nan" in result.stderr
    variant = json.loads(result.stdout)["variants"][1]
    assert (variant["failed"], variant["diverged"], variant["seeds"]) == (0, 1, [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing varies, so that there is nothing to compare lenet with"),
        (["lenet", "--skip", "off"], "lenet has no skip connections to switch"),
        (["--bn", "maybe"], "bn is 'maybe', expected one of on, off, scratch"),
        (["--vary", "norm"], "--vary 'norm' is no K=V,V"),
        (["--vary", "nom=batch,none"], "did you mean norm"),
        (["--vary", "lr=1,2", "--lr", "0.1,0.2"], "lr is varied twice"),
        (["--vary", "norm=batch,none", "--vary", "norm=batch,group"], "norm is varied twice"),
        (["--lr", "fast"], "--lr is 'fast', expected numbers above 0: one, or several as A,B"),
        (["--lr", "0"], "--lr is '0', expected numbers above 0"),
        (["--lr", "0.1,nan"], "--lr is '0.1,nan', expected numbers above 0"),
        (["--lr", "inf,0.1"], "--lr is 'inf,0.1', expected numbers above 0"),
        (["--bn", "off", "--lr=-1"], "--lr is '-1', expected numbers above 0"),
        (["--batch-size", "1.5"], "--batch-size is '1.5', expected whole numbers above 0"),
        (["--batch-size", "64,0"], "--batch-size is '64,0', expected whole numbers above 0"),
        (["--lr", "0.1,0.1"], "each value can be there once"),
        (["lenett", "--bn", "off"], "did you mean lenet"),
        (["--bn", "off", "--option", "widht=2"], "did you mean width"),
        (["--bn", "off", "--report", "a.html", "--no-report"], "--report and --no-report were both given"),
        (["--bn", "off", "--json", "--format", "csv"], "--json means --format json"),
        (["--bn", "off", "--seeds", "0"], "seeds is 0, expected how many (1 or more)"),
        (["--bn", "off", "--seeds", "-1"], "--seeds is '-1', expected how many, as 6, or which, as 100-105"),
        (["--bn", "off", "--seeds", "5-3"], "--seeds is '5-3', expected how many, as 6, or which"),
        (["--bn", "off", "--seeds", "3,3"], "seeds is [3, 3], expected how many (1 or more), or different ones"),
        (["--bn", "off", "--seeds", "1-99999999"], "expected 10,000 at most"),
    ],
)
def test_a_wrong_call_is_one_message_and_leaves_with_2(archlab: Call, arguments: list[str], message: str) -> None:
    result = archlab("compare", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in " ".join(result.stderr.split())


def test_help_teaches_by_examples_and_defaults(archlab: Call) -> None:
    text = archlab("compare", "--help").stdout
    assert "\n  archlab compare --bn off\n  archlab compare resnet20 --skip off" in text
    assert "[default: lenet]" in text
    assert "Default: one per core" in " ".join(text.split())


def test_a_real_comparison_in_a_process_of_its_own(tmp_path: Path) -> None:
    settings = "compare --bn off --seeds 1 --epochs 1 --batch-size 32 --train-samples 64 --test-samples 40 --json"
    call = [sys.executable, "-c", "from archlab.cli.app import main; main()", *settings.split()]
    done = subprocess.run(
        call,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NO_COLOR": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [variant["metrics"]["test_accuracy"]["n"] for variant in document["variants"]] == [1, 1]
    assert "\x1b" not in done.stderr
    report = done.stderr.splitlines()[-1].removeprefix("Report: ")
    assert (tmp_path / report).is_file()
    assert len(list((tmp_path / "archlab-runs" / "runs").iterdir())) == 2


def test_any_setting_that_can_vary_takes_several_values(archlab: Call) -> None:
    result = archlab("compare", "--epochs", "1,2", "--size", "16,28", "--seeds", "1", "--no-report", "--json")
    assert [variant["name"] for variant in json.loads(result.stdout)["variants"]] == [
        "epochs=1, size=16",
        "epochs=1, size=28",
        "epochs=2, size=16",
        "epochs=2, size=28",
    ]


def test_the_largest_learning_rate_is_a_table_of_its_own(archlab: Call) -> None:
    result = archlab("compare", "--bn", "off", "--seeds", "2", "--max-lr", "0.1,1")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("lenet on digits, the largest learning rate that does not diverge: 2 seeds, 5 epochs")
    # Nothing diverges here, so that all seeds stand at the upper bound, and both variants at the same.
    assert [line.split() for line in lines if line.startswith("norm=")][:2] == [
        ["norm=batch", "2", "1", "1", "to", "1"],
        ["norm=none", "2", "1", "1", "to", "1", "1", "1", "to", "1", "1.000"],
    ]
    assert "norm=none: 2 of 2 seeds did not diverge at 1 either and count with it" in result.stdout
    document = json.loads(archlab("compare", "--bn", "off", "--seeds", "2", "--max-lr", "0.1,1", "--json").stdout)
    assert (document["schema"], document["variants"][1]["rates"]) == ("archlab.max-lr/1", [1.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-lr", "0.1"], "--max-lr is '0.1', expected LOW,HIGH"),
        (["--max-lr", "1,0.1"], "expected LOW,HIGH with 0 < LOW < HIGH"),
        (["--max-lr", "0.1,1", "--lr", "0.1,0.2"], "--lr is what --max-lr seeks"),
        (["--max-lr", "0.1,1", "--report", "r.html"], "--max-lr makes no report and no live page"),
        (["--until", "loss=0.1"], "expected accuracy=X or train_accuracy=X"),
        (["--max-lr", "0,1"], "--max-lr is '0,1', expected numbers above 0"),
    ],
)
def test_a_wrong_search_is_one_message(archlab: Call, arguments: list[str], message: str) -> None:
    result = archlab("compare", "--bn", "off", *arguments)
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert message in " ".join(result.stderr.split())
