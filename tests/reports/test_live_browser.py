"""The live page in a real browser: curves grow, and go on after the server was away."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archlab.records import Probes, TrainingConfig
from archlab.reports.live import Live
from archlab.store import Store, open_store
from tests.reports.test_live import PLAN, PROBED, epoch, signals, smoothness, started, steps
from tests.reports.test_page import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.chromium
pytest.importorskip("starlette", reason="starlette is not installed: pip install 'archlab[serve]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'archlab[serve]'")

AWAY = "net::ERR_CONNECTION_REFUSED"
FIGURE = "section:last-of-type figure[data-chart='test-accuracy']"
PLOT = f"document.querySelector(`{FIGURE} .plot`)"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


class Reader:
    """A page, and what went wrong in it."""

    def __init__(self, browser: Browser | BrowserContext, url: str, width: int = 1440) -> None:
        self.page: Page = browser.new_page()
        self.page.set_viewport_size({"width": width, "height": 900})
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
        said = self.page.evaluate("document.getElementById('connection').textContent")
        raise AssertionError(f"{expression}: {said}, {self.problems}")

    def points(self, number: int, *, scroll: bool = True) -> None:
        """Wait until the first variant's curve has so many points."""
        if scroll:
            self.page.locator(FIGURE).scroll_into_view_if_needed()
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
            again.last_message = "It is over."
        reader.until("document.getElementById('connection').dataset.state === 'ended'")
        assert reader.evaluate("document.getElementById('connection').textContent") == "It is over."
    # While the server was away, Chromium itself noted each failed attempt; nothing else was said or asked for.
    assert [text for text in reader.problems if AWAY not in text] == []
    assert {url.removeprefix(live.url) for url in reader.requests} == {"", "events"}
    reader.page.close()


def test_an_experiment_that_starts_later_appears_and_choices_stay(browser: Browser, store: Store) -> None:
    with Live(store, port=0) as live:
        reader = Reader(browser, live.url)
        reader.evaluate("window.here = true")
        assert "There is no run yet" in reader.evaluate("document.querySelector('main').textContent")
        with started(store, PLAN[0], 1) as writer, started(store, PLAN[1], 1):
            reader.until("document.querySelectorAll('section.experiment').length === 1")
            assert "There is no run yet" not in reader.evaluate("document.querySelector('main').textContent")
            reader.points(1)
            reader.page.locator("form.controls [name=x]").select_option("epoch")
            reader.page.locator("form.controls [name=smoothing]").select_option("0.9")
            reader.page.locator("form.controls [name=seeds]").uncheck()
            reader.page.locator("#theme").click()
            reader.page.locator(f"{FIGURE} .legendtoggle").nth(1).click()
            reader.until(f"{PLOT}.data.find((one) => one.name === 'norm=none').visible === 'legendonly'")
            reader.evaluate(
                f"document.querySelector(`{FIGURE}`).scrollIntoView({{ block: 'center', behavior: 'instant' }})"
            )
            place = reader.evaluate(f"document.querySelector(`{FIGURE}`).getBoundingClientRect().top")

            with started(store, TrainingConfig("densenet"), 1):
                reader.until("document.querySelectorAll('section.experiment').length === 2")
                writer.append(epoch(2))
                reader.points(2, scroll=False)
            choices = "Array.from(document.querySelectorAll('section:last-of-type form.controls [name]'))"
            values = f"{choices}.map((one) => one.type === 'checkbox' ? one.checked : one.value)"
            assert reader.evaluate(values) == ["epoch", False, False, "0.9"]
            assert reader.evaluate(f"Array.from({PLOT}.data[0].x)") == [1, 2]
            assert reader.evaluate(f"{PLOT}.data.find((one) => one.name === 'norm=none').visible") == "legendonly"
            assert reader.evaluate("document.documentElement.dataset.theme") == "dark"
            assert reader.evaluate(f"document.querySelector(`{FIGURE}`).getBoundingClientRect().top") == pytest.approx(
                place, abs=1
            )
            heads = "section.experiment h2 bdi, nav a > bdi"
            titles = f"Array.from(document.querySelectorAll('{heads}'), (one) => one.textContent)"
            assert reader.evaluate(titles) == ["densenet on digits", "lenet on digits"] * 2
            assert reader.evaluate("window.here"), "the page was not loaded again"

            reader.page.reload()  # which the reader may do, and loses nothing by
            reader.until("document.getElementById('connection').dataset.state === 'live'")
            assert reader.evaluate(values) == ["epoch", False, False, "0.9"]
            assert reader.evaluate("document.documentElement.dataset.theme") == "dark"
        for run in store.runs():
            store.delete(run.key)
        reader.until("document.querySelectorAll('section.experiment').length === 0")
        assert "There is no run yet" in reader.evaluate("document.querySelector('main').textContent")
    assert [text for text in reader.problems if AWAY not in text] == []
    reader.page.close()


def test_a_curve_grows_by_steps(browser: Browser, store: Store) -> None:
    loss = PLOT.replace("test-accuracy", "train-loss")
    with started(store, PLAN[0]) as writer, Live(store, plan=PLAN, port=0) as live:
        reader = Reader(browser, live.url)
        for number in (4, 7):
            writer.append_steps(steps(number))
            reader.until(
                f"{loss}?.data?.find((one) => one.name === 'norm=batch')?.y.length === {4 if number == 4 else 11}"
            )
        assert reader.evaluate(f"{loss}.data[0].y[1]") == 1  # 2 / step
        assert "11 steps" in reader.evaluate("document.querySelector('.runs').textContent")
        assert reader.problems == []
    reader.page.close()


def test_a_chart_of_the_layers_comes_with_the_first_look(browser: Browser, store: Store) -> None:
    depth = PLOT.replace("test-accuracy", "depth")
    with (
        started(store, PROBED[0], 1) as writer,
        started(store, PROBED[1], 1) as other,
        Live(store, plan=PROBED, port=0) as live,
    ):
        reader = Reader(browser, live.url)
        reader.points(1)
        reader.page.locator("form.controls [name=x]").select_option("epoch")
        assert reader.evaluate("document.querySelectorAll(`figure[data-chart='depth']`).length") == 0
        writer.keep_probes(Probes(signals=signals(4, 3, 2), smoothness=smoothness(0)))
        other.keep_probes(Probes(signals=signals(7, 6, 5)))
        writer.append_steps(steps(1))
        other.append_steps(steps(1))
        reader.until("document.querySelector(`figure[data-chart='depth']`)")
        reader.page.locator("figure[data-chart='depth']").scroll_into_view_if_needed()
        reader.until(f"{depth}?.data?.length === 2")
        told = f"{depth}.data.map((one) => [one.name, one.x.join(), Array.from(one.y).join()])"
        assert reader.evaluate(told) == [
            ["norm=batch, step 0", "conv,head", "4,2"],
            ["norm=none, step 0", "conv,head", "7,5"],
        ]
        heat = depth.replace("depth", "heat")
        reader.page.locator("figure[data-chart='heat']").scroll_into_view_if_needed()
        reader.until(f"{heat}?.data?.[0]?.type === 'scatter'")  # one look is no map of one column
        assert reader.evaluate(f"Array.from({heat}.data[0].x).join()") == "4,2"
        assert reader.evaluate(f"{depth}.layout.yaxis.type") == "log"
        assert reader.evaluate("document.querySelector('form.controls [name=x]').value") == "epoch"
        # What was chosen stays while looks come: what the legend hides, and the quantity.
        reader.page.locator("figure[data-chart='depth'] .legendtoggle").nth(1).click()
        reader.until(f"{depth}.data[1].visible === 'legendonly'")
        writer.keep_probes(Probes(signals=signals(40, 30, 20, steps=(0, 6)), smoothness=smoothness(0, 6)))
        writer.append_steps(steps(6, start=1))
        reader.until(f"{depth}.data[0].name === 'norm=batch, step 6'")
        assert reader.evaluate(told)[0][2] == "40,20"
        assert reader.evaluate(f"{depth}.data[1].visible") == "legendonly"
        described = "document.querySelector(`figure[data-chart='depth'] figcaption p`).textContent"
        assert "norm=batch, step 6 of seed 0" in reader.evaluate(described)
        reader.page.locator("form.controls [name=quantity]").select_option("weight_gradient_norm")
        reader.until(f"{depth}.layout.yaxis.title.text.includes('weights')")
        assert reader.evaluate(told)[0][2] == "1,1"
        reader.page.locator("figure[data-chart='beta']").scroll_into_view_if_needed()
        assert reader.evaluate(f"{heat}.data[0].type") == "heatmap"
        assert reader.evaluate(f"[Array.from({heat}.data[0].x), {heat}.data[0].y]") == [[0, 6], ["conv", "head"]]
        reader.page.locator("form.controls [name=quantity]").select_option("gradient_norm")
        values = f"Array.from({heat}.data[0].customdata, (row) => Array.from(row))"
        reader.until(f"{values}[0][1] === 40")
        assert reader.evaluate(values) == [[1, 40], [1, 20]]
        reader.page.locator("form.controls [name=variant]").select_option("norm=none")
        reader.until(f"{values}[0][0] === 7")
        beta = depth.replace("depth", "beta")
        reader.until(f"{beta}?.data?.[0]?.y.length === 2")
        assert reader.problems == []
    reader.page.close()


def test_hostile_names_that_come_later_run_nothing(browser: Browser, store: Store) -> None:
    with Live(store, port=0) as live:
        reader = Reader(browser, live.url)
        for number, name in enumerate(HOSTILE, start=1):
            with started(store, TrainingConfig(name, variant=name, dataset=name), 1) as writer:
                reader.until(f"document.querySelectorAll('section.experiment').length === {number}")
                writer.fail(name, {})
            reader.until(f"document.querySelectorAll('tr.failed').length === {number}")
        assert reader.evaluate("document.querySelectorAll('main script, main img, main b, nav b').length") == 0
        assert reader.problems == []
        assert {url.removeprefix(live.url) for url in reader.requests} == {"", "events"}
    reader.page.close()


def test_many_tabs_share_what_a_browser_connects(browser: Browser, store: Store) -> None:
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); \
        document.dispatchEvent(new Event('visibilitychange')); }"
    context = browser.new_context()
    with started(store, PLAN[0], 1) as writer, Live(store, plan=PLAN, port=0) as live:
        tabs: list[Reader] = []
        for _ in range(7):  # a browser opens six connections to one server
            for tab in tabs:
                tab.page.evaluate(hide, True)
            tabs.append(Reader(context, live.url))
        tabs[0].page.evaluate(hide, False)
        tabs[0].until("document.getElementById('connection').dataset.state === 'live'")
        writer.append(epoch(2))
        tabs[0].points(2)
        assert not any(tab.problems for tab in tabs)
    context.close()


@pytest.mark.parametrize("width", [375, 1440])
def test_no_sideways_scroll(browser: Browser, store: Store, width: int) -> None:
    with Live(store, plan=PLAN, port=0) as live:
        with started(store, PLAN[0], 2) as writer:
            writer.fail("a long reason that says a great deal about what went wrong, and in which step, and why", {})
        reader = Reader(browser, live.url, width)
        reader.points(2)
        assert reader.evaluate("document.documentElement.scrollWidth") <= width
    reader.page.close()
