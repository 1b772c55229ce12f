"""What a page carries besides its records: style, script, plotly.js, and the policy that allows nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archlab.reports import palette

if TYPE_CHECKING:
    from markupsafe import Markup

REPORTS_FOLDER = Path(__file__).parent
STYLES = ("theme", "page", "content", "tables", "panels", "diagram", "volume", "narrow-print")
SCRIPTS = ("values", "theme", "charts", "address", "playing", "controls", "tables", "start")
DIAGRAM_SCRIPTS = (
    "diagram-places",
    "diagram-columns",
    "diagram-pair",
    "diagram-drawing",
    "diagram-reader",
    "diagram-controls",
)


@functools.cache
def asset(name: str) -> str:
    """A file of the assets folder."""
    return (REPORTS_FOLDER / "assets" / name).read_text(encoding="utf-8")


@functools.cache
def script(names: tuple[str, ...] = SCRIPTS) -> str:
    """The page's own script, in one scope of its own, and the diagram's in another inside it."""
    return f'(() => {{\n"use strict";\n{diagram_script()}\n{_joined(names, "js")}}})();\n'


def diagram_script() -> str:
    """What makes the diagrams of a page live: it defines `startDiagrams` and nothing else."""
    parts = _joined(DIAGRAM_SCRIPTS, "js")
    return f'const startDiagrams = (() => {{\n"use strict";\n{parts}\nreturn startDiagrams;\n}})();\n'


@functools.cache
def style(names: tuple[str, ...] = STYLES) -> str:
    """The page's style sheet, with the diagram's, and the colours of variants where there is a theme."""
    return (palette.style() if "theme" in names else "") + _joined(names, "css")


def light_color(name: str) -> str:
    """A colour of the style sheet in the light theme, as `#rrggbb`.

    >>> light_color("surface")
    '#ffffff'
    """
    return _light_colors()[name]


@functools.cache
def _light_colors() -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6})", style()))


def themed(rules: str) -> str:
    """Rules of drawings for a file of its own: the light colours, and the dark ones for readers who want those.

    Plain colours stand instead of the variables of diagram.css, since few viewers of SVG files know those.
    """
    pairs = re.findall(r"(--[\w-]+):\s*light-dark\(([^,]+),\s*([^)]+)\)", asset("diagram.css"))
    plain = re.sub(r"/\*.*?\*/", "", rules, flags=re.S)
    themes = []
    for theme in (1, 2):
        text = plain
        for pair in pairs:
            text = text.replace(f"var({pair[0]})", pair[theme])
        themes.append(re.sub(r"\s+", " ", text).strip())
    return f"{themes[0]} @media (prefers-color-scheme: dark) {{ {themes[1]} }}"


def _joined(names: tuple[str, ...], kind: str) -> str:
    return "\n".join(asset(f"{name}.{kind}") for name in names)


@dataclass(frozen=True)
class Library:
    """plotly.js as a page carries it."""

    notice: str
    """Name, version, copyright and licence."""
    packed: Markup
    """The script, deflated, as base64: nothing in it is to be escaped, which takes a while for 2 MB."""
    styles: tuple[str, ...]
    """Identifiers of style elements that it would add, for maps that no chart draws, unless it finds them there."""


@functools.cache
def plotly() -> Library:
    """plotly.js of the installed plotly package.

    The script is 4.8 MB as it is and 2 MB packed. The page's script unpacks it in some 60 ms, and only if there is a
    chart.
    """
    from markupsafe import Markup

    source = _plotly_source()
    notice = " ".join(source[: source.find("*/")].replace("*", " ").strip("/ \n").split())
    return Library(
        notice=notice,
        packed=Markup(base64.b64encode(zlib.compress(source.encode("utf-8"), 6)).decode("ascii")),
        styles=tuple(dict.fromkeys(re.findall(r'getElementById\("([0-9a-f]{64})"\)', source))),
    )


@functools.cache
def _plotly_source() -> str:
    """plotly.js with its outermost function in parentheses.

    A browser takes that as a hint to compile the function at once. Without it, V8 first skims all 4.8 MB to skip a
    function that is then called immediately, which makes the first chart wait half as long again.
    """
    from plotly.offline import get_plotlyjs

    source = get_plotlyjs()
    return re.sub(r"(: this, )(\(\) => \{\n.*\})(\)\);\s*)$", r"\1(\2)\3", source, count=1, flags=re.DOTALL)


@functools.cache
def policy(with_plotly: bool, scripts: tuple[str, ...] = SCRIPTS, styles: tuple[str, ...] = STYLES) -> str:
    """The Content-Security-Policy of a page: these scripts and this style by their hashes, no request anywhere.

    plotly.js adds one empty style element and writes its rules through the style sheet's interface, sets style
    attributes, and draws heat maps as `data:` images; it evaluates no text.
    """
    sources = [script(scripts)]
    if with_plotly:
        sources.append(_plotly_source())
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(hashed(source) for source in sources)}",
            f"style-src-elem {hashed(style(styles))} {hashed('')}",
            "style-src-attr 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def hashed(source: str) -> str:
    """The hash by which a Content-Security-Policy allows a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode('utf-8')).digest()).decode('ascii')}'"
