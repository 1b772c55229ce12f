"""A checkpoint as a table: the tensors by their names, down to a depth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from archlab.analysis.wording import counted, shape_text
from archlab.tables.columns import count_column, size_column
from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    from archlab.records.checkpoint import Checkpoint, StoredTensor


def checkpoint_table(found: Checkpoint, depth: int | None) -> Table:
    """One row per tensor, or per group of tensors whose names begin alike; `depth` parts of names are kept."""
    groups: dict[str, list[StoredTensor]] = {}
    for tensor in found.tensors:
        parts = tensor.name.split(".")
        groups.setdefault(".".join(parts if depth is None else parts[:depth]), []).append(tensor)
    rows = [Row((name, *_cells(tensors))) for name, tensors in groups.items()]
    return Table(
        columns=(
            Column("name", "name", shrinks=True),
            count_column("tensors", "tensors"),
            Column("shape", "shape"),
            Column("dtype", "type"),
            count_column("elements", "numbers"),
            size_column("bytes", "bytes"),
        ),
        rows=tuple(rows),
        title=f"{found.path}, by the headers alone",
        total=("total", *_cells(found.tensors)),
        footer=(
            f"{counted(len(found.files), 'file')}. Numbers are those of parameters and buffers.",
            "Quantised weights may be packed several to a number, and have scales beside them.",
            "No network is built: name its config (hf:FOLDER) for layers and cost.",
        ),
    )


def _cells(tensors: Iterable[StoredTensor]) -> tuple[int, str, str, int, int]:
    held = list(tensors)
    dtypes = ", ".join(dict.fromkeys(tensor.dtype for tensor in held))
    shape = shape_text(held[0].shape) if len(held) == 1 else ""
    return len(held), shape, dtypes, sum(item.elements for item in held), sum(item.bytes for item in held)
