"""The difference of two networks as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from archlab.analysis.folding import own_name, parent_rows
from archlab.tables.columns import shapes_text, subject_text
from archlab.tables.table import Cell, Column, Emphasis, Row, Table

if TYPE_CHECKING:
    from archlab.records import Diff, Layer, LayerDiff

EMPHASES: dict[str, Emphasis] = {"added": "good", "removed": "bad", "changed": "changed", "renamed": "changed"}
TIME_COLUMNS = (
    Column("seconds", "time", "right", form="seconds"),
    Column("seconds_difference", "time +/-", "right", form="+seconds"),
)
TIME_NOTE = (
    "Times: medians of the forward pass, measured here one network after the other; their total is that of the "
    "outermost layers. Layers that are equal otherwise differ by chance (--all shows them)."
)


def diff_table(diff: Diff, depth: int | None = None, *, everything: bool = False) -> Table:
    """The layers that differ, beneath the layers that hold them, and the totals.

    Args:
        diff: the two networks, aligned.
        depth: levels of the tree of layers to show; None for all.
        everything: show the layers that are equal too.
    """
    shown = [layer for layer in diff.layers if depth is None or layer.depth <= depth]
    if not everything:
        shown = _with_parents(shown)
    elsewhere = {name: _elsewhere(diff.layers, name) for name in ("parameters", "macs")}
    places = {id(layer): place for place, layer in enumerate(diff.layers)}
    before, after = diff.before.totals, diff.after.totals
    is_timed = any(layer.layer.seconds is not None for layer in diff.layers)
    return Table(
        columns=(
            Column("path", "path", shrinks=True),
            Column("change", "change"),
            Column("kind", "kind", shrinks=True),
            Column("output_shapes", "output shape", shrinks=True),
            Column("parameters", "parameters", "right", blank_zero=True),
            Column("parameters_difference", "par. +/-", "right", form="+,d", blank_zero=True),
            Column("macs", "MACs", "right", blank_zero=True),
            Column("macs_difference", "MACs +/-", "right", form="+,d", blank_zero=True),
            Column("output_bytes_difference", "output +/-", "right", form="+bytes", blank_zero=True),
            *(TIME_COLUMNS if is_timed else ()),
        ),
        rows=tuple(
            _row(
                layer,
                shown[parent].layer.path if parent >= 0 else "",
                is_timed,
                {name: counts[places[id(layer)]] for name, counts in elsewhere.items()},
            )
            for layer, parent in zip(shown, parent_rows(layer.depth for layer in shown), strict=True)
        ),
        title=f"{subject_text(diff.before)} -> {subject_text(diff.after)}"
        + (": no difference" if diff.is_empty else ""),
        total=(
            "total",
            None,
            None,
            None,
            after.parameters,
            after.parameters - before.parameters,
            after.macs,
            after.macs - before.macs,
            after.output_bytes - before.output_bytes,
            *(_total_times(diff) if is_timed else ()),
        ),
        footer=(*footer(diff, len(shown)), *((TIME_NOTE,) if is_timed else ())),
    )


def footer(diff: Diff, shown: int) -> tuple[str, ...]:
    """What was found, in words, of all layers, and how many of them are shown."""
    hidden = f" {shown:,} of {len(diff.layers):,} are shown." if shown < len(diff.layers) else ""
    if diff.is_empty:
        return (f"No difference: {len(diff.layers):,} layers are equal.{hidden and ' --all shows them.'}",)
    counts = ((diff.count(change), change) for change in ("added", "removed", "changed", "renamed", "equal"))
    return (
        "Layers: " + ", ".join(f"{count:,} {change}" for count, change in counts if count) + f".{hidden}",
        "Counts are those of the second network (of the first for what was removed), +/- is second minus first.",
    )


def _with_parents(layers: list[LayerDiff]) -> list[LayerDiff]:
    """What differs, and the equal layers around it."""
    kept: list[LayerDiff] = []
    inner = 0  # depth of the nearest row below that stays
    for layer in reversed(layers):
        if layer.change != "equal" or layer.depth < inner:
            kept.append(layer)
            inner = layer.depth
        elif layer.depth <= 1:
            inner = 0
    return kept[::-1]


def _total_times(diff: Diff) -> tuple[Cell, Cell]:
    """What the outermost layers of the second network take together, and how much more than those of the first."""
    outermost = [layer for layer in diff.layers if layer.depth == 1]
    before, after = (
        sum(layer.seconds or 0.0 for layer in side if layer is not None)
        for side in ([item.before for item in outermost], [item.after for item in outermost])
    )
    return after, after - before


def _times(before: Layer | None, after: Layer | None) -> tuple[Cell, Cell]:
    """What a layer takes, and how much more than before; nothing where a side wasn't measured."""
    first, second = (layer.seconds if layer is not None else 0.0 for layer in (before, after))
    shown = second if after is not None else first
    return shown, None if first is None or second is None else second - first


NOWHERE = 1 << 30
"""Deeper than any layer."""


def _elsewhere(layers: Sequence[LayerDiff], name: str) -> list[int]:
    """What the other rows of a block that only one network has around its layers account for, for each row.

    Of `features` that the second network has around the first one's `conv` and `fc`, 90 -> 100 and 20 -> 20 parameters,
    the rows beneath say +10 and 0: the row of 120 says +10, and not +120. Where the first network has the block, its
    layers stand on its own level and say all, so that it says what it holds beside them.
    """
    found = []
    for place, item in enumerate(layers):
        count, inner = 0, NOWHERE
        for other in layers[place + 1 :] if item.before is None or item.after is None else ():
            if item.before is None:  # the first network's outermost layers beneath it
                if other.depth <= item.depth:
                    break
                if other.depth <= inner:
                    count -= getattr(other.before, name) if other.before else 0
                    inner = other.depth if other.before else NOWHERE
            elif other.before is not None:  # its children, if they stand on its level
                if other.before.depth <= item.before.depth:
                    break
                if other.before.depth == item.before.depth + 1:
                    if other.depth > item.depth:
                        break
                    count += getattr(other.before, name)
        found.append(count)
    return found


def _row(diff: LayerDiff, parent: str, is_timed: bool, elsewhere: dict[str, int]) -> Row:
    before, after, layer = diff.before, diff.after, diff.layer
    label = own_name(layer.path, parent)
    renamed = before is not None and after is not None and before.path != after.path
    origin = f" (was {before.path})" if renamed and before is not None else ""

    def difference(name: str) -> Cell:
        own = (getattr(after, name) if after else 0) - (getattr(before, name) if before else 0)
        return own + elsewhere.get(name, 0)

    return Row(
        (
            layer.path + origin,
            None if diff.change == "equal" else diff.change,
            _both(before, after, lambda item: item.kind),
            _both(before, after, lambda item: shapes_text(item.output_shapes)),
            layer.parameters,
            difference("parameters"),
            layer.macs,
            difference("macs"),
            difference("output_bytes"),
            *(_times(before, after) if is_timed else ()),
        ),
        depth=diff.depth - 1,
        emphasis=EMPHASES.get(diff.change, "dim"),
        label=label + origin,
    )


def _both(before: Layer | None, after: Layer | None, text: Callable[[Layer], str]) -> str:
    texts = dict.fromkeys(text(layer) for layer in (before, after) if layer is not None)
    return " -> ".join(texts)
