"""The chart of a comparison's outcome: every run's final accuracy."""

from __future__ import annotations

from typing import Any

from archlab.analysis.metrics import EVALUATION, PRECISE
from archlab.records import Comparison, VariantResult
from archlab.reports.charts.parts import error_bars, has_metric, points
from archlab.reports.panel import Chart, Color, series_color
from archlab.reports.text import label

SERIES_STYLES = (
    ("test_accuracy", f"{PRECISE}, or no BatchNorm", "circle", 0.17),
    ("test_accuracy_running", EVALUATION, "circle-open", -0.17),
)


def accuracy_chart(comparison: Comparison) -> Chart:
    """Test accuracy of every run, with precise statistics and in evaluation."""
    traces: list[dict[str, Any]] = []
    names = [label(variant.name, 32) for variant in comparison.variants]
    for name, title, symbol, shift in SERIES_STYLES:
        for index, variant in enumerate(comparison.variants):
            if name in variant.metrics:
                place = len(names) - 1 - index + shift
                traces += _strip(variant, name, place, index, symbol, f"{names[index]}, {title}")
    traces += [_legend_entry(title, symbol) for name, title, symbol, _ in SERIES_STYLES if has_metric(comparison, name)]
    layout = {
        "xaxis": {"title": {"text": "test accuracy after the last epoch"}, "tickformat": ".1~%"},
        "yaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": names[::-1],
            "range": [-0.6, len(names) - 0.4],
            "zeroline": False,
            "showgrid": False,
        },
    }
    both = (
        " Both rows of a variant are of the same weights: where they differ, one of the statistics is off."
        if has_metric(comparison, "test_accuracy_running")
        else ""
    )
    return Chart(
        name="accuracy",
        title=f"Test accuracy with {PRECISE} and in {EVALUATION}" if both else "Test accuracy",
        description=f"Small points: one run each. Large points: mean over seeds with its 95 % interval.{both}",
        data=traces,
        layout=layout,
        height=150 + 72 * len(names),
        wide=True,
    )


def _strip(
    variant: VariantResult, name: str, height: float, index: int, symbol: str, title: str
) -> list[dict[str, Any]]:
    estimate = variant.metrics[name]
    values, color = list(estimate.values), series_color(index)
    base: dict[str, Any] = {"showlegend": False, "hovertemplate": "%{x:.2%}<extra>%{text}</extra>"}
    seeds = points(
        f"{title}: seeds",
        values,
        [height] * len(values),
        {"symbol": symbol, "size": 7, "color": series_color(index, 0.55)},
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
