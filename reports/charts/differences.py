"""The chart of paired differences: every pair of runs, every difference, the mean and its interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archlab.analysis.wording import p_statement, p_text
from archlab.records import Comparison, Difference, Estimate, VariantResult
from archlab.reports import palette
from archlab.reports.charts.parts import axis_of, error_bars, line, points, sizes_text
from archlab.reports.panel import Chart, Color, Control, Panel, Switch, series_color
from archlab.reports.text import label, metric, minus

MEAN_PLACE = 0.6
"""Where the mean stands beside the pairs, which stand around 0."""


def difference_panel(comparison: Comparison, name: str) -> Panel | None:
    """Every pair and every difference, for the metric and the variant that the reader chooses; None without any."""
    shown: dict[str, dict[str, Difference]] = {}
    several = len({difference.baseline for difference in comparison.differences}) > 1
    titles: dict[str, str] = {}
    for difference in comparison.differences:
        pair = f"{difference.variant} − {difference.baseline}" if several else difference.variant
        titles[pair] = label(pair)
        shown.setdefault(difference.metric, {})[pair] = difference
    if not shown:
        return None
    metrics = tuple((found, metric(found).titled(comparison.has_running)) for found in shown)
    first = next(iter(shown))
    n = sizes_text({name: one.n for name, one in shown[first].items()})
    pairs = tuple(titles.items())

    def by_choice(part: Callable[[Difference], Any]) -> Switch:
        cases = {
            found: Switch("variant", {pair: part(difference) for pair, difference in differences.items()})
            for found, differences in shown.items()
        }
        return Switch("metric", cases)

    chart = Chart(
        name="differences",
        title="Every pair, and every difference",
        description="Left: each line joins the two runs of one seed, which share their data order and, as far as they "
        "can, their first weights. Right: the difference of each pair, and the mean difference with its 95 % interval "
        f"({n}). Called different: p < 0.05, adjusted for all that the comparison asks.",
        data=by_choice(lambda difference: _traces(comparison, difference)),
        layout=by_choice(lambda difference: _layout(difference, comparison.has_running)),
        height=420,
        wide=True,
        state={"metric": first, "variant": pairs[0][0]},
    )
    controls = (
        Control("metric", "Metric", "select", metrics, first),
        Control("variant", "Variant", "select", pairs, pairs[0][0]),
    )
    return Panel(name, (chart,), controls)


def _traces(comparison: Comparison, difference: Difference) -> list[dict[str, Any]]:
    scale = metric(difference.metric).unit.scale
    order = palette.places(comparison.variants)
    held = {variant.name: variant for variant in comparison.variants}
    color = series_color(order.get(difference.variant, 1))
    pairs = _pairs(held.get(difference.baseline), held.get(difference.variant), difference.metric)
    traces: list[dict[str, Any]] = [
        line(
            f"seed {seed}",
            [0, 1],
            [before, after],
            Color("muted", 0.6),
            1.5,
            mode="lines+markers",
            marker={"size": 9, "color": [series_color(order.get(difference.baseline, 0)), color]},
            showlegend=False,
            hovertemplate="%{y:.4g}<extra>%{fullData.name}</extra>",
        )
        for seed, before, after in pairs
    ]
    seeds = [f"seed {seed}" for seed, _, _ in pairs]
    right: dict[str, Any] = {
        "showlegend": False,
        "xaxis": "x2",
        "yaxis": "y2",
        "hovertemplate": "%{y:+.4g}<extra>%{text}</extra>",
    }
    values = [scale * value for value in difference.values]
    texts = seeds if len(seeds) == len(values) else ["pair"] * len(values)
    marker = {"size": 9, "color": Color(color.name, 0.7)}
    each = points("differences", _spread(len(values)), values, marker, text=texts, **right)
    low, high = (None if bound is None else scale * bound for bound in (difference.low, difference.high))
    interval = Estimate(difference.n, scale * difference.mean, low, high)
    mean = points(
        "mean difference",
        [MEAN_PLACE],
        [interval.mean],
        {"size": 10, "symbol": "diamond", "color": Color("text")},
        text=[f"mean, n = {difference.n}"],
        **right,
        **error_bars("error_y", [interval], Color("text")),
    )
    return [*traces, each, mean]


def _pairs(baseline: VariantResult | None, variant: VariantResult | None, name: str) -> list[tuple[int, float, float]]:
    """Seed and the two values, for the seeds that both sides have."""
    if baseline is None or variant is None:
        return []
    before, after = _by_seed(baseline, name), _by_seed(variant, name)
    return [(seed, value, after[seed]) for seed, value in before.items() if seed in after]


def _by_seed(variant: VariantResult, name: str) -> dict[int, float]:
    if name not in variant.metrics:
        return {}
    values = variant.metrics[name].values
    return (
        dict(zip(variant.seeds, values, strict=True)) if len(variant.seeds) == len(values) else dict(enumerate(values))
    )


def _spread(number: int) -> list[float]:
    """Places between -0.2 and 0.2, in order, so that equal differences don't hide each other."""
    return [0.4 * place / (number - 1) - 0.2 if number > 1 else 0.0 for place in range(number)]


def _layout(difference: Difference, has_running: bool) -> dict[str, Any]:
    measured = metric(difference.metric)
    unit = f", {measured.unit.difference}" if measured.unit.difference else ""
    lines = [measured.difference(difference.mean)]
    if difference.low is not None and difference.high is not None:
        lines[0] += f" [{measured.unit.number(difference.low, '+')}, {measured.unit.number(difference.high, '+')}]"
    raw, adjusted = difference.interval_p_value, difference.adjusted_p_value
    parts = [f"n = {difference.n}", *([] if raw is None else [p_statement(raw)])]
    lines.append(", ".join([*parts, *([] if adjusted is None else [f"adjusted {p_text(adjusted)}"])]))
    bare = {"showgrid": False, "zeroline": False}
    return {
        "margin": {"t": 40},
        "xaxis": {
            **bare,
            "domain": [0, 0.56],
            "range": [-0.3, 1.3],
            "tickvals": [0, 1],
            "ticktext": [label(difference.baseline, 24), label(difference.variant, 24)],
        },
        "xaxis2": {
            **bare,
            "domain": [0.68, 1],
            "range": [-0.4, 1],
            "tickvals": [0, MEAN_PLACE],
            "ticktext": ["pairs", "mean"],
            "tickangle": 0,
            "anchor": "y2",
        },
        "yaxis": axis_of(measured, has_running),
        "yaxis2": {
            "title": {"text": f"difference{unit}"},
            "tickformat": "+.3~g",
            "rangemode": "tozero",
            "anchor": "x2",
        },
        "annotations": [
            {
                "text": minus("<br>".join(lines)),
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
