"""Probes of layers in a real browser: what is drawn follows the reader's choices, and gives its numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archlab.reports import save
from tests.reports.layer_probes import layer_probes
from tests.reports.test_browser import draw_all, opened, violations
from tests.reports.test_page import HOSTILE
from tests.reports.test_probing import probed_experiment
from tests.reports.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probed")
    held = {HOSTILE[0]: layer_probes(), "norm=none": layer_probes(norm=False)}
    store, comparison = probed_experiment(folder / "store", held)
    return save(folder / "report.html", [comparison], store=store)


@pytest.fixture(scope="module")
def page(browser: Browser, report: Path) -> Iterator[Page]:
    with opened(browser, report, accept_downloads=True) as shown:
        draw_all(shown)
        yield shown


def form(page: Page, panel: str) -> Locator:
    return page.locator(f"form[data-panel$='-{panel}']")


def plot(chart: str) -> str:
    """What plotly has drawn of a chart, as JavaScript."""
    return f"document.querySelector('figure[data-chart={chart}] .plot')"


def last(element: Locator, position: int) -> None:
    """Move a slider."""
    element.evaluate(
        "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input', {bubbles: true})); }", position
    )


def test_quantity_step_and_layers_decide_what_is_drawn(page: Page) -> None:
    values = "Array.from(line.y, (y) => Number(y.toPrecision(4))).join()"
    lines = f"Array.from({plot('depth')}.data, (line) => {values}).join(' | ')"
    assert page.evaluate(lines) == "0.1,100 | 1,100"
    controls = form(page, "layers")
    last(controls.locator("[name=step]"), 0)
    wait_until(page, f"{lines} === '0.001,1 | 0.01,1'")
    assert page.evaluate(f"{plot('heat')}._fullLayout.shapes[0].x0") == 0
    controls.locator("[name=layers]").check()
    wait_until(page, f"{lines} === '0.001,0.01,0.1,1 | 0.01,NaN,0.1,1'")
    names = f"{plot('depth')}._fullLayout.xaxis._categories.join()"
    assert page.evaluate(names) == "conv,norm,relu,head"
    assert page.evaluate(f"{plot('heat')}.data[0].z.length") == 4
    assert page.evaluate(f"{plot('depth')}._fullLayout.yaxis.type") == "log"
    controls.locator("[name=quantity]").select_option("feature_saturation")
    wait_until(page, f"{lines} === '0.5,0.5 | 0.5,0.5'")
    assert page.evaluate(f"{plot('depth')}._fullLayout.yaxis.type") == "linear"
    assert page.evaluate(names) == "conv,head"
    controls.locator("[name=quantity]").select_option("gradient_norm")
    controls.locator("[name=layers]").uncheck()
    last(controls.locator("[name=step]"), 2)
    wait_until(page, f"{lines} === '0.1,100 | 1,100'")


def test_the_map_has_the_logarithms_of_the_chosen_variant(page: Page) -> None:
    values = f"Array.from({plot('heat')}.data[0].z, (row) => Array.from(row, (z) => Math.round(z)).join()).join(' | ')"
    assert page.evaluate(values) == "-3,-2,-1 | 0,1,2"
    form(page, "layers").locator("[name=variant]").select_option("norm=none")
    wait_until(page, f"{values} === '-2,-1,0 | 0,1,2'")
    with page.expect_download() as download:
        page.locator("figure[data-chart=heat] button.data").click()
    head, *rows = csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8")))
    assert head == ["layer", "optimiser step", "value"]
    assert rows == [
        ["conv", "0", "0.01"],
        ["conv", "2", "0.1"],
        ["conv", "4", "1"],
        ["head", "0", "1"],
        ["head", "2", "10"],
        ["head", "4", "100"],
    ]


def test_similarities_are_those_of_the_chosen_variant(page: Page) -> None:
    value = f"{plot('layers')}.data[0].z[0][1].toFixed(2)"
    assert page.evaluate(value) == "0.60"
    form(page, "similarity").locator("[name=variant]").select_option("norm=none")
    wait_until(page, f"{value} === '0.80'")
    between = (
        f"Array.from({plot('variants')}.data[0].z, (row) => Array.from(row, (z) => z.toFixed(2)).join()).join(' | ')"
    )
    assert page.evaluate(between) == "1.00,0.80 | 0.60,0.96"
    assert page.evaluate(f"[{plot('layers')}.data[0].zmin, {plot('layers')}.data[0].zmax].join()") == "0,1"


def test_gradients_follow_the_step_and_their_first_look_stays(page: Page) -> None:
    lines = f"Array.from({plot('correlation')}.data.slice(0, 2), (line) => Array.from(line.y).join()).join(' | ')"
    assert page.evaluate(lines) == "1,0.75,0.25 | 1,0.5,0"
    last(form(page, "correlation").locator("[name=step]"), 0)
    wait_until(page, f"{lines} === '1,0.5,0 | 1,0.5,0'")


@pytest.mark.parametrize(("width", "theme"), [(375, "dark"), (1280, "light")])
def test_widths_and_themes(browser: Browser, report: Path, width: int, theme: str) -> None:
    with opened(browser, report, width=width, theme=theme) as shown:
        assert draw_all(shown) >= 6
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(shown) == {}
