"""Runs that are trained as one program, from the command line."""

from __future__ import annotations

from archlab.store import open_store
from tests.cli.conftest import Call

WORDS = [
    "--bn",
    "off",
    "--epochs",
    "1",
    "--train-samples",
    "96",
    "--test-samples",
    "20",
    "--seeds",
    "2",
    "--workers",
    "1",
]


def test_what_is_chosen_is_said_and_kept(archlab: Call) -> None:
    words = ["compare", *WORDS, "--batch-size", "8", "--option", "width=0.2", "--store", "store", "--no-report"]
    done = archlab(*words, "--stack", "2")
    assert done.stderr.count("2 runs are trained as one program\n") == 2, done.stderr
    runs = open_store("store").runs()
    assert [run.environment["stacked"] for run in runs] == [True] * 4
    assert all("-stacked-seed" in run.key for run in runs)
    again = archlab(*words, "--stack", "auto")
    assert "4 of 4 runs were in the store already" in again.stderr


def test_a_number_is_two_or_more(archlab: Call) -> None:
    refused = archlab("compare", *WORDS, "--stack", "1")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "expected auto, off, or how many runs at a time, from 2 on" in refused.stderr
