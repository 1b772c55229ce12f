"""`archlab serve` and `archlab compare --live`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from archlab.store import open_store
from tests.cli import trained
from tests.cli.command import run
from tests.cli.conftest import Call

pytest.importorskip("starlette", reason="starlette is not installed: pip install 'archlab[serve]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'archlab[serve]'")

ADDRESS = re.compile(r"^Live: (http://127\.0\.0\.1:\d+/[\w-]{32}/)$", re.MULTILINE)


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the store's page answers while a command waits or trains; then Ctrl-C comes."""
    found: list[int] = []

    def visit(*_: object) -> None:
        from archlab.reports.live.access import last_address

        last = last_address(open_store().path)
        url = f"http://127.0.0.1:{last.port}/{last.token}/"
        found.append(httpx.get(url, trust_env=False, timeout=20).status_code)
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", visit)
    return found


def test_the_store_is_served_until_ctrl_c(archlab: Call, visits: list[int]) -> None:
    result = archlab("serve")
    assert (result.exit_code, visits) == (0, [200])
    assert result.stdout == ""
    assert ADDRESS.search(result.stderr)
    assert result.stderr.endswith("stopped\n")


def test_the_browser_opens_only_when_it_is_asked_for(
    archlab: Call, visits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    archlab("serve")
    assert opened == []
    result = archlab("serve", "--open")
    assert opened == ADDRESS.findall(result.stderr)


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_it_says_what_to_install(
    archlab: Call, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = archlab("serve")
    assert result.exit_code == 2
    assert f"the live page needs {package}, which is not installed: pip install 'archlab[serve]'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--token", "guess"), "the token 'guess' is no secret: expected 16 or more letters, digits, - or _"),
        (("--store", "file"), "the store file is a file, expected a folder"),
        (("--port", "0"), "'--port'"),
    ],
)
def test_what_cannot_be_is_refused(archlab: Call, arguments: tuple[str, ...], message: str) -> None:
    Path("file").touch()
    result = archlab("serve", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_comparison_is_followed_and_its_report_stays(
    archlab: Call, no_training: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []

    def train_all(*given: Any) -> object:
        from archlab.reports.live.access import last_address

        last = last_address(open_store().path)
        url = f"http://127.0.0.1:{last.port}/{last.token}/"
        pages.append(httpx.get(url, trust_env=False, timeout=20).text)
        return trained.train_all(*given)

    monkeypatch.setattr("archlab.training.train_all", train_all)
    result = archlab("compare", "--bn", "off", "--seeds", "2", "--live")
    assert result.exit_code == 0, result.stderr
    assert ADDRESS.search(result.stderr)
    assert pages[0].count('<span class="state">waiting</span>') == 4  # 2 variants x 2 seeds
    assert (open_store().path / "reports").is_dir()


def test_open_without_live_is_refused() -> None:
    outcome = run("compare", "--bn", "off", "--open")
    assert outcome.code == 2
    assert "--open opens the page of --live, which was not given" in outcome.err
