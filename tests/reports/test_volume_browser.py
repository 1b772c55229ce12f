"""Volumes in a real browser: to scale on the page too, in both themes, on a phone and in print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archlab.records import Trace
from archlab.reports import save, volume
from tests.reports.test_browser import opened
from tests.reports.volumes import dense, residual, transformer, u_net
from tests.reports.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.chromium

FILLS = """[...new Set([...document.querySelectorAll(".volumes .is-convolution:not(.is-shade) > .front")]
    .map((front) => getComputedStyle(front).fill))].join("; ")"""
LIGHT, DARK = "rgb(207, 228, 247)", "rgb(23, 64, 95)"  # #cfe4f7, #17405f: those of the diagram
WIDTHS = """[...document.querySelectorAll(".volumes .volume:not(:first-child)")].map((block) => [
    Number(block.dataset.channels),
    [...block.querySelectorAll(".front")].reduce((sum, front) => sum + front.getBoundingClientRect().width, 0),
])"""
OVERLAPS = """[...document.querySelectorAll("text")].flatMap((one, place, all) => all.slice(place + 1)
    .filter((other) => {
        const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
        return a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom;
    })
    .map((other) => `${one.textContent} | ${other.textContent}`))"""
OUTSIDE = """[...document.querySelectorAll("text, .volume")].filter((part) => {
    const inner = part.getBoundingClientRect(), outer = document.documentElement.getBoundingClientRect();
    return inner.left < outer.left || inner.right > outer.right || inner.bottom > outer.bottom;
}).map((part) => part.textContent)"""


@pytest.mark.parametrize(("width", "theme"), [(375, "light"), (1440, "dark")])
def test_on_the_page_they_are_to_scale_in_both_themes(browser: Browser, tmp_path: Path, width: int, theme: str) -> None:
    with opened(browser, save(tmp_path / "net.html", [residual()]), width=width, theme=theme) as page:
        widths = page.evaluate(WIDTHS)
        largest, most = max(widths)
        assert largest == 128
        for channels, pixels in widths:
            assert pixels == pytest.approx(most * channels / largest, abs=0.05)
        colours = [LIGHT, DARK] if theme == "light" else [DARK, LIGHT]
        assert page.evaluate(FILLS) == colours[0]
        page.locator("#theme").click()
        wait_until(page, f"{FILLS} === '{colours[1]}'")


def test_on_a_phone_they_scroll_in_their_place_and_keep_their_letters(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, save(tmp_path / "net.html", [residual()]), width=375) as page:
        region = page.locator(".volumes")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert region.evaluate("region => region.scrollWidth > region.clientWidth")
        box = region.locator("text.size").first.bounding_box()
        assert box is not None
        assert box["height"] >= 11


def test_in_print_they_fit_the_page(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, save(tmp_path / "net.html", [residual(), dense()]), width=640) as page:
        page.emulate_media(media="print")
        sizes = page.evaluate("""[...document.querySelectorAll(".volumes")]
            .map((region) => [region.clientWidth, region.firstElementChild.getBoundingClientRect().width])""")
        assert len(sizes) == 3  # each network, and both over one axis
        assert all(drawing <= room for room, drawing in sizes)


@pytest.mark.parametrize(
    "traces",
    [[dense()], [residual()], [u_net()], [transformer(12)], [residual(), dense()], [u_net(), transformer(2)]],
    ids=lambda traces: "-".join(trace.network for trace in traces),
)
def test_no_text_lies_on_another_or_leaves_the_picture(browser: Browser, tmp_path: Path, traces: list[Trace]) -> None:
    path = volume.save(tmp_path / "net.svg", *traces)
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(OUTSIDE) == []
    page.close()
