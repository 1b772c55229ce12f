"""The diagram where it is small or hidden: fingers, and parts of a page that open later."""

from typing import TYPE_CHECKING

import pytest

from archlab.reports.diagram import render
from archlab.reports.diagram.page import document
from tests.reports.diagrams import stack
from tests.reports.test_diagram_browser import Reader

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.chromium

WIDTH = "document.querySelector('.diagram-view > svg').clientWidth"


def test_a_diagram_in_a_closed_part_of_the_page_starts_when_that_opens(browser: "Browser") -> None:
    shown, folded = (
        Reader(browser, document(render(stack(2))).replace("<main>", main)) for main in ("<main>", "<main hidden>")
    )
    assert folded.page.locator("figure.is-live").count() == 0
    folded.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    folded.page.evaluate("document.querySelector('main').hidden = false")
    folded.until("document.querySelector('figure.is-live') !== null")
    assert folded.page.evaluate(WIDTH) == shown.page.evaluate(WIDTH)
    assert (shown.problems, folded.problems) == ([], [])


def test_one_finger_moves_the_drawing(browser: "Browser") -> None:
    context = browser.new_context(viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_content(document(render(stack(2), depth=None)))
    box = page.locator(".diagram-view").bounding_box()
    assert box is not None
    session, x, y = context.new_cdp_session(page), box["x"] + 100, box["y"] + 300
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 11):
        points = [{"x": x, "y": y - 20 * step}]
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    moved = "document.querySelector('.diagram-view').scrollTop"
    for _ in range(100):
        if page.evaluate(moved) > 50:
            break
        page.wait_for_timeout(10)
    assert page.evaluate(moved) > 50
    context.close()


def test_two_fingers_zoom(browser: "Browser") -> None:
    reader = Reader(browser, document(render(stack(2), depth=None)), width=375)
    width = reader.page.evaluate(WIDTH)
    reader.page.evaluate(
        """() => {
          const view = document.querySelector(".diagram-view");
          const send = (name, gap) => {
            const touches = [150 - gap / 2, 150 + gap / 2].map(
              (x, identifier) => new Touch({ identifier, target: view, clientX: x, clientY: 300 }));
            view.dispatchEvent(new TouchEvent(name, { touches, bubbles: true, cancelable: true }));
          };
          send("touchstart", 100);
          send("touchmove", 150);
        }"""
    )
    assert reader.page.evaluate(WIDTH) == pytest.approx(1.5 * width, rel=0.01)
    assert reader.problems == []
