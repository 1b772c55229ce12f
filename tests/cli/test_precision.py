"""Every output of a training in mixed precision says so."""

from __future__ import annotations

from archlab.store import open_store
from archlab.tables.runs import run_table
from tests.cli.conftest import Call


def test_every_output_says_so(archlab: Call) -> None:
    words = ["--precision", "bf16", "--epochs", "1", "--train-samples", "32", "--test-samples", "20"]
    first = archlab("train", "lenet", *words, "--store", "store")
    assert ", bf16" in first.stdout
    (run,) = open_store("store").runs()
    assert "-bf16-seed0-" in run.key
    assert run.key in first.stdout
    assert "bf16" in str(run_table(run).title)
    compared = archlab("compare", "--bn", "off", *words, "--seeds", "1", "--store", "store", "--workers", "1")
    assert compared.stdout.splitlines()[0].endswith(", bf16")
    (comparison,) = open_store("store").comparisons()
    assert "-bf16-" in comparison.key
    page = open_store("store").report_path(comparison.key).read_text(encoding="utf-8")
    assert "bf16" in page


def test_it_is_compared_and_others_are_refused(archlab: Call) -> None:
    words = ["--epochs", "1", "--train-samples", "32", "--test-samples", "20", "--seeds", "1", "--workers", "1"]
    found = archlab("compare", "--precision", "fp32,bf16", *words, "--no-report").stdout
    assert "precision=bf16 minus precision=fp32" in found
    refused = archlab("train", "lenet", "--precision", "fp16")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "expected one of fp32, tf32, bf16" in refused.stderr
