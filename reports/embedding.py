"""Panels as the compact JSON that a page carries: every array and every repeated choice once, in one pool."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from archlab.reports.panel import (
    PLAIN,
    Chart,
    Color,
    Control,
    Density,
    Exact,
    Logarithm,
    Panel,
    Pick,
    Scale,
    Slice,
    Smooth,
    Switch,
    controls_of,
)

LIST_LENGTH = 16
"""Arrays up to this many numbers are written as decimals, longer ones as base64."""


class Pool:
    """The values that charts refer to by number: `{"$ref": 3}`."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self._places: dict[Any, int] = {}
        self._alive: list[Any] = []  # an id is only unique while its object lives

    def encode(self, node: Any) -> Any:
        """The node in JSON types, its arrays and switches moved to the pool."""
        kind = type(node)
        if kind in PLAIN:  # as most are: asked first
            return number(node) if kind is float else node
        if kind is dict:
            return {key: self.encode(value) for key, value in node.items()}
        match node:
            case Switch():
                return self._once(id(node), node, self._switch)
            case Slice():
                place = {"$slice": self.encode(node.of), "at": node.control}
                return place | {"axis": 1} if node.axis else place
            case Pick():
                return {"$pick": self.encode(node.of), "places": self.encode(node.places)}
            case Logarithm():
                return {"$log": self.encode(node.of)}
            case Exact():
                return self._once(("exact", node.of.shape, node.of.tobytes()), node, exact)
            case Density():
                return {
                    "$density": self.encode(node.places),
                    "ratio": self.encode(node.ratio),
                    "shift": self.encode(node.shift),
                }
            case Smooth():
                return {"$smooth": self.encode(node.of), "by": node.control}
            case Color():
                return {"$color": node.name} | ({"alpha": node.alpha} if node.alpha != 1 else {})
            case Scale():
                return {"$scale": node.name}
            case Mapping():
                return {key: self.encode(value) for key, value in node.items()}
            case str() | int():
                return node
            case float():
                return number(node)
            case list() | tuple():
                return self._list(node)
            case _:
                return self._once((node.dtype.str, node.shape, node.tobytes()), node, array)

    def fields(self, record: Chart | Control, *names: str) -> dict[str, Any]:
        """Some fields of a record by name, encoded."""
        return {name: self.encode(getattr(record, name)) for name in names}

    def _switch(self, node: Switch) -> Any:
        return {"$switch": node.control, "cases": {key: self.encode(value) for key, value in node.cases.items()}}

    def _list(self, items: Sequence[Any]) -> Any:
        encoded = [self.encode(item) for item in items]
        if len(encoded) <= 8 or not all(isinstance(item, str | int | float | None) for item in encoded):
            return encoded
        return self._once(json.dumps(encoded), items, lambda _: encoded)

    def _once(self, name: Any, node: Any, write: Any) -> dict[str, int]:
        if name not in self._places:
            self._alive.append(node)
            entry = write(node)
            self._places[name] = len(self.entries)
            self.entries.append(entry)
        return {"$ref": self._places[name]}


def number(value: float) -> float | int | None:
    """A number with seven significant digits, as short as JSON takes it; None where it is not finite."""
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.7g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def array(values: Any) -> Any:
    """A NumPy array in JSON.

    Short series and integers are lists. A longer series keeps float32; a matrix keeps 11 significant bits per value
    (float16 after a division by a power of two that brings its largest value into range), a relative error of at
    most 0.05 % for whatever a chart can show beside that largest value.
    """
    import numpy as np

    if values.ndim == 1 and (values.size <= LIST_LENGTH or values.dtype.kind in "iu"):
        return [number(value) if isinstance(value, float) else value for value in values.tolist()]
    if values.ndim == 1:
        return {"f4": packed(values.astype("<f4"))}
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.abs(values[np.isfinite(values)])
        largest = float(finite.max()) if finite.size else 0.0
        exponent = math.frexp(largest)[1] - 15 if largest else 0
        halves = np.ldexp(values.astype("<f4"), -exponent).astype("<f2")
    return {"f2": packed(halves), "exponent": exponent, "columns": int(values.shape[1])}


def exact(node: Exact) -> dict[str, Any]:
    """A matrix in JSON, as float32."""
    return {"f4": packed(node.of.astype("<f4")), "columns": int(node.of.shape[1])}


def packed(values: Any) -> str:
    """The bytes of an array as base64."""
    return base64.b64encode(values.tobytes()).decode("ascii")


def embed(panels: Sequence[Panel], tables: Mapping[str, Any]) -> str:
    """The JSON text of a page's charts and tables, safe inside a script element.

    `<`, `>` and `&` are written as escapes, so that no name can close the element or open another.
    """
    pool = Pool()
    document = {
        "panels": {panel.name: _panel(panel, pool) for panel in panels},
        "tables": tables,
        "pool": pool.entries,
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _panel(panel: Panel, pool: Pool) -> dict[str, Any]:
    state: dict[str, str | int] = {control.name: control.start for control in panel.controls}
    return {
        "state": state,
        "controls": [pool.fields(control, "name", "label", "kind", "options") for control in panel.controls],
        "charts": {
            chart.name: pool.fields(chart, "title", "height", "data", "layout", "click")
            | {"controls": sorted(controls_of(chart.data, chart.layout))}
            for chart in panel.charts
        },
    }
