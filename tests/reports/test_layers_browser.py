"""The shape table of a page in a real browser: repeats that open, the way to the diagram and back, a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archlab.reports import save
from tests.reports.diagrams import failed, layer, residual, stack, trace
from tests.reports.test_browser import opened, rows, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.chromium


@pytest.fixture
def stacked(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page on a stem, twelve equal blocks of five layers, and a head: 1 + 12 x 6 + 1 = 74 layers."""
    with opened(browser, save(tmp_path / "stack.html", [stack(12)])) as shown:
        yield shown


def test_repeats_are_one_row_until_they_are_opened(stacked: Page) -> None:
    inner = ["conv_1", "norm", "relu", "conv_2", "add"]
    assert rows(stacked) == ["stem", "blocks.0-11 ×12", "head"]
    fold = stacked.locator("button.fold")
    assert fold.get_attribute("aria-expanded") == "false"
    fold.focus()
    stacked.keyboard.press("Enter")
    assert rows(stacked) == ["stem", "blocks.0-11 ×12", *(f"blocks.{place}" for place in range(12)), "head"]
    assert fold.get_attribute("aria-expanded") == "true"
    assert stacked.evaluate("document.activeElement.className") == "fold"
    stacked.keyboard.press(" ")
    stacked.locator(".layers [name=depth]").select_option("2")
    assert rows(stacked) == ["stem", "blocks.0-11 ×12", *inner, "head"]
    stacked.locator(".layers [name=folds]").uncheck()
    assert len(rows(stacked)) == 74
    assert stacked.locator(".layers .status").text_content() == "74 of 74 rows"


def test_sorting_and_searching_with_repeats(stacked: Page) -> None:
    parameters = stacked.locator(".layers thead button", has_text="parameters").first
    parameters.click()
    assert rows(stacked)[0] == "head"  # 72; the blocks of this stack have none
    assert stacked.locator(".layers .status").text_content() == "3 of 74 rows; ×N rows are sorted by their sums"
    search = stacked.locator(".layers [name=search]")
    search.fill("batchnorm blocks.7")
    assert rows(stacked) == ["blocks.7.norm"]
    search.fill("nowhere")
    assert rows(stacked) == []
    search.fill("")
    assert len(rows(stacked)) == 3


def test_the_way_from_the_diagram_to_a_row_within_repeats_and_back(stacked: Page) -> None:
    stacked.locator("figure.diagram [data-node]", has=stacked.locator("text.title:text-is('BatchNorm2d')")).last.click()
    focused = "document.activeElement.dataset.path ?? document.activeElement.getAttribute('aria-label')"
    assert stacked.evaluate(focused) == "blocks.0.norm"  # the row beneath the closed series
    assert rows(stacked)[1] == "blocks.0-11 ×12"
    stacked.keyboard.press("Enter")
    assert stacked.evaluate(focused).startswith("BatchNorm2d")
    show = """(path) => document.querySelector("figure.diagram").dispatchEvent(new CustomEvent("archlab:show-row",
        {bubbles: true, cancelable: true, detail: {path}}))"""
    stacked.evaluate(show, "blocks.7.norm")
    assert stacked.locator(".layers tr.shown").get_attribute("data-path") == "blocks.7.norm"
    assert stacked.locator("button.fold").get_attribute("aria-expanded") == "true"
    stacked.locator(".layers tr.shown th").click(position={"x": 3, "y": 5})
    assert stacked.evaluate(focused).startswith("BatchNorm2d")


def test_arrows_go_through_the_rows(stacked: Page) -> None:
    stacked.locator(".layers tr[tabindex='0']").focus()
    assert stacked.locator(".layers tr[tabindex='0']").count() == 1
    here = "document.activeElement.dataset.path"
    stacked.keyboard.press("ArrowDown")
    stacked.keyboard.press("ArrowRight")
    assert (stacked.evaluate(here), len(rows(stacked))) == ("blocks.0", 15)
    stacked.keyboard.press("ArrowDown")
    stacked.keyboard.press("ArrowDown")
    assert stacked.evaluate(here) == "blocks.1"
    stacked.keyboard.press("End")
    assert stacked.evaluate(here) == "head"
    stacked.keyboard.press("Home")
    stacked.keyboard.press("ArrowDown")
    stacked.keyboard.press("ArrowLeft")
    assert (stacked.evaluate(here), len(rows(stacked))) == ("blocks.0", 3)


def test_a_series_within_a_series_opens_by_itself(browser: Browser, tmp_path: Path) -> None:
    found = []
    for stage in range(2):
        found.append(layer(f"s.{stage}", 1, kind="Stage"))
        for place in range(3):
            found += residual(f"s.{stage}.{place}", 2, len(found), len(found) - 1 if found else -1)
    with opened(browser, save(tmp_path / "nested.html", [trace(*found)])) as page:
        page.locator(".layers [name=depth]").select_option("2")
        assert rows(page) == ["s.0-1 ×2", "0-2 ×3"]
        page.locator("button.fold").last.click()
        assert rows(page) == ["s.0-1 ×2", "0-2 ×3", "0", "1", "2"]
        page.locator("button.fold").first.click()
        assert rows(page) == ["s.0-1 ×2", "s.0", "0-2 ×3", "s.1", "0-2 ×3"]
        page.locator("button.fold").last.click()
        assert rows(page) == ["s.0-1 ×2", "s.0", "0-2 ×3", "s.1", "0-2 ×3", "0", "1", "2"]


@pytest.mark.parametrize(("width", "theme"), [(375, "dark"), (1440, "light")])
def test_a_failed_network_says_where_and_why(browser: Browser, tmp_path: Path, width: int, theme: str) -> None:
    with opened(browser, save(tmp_path / "failed.html", [failed()]), width=width, theme=theme) as page:
        assert rows(page) == ["stem", "head ✕ fails inside", "norm", "fc ✕ failed"]
        message = "given 8 features (1x8); expected 5; in_features=8 would fit."
        assert page.locator(".layers tr.failure").text_content() == f"✕ Failed: {message}"
        assert message in page.locator(".notice").inner_text()
        assert page.locator("figure.diagram .is-failed.node").count() == 2
        assert violations(page) == {}
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_what_opens(browser: Browser, tmp_path: Path, theme: str) -> None:
    if not os.environ.get("ARCHLAB_AXE"):
        pytest.skip("ARCHLAB_AXE does not name axe.min.js (of the npm package axe-core)")
    with opened(browser, save(tmp_path / "stack.html", [stack(12)]), theme=theme) as page:
        page.locator("[data-action=open]").click()
        page.locator(".layers [name=depth]").select_option("2")
        page.locator("button.fold").click()
        page.locator("figure.diagram [name=search]").fill("norm")
        page.locator("[data-node]").first.hover()
        assert violations(page) == {}
