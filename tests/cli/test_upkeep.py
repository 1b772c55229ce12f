"""`archlab runs verify` and `archlab runs repair`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from archlab.store import open_store
from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("no_training")


@pytest.fixture
def folders(archlab: Call) -> list[Path]:
    """Of two runs of a comparison."""
    archlab("compare", "--bn", "off", "--seeds", "1", "--no-report")
    return [folder.path for folder in open_store().run_folders()]


def test_a_whole_store_is_verified(archlab: Call, folders: list[Path]) -> None:
    done = archlab("runs", "verify")
    assert done.exit_code == 0
    assert "0 records damaged" in done.stdout
    assert "\n3 whole." in done.stdout
    document = json.loads(archlab("runs", "verify", folders[0].name[:20], "--json").stdout)
    assert (document["schema"], [one["state"] for one in document["found"]]) == ("archlab.soundness/1", ["whole"])
    assert "there is nothing to do" in archlab("runs", "repair").stderr


def test_damage_is_said_and_moved_aside(archlab: Call, folders: list[Path]) -> None:
    damaged = folders[0] / "curves.safetensors"
    damaged.write_bytes(b"x")
    (folders[1] / "run.json").write_bytes(b"\xff")
    left = folders[0].parent / ".0123abcd"
    left.mkdir()
    os.utime(left, (1e9, 1e9))
    listed = archlab("runs", "list")
    assert listed.exit_code == 0
    assert folders[0].name in listed.stdout
    assert f"the run in {folders[1]} can't be read" in listed.stderr
    shown = archlab("runs", "show", open_store().comparisons()[0].key)
    assert (shown.exit_code, f"warning: the run in {folders[1]} can't be read" in shown.stderr) == (0, True)
    done = archlab("runs", "verify")
    assert done.exit_code == 1
    assert "2 records damaged" in done.stdout
    assert "1 leftover of processes that are gone" in done.stdout
    would = archlab("runs", "repair", "--dry-run").stdout
    assert [line[:10] for line in would.splitlines()] == ["- would re", "- would mo", "- would mo"]
    assert damaged.exists()
    assert [line[:6] for line in archlab("runs", "repair").stdout.splitlines()] == ["- remo", "- move", "- move"]
    assert archlab("runs", "verify").exit_code == 0
    assert (open_store().path / "damaged" / "runs" / folders[0].name / "curves.safetensors").read_bytes() == b"x"
    assert not folders[1].exists()


def test_unknown_keys_are_refused(archlab: Call, folders: list[Path]) -> None:
    for command in ("verify", "repair"):
        done = archlab("runs", command, "x")
        assert (done.exit_code, "no run or comparison 'x'" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ["notes.txt", "x.partial"])
def test_what_is_no_run_can_be_deleted(archlab: Call, folders: list[Path], name: str) -> None:
    stray = folders[0].parent / name
    stray.write_text("mine")
    assert "can't be read" in archlab("runs", "list").stderr
    assert archlab("runs", "delete", name).exit_code == 0
    assert not stray.exists()
    assert archlab("runs", "list").stderr == ""
