"""Waiting for what a page has drawn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

LONGEST_WAIT_SECONDS = 30


def wait_until(page: Page, expression: str) -> None:
    """Ask a page until an expression of JavaScript is true there.

    Playwright's own `wait_for_function` evaluates a text inside the page, which the pages' content policy forbids from
    the second time on.
    """
    end = time.monotonic() + LONGEST_WAIT_SECONDS
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        page.wait_for_timeout(10)
