"""Files of the diagram."""

import subprocess
import sys
from pathlib import Path

import pytest

from archlab.errors import InputError
from archlab.reports.diagram import picture, save, svg
from tests.reports.diagrams import stack


def test_svg_and_html(tmp_path: Path) -> None:
    drawing = save(tmp_path / "net.svg", stack(3), only="blocks.0", colour="parameters")
    assert drawing.read_text(encoding="utf-8") == svg(stack(3), only="blocks.0", colour="parameters")
    page = save(tmp_path / "net.HTML", stack(3))
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"net\.jpg has an ending .* expected \.svg, \.html, \.png"):
        save(tmp_path / "net.jpg", stack(1))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        save(tmp_path / "none" / "net.svg", stack(1))


def test_a_missing_browser_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(picture, "BROWSER_PATHS", ())
    with pytest.raises(InputError, match=r"needs a browser, and none was found .*BROWSER_PATH.*\.svg or \.html"):
        save(tmp_path / "net.png", stack(1))
    assert not (tmp_path / "net.png").exists()


def test_a_browser_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", sys.executable)  # knows none of the options
    with pytest.raises(InputError, match="drew no PNG"):
        save(tmp_path / "net.png", stack(1))


def test_drawing_loads_no_torch() -> None:
    code = "import sys, archlab.reports.diagram; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
