"""Charts of a crossed comparison: what each factor does at each value of the others.

An interaction plot, as statistics draws it: lines that are parallel say that what one factor does doesn't depend on the
other, lines that spread or cross say that it does. Beside it stand the differences along the lines and the differences
between them, with the intervals that decide.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from archlab.analysis.chance import comparison_chance
from archlab.analysis.contrasts import contrast_name, contrasts, factors_of, interaction_name
from archlab.records import Comparison, Difference, Estimate, Value, VariantResult
from archlab.reports import palette
from archlab.reports.charts.parts import axes_by_metric, error_bars, line, number_axis, points, sizes_text
from archlab.reports.panel import Chart, Color, Control, Switch, series_color
from archlab.reports.text import label, metric

SKIP_NAMES = {"on": "with skips", "True": "with skips", "off": "plain, no skips", "False": "plain, no skips"}
CONCLUSIONS = (
    ("different", "different", "circle", "accent"),
    ("equal", "equal within the margin", "diamond", "muted"),
    ("unclear", "can't tell yet", "circle-open", "muted"),
    ("", "not claimed", "circle-open", "muted"),
)
"""A difference's conclusion, its name in the legend, its symbol and its colour."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
DODGE = 0.03
"""How far the lines stand apart at one value, as a share of the way to the next, so that no interval hides another."""


def is_crossed(variants: Sequence[VariantResult]) -> bool:
    """Whether several things vary, and some variants differ in one of them alone."""
    factors = factors_of(variants)
    return len(factors) > 1 and any(
        len(members) > 1 for name in factors for members in grouped(variants, name).values()
    )


def factor_charts(comparison: Comparison, metrics: Sequence[str]) -> tuple[Chart, ...]:
    """The means by factor, and the differences and interactions of the primary metric.

    Args:
        comparison: in which two or more things vary.
        metrics: those that the control `metric` has.
    """
    factors = factors_of(comparison.variants)
    start = next(iter(factors))
    means = Chart(
        name="factors",
        title="What each factor does, at each value of the others",
        description="Each line: one combination of the other factors, along the values of the chosen one. Large "
        "points: mean over seeds with its 95 % interval; small points: one run each. Parallel lines: what the chosen "
        "factor does doesn't depend on the others; lines that spread or cross: it does. "
        f"{sizes_text({one.name: len(one.seeds) for one in comparison.variants})}.",
        data=Switch(
            "factor",
            {name: Switch("metric", {found: _lines(comparison, name, found) for found in metrics}) for name in factors},
        ),
        layout={
            "xaxis": Switch("factor", {name: _axis(name, levels) for name, levels in factors.items()}),
            **axes_by_metric(metrics, comparison.has_running, comparison_chance(comparison)),
        },
        height=420,
        wide=True,
        state={"factor": start, "metric": metrics[0]},
    )
    effects = _effects(comparison)
    return (means,) if effects is None else (means, effects)


def factor_control(comparison: Comparison) -> Control:
    """The choice of the factor that the lines go along."""
    names = list(factors_of(comparison.variants))
    return Control("factor", "Along", "select", tuple((name, name.replace("_", " ")) for name in names), names[0])


def group_name(options: Mapping[str, Value], without: str) -> str:
    """What a group of variants has in common, in words, beside one factor."""
    return ", ".join(
        SKIP_NAMES.get(str(value), f"{name}={value}") if name == "skip" else f"{name}={value}"
        for name, value in options.items()
        if name != without
    )


def grouped(variants: Sequence[VariantResult], factor: str) -> dict[str, list[VariantResult]]:
    """The variants by what they have beside a factor."""
    found: dict[str, list[VariantResult]] = {}
    for variant in variants:
        found.setdefault(group_name(variant.options, factor), []).append(variant)
    return found


def group_style(members: Sequence[VariantResult], known: Mapping[str, int], index: int) -> tuple[Color, str]:
    """The colour and the dashes of a line through variants: their hue, or grey and dashes where they have several."""
    hue = palette.shared_hue(members, known)
    return (Color("muted"), DASHES[index % len(DASHES)]) if hue is None else (series_color(hue), "solid")


def numbers_of(levels: Sequence[Value | None]) -> list[float] | None:
    """The values as numbers, where all of them are."""
    if all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        return [float(level) for level in levels]  # type: ignore[arg-type]
    return None


def _axis(factor: str, levels: Sequence[Value | None]) -> dict[str, Any]:
    numbers = numbers_of(levels)
    if numbers is not None:
        return number_axis(factor, numbers)
    return {
        "title": {"text": label(factor.replace("_", " "))},
        "tickvals": list(range(len(levels))),
        "ticktext": [label(str(level), 24) for level in levels],
        "range": [-0.4, len(levels) - 0.6],
        "zeroline": False,
    }


def _places(levels: Sequence[Value | None], shift: float) -> dict[Value | None, float]:
    """Where the values stand on their axis, moved by a share of the least way between two of them."""
    numbers = numbers_of(levels)
    if numbers is None:
        return {level: place + shift for place, level in enumerate(levels)}
    logarithmic = number_axis("", numbers)["type"] == "log"
    scaled = [math.log(number) if logarithmic else number for number in numbers]
    ordered = sorted(scaled)
    gap = min((after - before for before, after in itertools.pairwise(ordered)), default=1.0)
    moved = [number + shift * gap for number in scaled]
    return dict(zip(levels, (math.exp(number) if logarithmic else number for number in moved), strict=True))


def _lines(comparison: Comparison, factor: str, name: str) -> list[dict[str, Any]]:
    levels = factors_of(comparison.variants)[factor]
    numbers = numbers_of(levels)
    groups, known = grouped(comparison.variants, factor), palette.places(comparison.variants)
    traces: list[dict[str, Any]] = []
    for index, (group, members) in enumerate(groups.items()):
        held = [one for one in members if name in one.metrics]
        if numbers is not None:
            held.sort(key=lambda one: float(one.options[factor]))
        places = _places(levels, DODGE * (index - (len(groups) - 1) / 2))
        (color, dash), title = group_style(members, known, index), label(group) or "mean"
        estimates = [one.metrics[name] for one in held]
        seeds = [
            (places[one.options.get(factor)], value, f"seed {seed}", series_color(known[one.name], 0.55))
            for one in held
            for seed, value in zip(one.seeds, one.metrics[name].values, strict=False)
        ]
        traces += [
            points(
                f"{title}: seeds",
                [place for place, *_ in seeds],
                [value for _, value, *_ in seeds],
                {"size": 6, "color": [shade for *_, shade in seeds]},
                text=[text for _, _, text, _ in seeds],
                legendgroup=str(index),
                showlegend=False,
                hovertemplate="%{y:.4g}<extra>%{text}</extra>",
            ),
            line(
                title,
                [places[one.options.get(factor)] for one in held],
                [estimate.mean for estimate in estimates],
                color,
                mode="lines+markers",
                dash=dash,
                marker={"size": 11, "color": [series_color(known[one.name]) for one in held]},
                text=[f"n = {estimate.n}" for estimate in estimates],
                legendgroup=str(index),
                hovertemplate="%{y:.4g}, %{text}<extra>%{fullData.name}</extra>",
                **error_bars("error_y", estimates, color),
            ),
        ]
    return traces


def _effects(comparison: Comparison) -> Chart | None:
    """The differences of the primary metric along each factor, and the interactions, with their intervals."""
    measured = metric(comparison.metric)
    names = {
        (one.baseline.name, one.variant.name, one.factor): contrast_name(one, one.factor)
        for one in contrasts(comparison.variants)
    }
    rows = [
        (names.get((one.baseline, one.variant, one.factor), f"{one.variant} minus {one.baseline}"), one)
        for one in comparison.differences
        if one.metric == comparison.metric and one.factor
    ]
    rows += [(f"interaction: {interaction_name(one)}", one) for one in comparison.interactions]
    if not rows:
        return None
    scale, unit = measured.unit.scale, measured.unit.difference
    heights = list(range(len(rows)))[::-1]
    margin = scale * (comparison.margin or 0)
    band = {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": -margin,
        "x1": margin,
        "y0": 0,
        "y1": 1,
        "fillcolor": Color("muted", 0.14),
        "line": {"width": 0},
        "layer": "below",
    }
    return Chart(
        name="effects",
        title=f"Differences in {measured.titled(comparison.has_running)}, and whether they depend on each other",
        description="Each point: a paired difference along one factor with its 95 % interval, or an interaction: the "
        "difference of two such differences. Called different: p < 0.05, adjusted for all that the comparison asks. "
        f"Shaded: differences that count as equal. {sizes_text({name: one.n for name, one in rows})}.",
        data=[_dots(rows, heights, scale, *style) for style in CONCLUSIONS],
        layout={
            "xaxis": {"title": {"text": f"difference{f', {unit}' if unit else ''}"}, "tickformat": "+.3~g"},
            "yaxis": {
                "range": [-0.4, len(rows) - 0.2],
                "showgrid": False,
                "showticklabels": False,
                "zeroline": False,
            },
            "annotations": [_name(name, height) for height, (name, _) in zip(heights, rows, strict=True)],
            "shapes": [band] if margin else [],
            "showlegend": True,
        },
        height=140 + 52 * len(rows),
        wide=True,
    )


def _name(name: str, height: int) -> dict[str, Any]:
    """The name of a row above its point: beside it there would be no room on a narrow screen."""
    what, _, sides = name.replace(" minus ", " − ").partition(": at ")
    lines = [what, f"at {sides}"] if sides else [what]
    return {
        "text": "<br>".join(label(text, 52) for text in lines),
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "align": "left",
        "y": height + 0.18,
        "yanchor": "bottom",
        "showarrow": False,
    }


def _said(difference: Difference) -> str:
    measured = metric(difference.metric)
    told = measured.difference(difference.mean)
    if difference.low is not None and difference.high is not None:
        told += f" ({measured.unit.number(difference.low, '+')} to {measured.unit.number(difference.high, '+')})"
    return f"{told}, n = {difference.n}"


def _dots(
    rows: Sequence[tuple[str, Difference]],
    heights: Sequence[int],
    scale: float,
    conclusion: str,
    title: str,
    symbol: str,
    color: str,
) -> dict[str, Any]:
    held = [
        (height, name, one) for height, (name, one) in zip(heights, rows, strict=True) if one.conclusion == conclusion
    ]
    intervals = [
        Estimate(
            one.n,
            scale * one.mean,
            None if one.low is None else scale * one.low,
            None if one.high is None else scale * one.high,
        )
        for _, _, one in held
    ]
    marker = {"size": 11, "symbol": symbol, "color": Color(color), "line": {"width": 2}}
    return points(
        title,
        [interval.mean for interval in intervals] or [None],
        [height for height, _, _ in held] or [None],
        marker,
        text=[label(f"{name}: {_said(one)}", 160) for _, name, one in held],
        hovertemplate="%{text}<extra></extra>",
        showlegend=bool(held),
        **error_bars("error_x", intervals, Color(color)),
    )
