"""The chart of a comparison's outcome: what every run ended at, in the primary metric."""

from __future__ import annotations

from typing import Any

from archlab.analysis.chance import comparison_chance
from archlab.analysis.metrics import BY_NAME, EVALUATION, PRECISE, SHARE
from archlab.records import Comparison, VariantResult
from archlab.reports import palette
from archlab.reports.charts.parts import axis_of, chance_line, error_bars, points, sizes_text
from archlab.reports.panel import Chart, Color, series_color
from archlab.reports.text import label, metric

ROW, FRAME = 64, 118
"""Height of a variant, and of what is around them; in pixels."""
STYLES = (("circle", 0.17), ("circle-open", -0.17))
"""Symbol and place beside the row's middle: of the primary metric, and of the same with running statistics."""


def outcome_chart(comparison: Comparison) -> Chart | None:
    """The primary metric of every run, beside what the same weights reach in evaluation mode; None without it."""
    shown = [variant for variant in comparison.variants if comparison.metric in variant.metrics]
    if not shown:
        return None
    measured, running = metric(comparison.metric), f"{comparison.metric}_running"
    both = running in BY_NAME and any(running in variant.metrics for variant in shown)
    held = (comparison.metric, running) if both else (comparison.metric,)
    titles = (f"{PRECISE}, or no BatchNorm", EVALUATION) if both else (measured.title,)
    known = palette.places(comparison.variants)
    names = [label(variant.name, 32) for variant in shown]
    traces: list[dict[str, Any]] = []
    for name, title, (symbol, shift) in zip(held, titles, STYLES, strict=False):
        for row, variant in enumerate(shown):
            if name in variant.metrics:
                height = len(names) - 1 - row + (shift if running in variant.metrics else 0)
                traces += _strip(variant, name, height, known[variant.name], symbol, f"{names[row]}, {title}")
        if both:
            traces.append(_legend_entry(title, symbol))
    chance = comparison_chance(comparison) if measured.unit is SHARE else None
    sizes = sizes_text({variant.name: variant.metrics[comparison.metric].n for variant in shown})
    return Chart(
        name="outcome",
        title=f"{measured.title[:1].upper()}{measured.title[1:]} of every run after its last epoch",
        description=f"Small points: one run each. Large points: mean over seeds with its 95 % interval ({sizes})."
        + (" Both rows of a variant are of the same weights: where they differ, one of the statistics is off." * both),
        data=traces,
        layout={
            "xaxis": axis_of(measured, both, chance),
            "yaxis": {
                "tickvals": list(range(len(names))),
                "ticktext": [_said(variant, comparison.metric) for variant in reversed(shown)],
                "range": [-0.6, len(names) - 0.4],
                "zeroline": False,
                "showgrid": False,
            },
            **chance_line(chance, "x"),
        },
        height=FRAME + ROW * len(names),
        wide=True,
    )


def _said(variant: VariantResult, name: str) -> str:
    """A variant's name with its mean, and the one in evaluation mode, below it."""
    lines = [f"<b>{label(variant.name, 32)}</b>", metric(name).written(variant.metrics[name].mean)]
    if f"{name}_running" in variant.metrics:
        lines.append(f"evaluation {metric(name).written(variant.metrics[f'{name}_running'].mean)}")
    return "<br>".join(lines)


def _strip(
    variant: VariantResult, name: str, height: float, place: int, symbol: str, title: str
) -> list[dict[str, Any]]:
    estimate = variant.metrics[name]
    values, color = list(estimate.values), series_color(place)
    number = ".2%" if metric(name).unit is SHARE else ".4g"
    base: dict[str, Any] = {"showlegend": False, "hovertemplate": f"%{{x:{number}}}<extra>%{{text}}</extra>"}
    seeds = points(
        f"{title}: seeds",
        values,
        [height] * len(values),
        {"symbol": symbol, "size": 7, "color": series_color(place, 0.55)},
        text=[f"seed {seed}" for seed in variant.seeds] or ["one seed"] * len(values),
        **base,
    )
    mean = points(
        f"{title}: mean of {estimate.n}",
        [estimate.mean],
        [height],
        {"symbol": symbol, "size": 13, "color": color, "line": {"width": 2.5, "color": color}},
        text=[f"mean, n = {estimate.n}"],
        **base,
        **error_bars("error_x", [estimate], color),
    )
    return [seeds, mean]


def _legend_entry(title: str, symbol: str) -> dict[str, Any]:
    return points(title, [None], [None], {"symbol": symbol, "size": 9, "color": Color("muted")}, hoverinfo="skip")
