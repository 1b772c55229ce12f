"""Probes in a real browser: the bands and contours are drawn, follow the chosen seed, and give their numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from archlab.records import Probes
from archlab.reports import save
from archlab.store import contents
from archlab.store.arrays import read_arrays, write_arrays
from tests.reports.test_browser import draw_all, opened, violations
from tests.reports.test_page import HOSTILE
from tests.reports.test_probing import landscape, probed_experiment, smoothness
from tests.reports.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probed")
    held = {HOSTILE[0]: Probes(smoothness(), landscape()), "norm=none": Probes(smoothness(2), landscape(scale=50))}
    store, comparison = probed_experiment(folder / "store", held)
    for run in store.runs():
        if run.config.seed == 1:
            path = store.path / "runs" / run.key / "probes.safetensors"
            write_arrays(path, read_arrays(path) | {"smoothness/loss": np.full(4, 3, dtype=np.float32)})
            contents.keep(path.parent)  # else it would be damaged
    return save(folder / "report.html", [comparison], store=store)


@pytest.fixture(scope="module")
def page(browser: Browser, report: Path) -> Iterator[Page]:
    with opened(browser, report, accept_downloads=True) as shown:
        draw_all(shown)
        yield shown


def test_contours_are_drawn_on_the_same_levels(page: Page) -> None:
    plots = page.locator("figure[data-panel$='-landscape'] .plot")
    found = [plots.nth(place).evaluate("plot => [plot.data[0].zmin, plot.data[0].zmax]") for place in range(2)]
    assert found[0] == found[1] == pytest.approx([-1, 2.19], abs=0.01)  # log10 of 0.1 and 50 * 3.1
    for place in range(2):
        assert plots.nth(place).locator(".contourlayer path").count() > 5
        assert plots.nth(place).locator(".scatterlayer .point").count() == 1
        # As high as it is wide.
        size = plots.nth(place).evaluate("plot => [plot._fullLayout.xaxis._length, plot._fullLayout.yaxis._length]")
        assert size[0] == pytest.approx(size[1], abs=1)


def test_bands_are_drawn_and_follow_the_seed(page: Page) -> None:
    loss = page.locator("figure[data-panel$='-smoothness'][data-chart=loss] .plot")
    assert loss.locator(".scatterlayer .trace").count() == 6
    values = "Array.from(document.querySelector('figure[data-chart=loss] .plot').data[2].y).join()"
    assert page.evaluate(values) == "2,2,2,2"
    page.locator("form[data-panel$='-smoothness'] select").select_option("1")
    wait_until(page, f"{values} === '3,3,3,3'")
    assert loss.evaluate("plot => plot.data.length") == 6
    assert page.locator("figure[data-chart=beta] .plot").evaluate("plot => plot._fullLayout.yaxis.type") == "log"


def test_data_of_a_contour_is_a_line_a_point(page: Page) -> None:
    with page.expect_download() as download:
        page.locator("figure[data-chart='landscape-0'] button.data").click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    head, *rows = csv.reader(io.StringIO(text))
    assert head == ["x", "y", "value"]
    assert len(rows) == 25
    # 0.1 + x² + 2 y²
    for x, y, value in rows:
        assert float(value) == pytest.approx(0.1 + float(x) ** 2 + 2 * float(y) ** 2, rel=1e-6)


@pytest.mark.parametrize(("width", "theme"), [(375, "dark"), (1440, "light")])
def test_widths_and_themes(browser: Browser, report: Path, width: int, theme: str) -> None:
    with opened(browser, report, width=width, theme=theme) as shown:
        draw_all(shown)
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(shown) == {}
