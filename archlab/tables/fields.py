"""Any other record as a table: a row for each of its fields that says something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import PurePath

from archlab.analysis.wording import counted, shape_text
from archlab.tables.table import Cell, Column, Row, Table

MOST_LISTED = 8
"""Values that are listed one by one; of more their number is said."""
MOST_LETTERS = 160


def fields_table(record: object) -> Table:
    """The fields of a dataclass, without those that are empty; what is long is described in a few words."""
    if not is_dataclass(record):
        raise TypeError(f"nothing draws a {type(record).__name__}: expected a record")
    values = {item.name: getattr(record, item.name) for item in fields(record) if item.repr}
    return Table(
        columns=(Column("field", "field"), Column("value", "value", wraps=True)),
        rows=tuple(Row((name, found)) for name, value in values.items() if (found := described(value)) is not None),
        title=type(record).__name__,
    )


def described(value: object) -> Cell:
    """A value in a few words; None where it is empty.

    >>> described((1, 3, 8, 8)), described([0.5] * 20), described({"norm": "none"})
    ('1x3x8x8', '20 x float', 'norm none')
    """
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | PurePath):
        return str(value) or None
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        return f"{shape_text(shape)} numbers ({dtype})" if shape else str(value)
    if isinstance(value, Mapping) and value:
        plain = all(isinstance(one, bool | int | float | str) for one in value.values())
        parts = [f"{name} {one}" if plain else str(name) for name, one in value.items()]
        return _joined(parts) or counted(len(parts), "name")
    if isinstance(value, Sequence | set | frozenset | Mapping):
        return _listed(list(value))
    if is_dataclass(value) and not isinstance(value, type):
        named = [(item.name, described(getattr(value, item.name))) for item in fields(value) if item.repr]
        label = getattr(value, "label", "")
        return label or _joined([f"{name} {found}" for name, found in named if found is not None]) or _kind(value)
    return None if value is None else getattr(value, "__qualname__", repr(value))


def _listed(values: list[object]) -> str | None:
    if not values:
        return None
    if len(values) > 1 and all(isinstance(one, int) and not isinstance(one, bool) for one in values):
        return _joined([str(one) for one in values], "x") or f"{len(values):,} x int"
    parts = [str(described(one)) for one in values]
    several = f"{len(values):,} x {_kind(values[0])}"
    return several if parts[0] == _kind(values[0]) else _joined(parts) or several


def _kind(value: object) -> str:
    return type(value).__name__


def _joined(parts: Sequence[str], between: str = ", ") -> str:
    """The parts as one text; empty where it would be long."""
    text = between.join(parts)
    return text if len(parts) <= MOST_LISTED and len(text) <= MOST_LETTERS else ""
