"""A drawing as a PNG, by the Chromium or Chrome of this machine: the only renderer that is sure to know its fonts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from archlab.errors import InputError

BROWSER_COMMANDS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "msedge")
BROWSER_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)
SIDE_PIXELS = 16_000
"""Pixels along a side that Chromium draws at most."""
DRAWING_REMEDY = "install Chromium or Chrome, or set BROWSER_PATH to one; or write .svg or .html, which need none"


def png(svg: str) -> bytes:
    """The picture of an SVG text, two pixels for each of its own where that fits.

    Raises:
        InputError: there is no browser, or it failed.
    """
    browser = find_browser()
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg)
    width, height = (int(float(size[1])) + 1, int(float(size[2])) + 1) if size else (800, 600)
    scale = min(2.0, SIDE_PIXELS / max(width, height))
    with tempfile.TemporaryDirectory(prefix="archlab-") as folder:
        page, picture = Path(folder, "drawing.svg"), Path(folder, "drawing.png")
        page.write_text(svg, encoding="utf-8")
        command = [
            browser, "--headless", "--disable-gpu", "--disable-background-networking", "--no-first-run",
            "--hide-scrollbars", f"--user-data-dir={folder}/profile", f"--window-size={width},{height}",
            f"--force-device-scale-factor={scale:g}", f"--screenshot={picture}",
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses to start as root with one
        try:
            done = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=120, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"{browser} drew no PNG: {error}; {DRAWING_REMEDY}") from error
        if not picture.exists():
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise InputError(f"{browser} drew no PNG: {last[0]}; {DRAWING_REMEDY}")
        return picture.read_bytes()


def find_browser() -> str:
    """The path of a Chromium or Chrome: `BROWSER_PATH`, the search path, the usual places.

    Raises:
        InputError: there is none.
    """
    chosen = os.environ.get("BROWSER_PATH")
    if chosen:
        return chosen
    found = next(filter(None, map(shutil.which, BROWSER_COMMANDS)), None)
    found = found or next((place for place in BROWSER_PATHS if Path(place).exists()), None)
    if found is None:
        raise InputError(f"a PNG needs a browser, and none was found ({', '.join(BROWSER_COMMANDS)}): {DRAWING_REMEDY}")
    return found
