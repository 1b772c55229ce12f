"""Charts: what stands for a reader's choice, in Python as in the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archlab.analysis.growth import stages
from archlab.analysis.metrics import EVALUATION
from archlab.errors import InputError
from archlab.records import Comparison, Difference, Estimate, VariantResult
from archlab.reports.charts.architecture import growth_chart, overlay_panel, share_panel
from archlab.reports.charts.differences import difference_panel
from archlab.reports.charts.film import QUANTITIES
from archlab.reports.charts.normalisation import normalisation_panel
from archlab.reports.charts.outcome import outcome_chart
from archlab.reports.charts.sweep import sweep_panel
from archlab.reports.charts.training import training_panel
from archlab.reports.material import gather
from archlab.reports.panel import (
    Chart,
    Color,
    Density,
    Exact,
    Logarithm,
    Pick,
    Scale,
    Slice,
    Smooth,
    Switch,
    controls_of,
    evaluate,
    smoothed,
)
from archlab.reports.text import brief, label, sentence, shortened, slug, visible
from tests.reports.crossed import crossed_comparison
from tests.reports.samples import experiment, lenet_trace, recording

MATRIX = np.arange(6).reshape(3, 2)


@pytest.mark.parametrize(
    ("node", "state", "value"),
    [
        (Switch("x", {"a": 1, "b": [2, 3]}), {"x": "b"}, [2, 3]),
        (Switch("x", {"a": 1}), {"x": "gone"}, 1),
        (Slice([10, 20, 30], "step"), {"step": 1}, 20),
        (Color("series-0"), {}, "rgba(0,114,178,1)"),
        (Color("series-0", 0.5), {}, "rgba(0,114,178,0.5)"),
        ({"a": [Switch("x", {"on": True}), "text", None]}, {"x": "on"}, {"a": [True, "text", None]}),
        (Smooth([1.0, 2.0], "weight"), {"weight": "0"}, [1.0, 2.0]),
    ],
)
def test_nodes_resolve(node: Any, state: Any, value: Any) -> None:
    assert evaluate(node, state) == value


def test_slices_of_a_matrix() -> None:
    assert evaluate(Slice(MATRIX, "row"), {"row": 1}).tolist() == [2, 3]
    assert evaluate(Slice(MATRIX, "column", 1), {"column": 1}).tolist() == [1, 3, 5]
    assert evaluate(Pick(Exact(MATRIX), Switch("all", {"off": [2, 0], "on": [1]})), {"all": "off"}).tolist() == [
        [4, 5],
        [0, 1],
    ]
    np.testing.assert_allclose(evaluate(Logarithm(np.array([[100.0, 0.0]])), {}), [[2, np.nan]])
    assert evaluate(Scale("diverging"), {})[2][0] == 0.5


@pytest.mark.parametrize(
    ("ratio", "shift", "values"),
    [
        # nothing is off: exp(-x^2 / 2) at -1, 0, 1
        (0.0, 0.0, [0.6065, 1.0, 0.6065]),
        # running variance 4 times too large, deviation 1/2: exp(-(2x)^2 / 2)
        (np.log(4), 0.0, [0.1353, 1.0, 0.1353]),
        # running mean one deviation too high: the activations lie around -1
        (0.0, 1.0, [1.0, 0.6065, 0.1353]),
        # both: around -1/2, deviation 1/2: exp(-(2x + 1)^2 / 2)
        (np.log(4), 1.0, [0.6065, 0.6065, 0.0111]),
    ],
)
def test_densities_under_other_statistics(ratio: float, shift: float, values: list[float]) -> None:
    node = Density([-1, 0, 1], Slice([ratio], "step"), shift)
    assert evaluate(node, {"step": 0}) == pytest.approx(values, abs=1e-4)


def test_the_controls_of_a_node_are_those_of_all_its_parts() -> None:
    inner = Switch("layer", {"a": Smooth([1.0], "weight"), "b": Logarithm(Slice(MATRIX, "step"))})
    node = {"x": [Pick(inner, Switch("all", {"on": [0]})), inner], "y": Density([0], Slice([0.0], "channel"), 0.0)}
    assert controls_of(node, Color("text"), "layer") == {"layer", "weight", "step", "all", "channel"}


def test_a_missing_control_is_named() -> None:
    with pytest.raises(InputError, match="'step'"):
        evaluate(Slice(MATRIX, "step"), {"x": "a"})


def test_smoothing_starts_at_the_first_value_and_skips_gaps() -> None:
    # weights 0.5: (0.5 * 1) / 0.5 = 1, then (0.25 * 1 + 0.5 * 4) / 0.75 = 3
    assert smoothed([1.0, 4.0], 0.5) == pytest.approx([1.0, 3.0])
    found = smoothed([1.0, float("nan"), 4.0], 0.5)
    assert found[1] != found[1]
    assert found[2] == pytest.approx(3.0)


def test_figures_are_plotly_s(tmp_path: Path) -> None:
    store, comparison = experiment(tmp_path / "store")
    material = gather([comparison], store)
    training = training_panel(material.experiments[0], material.curves, "training")
    figure = training.charts[0].figure(x="epoch", scale="on")
    assert figure.layout.xaxis.title.text == "epoch"
    assert figure.layout.yaxis.type == "log"
    assert len(figure.data) == 2 * (3 + 3)
    shown = normalisation_panel({"run": (store.runs()[0], recording(12))}, "norm")
    differences = difference_panel(comparison, "differences")
    share = share_panel(lenet_trace(), "share")
    assert differences is not None
    assert share is not None
    outcome = outcome_chart(comparison)
    assert outcome is not None
    charts = [growth_chart(stages(lenet_trace(), None)), outcome, *differences.charts, *share.charts]
    for chart in (*charts, *shown.charts, *training.charts):
        assert len(chart.figure().data) >= 1, chart.name


def test_the_means_of_the_band_are_those_of_the_runs(tmp_path: Path) -> None:
    store, comparison = experiment(tmp_path / "store", seeds=4)
    material = gather([comparison], store)
    panel = training_panel(material.experiments[0], material.curves, "t")
    chart = next(chart for chart in panel.charts if chart.name == "test-accuracy")
    mean = next(trace for trace in chart.figure().data if trace.name == "norm=none")
    expected = [run.metric("test_accuracy") or 0.0 for run in store.runs() if run.config.variant == "norm=none"]
    assert mean.y[-1] == pytest.approx(sum(expected) / 4)
    dashed = {trace.name: trace.showlegend for trace in chart.figure().data if trace.line.dash == "dash"}
    assert dashed == {f"norm=batch, {EVALUATION}": False, EVALUATION: None}  # one entry for all


def test_a_mean_over_fewer_runs_is_seen_to_be_one(tmp_path: Path) -> None:
    store, comparison = experiment(tmp_path / "store", seeds=3)
    known = gather([comparison], store).experiments[0]
    first, *others = known.variants["norm=none"]
    cut = replace(known, variants={"norm=none": (replace(first, epochs=first.epochs[:2]), *others)})
    panel = training_panel(cut, lambda run: None, "t")
    chart = next(chart for chart in panel.charts if chart.name == "test-loss")
    traces = {trace.name: trace for trace in chart.figure().data}
    mean, fewer = traces["norm=none"], traces["norm=none, fewer runs"]
    values = [[epoch.test_loss for epoch in run.epochs] for run in known.variants["norm=none"]]
    joint = float(np.mean([row[1] for row in values]))
    np.testing.assert_allclose(mean.y, [float(np.mean([row[0] for row in values])), joint, np.nan])
    np.testing.assert_allclose(fewer.y, [np.nan, joint, float(np.mean([row[2] for row in values[1:]]))])
    assert (mean.line.dash, fewer.line.dash) == (None, "dot")
    assert "thin and dotted where fewer have come" in chart.description


def test_accuracies_are_drawn_beside_chance(tmp_path: Path) -> None:
    store, comparison = experiment(tmp_path / "store")
    material = gather([comparison], store)
    training = training_panel(material.experiments[0], material.curves, "t")
    outcome = outcome_chart(comparison)
    sweep = sweep_panel(crossed_comparison(), "sweep")
    assert outcome is not None
    assert sweep is not None
    charts = [chart for chart in training.charts if "accuracy" in chart.name]
    film = normalisation_panel({"run": (store.runs()[0], recording(12))}, "norm")
    step = next(chart for chart in film.charts if chart.name == "accuracy-at-step").figure()
    assert [shape.y0 for shape in step.layout.shapes] == [0, 0.1]  # the marker of the step, and chance
    assert step.layout.yaxis.autorangeoptions.include == (0.1,)
    for chart in (*charts, sweep.charts[0]):
        assert [shape.y0 for shape in chart.figure().layout.shapes] == [0.1], chart.name
        assert chart.figure().layout.yaxis.autorangeoptions.maxallowed == 1.01
    assert [shape.x0 for shape in outcome.figure().layout.shapes] == [0.1]
    assert [one.text for one in outcome.figure().layout.annotations] == ["chance, 10 %"]
    assert not next(chart for chart in training.charts if chart.name == "test-loss").figure().layout.shapes
    unknown = outcome_chart(replace(comparison, dataset="photos"))
    assert unknown is not None
    assert not unknown.figure().layout.shapes


def test_single_runs_have_no_band(tmp_path: Path) -> None:
    store, _ = experiment(tmp_path / "store", seeds=1)
    material = gather(store.runs(), store)
    panel = training_panel(material.experiments[0], material.curves, "t")
    assert "no interval" in panel.charts[0].description
    assert [trace.fill for trace in panel.charts[0].figure().data] == [None, None]


def test_long_curves_are_thinned_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.reports.charts.training.POINTS", 10)
    store, comparison = experiment(tmp_path / "store", seeds=2)
    material = gather([comparison], store)
    panel = training_panel(material.experiments[0], material.curves, "t")
    assert len(panel.charts[0].figure().data[0].x) == 10
    assert "18 steps are drawn with 10 points" in panel.notes[0]


@pytest.mark.parametrize(
    ("budget", "steps", "channels"), [(10**6, 41, 22), (8 * 22 * 30, 30, 22), (8 * 24 * 4, 22, 11)]
)
def test_recordings_keep_to_their_budget(tmp_path: Path, budget: int, steps: int, channels: int) -> None:
    store, _ = experiment(tmp_path / "store", seeds=1)
    held = recording(40)
    panel = normalisation_panel({"run": (store.runs()[0], held)}, "norm", budget)
    state = {control.name: control.start for control in panel.controls}
    heat = panel.charts[0]
    sizes = [evaluate(heat.data, {**state, "layer": path})[0]["z"].shape for path in held.layers]
    assert {size[0] for size in sizes} == {steps}
    assert sum(size[1] for size in sizes) <= max(channels, 16)
    assert bool(panel.notes[1:-1]) == (steps < 41)  # the first says how deviations came about, the last what is exact
    for quantity in QUANTITIES:
        shown = evaluate(heat.data, {**state, "layer": "norm_1", "quantity": quantity})[0]["z"]
        whole = held.layers["norm_1"][quantity]
        assert np.nanmax(shown) <= np.nanmax(whole)
        if budget >= 8 * 22 * 30:
            assert (np.nanmin(shown), np.nanmax(shown)) == (np.nanmin(whole), np.nanmax(whole))


def test_momentum_is_replayed_only_where_each_batch_was_recorded(tmp_path: Path) -> None:
    store, _ = experiment(tmp_path / "store", seeds=1)
    run = store.runs()[0]
    whole = recording(18)
    names = [chart.name for chart in normalisation_panel({"run": (run, whole)}, "norm").charts]
    assert names[-3:] == ["lag-mean", "lag-variance", "momentum"]
    layers = {path: {name: rows[::2] for name, rows in part.items()} for path, part in whole.layers.items()}
    sparse = type(whole)(whole.steps[::2], layers, whole.population)
    names = [chart.name for chart in normalisation_panel({"run": (run, sparse)}, "norm").charts]
    assert "momentum" not in names
    bare = type(whole)(whole.steps, whole.layers)
    names = [chart.name for chart in normalisation_panel({"run": (run, bare)}, "norm").charts]
    assert {"lag-mean", "activations"}.isdisjoint(names)
    assert names[:2] == ["heat", "accuracy-at-step"]
    panel = normalisation_panel({"run": (run, bare)}, "norm")
    assert [control.start for control in panel.controls] == ["run", "norm_1", "running_mean", 0, 18]


def test_running_statistics_that_are_no_numbers_are_the_worst(tmp_path: Path) -> None:
    store, _ = experiment(tmp_path / "store", seeds=1)
    held = recording(18)
    held.layers["norm_2"]["running_var"][:, 3] = np.nan
    panel = normalisation_panel({"run": (store.runs()[0], held)}, "norm")
    state = {control.name: control.start for control in panel.controls}
    assert (state["layer"], state["channel"]) == ("norm_2", 3)
    assert "at channel 3. Its running statistics are no finite numbers." in panel.charts[0].description
    shown = evaluate(next(chart for chart in panel.charts if chart.name == "activations").data, state)[1]["y"]
    assert np.isnan(shown).all()


def variant(name: str, **options: Any) -> VariantResult:
    return VariantResult(name, {"test_accuracy": Estimate(1, 0.5, None, None, (0.5,))}, options, seeds=(0,))


@pytest.mark.parametrize(
    ("options", "axis"),
    [
        ([{"depth": 20}, {"depth": 32}, {"depth": 44}], "depth"),
        ([{"learning_rate": 0.1}, {"learning_rate": 0.01}, {"learning_rate": 0.001}], "learning_rate"),
        ([{"depth": 20}, {"depth": 32}], None),
        ([{"norm": "batch"}, {"norm": "none"}, {"norm": "group"}], None),
        ([{"skip": True}, {"skip": False}, {"skip": True}], None),
    ],
)
def test_sweeps_are_found(options: list[dict[str, Any]], axis: str | None) -> None:
    variants = tuple(variant(str(place), **chosen) for place, chosen in enumerate(options))
    panel = sweep_panel(Comparison("resnet", "digits", (0,), variants, ()), "sweep")
    assert (panel is None) == (axis is None)
    if panel and axis:
        figure = panel.charts[0].figure()
        assert figure.layout.xaxis.title.text == axis.replace("_", " ")
        assert figure.layout.xaxis.type == ("log" if axis == "learning_rate" else "linear")
        assert list(figure.data[0].x) == sorted(chosen[axis] for chosen in options)


def test_networks_grow_side_by_side() -> None:
    first, *others = lenet_trace("b").layers
    other = replace(lenet_trace("b"), layers=(replace(first, parameters=157), *others))
    panel = overlay_panel({"a": lenet_trace(), "b": other}, "overlay")
    assert panel is not None
    lines = panel.charts[0].figure(measure="parameters").data
    assert [line.name for line in lines] == ["a", "b"]
    assert [line.y[-1] for line in lines] == [2_738, 2_739]  # 156 + 12 + 2,570
    assert [line.x[-1] for line in lines] == [1, 1]
    assert max(panel.charts[0].figure().data[0].y) == 864  # channels of the flattened map, 6 * 12 * 12


def test_networks_that_grow_alike_share_a_line_that_names_both() -> None:
    other = replace(lenet_trace("other"), layers=lenet_trace().layers[:3])
    panel = overlay_panel({"a": lenet_trace(), "b": lenet_trace(), "c": other}, "o")
    assert panel is not None
    assert [line.name for line in panel.charts[0].figure().data] == ["a = b", "c"]


def test_depth_with_and_without_skips_shows_both_errors() -> None:
    def one(skip: str, depth: int, train: float) -> VariantResult:
        metrics = {
            "train_accuracy": Estimate(2, train, train - 0.02, train + 0.01, (train, train)),
            "test_accuracy": Estimate(2, 0.7, 0.6, 0.8, (0.7, 0.7)),
        }
        return VariantResult(f"skip={skip}, depth={depth}", metrics, {"skip": skip, "depth": depth}, seeds=(0, 1))

    variants = tuple(one(skip, depth, 0.9) for skip in ("on", "off") for depth in (56, 20, 32))
    panel = sweep_panel(Comparison("resnet", "digits", (0, 1), variants, ()), "sweep")
    assert panel is not None
    assert [chart.name for chart in panel.charts] == ["train-error", "test-error", "factors"]
    train, test = (chart.figure() for chart in panel.charts[:2])
    lower, upper, mean, *_ = train.data
    assert [line.name for line in train.data if line.showlegend is None] == ["with skips", "plain, no skips"]
    assert list(mean.x) == list(lower.x) == [20, 32, 56]
    assert mean.y == pytest.approx([0.1] * 3)  # 1 - 0.9
    assert lower.y == pytest.approx([0.09] * 3)  # 1 - (0.9 + 0.01)
    assert upper.y == pytest.approx([0.12] * 3)  # 1 - (0.9 - 0.02)
    assert train.layout.yaxis.range == test.layout.yaxis.range == pytest.approx((0, 1.06 * 0.4))


def test_crossed_factors_are_drawn_along_each_of_them() -> None:
    comparison = crossed_comparison()
    panel = sweep_panel(comparison, "sweep")
    assert panel is not None
    assert [control.name for control in panel.controls] == ["factor", "metric"]
    means, effects = panel.charts
    along_norm = [trace for trace in means.figure(factor="norm").data if trace.mode == "lines+markers"]
    assert [(trace.name, list(trace.y)) for trace in along_norm] == [
        ("batch_size=32", [0.9, 0.8]),
        ("batch_size=2", [0.6, 0.8]),
    ]
    figure = means.figure(factor="batch_size")
    along_batch = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [(trace.name, list(trace.y)) for trace in along_batch] == [
        ("norm=batch", [0.6, 0.9]),
        ("norm=group", [0.8, 0.8]),
    ]
    assert list(along_batch[0].error_y.array) == pytest.approx([0.01, 0.01])
    assert along_batch[0].x[0] < 2 < along_batch[1].x[0]  # side by side
    assert list(figure.layout.xaxis.ticktext) == ["2", "32"]
    different, _, unclear, _ = effects.figure().data
    assert list(different.x) == pytest.approx([-30, 30])
    assert (different.name, unclear.name, list(unclear.x)) == ("different", "can't tell yet", [0])
    assert [note.text for note in effects.figure().layout.annotations] == [
        "batch_size=2 − batch_size=32 at norm=batch",
        "batch_size=2 − batch_size=32 at norm=group",
        "interaction: batch_size=2 − batch_size=32<br>at norm=group against at norm=batch",
    ]
    assert [(shape.x0, shape.x1) for shape in effects.figure().layout.shapes] == [(-1, 1)]
    assert different.text[0].endswith("-30.00 points (-32.00 to -28.00), n = 2")


def test_what_is_confounded_is_not_crossed() -> None:
    variants = (variant("a", norm="batch", depth=20), variant("b", norm="none", depth=32))
    assert sweep_panel(Comparison("n", "digits", (0,), variants, ()), "sweep") is None


def test_pairs_join_the_seeds_that_both_sides_have() -> None:
    first = VariantResult("a", {"test_accuracy": Estimate(2, 0.5, 0.4, 0.6, (0.4, 0.6))}, seeds=(1, 3))
    second = VariantResult("b", {"test_accuracy": Estimate(2, 0.7, 0.6, 0.8, (0.8, 0.6))}, seeds=(3, 4))
    difference = Difference(1, 0.2, None, None, None, None, "test_accuracy", "a", "b", (0.2,))
    panel = difference_panel(Comparison("n", "d", (1, 3, 4), (first, second), (difference,)), "p")
    assert panel is not None
    pair, each, mean = panel.charts[0].figure().data
    assert (pair.name, list(pair.y)) == ("seed 3", [0.6, 0.8])
    assert list(each.y) == [20.0]  # percentage points
    assert mean.error_y.array is None


def test_a_shared_layer_does_not_empty_the_treemap() -> None:
    trace = lenet_trace()
    grown = [*trace.layers[:5], *(type(trace.layers[5])("head.linear", "Linear", 2, (), (), 9_999),)]
    panel = share_panel(type(trace)(trace.network, trace.inputs, tuple(grown), trace.totals), "share")
    assert panel is not None
    assert panel.charts[0].figure().data[0].branchvalues == "remainder"


@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        (visible, "a\u202eb\x00", "a⟨U+202E⟩b⟨U+0000⟩"),
        (visible, "line\nbreak", "line\nbreak"),
        (label, "a<br>&", "a&lt;br&gt;&amp;"),
        (lambda text: shortened(text, 5), "abcdefgh", "ab…gh"),
        (slug, "ResNet (norm=none) <b>", "resnet-norm-none-b"),
        (slug, "日本", "part"),
        (brief, 758_226, "758 k"),
        (brief, 129_077_168, "129 M"),
        (brief, 9_999, "9,999"),
        (sentence, "95 % (n = 6)", "95\u00a0% (n\u00a0=\u00a06)"),
    ],
)
def test_text(function: Any, given: Any, expected: str) -> None:
    assert function(given) == expected


def test_slugs_differ() -> None:
    assert slug("a b", ["a-b", "a-b-2"]) == "a-b-3"


def test_a_chart_says_what_it_shows() -> None:
    chart = Chart("c", "Title", "What it shows.", [{"type": "scatter", "y": [1, 2]}])
    assert chart.figure().layout.title.text == "Title"
