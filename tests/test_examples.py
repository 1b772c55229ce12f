"""The examples in docstrings and on the pages of docs/ do what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from archlab.networks import registry

ROOT = Path(__file__).parent.parent
HOMES = {"archlab": "archlab", "cli": "archlab.cli", "reports": "archlab.reports"}


def modules() -> list[str]:
    """The names of the modules that hold an example."""
    return [
        ".".join((name, *path.relative_to(ROOT / folder).with_suffix("").parts)).removesuffix(".__init__")
        for folder, name in HOMES.items()
        for path in sorted((ROOT / folder).rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", modules())
def test_examples_are_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))  # one example registers a network
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_the_pages_examples_are_right(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    done = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS, encoding="utf-8")
    assert done.attempted > 0
    assert done.failed == 0
