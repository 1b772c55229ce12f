"""Charts of a comparison: the final metric of every run, and every paired difference."""

from __future__ import annotations

from typing import Any

from archlab.records import Comparison, Difference, Estimate
from archlab.reports.chart import Chart, Color, Control, Panel, Switch, series_color
from archlab.reports.text import change, is_fraction, label, quantity, words


def accuracy_chart(comparison: Comparison) -> Chart:
    """Test accuracy of every run with population and with running statistics."""
    traces: list[dict[str, Any]] = []
    names = [label(variant.name, 32) for variant in comparison.variants]
    styles = (
        ("test_accuracy", "population statistics (or no BatchNorm)", "circle", 0.16),
        ("test_accuracy_running", "running statistics", "circle-open", -0.16),
    )
    for metric, title, symbol, shift in styles:
        for index, variant in enumerate(comparison.variants):
            estimate = variant.metrics.get(metric)
            if estimate is None:
                continue
            place = len(names) - 1 - index
            traces += _strip(estimate, place + shift, index, symbol, f"{names[index]}, {title}")
    for _, title, symbol, _ in styles:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": title,
                "x": [None],
                "y": [None],
                "marker": {"symbol": symbol, "size": 9, "color": Color("muted")},
                "hoverinfo": "skip",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "test accuracy after the last epoch"}, "tickformat": ".1~%"},
        "yaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": names[::-1],
            "range": [-0.6, len(names) - 0.4],
            "automargin": True,
            "zeroline": False,
            "showgrid": False,
        },
    }
    return Chart(
        name="accuracy",
        title="Test accuracy with running and with population statistics",
        description="Small points: one run each. Large points: mean over seeds with its 95 % interval. Where the two rows "
        "of a variant differ, the difference is the running averages' error, and not the weights'.",
        data=traces,
        layout=layout,
        height=150 + 80 * len(names),
        wide=True,
    )


def _strip(estimate: Estimate, height: float, index: int, symbol: str, name: str) -> list[dict[str, Any]]:
    open_symbol = symbol.endswith("open")
    seeds = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{name}: seeds",
        "showlegend": False,
        "x": list(estimate.values),
        "y": [height] * len(estimate.values),
        "marker": {"symbol": symbol, "size": 6, "color": series_color(index, 0.6)},
        "hovertemplate": "%{x:.2%}<extra>%{fullData.name}</extra>",
    }
    mean: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{name}: mean of {estimate.n}",
        "showlegend": False,
        "x": [estimate.mean],
        "y": [height],
        "marker": {"symbol": symbol, "size": 12, "color": series_color(index), "line": {"width": 2 if open_symbol else 0}},
        "hovertemplate": "%{x:.2%}<extra>%{fullData.name}</extra>",
    }
    if estimate.low is not None and estimate.high is not None:
        mean["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [estimate.high - estimate.mean],
            "arrayminus": [estimate.mean - estimate.low],
            "color": series_color(index),
            "thickness": 2,
            "width": 5,
        }
    return [seeds, mean]


def difference_panel(comparison: Comparison, name: str) -> Panel | None:
    """Every pair of runs and every paired difference, for the metric and the variant that the reader chooses."""
    shown: dict[str, dict[str, Difference]] = {}
    for difference in comparison.differences:
        shown.setdefault(difference.metric, {})[difference.variant] = difference
    if not shown:
        return None
    metrics = tuple((metric, words(metric)) for metric in shown)
    first = "test_accuracy" if "test_accuracy" in shown else next(iter(shown))
    variants = tuple((variant, label(variant)) for variant in dict.fromkeys(d.variant for d in comparison.differences))
    order = {variant.name: index for index, variant in enumerate(comparison.variants)}

    def by_choice(part: Any) -> Switch:
        return Switch(
            "metric",
            {
                metric: Switch("variant", {variant: part(difference) for variant, difference in found.items()})
                for metric, found in shown.items()
            },
        )

    estimates = {variant.name: variant.metrics for variant in comparison.variants}
    chart = Chart(
        name="differences",
        title="Paired differences, every pair shown",
        description="Left: each line joins the two runs of one seed, which share their data order and first weights. "
        "Right: the difference of each pair, and the mean difference with its 95 % interval; an interval that leaves zero "
        "out is a difference that the seeds carry.",
        data=by_choice(lambda difference: _pairs(comparison, difference, estimates, order)),
        layout=by_choice(_difference_layout),
        height=400,
        wide=True,
        state={"metric": first, "variant": variants[0][0]},
    )
    controls = (
        Control("metric", "Metric", "select", metrics, first),
        Control("variant", "Variant", "select", variants, variants[0][0]),
    )
    return Panel(name, (chart,), controls)


def _pairs(
    comparison: Comparison, difference: Difference, estimates: dict[str, dict[str, Estimate]], order: dict[str, int]
) -> list[dict[str, Any]]:
    index = order.get(difference.variant, 1)
    left = _side(estimates, difference.baseline, difference.metric)
    right = _side(estimates, difference.variant, difference.metric)
    paired = len(left) == len(right) == len(difference.values)
    seeds = list(comparison.seeds) if len(comparison.seeds) == len(difference.values) else [None] * len(difference.values)
    traces: list[dict[str, Any]] = []
    if paired:
        for seed, before, after in zip(seeds, left, right, strict=True):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": "pair" if seed is None else f"seed {seed}",
                    "showlegend": False,
                    "x": [0, 1],
                    "y": [before, after],
                    "line": {"color": Color("muted", 0.55), "width": 1.5},
                    "marker": {"size": 8, "color": [series_color(order.get(difference.baseline, 0)), series_color(index)]},
                    "hovertemplate": "%{y:.4g}<extra>%{fullData.name}</extra>",
                }
            )
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "differences",
            "showlegend": False,
            "xaxis": "x2",
            "yaxis": "y2",
            "x": _jittered(len(difference.values)),
            "y": list(difference.values),
            "text": [f"seed {seed}" if seed is not None else "pair" for seed in seeds],
            "marker": {"size": 8, "color": series_color(index, 0.65)},
            "hovertemplate": "%{y:+.4g}<extra>%{text}</extra>",
        }
    )
    mean: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": f"mean difference, n = {difference.n}",
        "showlegend": False,
        "xaxis": "x2",
        "yaxis": "y2",
        "x": [0.5],
        "y": [difference.mean],
        "marker": {"size": 12, "symbol": "diamond", "color": Color("text")},
        "hovertemplate": "%{y:+.4g}<extra>%{fullData.name}</extra>",
    }
    if difference.low is not None and difference.high is not None:
        mean["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [difference.high - difference.mean],
            "arrayminus": [difference.mean - difference.low],
            "color": Color("text"),
            "thickness": 2,
            "width": 6,
        }
    return [*traces, mean]


def _side(estimates: dict[str, dict[str, Estimate]], variant: str, metric: str) -> tuple[float, ...]:
    found = estimates.get(variant, {}).get(metric)
    if found is None and metric.endswith("_running"):  # a network without BatchNorm has one accuracy only
        found = estimates.get(variant, {}).get(metric.removesuffix("_running"))
    return found.values if found else ()


def _jittered(number: int) -> list[float]:
    """Places between -0.2 and 0.2, in order, so that equal differences don't hide each other."""
    return [0.4 * place / (number - 1) - 0.2 if number > 1 else 0.0 for place in range(number)]


def _difference_layout(difference: Difference) -> dict[str, Any]:
    fraction = is_fraction(difference.metric)
    p_value = "" if difference.p_value is None else f", p = {difference.p_value:.3g}"
    interval = (
        ""
        if difference.low is None or difference.high is None
        else f" [{change(difference.metric, difference.low)}, {change(difference.metric, difference.high)}]"
    )
    return {
        "xaxis": {
            "domain": [0, 0.56],
            "range": [-0.3, 1.3],
            "tickvals": [0, 1],
            "ticktext": [label(difference.baseline, 24), label(difference.variant, 24)],
            "showgrid": False,
            "zeroline": False,
        },
        "xaxis2": {
            "domain": [0.7, 1],
            "range": [-0.5, 0.9],
            "tickvals": [0, 0.5],
            "ticktext": ["each pair", "mean"],
            "showgrid": False,
            "zeroline": False,
            "anchor": "y2",
        },
        "yaxis": {"title": {"text": words(difference.metric)}, "tickformat": ".1~%" if fraction else ""},
        "yaxis2": {
            "title": {"text": "difference, points" if fraction else "difference"},
            "tickformat": "+.1~%" if fraction else "+.3~g",
            "anchor": "x2",
            "zeroline": True,
        },
        "annotations": [
            {
                "text": f"{change(difference.metric, difference.mean)}{interval}<br>n = {difference.n}{p_value}",
                "xref": "x2 domain",
                "yref": "paper",
                "x": 1,
                "y": 1.02,
                "xanchor": "right",
                "yanchor": "bottom",
                "align": "right",
                "showarrow": False,
            }
        ],
    }


def outcome_text(estimate: Estimate | None, metric: str) -> str:
    """A mean with its interval and n, in one line."""
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{quantity(metric, estimate.mean)} (n = {estimate.n})"
    interval = f"[{quantity(metric, estimate.low)}, {quantity(metric, estimate.high)}]"
    return f"{quantity(metric, estimate.mean)} {interval} (n = {estimate.n})"
