"""Verdicts beneath runs and comparisons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archlab.records import Run
from archlab.store import open_store
from tests.analysis.recordings import Trained, healthy
from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("no_training")


def stored(trained: Trained) -> Run:
    """The run in the store of the command line."""
    with open_store().writer(trained.run.config, {}) as writer:
        for epoch in trained.run.epochs:
            writer.append(epoch)
        steps, nothing = np.arange(1, len(trained.losses) + 1), np.full(len(trained.losses), np.nan, np.float32)
        curves = {"step": steps, "train_loss": trained.losses, "train_accuracy": nothing}
        return writer.finish(curves, trained.recording)


def verdicts(text: str) -> list[str]:
    """The lines of the list, which is the last thing that is shown of runs."""
    return text.split("\nVerdicts", 1)[1].splitlines()[1:]


def test_a_run_is_shown_with_all_verdicts_in_its_table_alone(archlab: Call) -> None:
    run = stored(healthy(noise=3**-0.5))
    problem, note, good = verdicts(archlab("runs", "show", run.key).stdout)
    assert problem.startswith("- Problem: batch noise (")
    assert "What to do: Use batches of 16 images or more" in problem
    assert note.startswith("- Note: running statistics")
    assert good == "- In order: learning, channels."
    assert archlab("runs", "show", run.key, "--json").stdout.rstrip() == run.to_json()
    for form in ("csv", "markdown", "html"):
        assert "Verdicts" not in archlab("runs", "show", run.key, "--format", form).stdout
    archlab("runs", "show", run.key, "-o", "run.txt")
    assert "Verdicts" not in Path("run.txt").read_text()


def test_a_comparison_ends_with_the_worst(archlab: Call) -> None:
    # Made-up runs cost 10 points with running statistics; one seed is too few; three variants share the first.
    shown = archlab("compare", "--lr", "0.1,0.2,0.3", "--seeds", "1", "--no-report", "--full").stdout
    assert "Verdicts (1 problem, 1 warning" in shown
    assert [line.split(":")[0] for line in verdicts(shown)][:2] == ["- Problem", "- Warning"]
    assert "Likewise in lr=0.2, lr=0.3." in verdicts(shown)[0]
    key = open_store().comparisons()[0].key
    assert [*verdicts(archlab("runs", "show", key).stdout), "", *shown.splitlines()[-3:]] == verdicts(shown)
    short = archlab("compare", "--lr", "0.1,0.2,0.3", "--seeds", "1", "--no-report").stdout
    assert "Verdict: 1 problem, 1 warning; the worst is " in short
    assert "Verdicts" not in short
    assert "Verdicts" not in archlab("compare", "--lr", "0.1,0.2,0.3", "--seeds", "1", "--no-report", "--json").stdout


def test_a_comparison_of_which_nothing_is_left_has_no_verdicts(archlab: Call) -> None:
    archlab("compare", "--bn", "off", "--seeds", "1", "--no-report")
    store = open_store()
    for run in store.runs():
        store.delete(run.key)
    shown = archlab("runs", "show", store.comparisons()[0].key)
    assert shown.exit_code == 0
    assert "Verdicts" not in shown.stdout


def test_a_damaged_recording_is_warned_of_and_no_more(archlab: Call) -> None:
    run = stored(healthy())
    (open_store().path / "runs" / run.key / "norms.safetensors").write_bytes(b"damaged")
    shown = archlab("runs", "show", run.key)
    assert shown.exit_code == 0
    assert "norms.safetensors is damaged: it has 7 bytes, expected" in shown.stderr
    assert "Not recorded, and so not looked at: the BatchNorm layers of 1 of 1 run." in shown.stdout


def test_a_layer_s_name_can_not_move_the_cursor(archlab: Call) -> None:
    trained = healthy(noise=3**-0.5)
    assert trained.recording is not None
    for part in (trained.recording.layers, trained.recording.population):
        kept = dict(part)
        part.clear()  # type: ignore[attr-defined]
        part.update({f"{path}\x1b[2J\u202e": values for path, values in kept.items()})  # type: ignore[attr-defined]
    shown = archlab("runs", "show", stored(trained).key).stdout
    assert "\x1b" not in shown
    assert "\\x1b[2J\\u202e" in shown
