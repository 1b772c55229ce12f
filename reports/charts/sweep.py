"""Charts of what was varied: a learning rate, depth with and without skips, or factors that are crossed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archlab.analysis.chance import comparison_chance
from archlab.analysis.metrics import BY_NAME
from archlab.records import Comparison, Estimate, Value, VariantResult
from archlab.reports import palette
from archlab.reports.charts.factors import factor_charts, factor_control, group_style, grouped, is_crossed, numbers_of
from archlab.reports.charts.parts import (
    HIDDEN_EDGE,
    axes_by_metric,
    band,
    bounds_of,
    chance_line,
    has_metric,
    line,
    number_axis,
    sizes_text,
)
from archlab.reports.panel import Chart, Color, Control, Panel, Switch, band_shade, series_color
from archlab.reports.text import label, metric


def sweep_panel(comparison: Comparison, name: str) -> Panel | None:
    """How the metrics depend on a number that was varied (depth, learning rate), or on factors that are crossed.

    None where nothing is crossed and no number took three values, or no run has ended.
    """
    axis, crossed = _swept(comparison.variants), is_crossed(comparison.variants)
    names = [found for found in BY_NAME if has_metric(comparison, found)]
    if not names or (axis is None and not crossed):
        return None
    first = comparison.metric if comparison.metric in names else names[0]
    names.sort(key=lambda found: found != first)
    controls = [
        Control(
            "metric",
            "Metric",
            "select",
            tuple((found, metric(found).titled(comparison.has_running)) for found in names),
            first,
        )
    ]
    charts: list[Chart] = []
    if axis is not None:
        values = [float(variant.options[axis]) for variant in comparison.variants]
        groups, chance = grouped(comparison.variants, axis), comparison_chance(comparison)
        if len(_skips(comparison)) == 2:
            charts += _error_charts(groups, axis, values, palette.places(comparison.variants), chance)
        if not crossed:
            charts.append(_sweep(groups, axis, values, names, palette.places(comparison.variants), chance))
    if crossed:
        charts += factor_charts(comparison, names)
        controls.insert(0, factor_control(comparison))
    return Panel(name, tuple(charts), tuple(controls))


def _sweep(
    groups: Mapping[str, Sequence[VariantResult]],
    axis: str,
    values: Sequence[float],
    names: Sequence[str],
    places: Mapping[str, int],
    chance: float | None,
) -> Chart:
    words = axis.replace("_", " ")
    return Chart(
        name="sweep",
        title=f"Against {words}",
        description=f"Line: mean over seeds; band: its 95 % interval, for each {words} that was tried "
        f"({_sizes(groups)}).",
        data=Switch("metric", {found: _lines(groups, axis, found, places) for found in names}),
        layout={
            "xaxis": number_axis(axis, values),
            **axes_by_metric(names, "test_accuracy_running" in names, chance),
        },
        height=380,
        wide=True,
        state={"metric": names[0]},
    )


def _sizes(groups: Mapping[str, Sequence[VariantResult]]) -> str:
    return sizes_text({one.name: len(one.seeds) for members in groups.values() for one in members})


def _swept(variants: Sequence[VariantResult]) -> str | None:
    """The option with the most values, all of them numbers, at least three."""
    found: dict[str, set[Value]] = {}
    for key in dict.fromkeys(key for variant in variants for key in variant.options):
        values = [variant.options.get(key) for variant in variants]
        if numbers_of(values) is not None:
            found[key] = {value for value in values if value is not None}
    best = max(found, key=lambda key: len(found[key]), default=None)
    return best if best is not None and len(found[best]) >= 3 else None


def _lines(
    groups: Mapping[str, Sequence[VariantResult]],
    axis: str,
    metric_name: str,
    places: Mapping[str, int],
    *,
    as_error: bool = False,
) -> list[dict[str, Any]]:
    traces = []
    for index, (name, members) in enumerate(groups.items()):
        hue, dash = group_style(members, places, index)
        held = sorted((one for one in members if metric_name in one.metrics), key=lambda one: float(one.options[axis]))
        estimates = [one.metrics[metric_name] for one in held]
        estimates = [_error(estimate) for estimate in estimates] if as_error else estimates
        title, along = label(name) or "mean", [float(variant.options[axis]) for variant in held]
        if all(estimate.low is not None for estimate in estimates):
            low, high = ([getattr(estimate, bound) for estimate in estimates] for bound in ("low", "high"))
            shade = Color(hue.name, band_shade(len(groups)))
            edge = {"type": "scatter", "x": along, **HIDDEN_EDGE, "legendgroup": str(index)}
            traces += band(edge, bounds_of(title), low, high, shade)
        traces.append(
            line(
                title,
                along,
                [estimate.mean for estimate in estimates],
                hue,
                dash=dash,
                mode="lines+markers",
                marker={"size": 8, "color": [series_color(places[variant.name]) for variant in held]},
                text=[f"n = {estimate.n}" for estimate in estimates],
                legendgroup=str(index),
                hovertemplate="%{y:.4g}, %{text}<extra>%{fullData.name}</extra>",
            )
        )
    return traces


def _error_charts(
    groups: Mapping[str, Sequence[VariantResult]],
    axis: str,
    values: Sequence[float],
    places: Mapping[str, int],
    chance: float | None,
) -> tuple[Chart, ...]:
    """Both errors on the same scale: the question of He et al., Deep Residual Learning, 2015, figure 1."""
    words = axis.replace("_", " ")
    estimates = [
        _error(variant.metrics[f"{part}_accuracy"])
        for members in groups.values()
        for variant in members
        for part in ("train", "test")
        if f"{part}_accuracy" in variant.metrics
    ]
    most = max((max(estimate.mean, estimate.high or 0) for estimate in estimates), default=1)
    wrong = None if chance is None else 1 - chance
    marks = {} if wrong is None or wrong > 1.06 * most else chance_line(wrong, "y")  # else far above what is drawn
    guessing = "" if wrong is None else f" Guessing errs at {100 * wrong:.3g} %."
    texts = {
        "train": f"Where the error on the training images grows with {words}, optimising has failed: overfitting would "
        "lower it.",
        "test": "The same networks on images they have not seen, with precise statistics where there is BatchNorm.",
    }
    return tuple(
        Chart(
            name=f"{part}-error",
            title=f"{part.capitalize()} error against {words}",
            description=f"{text} Line: mean over seeds; band: its 95 % interval ({_sizes(groups)}).{guessing}",
            data=_lines(groups, axis, f"{part}_accuracy", places, as_error=True),
            layout={
                "xaxis": number_axis(axis, values),
                "yaxis": {"title": {"text": f"{part} error"}, "tickformat": ".1~%", "range": [0, 1.06 * most]},
                **marks,
            },
        )
        for part, text in texts.items()
    )


def _error(accuracy: Estimate) -> Estimate:
    """The share that is wrong; its interval is the accuracy's, turned over."""
    return Estimate(
        accuracy.n,
        1 - accuracy.mean,
        None if accuracy.high is None else 1 - accuracy.high,
        None if accuracy.low is None else 1 - accuracy.low,
        tuple(1 - value for value in accuracy.values),
    )


def _skips(comparison: Comparison) -> set[str]:
    """The settings of the skip connections that were compared."""
    return {str(variant.options["skip"]) for variant in comparison.variants if "skip" in variant.options}
