"""What each network is: totals, shape table, what its layers lack, growth, and where its parameters and MACs sit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from archlab.analysis.diff import diff
from archlab.analysis.folding import OutlineRow, failed_rows, outline
from archlab.analysis.lint import lint
from archlab.analysis.wording import shape_text
from archlab.errors import InputError
from archlab.records import Diff, Trace, VariantResult
from archlab.reports import palette
from archlab.reports.charts.architecture import growth_panel, overlay_panel, share_panel
from archlab.reports.diagram import embedded_data, pair_html, render_pair
from archlab.reports.diagram import render as render_diagram
from archlab.reports.templating import Section, render
from archlab.reports.text import failure_text, slug, times, visible
from archlab.reports.volume import draw
from archlab.tables.columns import COLUMNS, DEFAULT_COLUMNS
from archlab.tables.diff import diff_table
from archlab.tables.table import written_rows
from archlab.tables.trace import footer, marked

PAIR = 2
"""Networks that are drawn side by side."""
OPEN_NETWORKS = 2
"""Networks up to which all are shown; of more, the first is, and the others open when they are asked for."""
NEAR_SHARE = 0.5
"""Share of equal layers from which on a network is shown by what sets it apart from another one."""
MOST_VOLUMES = 4
"""Networks that are drawn over one axis."""
STATIC_ROWS = 60
"""Rows of a shape table in the HTML itself, for readers without a script."""


def networks_section(traces: Sequence[Trace], variants: Sequence[VariantResult] = ()) -> Section:
    """All networks side by side, then each by itself; `variants` are those of the page that were built as networks."""
    taken: list[str] = []
    parts: list[Section] = []
    names = network_names(traces)
    for name, trace in zip(names, traces, strict=True):
        taken.append(slug(f"network-{name}", taken))
        part = _network(trace, name, taken[-1])
        near = _nearest(trace, traces[: len(parts)])
        if near is not None:
            place, found = near
            part = _beside(part, found, names[place], taken[place])
        parts.append(replace(part, folded=near is None and len(traces) > OPEN_NETWORKS and bool(parts)))
    several = dict(zip(names, traces, strict=True))
    overlay = overlay_panel(several, "networks-overlay", _places(several, variants)) if len(several) > 1 else None
    pair = _pair(*traces) if len(traces) == PAIR else ""
    volumes = _volumes([trace for trace in traces if trace.layers][:MOST_VOLUMES]) if len(several) > 1 else ""
    body = render("networks.html", traces=traces, anchors=taken, overlay=overlay, pair=pair, volumes=volumes)
    return Section("networks", "Architecture", body, (overlay,) if overlay else (), parts=tuple(parts))


def _places(networks: Mapping[str, Trace], variants: Sequence[VariantResult]) -> dict[str, int] | None:
    """The colours of the variants that the networks are; None where they are none, or two have the same."""
    found = {name: palette.of_network(trace.options, variants) for name, trace in networks.items()}
    known = {name: place for name, place in found.items() if place is not None}
    return known if len(known) == len(networks) == len(set(known.values())) else None


def _network(trace: Trace, name: str, anchor: str) -> Section:
    table = shape_table(trace)
    growth = growth_panel(trace, f"{anchor}-growth")
    share = share_panel(trace, f"{anchor}-share")
    body = render(
        "network.html",
        trace=trace,
        anchor=anchor,
        table=table,
        columns=table["columns"],
        depths=sorted({layer.depth for layer in trace.layers}),
        written=_top(table)[:STATIC_ROWS],
        series=any(len(row) > len(table["columns"]) + 1 for row in table["rows"]),
        growth=growth,
        share=share,
        failure=failure_text(trace.failure) if trace.failure else "",
        footer=footer(trace),
        findings=[] if trace.failure else lint(trace),
        sees=any(layer.receptive_field for layer in trace.layers),
        diagram=_diagram(trace, anchor) if trace.layers else "",
        volumes=_volumes([trace]) if trace.layers else "",
    )
    panels = tuple(panel for panel in (growth, share) if panel is not None)
    return Section(anchor, name, body, panels, {anchor: table})


def _nearest(trace: Trace, others: Sequence[Trace]) -> tuple[int, Diff] | None:
    """The place of the network that it shares the most layers with, where those are `NEAR_SHARE` of both's."""

    def share(one: tuple[int, Diff]) -> float:
        return (one[1].count("equal") + one[1].count("renamed")) / max(1, len(one[1].layers))

    best = max(((place, diff(other, trace)) for place, other in enumerate(others)), key=share, default=None)
    return best if best is not None and share(best) >= NEAR_SHARE else None


def _beside(part: Section, found: Diff, first: str, anchor: str) -> Section:
    """A network as the table of what sets it apart from another one on the page, all of it folded away below."""
    table = diff_table(found)
    body = render(
        "near.html",
        same=found.is_empty,
        table=table,
        rows=written_rows(table),
        first=first,
        other=anchor,
        name=part.title,
        whole=part.body,
    )
    return replace(part, body=body)


def _pair(before: Trace, after: Trace) -> str:
    """The diagrams of two networks side by side, what differs in colour."""
    from markupsafe import Markup

    return Markup(pair_html(render_pair(before, after, identifier="networks-pair")))


def network_names(traces: Sequence[Trace]) -> list[str]:
    """What sets each network apart from the others on the page: `lenet (norm=none)`, `resnet18 (1x3x64x64)`."""
    named = []
    for trace in traces:
        options = trace.options.items()
        others = [other for other in traces if other.network == trace.network and other is not trace]
        shared = options & set.intersection(*(set(other.options.items()) for other in others)) if others else set()
        inputs = {other.inputs for other in others} - {trace.inputs}
        marks = [f"{name}={value}" for name, value in options if (name, value) not in shared]
        marks += [shape_text(sizes) for sizes in trace.inputs] if inputs else []
        named.append(f"{trace.network} ({', '.join(marks)})" if marks else trace.network)
    return [name if named.count(name) == 1 else f"{name}, {place}" for place, name in enumerate(named, 1)]


def shape_table(trace: Trace) -> dict[str, Any]:
    """The rows of plain values, each with its depth behind them; columns that say nothing are left out.

    A row of a series, or within one, goes on with how many layers it stands for, the place of the series that it lies
    in (-1 for none), whether it shows while that is open (1) or closed (0), and the path of the first of its layers.
    """
    lines = outline(trace)
    found = {name: [measure.value(line.layer, trace.totals) for line in lines] for name, measure in COLUMNS.items()}
    for name in ("layer", "input-shape", "output-shape"):
        found[name] = [times(value) if isinstance(value, str) else value for value in found[name]]
    kept = [
        name
        for name, values in found.items()
        if name in DEFAULT_COLUMNS or any(value not in (None, "", 0) for value in values)
    ]
    columns = [{"name": "path", "title": "layer", "number": False, "form": ""}]
    columns += [
        {
            "name": column.name,
            "title": "kernel" if column.name == "layer" else column.title,
            "number": column.align == "right" and column.name != "calls",
            "form": column.form,
            "blank": column.blank_zero,
        }
        for column in (COLUMNS[name].column for name in kept)
    ]
    rows = [
        [
            visible(line.layer.path),
            *(visible(value) if isinstance(value, str) else value for value in values),
            line.layer.depth,
            *_place(line),
        ]
        for line, *values in zip(lines, *(found[name] for name in kept), strict=True)
    ]
    hidden = [COLUMNS[name].column.name for name in kept if name not in DEFAULT_COLUMNS]
    places = {line.path: place for place, line in enumerate(lines) if line.count == 1}  # the last call of each
    failed = [places[trace.layers[row].path] for row in failed_rows(trace)]
    failure = {"places": failed, "text": failure_text(trace.failure)} if trace.failure and failed else None
    return {"columns": columns, "rows": rows, "hidden": hidden, "failure": failure}


def _place(line: OutlineRow) -> list[Any]:
    if line.count == 1 and line.series < 0:
        return []
    return [line.count, line.series, int(line.member), visible(line.path)]


def _top(table: dict[str, Any]) -> list[list[Any]]:
    """The rows that a reader without a script sees: the outermost, series as one."""
    depth = len(table["columns"])
    rows = []
    for row in table["rows"]:
        count, series = row[depth + 1 : depth + 3] or (1, -1)
        if row[depth] == 1 and series < 0:
            rows.append([marked(row[0], count), *row[1:]])
    return rows


def _volumes(traces: Sequence[Trace]) -> str:
    """The tensors of networks as blocks to scale; empty where there is nothing to draw."""
    from markupsafe import Markup

    with suppress(InputError):
        return Markup(draw(*traces, alone=False).svg)
    return ""


def _diagram(trace: Trace, anchor: str) -> str:
    """The architecture diagram with its data."""
    from markupsafe import Markup

    name = f"{anchor}-diagram"
    fragment = render_diagram(trace, identifier=name)
    return Markup(fragment.html + embedded_data(fragment, name))
