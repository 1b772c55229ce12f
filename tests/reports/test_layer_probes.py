"""Panels of the probes of layers: where they are, what their charts hold, and how they are thinned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archlab.records import Probes
from archlab.reports import page
from archlab.reports.charts.layered import MOST_LOOKS, QUANTITIES
from archlab.reports.charts.layers import layers_panel
from archlab.reports.charts.parts import MOST_TICKS, layer_axis
from archlab.reports.charts.similarity import correlation_panel, similarity_panel
from archlab.reports.embedding import embed
from archlab.reports.panel import Panel
from tests.reports.layer_probes import layer_probes
from tests.reports.test_probing import probed_experiment

WHOLE = layer_probes()
TERMS = {
    "signals": "vanishing and exploding gradients",
    "shift": "internal covariate shift",
    "rank": "effective rank, saturation of features",
    "similarity": "CKA",
    "correlation": "shattered gradients",
}


def alone(kind: str) -> Probes:
    return Probes(**{kind: getattr(WHOLE, kind)})


@pytest.mark.parametrize(
    ("held", "sections", "terms"),
    [
        (WHOLE, {"layers", "similarity", "correlation"}, set(TERMS)),
        (alone("signals"), {"layers"}, {"signals"}),
        (alone("shift"), {"layers"}, {"shift"}),
        (alone("rank"), {"layers"}, {"rank"}),
        (alone("similarity"), {"similarity"}, {"similarity"}),
        (alone("correlation"), {"correlation"}, {"correlation"}),
        (None, set(), set()),
    ],
)
def test_sections_and_terms_are_there_where_something_was_probed(
    tmp_path: Path, held: Probes | None, sections: set[str], terms: set[str]
) -> None:
    store, comparison = probed_experiment(tmp_path, {"norm=batch": held, "norm=none": None})
    for items in ([comparison], store.runs()):
        text = page(items, store=store)
        assert {name for name in ("layers", "similarity", "correlation") if f'id="lenet-on-digits-{name}"' in text} == (
            sections
        )
        assert {name for name, term in TERMS.items() if f"<dt>{term}</dt>" in text} == terms
        assert ("Every layer at one step</h4>" in text) == ("layers" in sections)
        assert ("Branch against skip connection</h4>" in text) == (held is WHOLE)
        assert "norm=batch against another variant</h4>" not in text  # the other one was not probed


def chart(panel: Panel, name: str, **state: str | int) -> Any:
    (found,) = (chart for chart in panel.charts if chart.name == name)
    return found.figure(**state)


PANEL = layers_panel({"a": {0: layer_probes(), 1: layer_probes(seed=1)}, "b": {0: layer_probes(norm=False)}}, "layers")


def lines(name: str, **state: str | int) -> dict[str, list[float]]:
    return {line.name: list(line.y) for line in chart(PANEL, name, **state).data}


def test_a_line_per_variant_through_the_layers_with_weights() -> None:
    depth = chart(PANEL, "depth")
    assert [list(line.x) for line in depth.data] == [["conv", "head"]] * 2
    # The last look, two after the first: 100 at the head, 10 ** -3 * 100 at a's first layer, 10 ** -2 * 100 at b's.
    assert lines("depth") == {"a": [pytest.approx(0.1), 100], "b": [1, 100]}
    assert lines("depth", step=0) == {"a": [pytest.approx(0.001), 1], "b": [pytest.approx(0.01), 1]}
    assert lines("depth", seed="1") == {"a": [pytest.approx(0.2), 200]}
    assert depth.layout.yaxis.type == "log"
    assert {control.name for control in PANEL.controls} == {"quantity", "step", "seed", "variant", "layers"}


def test_all_layers_are_aligned_by_path_and_gaps_joined() -> None:
    depth = chart(PANEL, "depth", layers="on", step=0)
    assert [list(line.x) for line in depth.data] == [["conv", "norm", "relu", "head"]] * 2
    np.testing.assert_allclose(depth.data[1].y, [0.01, np.nan, 0.1, 1])
    assert all(line.connectgaps for line in depth.data)


@pytest.mark.parametrize(
    ("quantity", "layers", "values", "kind", "span"),
    [
        ("activation_zeros", ["relu"], [0.25], "linear", [-0.03, 1.03]),  # where there are zeros
        ("update_ratio", ["conv"], [0.5], "log", None),
        ("effective_rank", ["conv", "head"], [3, 3], "linear", [-0.09, 3.09]),
        ("feature_saturation", ["conv", "head"], [0.5, 0.5], "linear", [-0.03, 1.03]),
        ("shift", ["head"], [0.125], "log", None),
        ("shift_cosine", ["head"], [-0.5], "linear", [-1.06, 1.06]),
    ],
)
def test_each_quantity_has_its_layers_and_its_axis(
    quantity: str, layers: list[str], values: list[float], kind: str, span: list[float] | None
) -> None:
    depth = chart(PANEL, "depth", quantity=quantity)
    assert (list(depth.data[0].x), list(depth.data[0].y)) == (layers, values)
    assert depth.layout.yaxis.type == kind
    assert span is None or list(depth.layout.yaxis.range) == pytest.approx(span)


def test_only_what_was_measured_is_offered() -> None:
    (control,) = (control for control in PANEL.controls if control.name == "quantity")
    measured = {"gradient_norm", "activation_zeros", "update_ratio"}
    measured |= {"effective_rank", "feature_saturation", "shift", "shift_cosine"}
    assert [name for name, _ in control.options] == [one.name for one in QUANTITIES if one.name in measured]
    assert layers_panel({"a": {0: alone("rank")}}, "layers").controls[0].options[0][0] == "effective_rank"
    assert "layers" not in {control.name for control in layers_panel({"a": {0: alone("rank")}}, "layers").controls}


def test_the_map_has_a_row_per_layer_and_logarithms_as_colours() -> None:
    (heat,) = chart(PANEL, "heat").data
    assert (list(heat.x), list(heat.y)) == ([0, 2, 4], ["conv", "head"])
    np.testing.assert_allclose(heat.z, [[-3, -2, -1], [0, 1, 2]], atol=1e-6)
    np.testing.assert_allclose(heat.customdata, np.array([[0.001, 0.01, 0.1], [1, 10, 100]]), rtol=1e-6)
    # The same colours for both variants and seeds: from 0.001, a's least, to 200, that of seed 1.
    assert (heat.zmin, heat.zmax) == (pytest.approx(-3), pytest.approx(np.log10(200)))
    other = chart(PANEL, "heat", variant="b").data[0]
    assert (other.zmin, other.zmax) == (heat.zmin, heat.zmax)
    np.testing.assert_allclose(other.customdata[0], [0.01, 0.1, 1], rtol=1e-6)
    assert np.isnan(chart(PANEL, "heat", variant="b", seed="1").data[0].z).all()  # there is no such run
    cosine = chart(PANEL, "heat", quantity="shift_cosine").data[0]
    assert (cosine.zmin, cosine.zmax, list(cosine.z[0])[1:]) == (-1, 1, [-0.5, -0.5])


def test_one_look_is_dots_and_no_map() -> None:
    panel = layers_panel({"a": {0: layer_probes(steps=(7,))}}, "layers")
    assert [one.name for one in panel.charts] == ["depth", "branches"]
    assert {"step", "variant"}.isdisjoint(control.name for control in panel.controls)
    depth = chart(panel, "depth")
    assert (depth.data[0].mode, list(depth.data[0].x)) == ("lines+markers", ["conv", "head"])
    np.testing.assert_allclose(depth.data[0].y, [0.001, 1], rtol=1e-6)
    assert "at step 7, the only look" in panel.charts[0].description


def test_the_usual_range_of_the_update_ratio_is_marked() -> None:
    (heat,) = chart(PANEL, "heat", quantity="update_ratio").data
    # 0.5 is 2.7 powers of ten above 0.001, the middle of 0.0001 to 0.01: so the colours reach to both sides.
    reach = np.log10(0.5) + 3
    assert (heat.zmin, heat.zmax) == (pytest.approx(-3 - reach), pytest.approx(-3 + reach))
    bar = dict(zip(heat.colorbar.ticktext, heat.colorbar.tickvals, strict=True))
    assert bar == {"▸ 0.0001": -4, "0.001": -3, "0.01 ◂": -2}
    assert heat.hovertemplate.endswith("usual: 0.0001 to 0.01<extra></extra>")
    (band,) = chart(PANEL, "depth", quantity="update_ratio").layout.shapes
    assert (band.type, band.y0, band.y1) == ("rect", 1e-4, 1e-2)
    assert not chart(PANEL, "depth").layout.shapes
    assert "usual" not in chart(PANEL, "heat").data[0].hovertemplate


def test_branch_over_skip_and_who_has_none() -> None:
    assert lines("branches") == {"a": [0.25]}  # 2 / 8
    assert chart(PANEL, "branches").layout.yaxis.range[0] < np.log10(0.25)
    assert chart(PANEL, "branches").layout.yaxis.range[1] > 0  # the dotted line at 1
    assert "b: no skip connection that is added." in PANEL.notes


def test_what_was_not_looked_at_is_not_denied() -> None:
    """A variant whose signals were not probed, or whose seeds are left out, may have skip connections."""
    found = {"a": {0: layer_probes()}, "b": {0: alone("rank")}, "c": {5: layer_probes(norm=False)}}
    assert not any("no skip connection" in note for note in layers_panel(found, "layers", budget=1).notes)
    (note,) = (note for note in layers_panel(found, "layers").notes if "no skip connection" in note)
    assert note.startswith("c:")


def test_values_without_a_place_on_the_axis_are_counted() -> None:
    held = layer_probes()
    assert held.signals is not None
    held.signals.quantities["gradient_norm"][0, :2] = 0, np.inf
    assert layers_panel({"a": {0: held}}, "layers").notes[0] == (
        "a: exactly 0 or infinite, and so not on a logarithmic axis: 2 values."
    )
    depth = chart(layers_panel({"a": {0: held}}, "layers"), "heat")
    assert np.isnan(depth.data[0].z[0][0])


def test_many_looks_are_thinned_and_many_seeds_left_out() -> None:
    long = layer_probes(steps=tuple(range(0, 1000, 10)))
    panel = layers_panel({"a": {0: long}}, "layers")
    (step,) = (control for control in panel.controls if control.name == "step")
    assert (len(step.options), step.options[0], step.options[-1]) == (MOST_LOOKS, 0, 990)
    assert panel.notes[0] == f"Of 100 looks {MOST_LOOKS} are shown, evenly spread."
    # A look has 3 quantities of 4 layers, 2 of 2, 2 of 1 and a block: 19 numbers; 6 looks of two seeds are 228.
    few = layers_panel({"a": dict.fromkeys(range(5), long)}, "layers", budget=230)
    assert few.notes[:2] == ("Of 100 looks 6 are shown, evenly spread.", "Of 5 seeds the first 2 can be chosen.")
    assert [value for value, _ in few.controls[2].options] == ["0", "1"]


def test_a_page_with_many_runs_stays_small() -> None:
    width, looks = 60, 50
    names = tuple(f"layer_{place}" for place in range(width))
    random = np.random.default_rng(0)
    held = layer_probes().signals
    assert held is not None

    def probed() -> Probes:
        values = random.lognormal(size=(looks, width)).astype(np.float32)
        quantities = {
            quantity.name: values * (place + 1)
            for place, quantity in enumerate(one for one in QUANTITIES if one.probe == "signals")
        }
        return Probes(
            signals=replace(held, steps=tuple(range(looks)), layers=names, quantities=quantities, weighted=None)
        )

    panel = layers_panel({f"v{place}": {0: probed()} for place in range(10)}, "layers")
    # 10 runs, 8 quantities, 60 layers, 24 looks: 115,200 numbers of 4 bytes, as base64 4 / 3 of it: 614,400 bytes.
    assert 614_400 < len(embed([panel], {})) < 720_000


@pytest.mark.parametrize(("count", "named"), [(3, 3), (MOST_TICKS, MOST_TICKS), (41, 14), (1000, MOST_TICKS)])
def test_many_layers_have_few_names_along_the_axis(count: int, named: int) -> None:
    axis = layer_axis([f"stage_1.block_{place}.conv" for place in range(count)], "layer")
    assert (len(axis["categoryarray"]), len(axis["tickvals"])) == (count, named)
    assert max(map(len, axis["ticktext"])) <= 18
    assert set(axis["tickvals"]) <= set(axis["categoryarray"])


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("stage_1.0.conv_1", "stage_1.0.conv_1"),
        ("features.stage_1.block_3.conv", "…block_3.conv"),
        ("encoder.layers.0.mlp.0 #2", "…layers.0.mlp.0 #2"),
        ("a.very_long_name_of_a_layer", "…very_lo…f_a_layer"),
        ("", "network"),
    ],
)
def test_a_long_path_is_named_by_its_end(name: str, short: str) -> None:
    assert layer_axis([name], "layer")["ticktext"] == [short]


SIMILAR = {
    "a": {0: layer_probes().similarity, 1: layer_probes().similarity},
    "b": {0: layer_probes(norm=False).similarity},
}


def test_layers_of_one_network_and_of_two() -> None:
    panel = similarity_panel(SIMILAR, "similarity", ["a", "b"])  # type: ignore[arg-type]
    (within,) = chart(panel, "layers").data
    np.testing.assert_allclose(within.z, [[1, 0.6], [0.6, 1]], rtol=1e-6)
    np.testing.assert_allclose(chart(panel, "layers", variant="b", step=0).data[0].z, [[1, 0.8], [0.8, 1]], rtol=1e-6)
    (between,) = chart(panel, "variants").data
    # Rows of a: (1, 0), (0.6, 0.8); of b: (1, 0), (0.8, 0.6). 0.6 * 0.8 + 0.8 * 0.6 = 0.96
    np.testing.assert_allclose(between.z, [[1, 0.8], [0.6, 0.96]], rtol=1e-5)
    assert {(trace.zmin, trace.zmax) for trace in (within, between)} == {(0, 1)}
    assert panel.notes[0] == "Of each variant the first seed that was probed is shown: 0."


@pytest.mark.parametrize(
    ("found", "alike"),
    [
        (SIMILAR, ["a"]),  # probed with other images
        ({"a": SIMILAR["a"]}, ["a"]),
        ({"a": {1: SIMILAR["a"][1]}, "b": SIMILAR["b"]}, ["a", "b"]),  # no seed in common
    ],
)
def test_networks_that_saw_other_images_are_not_compared(found: Any, alike: list[str]) -> None:
    panel = similarity_panel(found, "similarity", alike)
    assert [chart.name for chart in panel.charts] == ["layers", "begun"]
    assert [control.name for control in panel.controls] == ["variant", "step"]


def test_one_network_is_shown_beside_its_first_look() -> None:
    held = layer_probes().similarity
    assert held is not None
    held.alignment[0] = [[1, 0.25], [0.25, 1]]
    panel = similarity_panel({"a": {0: held}}, "similarity", ["a"])
    np.testing.assert_allclose(chart(panel, "begun").data[0].z, np.array([[1, 0.25], [0.25, 1]]))
    np.testing.assert_allclose(chart(panel, "layers").data[0].z, [[1, 0.6], [0.6, 1]], rtol=1e-6)
    once = replace(held, steps=(0,), alignment=held.alignment[:1])
    assert [chart.name for chart in similarity_panel({"a": {0: once}}, "similarity", ["a"]).charts] == ["layers"]


def test_variants_with_fewer_training_images_are_not_compared(tmp_path: Path) -> None:
    held = {"norm=batch": layer_probes(), "norm=none": layer_probes(norm=False)}
    store, comparison = probed_experiment(tmp_path, held)
    title = "norm=batch against another variant</h4>"
    assert title in page([comparison], store=store)
    runs = [
        replace(run, config=replace(run.config, train_samples=100)) if run.config.variant == "norm=none" else run
        for run in store.runs()
    ]
    assert title not in page(runs, store=store)


def test_matrices_are_thinned_to_the_budget() -> None:
    held = layer_probes(steps=tuple(range(0, 100, 10))).similarity
    assert held is not None
    panel = similarity_panel({"a": {0: held}}, "similarity", ["a"], budget=12)  # 3 looks of 2 * 2 numbers
    assert panel.notes[1] == "Of 10 looks 3 are shown, evenly spread."


def test_gradients_at_the_chosen_step_and_at_the_first() -> None:
    held = layer_probes().correlation
    assert held is not None
    panel = correlation_panel({"a": {0: held}, "b": {1: held}}, "correlation")
    found = chart(panel, "correlation")
    assert {line.name: list(line.y) for line in found.data} == {"a": [1, 0.75, 0.25], "a, step 0": [1, 0.5, 0]}
    assert [list(line.x) for line in found.data] == [[0, 0.5, 1]] * 2
    assert [line.line.dash for line in found.data] == [None, "dash"]
    assert [line.name for line in chart(panel, "correlation", seed="1", step=0).data] == ["b", "b, step 0"]
    assert list(chart(panel, "correlation", step=0).data[0].y) == [1, 0.5, 0]
