"""The browser that the tests of pages share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from archlab.errors import InputError
from archlab.reports.diagram.picture import find_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")  # Playwright keeps an event loop running, in which no other test may start one
def browser() -> Iterator[Browser]:
    """Headless Chromium; the tests that ask for it skip where there is none, with the reason."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    try:
        path = find_browser()
    except InputError as error:
        pytest.skip(str(error))
    with playwright.sync_playwright() as running:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = running.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()
