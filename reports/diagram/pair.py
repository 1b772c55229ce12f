"""Two networks side by side as diagrams: what belongs together at one height, what differs in colour.

Each diagram is drawn as by itself (`page`), under a colouring of its own that says what became of each layer. The
browser then puts partners at one height, and opens, chooses, zooms and scrolls both at once (assets/diagram-pair.js);
without a script the two stand beside one another as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archlab import files
from archlab.analysis.diff import diff
from archlab.analysis.wording import layer_text
from archlab.records import Change, Diff, Layer, LayerDiff, Trace
from archlab.reports import resources, templating
from archlab.reports.diagram.colour import Key, Scheme
from archlab.reports.diagram.data import script_data
from archlab.reports.diagram.drawing import embedded
from archlab.reports.diagram.node import DiagramNode, shapes_label
from archlab.reports.diagram.page import Fragment, embedded_data, standalone
from archlab.reports.diagram.views import Depth, View, opened, view
from archlab.reports.text import count, visible
from archlab.tables import markup
from archlab.tables.columns import subject_text
from archlab.tables.diff import diff_table

CHANGES: dict[Change, str] = {
    "added": "added: only in the second",
    "removed": "removed: only in the first",
    "changed": "changed",
    "renamed": "renamed: equal but for its path",
    "equal": "equal",
}
"""What becomes of a layer; the style class is the word behind `is-`."""

SAID: dict[str, Callable[[Layer], str]] = {
    "path": lambda layer: visible(layer.path),
    "kind": lambda layer: visible(layer.kind),
    "": layer_text,
    "output": lambda layer: ", ".join(shapes_label([shape]) for shape in layer.output_shapes[:2]),
    "parameters": lambda layer: count(layer.parameters),
    "MACs": lambda layer: count(layer.macs),
}
"""What is said of a layer before and after."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two diagrams."""

    shown: View
    changes: tuple[LayerDiff, ...]
    """Of each row of its trace."""

    @property
    def nodes(self) -> list[DiagramNode]:
        return sorted(self.shown.root.walk(), key=lambda node: node.number)

    def change(self, node: DiagramNode) -> Change:
        """What became of a node; of one that stands for equal layers with unequal fates, that it changed."""
        layers = self.shown.trace.layers
        rows = [row for row, layer in enumerate(layers) if visible(layer.path) in node.repeats] or [node.row]
        fates = {self.changes[row].change for row in rows}
        return fates.pop() if len(fates) == 1 else "changed"

    def scheme(self) -> Scheme:
        styles = [f"is-{change.change}" for change in self.changes]
        for node in self.nodes:
            if node.row >= 0:
                styles[node.row] = f"is-{self.change(node)}"
        legend = tuple(Key(f"is-{change}", text) for change, text in CHANGES.items() if f"is-{change}" in styles)
        return Scheme("change", "What differs", tuple(styles), legend)


def render_pair(
    before: Trace, after: Trace, *, identifier: str = "pair", depth: Depth = "auto"
) -> tuple[Fragment, ...]:
    """The diagrams of two networks as parts of a page, which belong between the tags of `pair_html`.

    Args:
        before: the first network.
        after: the second.
        identifier: tells the diagrams of a page apart; theirs are `identifier-before` and `identifier-after`.
        depth: blocks above it are open at first; None opens all, and `auto` what is worth seeing in either.
    """
    found = diff(before, after)
    rows = _rows(found)
    sides = [
        _Side(view(trace), tuple(item for item in found.layers if getattr(item, name) is not None))
        for trace, name in ((before, "before"), (after, "after"))
    ]
    partners = [_partners(sides[place], sides[1 - place], pairs) for place, pairs in enumerate(rows)]
    is_open = [opened(side.shown.root, depth) for side in sides]
    numbers = [
        {node.number for node in side.nodes if node.plan and test(node)}
        for side, test in zip(sides, is_open, strict=True)
    ]
    for place in (0, 1):  # the partner of what is open is open too
        others = {node.number for node in sides[1 - place].nodes if node.plan}
        numbers[1 - place] |= {partners[place][number] for number in numbers[place]} & others
    names = (f"{identifier}-before", f"{identifier}-after")
    return tuple(
        _fragment(side, names[place], names[1 - place], partners[place], numbers[place])
        for place, side in enumerate(sides)
    )


def pair_html(fragments: Sequence[Fragment]) -> str:
    """Both diagrams side by side, with their data."""
    parts = (fragment.html + embedded_data(fragment, fragment.data["name"]) for fragment in fragments)
    return f'<div class="diagram-pair">{"".join(parts)}</div>'


def save_pair(
    path: str | Path,
    before: Trace,
    after: Trace,
    *,
    depth: Depth = "auto",
    levels: int | None = None,
    everything: bool = False,
) -> Path:
    """The path of the HTML file that two networks were written to, side by side, the table of differences beneath.

    Args:
        path: where to.
        before: the first network.
        after: the second.
        depth: blocks above it are open at first; None opens all, and `auto` what is worth seeing in either.
        levels: of the tree of layers in the table; None for all.
        everything: show the layers that are equal in the table too.

    Raises:
        StoreError: the file can't be written.
    """
    from markupsafe import Markup

    found = diff(before, after)
    table_style = resources.hashed(markup.STYLE)
    page = standalone(
        "diagram-pair.html",
        visible(f"{subject_text(before)} → {subject_text(after)}"),
        lambda style: f"style-src-elem {style} {table_style}; style-src-attr 'unsafe-inline'",
        pair=Markup(pair_html(render_pair(before, after, depth=depth))),
        table=Markup(markup.html(diff_table(found, levels, everything=everything))),
    )
    return files.save(Path(path), page)


def _rows(found: Diff) -> tuple[dict[int, int], dict[int, int]]:
    """The row of each layer's partner: of the first network's layers, and of the second's.

    A difference has the layers of either side in that side's order, each once.
    """
    first: dict[int, int] = {}
    before = after = 0
    for item in found.layers:
        if item.before is not None and item.after is not None:
            first[before] = after
        before += item.before is not None
        after += item.after is not None
    return first, {other: row for row, other in first.items()}


def _partners(side: _Side, other: _Side, rows: dict[int, int]) -> list[int]:
    """The number of each node's partner in the other diagram, -1 where it has none there."""
    places: dict[int, int] = {}
    paths = {visible(layer.path): row for row, layer in enumerate(other.shown.trace.layers)}
    for node in reversed(other.nodes):
        for row in (node.row, *(paths[path] for path in node.repeats)):
            places[row] = node.number
    taken: set[int] = set()
    partners = []
    for node in side.nodes:
        partner = 0 if node.row < 0 else places.get(rows.get(node.row, -2), -1)
        partners.append(-1 if partner in taken else partner)
        taken.add(partner)
    return partners


def _fragment(side: _Side, name: str, other: str, partners: list[int], numbers: set[int]) -> Fragment:
    from markupsafe import Markup

    shown, scheme = side.shown, side.scheme()
    trace = shown.trace
    html = templating.render(
        "diagram.html",
        identifier=name,
        title=visible(subject_text(trace)),
        colours=[("change", "What differs"), ("kind", "Kind of layer")],
        colour="change",
        linked=True,
        in_columns=False,
        drawing=Markup(embedded(shown.scene(lambda node: node.number in numbers), scheme, shown.description)),
        legend=scheme.title,
    )
    data = script_data(shown, ("kind",), sorted(numbers), "change", "down")
    data["schemes"]["change"] = _scheme_data(side, scheme)
    data["facts"].append("difference")
    for node, item in zip(side.nodes, data["nodes"], strict=True):
        if node.row >= 0:
            facts = list(item.get("facts", ()))
            item["facts"] = [*facts, *[""] * (len(data["facts"]) - 1 - len(facts)), _difference(side, node)]
    data |= {"name": name, "other": other, "partners": partners}
    return Fragment(str(html), data, shown.title, shown.failure)


def _scheme_data(side: _Side, scheme: Scheme) -> dict[str, Any]:
    styles = sorted(set(scheme.styles))
    return {
        "styles": styles,
        "of": [styles.index(scheme.styles[node.row]) if node.row >= 0 else 0 for node in side.nodes],
        "legend": [[key.style, key.text] for key in scheme.legend],
    }


def _difference(side: _Side, node: DiagramNode) -> str:
    """What became of a layer, in words: `changed: kind Residual → Chain; parameters 75,008 → 18,592`."""
    item = side.changes[node.row]
    if item.before is None or item.after is None:
        return side.change(node)
    parts = []
    for name, text in SAID.items():
        texts = text(item.before), text(item.after)
        if texts[0] != texts[1]:
            parts.append(f"{name} {texts[0] or 'none'} → {texts[1] or 'none'}".strip())
    return f"{side.change(node)}: {'; '.join(parts)}" if parts else side.change(node)
