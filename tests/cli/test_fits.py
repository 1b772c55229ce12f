from __future__ import annotations

import json

import pytest

from archlab.records import MemoryEstimate
from tests.cli.command import run


def test_fits_as_json() -> None:
    outcome = run("shapes", "lenet", "--fits", "20MB", "--optimizer", "sgd", "--batch", "32", "--json")
    estimate = MemoryEstimate.from_dict(json.loads(outcome.out))
    assert (estimate.optimizer, estimate.batch, estimate.budget) == ("sgd", 32, 20_000_000)
    assert estimate.fits


@pytest.mark.parametrize(("batch", "code"), [("8", 0), ("4096", 1)])
def test_a_batch_that_does_not_fit_leaves_with_1(batch: str, code: int) -> None:
    assert run("shapes", "lenet", "--fits", "20MB", "--batch", batch).code == code


def test_fits_as_table() -> None:
    out = run("shapes", "lenet", "--fits", "20MB").out
    assert "activations" in out
    assert "The largest batch that fits is" in out


@pytest.mark.parametrize(
    "arguments", [["--fits", "much"], ["--fits", "1GB", "--optimizer", "lion"], ["--fits", "1GB", "--precision", "fp4"]]
)
def test_wrong_values_are_refused(arguments: list[str]) -> None:
    outcome = run("shapes", "lenet", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert arguments[-1] in outcome.err
