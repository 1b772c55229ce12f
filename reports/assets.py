"""What a page carries besides its records: style, script, plotly.js, and the policy that allows nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
import zlib
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = ("values", "theme", "charts", "controls", "tables", "start")


@functools.cache
def text(name: str) -> str:
    """A file of the assets folder."""
    return (HERE / "assets" / name).read_text(encoding="utf-8")


@functools.cache
def script() -> str:
    """The page's own script, in one scope of its own."""
    parts = "\n".join(text(f"{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


@functools.cache
def plotly() -> tuple[str, str]:
    """plotly.js of the installed plotly package: its notice, and the script itself, deflated, as base64.

    The script is 4.8 MB as it is and 2 MB so. The page's script unpacks it in some 60 ms, and only if there is a chart.
    """
    from plotly.offline import get_plotlyjs

    source = get_plotlyjs()
    notice = source[: source.find("*/")].strip("/* \n").replace("*", "").replace("--", "")
    return notice, base64.b64encode(zlib.compress(source.encode("utf-8"), 6)).decode("ascii")


@functools.cache
def policy(with_plotly: bool) -> str:
    """The Content-Security-Policy of a page: these scripts and this style by their hashes, no request anywhere.

    plotly.js adds one empty style element and writes its rules through the style sheet's interface, sets style
    attributes, and draws heat maps as `data:` images; it evaluates no text.
    """
    scripts = [script()]
    if with_plotly:
        from plotly.offline import get_plotlyjs

        scripts.append(get_plotlyjs())
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(_hashed(source) for source in scripts)}",
            f"style-src-elem {_hashed(text('report.css'))} {_hashed('')}",
            "style-src-attr 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hashed(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode('utf-8')).digest()).decode('ascii')}'"
