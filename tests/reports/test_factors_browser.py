"""The picture by factor in a real browser: the reader chooses the factor that the lines go along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archlab.reports import save
from tests.reports.crossed import crossed_comparison
from tests.reports.test_browser import draw_all, opened, violations
from tests.reports.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.chromium


@pytest.mark.parametrize("width", [1280, 375])
def test_lines_go_along_the_chosen_factor(browser: Browser, tmp_path: Path, width: int) -> None:
    report = save(tmp_path / "report.html", [crossed_comparison()])
    with opened(browser, report) as page:
        page.set_viewport_size({"width": width, "height": 900})
        draw_all(page)
        plot = "document.querySelector('figure[data-chart=factors] .plot')"
        lines = f"{plot}.data.filter((one) => one.mode == 'lines+markers')"
        shown = f"{lines}.map((one) => one.name + ' ' + Array.from(one.y).join()).join(' | ')"
        assert page.evaluate(shown) == "batch_size=32 0.9,0.8 | batch_size=2 0.6,0.8"
        page.locator("form[data-panel$='-sweep'] [name=factor]").select_option("batch_size")
        wait_until(page, f"{shown} === 'norm=batch 0.6,0.9 | norm=group 0.8,0.8'")
        assert page.evaluate(f"{plot}._fullLayout.xaxis.ticktext.join()") == "2,32"
        notes = "document.querySelectorAll('figure[data-chart=effects] .annotation-text').length"
        assert page.evaluate(notes) == 3
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == {}
