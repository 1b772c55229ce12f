"""`archlab compare --dry-run`: what would be trained, and what it takes."""

import json
from pathlib import Path

import pytest

from archlab.store import open_store
from archlab.tables.plan import PlannedVariant, plan_table
from archlab.tables.text import text
from tests.cli.conftest import Call

SMALL = ("compare", "--bn", "off", "--epochs", "1", "--train-samples", "64", "--test-samples", "32", "--workers", "1")


def test_a_dry_run_trains_nothing_and_knows_the_store(archlab: Call, tmp_path: Path) -> None:
    planned = archlab(*SMALL, "--seeds", "2", "--dry-run", "--json")
    plan = json.loads(planned.stdout)
    assert not (tmp_path / "store").exists()
    assert [(one["name"], one["runs"], one["stored"]) for one in plan["variants"]] == [
        ("norm=batch", 2, 0),
        ("norm=none", 2, 0),
    ]
    expected = sum(2 * one["seconds"] for one in plan["variants"])
    assert plan["seconds"] == plan["seconds_by_workers"]["1"] == pytest.approx(expected)
    # Of a step: 44,878 weights, their gradients and Adam's two moments, 4 bytes each.
    assert all(4 * 4 * 44_426 < one["bytes"] < 10_000_000 for one in plan["variants"])
    assert archlab(*SMALL, "--seeds", "1", "--no-report").exit_code == 0
    plan = json.loads(archlab(*SMALL, "--seeds", "2", "--dry-run", "--json").stdout)
    assert [one["stored"] for one in plan["variants"]] == [1, 1]
    assert len(open_store(tmp_path / "store").runs()) == 2


@pytest.mark.parametrize("option", [("--full",), ("--live",), ("--no-report",), ("--max-lr", "0.1,1")])
def test_what_a_dry_run_can_not_do_is_refused(option: tuple[str, ...], archlab: Call) -> None:
    refused = archlab(*SMALL, "--dry-run", *option)
    assert refused.exit_code == 2
    assert f"{option[0]} is for runs that are trained, and --dry-run trains none" in refused.stderr


def test_no_worker_splits_a_run() -> None:
    variants = [PlannedVariant("a", 3, 1, 60.0, 5_000_000), PlannedVariant("b", 3, 3, 600.0, None)]
    shown = text(plan_table(variants, 120.0, {1: 120.0, 2: 60.0, 4: 60.0}, 2))
    assert "2 runs to train: 2 minutes one after another, 60 s on 2 workers." in shown
    assert "5 MB" in shown
