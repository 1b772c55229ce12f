"""The live page in a real browser: curves grow, and go on after the server was away."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archlab.reports.live import Live
from archlab.store import Store, open_store
from tests.reports.test_live import PLAN, epoch, started

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.chromium
pytest.importorskip("starlette", reason="starlette is not installed: pip install 'archlab[serve]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'archlab[serve]'")

AWAY = "net::ERR_CONNECTION_REFUSED"
PLOT = "document.querySelector(`figure[data-chart='test-accuracy'] .plot`)"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


class Reader:
    """A page, and what went wrong in it."""

    def __init__(self, browser: Browser, url: str, width: int = 1440) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900})
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(dialog.message))
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        self.until("document.getElementById('connection').dataset.state === 'live'")

    def until(self, expression: str) -> None:
        """Wait; the page's policy keeps Playwright's own waiting out."""
        from playwright.sync_api import Error

        for _ in range(600):
            with suppress(Error):  # the page may reload just now
                if self.page.evaluate(expression):
                    return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{expression}: {self.problems}")

    def points(self, number: int) -> None:
        """Wait until the first variant's curve has so many points."""
        self.page.locator("figure[data-chart='test-accuracy']").scroll_into_view_if_needed()
        self.until(f"{PLOT}.data && {PLOT}.data.find((one) => one.name === 'norm=batch').y.length === {number}")

    def evaluate(self, expression: str) -> Any:
        return self.page.evaluate(expression)


def test_curves_grow_and_go_on_after_the_server_was_away(browser: Browser, store: Store) -> None:
    with started(store, PLAN[0], 1) as writer:
        with Live(store, plan=PLAN, port=0) as live:
            reader = Reader(browser, live.url)
            reader.points(1)
            writer.append(epoch(2, 0.7))
            reader.points(2)
            assert reader.evaluate(f"Array.from({PLOT}.data.find((one) => one.name === 'norm=batch').y)") == [0.5, 0.7]
            assert reader.problems == []
        reader.until("document.getElementById('connection').dataset.state === 'waiting'")
        assert reader.evaluate(f"{PLOT}.data.find((one) => one.name === 'norm=batch').y.length") == 2
        writer.append(epoch(3, 0.9))
        with Live(store, plan=PLAN) as again:
            assert again.url == live.url
            reader.until("document.getElementById('connection').dataset.state === 'live'")
            reader.points(3)
            writer.fail("diverged <here>", {})
            reader.until("document.querySelector('tr.failed small')?.textContent === 'diverged <here>'")
            reader.page.reload()
            reader.points(3)
            assert reader.evaluate("document.querySelectorAll('tr.failed').length") == 1
            again.farewell = "It is over."
        reader.until("document.getElementById('connection').dataset.state === 'ended'")
        assert reader.evaluate("document.getElementById('connection').textContent") == "It is over."
    # While the server was away, Chromium itself noted each failed attempt; nothing else was said or asked for.
    assert [text for text in reader.problems if AWAY not in text] == []
    assert {url.removeprefix(live.url) for url in reader.requests} == {"", "events"}
    reader.page.close()


def test_an_experiment_that_starts_later_appears_and_choices_stay(browser: Browser, store: Store) -> None:
    with Live(store, port=0) as live:
        reader = Reader(browser, live.url)
        assert "There is no run yet" in reader.evaluate("document.querySelector('main').textContent")
        with started(store, PLAN[0], 1) as writer:
            reader.until("document.querySelectorAll('section.experiment').length === 1")
            reader.points(1)
            reader.page.locator("form.controls [name=x]").select_option("epoch")
            writer.append(epoch(2))
            reader.points(2)
            assert reader.evaluate(f"Array.from({PLOT}.data[0].x)") == [1, 2]
    assert [text for text in reader.problems if AWAY not in text] == []
    reader.page.close()


@pytest.mark.parametrize("width", [375, 1440])
def test_no_sideways_scroll(browser: Browser, store: Store, width: int) -> None:
    with Live(store, plan=PLAN, port=0) as live:
        with started(store, PLAN[0], 2) as writer:
            writer.fail("a long reason that says a great deal about what went wrong, and in which step, and why", {})
        reader = Reader(browser, live.url, width)
        reader.points(2)
        assert reader.evaluate("document.documentElement.scrollWidth") <= width
    reader.page.close()
