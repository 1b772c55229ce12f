"""A second look at a network is the first one's answer, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import archlab.tracing
from archlab import kept
from tests.cli.conftest import Call


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARCHLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "traces"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The networks that were measured."""
    names: list[str] = []
    trace = archlab.tracing.trace

    def note(source, *given, **options):  # type: ignore[no-untyped-def]
        names.append(source.name)
        return trace(source, *given, **options)

    monkeypatch.setattr(archlab.tracing, "trace", note)
    return names


@pytest.mark.parametrize(
    "words",
    [
        ("shapes", "lenet"),
        ("shapes", "lenet", "--json", "--depth", "all"),
        ("shapes", "lenet", "--columns", "+saved", "--batch", "4"),
        ("growth", "lenet"),
        ("diff", "lenet", "lenet", "--bn", "off"),
        ("check", "lenet", "--max-parameters", "1000000"),
        ("graph", "lenet", "--format", "mermaid"),
        ("shapes", "torchvision:alexnet"),
    ],
)
def test_the_second_answer_is_the_first(
    words: tuple[str, ...], archlab: Call, cache: Path, measured: list[str]
) -> None:
    first = archlab(*words)
    assert first.exit_code in (0, 1)
    count = len(measured)
    assert count
    second = archlab(*words)
    assert (second.stdout, second.exit_code) == (first.stdout, first.exit_code)
    assert len(measured) == count
    assert archlab(*words, "--no-cache").stdout == first.stdout
    assert len(measured) == 2 * count


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((), ("--bn", "off")),
        ((), ("--input", "4x1x28x28")),
        (("--batch", "2"), ("--batch", "3")),
        (("--columns", "+saved"), ("--columns", "+backward")),
    ],
)
def test_another_question_is_another_answer(
    first: tuple[str, ...], second: tuple[str, ...], archlab: Call, cache: Path, measured: list[str]
) -> None:
    for words in (first, second):
        kept = archlab("shapes", "lenet", *words).stdout
        assert archlab("shapes", "lenet", *words, "--no-cache").stdout == kept
    assert len(measured) == 4
    assert len(list(cache.iterdir())) == 2


def test_what_nobody_can_see_is_measured_anew(archlab: Call, cache: Path, measured: list[str]) -> None:
    """A user's file, values from a file; nor is anything kept where nobody wants it, or nothing can be written."""
    Path("mine.py").write_text("from torch import nn\ndef net(): return nn.Linear(3, 2)\n")
    for _ in range(2):
        assert archlab("shapes", "mine.py:net", "--input", "1x3").exit_code == 0
    assert len(measured) == 2
    assert not cache.exists()
    cache.parent.write_text("no folder")
    for _ in range(2):
        assert archlab("shapes", "lenet").exit_code == 0
    assert len(measured) == 4


@pytest.mark.parametrize("damage", [b"", b"{", b"x\n{}", b"\xff" * 100, None])
def test_a_damaged_answer_is_none(damage: bytes | None, archlab: Call, cache: Path, measured: list[str]) -> None:
    first = archlab("shapes", "lenet").stdout
    (path,) = cache.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:200] + b"7" + content[201:] if damage is None else damage)
    assert archlab("shapes", "lenet").stdout == first
    assert len(measured) == 2
    assert path.read_bytes() == content


def test_it_is_shown_bounded_and_cleared(archlab: Call, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archlab("shapes", "lenet")
    assert ": 1 answer," in archlab("cache", "show").stdout
    (oldest,) = cache.iterdir()
    os.utime(oldest, (1, 1))
    monkeypatch.setattr(kept, "MOST_BYTES", oldest.stat().st_size + 10)
    archlab("shapes", "lenet", "--bn", "off")
    assert len(list(cache.iterdir())) == 1
    assert not oldest.exists()
    assert "1 answer forgotten" in archlab("cache", "clear").stderr
    assert not list(cache.iterdir())
    monkeypatch.setenv("ARCHLAB_CACHE", "off")
    assert "nothing is kept" in archlab("cache", "show").stdout


def test_the_second_look_imports_no_torch(tmp_path: Path) -> None:
    words = "import sys; from archlab.cli.app import app; sys.argv = ['archlab', 'shapes', 'torchvision:alexnet']\n"
    words += "try: app()\nexcept SystemExit: print('torch' in sys.modules)"
    environment = os.environ | {"ARCHLAB_CACHE": str(tmp_path)}
    answers = [
        subprocess.run(
            [sys.executable, "-c", words], capture_output=True, text=True, check=True, env=environment
        ).stdout
        for _ in range(2)
    ]
    assert [answer.splitlines()[-1] for answer in answers] == ["True", "False"]
    assert answers[0].splitlines()[:-1] == answers[1].splitlines()[:-1]
