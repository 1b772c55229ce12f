"""Sections of probes: where they are, and what their charts hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archlab.records import Comparison, Epoch, Landscape, Probes, Smoothness, TrainingConfig
from archlab.reports import page
from archlab.reports.charts.probing import BAND_POINTS, landscape_panel, smoothness_panel
from archlab.store import Store, open_store
from tests.reports.samples import ENVIRONMENT, comparison_of

RATES = np.array([0.25, 0.5, 1.0], dtype=np.float32)


def smoothness(seed: int = 0, steps: int = 4) -> Smoothness:
    """A loss of 2 that falls to 1 and rises to 4; a gradient of norm 2 that changes by 1, 2 and `seed` + 4."""
    losses = np.tile(np.array([1.5, 1, 4], dtype=np.float32), (steps, 1))
    changes = np.tile(np.array([1, 2, 4 + seed], dtype=np.float32), (steps, 1))
    two = np.full(steps, 2, dtype=np.float32)
    return Smoothness(tuple(range(steps)), RATES, two, two, losses, changes, images=256)


def landscape(points: int = 5, scale: float = 1.0) -> Landscape:
    """A bowl: scale * (0.1 + x² + 2 y²)."""
    places = np.linspace(-1, 1, points, dtype=np.float32)
    losses = scale * (0.1 + places[None, :] ** 2 + 2 * places[:, None] ** 2)
    return Landscape(places, losses.astype(np.float32), images=256)


def probed_experiment(path: Path, probes: Mapping[str, Probes | None], seeds: int = 2) -> tuple[Store, Comparison]:
    """A store with a comparison of these variants, each of whose runs holds the probes."""
    store = open_store(path)
    runs = []
    for place, (variant, held) in enumerate(probes.items()):
        for seed in range(seeds):
            with store.writer(TrainingConfig(variant=variant, seed=seed, epochs=1), ENVIRONMENT) as writer:
                accuracy = 0.8 - 0.1 * place + 0.01 * seed
                writer.append(Epoch(1, 3, 0.5, 0.5, accuracy, 0.6, accuracy))
                runs.append(writer.finish({}, None, held))
    return store, comparison_of(runs, store)


TERMS = {"smoothness": "effective β-smoothness", "landscape": "filter-normalised landscape"}


@pytest.mark.parametrize(
    ("held", "sections"),
    [
        (Probes(smoothness(), landscape()), {"smoothness", "landscape"}),
        (Probes(smoothness()), {"smoothness"}),
        (Probes(landscape=landscape()), {"landscape"}),
        (None, set()),
    ],
)
def test_sections_and_terms_are_there_where_something_was_probed(
    tmp_path: Path, held: Probes | None, sections: set[str]
) -> None:
    store, comparison = probed_experiment(tmp_path, {"norm=batch": held, "norm=none": None})
    text = page([comparison], store=store)
    assert {name for name in TERMS if f'id="lenet-on-digits-{name}"' in text} == sections
    assert {name for name, term in TERMS.items() if f"<dt>{term}</dt>" in text} == sections
    assert text.count("Around the weights of norm=batch</h4>") == ("landscape" in sections)
    assert "Around the weights of norm=none</h4>" not in text


def test_without_a_store_there_is_no_probe(tmp_path: Path) -> None:
    store, _ = probed_experiment(tmp_path, {"norm=batch": Probes(smoothness(), landscape())})
    assert "β" not in page(store.runs())


def test_a_network_on_its_plateau_is_named_and_not_drawn(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    for variant, accuracy in (("norm=batch", 0.9), ("norm=none", 0.11)):
        with store.writer(TrainingConfig(variant=variant, epochs=1), ENVIRONMENT) as writer:
            writer.append(Epoch(1, 3, 0.5, 2.3, accuracy, 2.3, accuracy))
            writer.finish({}, None, Probes(smoothness(), landscape()))
    text = page(store.runs(), store=store)
    assert text.count("norm=none: not drawn, since it never left the plateau of the loss of guessing") == 2
    assert "Around the weights of norm=batch</h4>" in text
    assert "Around the weights of norm=none</h4>" not in text


def test_bands_of_one_seed_and_beta_of_all() -> None:
    panel = smoothness_panel({"a": {0: smoothness(0), 1: smoothness(4)}, "b": {1: smoothness(0)}}, "smoothness")
    loss, gradient, beta = (chart.figure() for chart in panel.charts)
    assert [trace.name for trace in loss.data] == ["a, least", "a, greatest", "a"]
    assert [list(trace.y) for trace in loss.data] == [[1] * 4, [4] * 4, [2] * 4]
    assert [list(trace.y) for trace in gradient.data] == [[1] * 4, [4] * 4, [2] * 4]
    assert len(panel.charts[0].figure(seed="1").data) == 6
    # 4 / (1 * 2) and 8 / (1 * 2): their geometric mean is sqrt(8)
    assert [trace.name for trace in beta.data] == ["a, lower bound", "a, upper bound", "a", "b"]
    np.testing.assert_allclose(beta.data[2].y, np.sqrt(8))
    np.testing.assert_allclose(beta.data[3].y, 2)
    assert "n: a 2, b 1" in panel.charts[2].description
    assert "8 rates" not in panel.charts[0].description
    assert "3 rates η from 0.25 to 1" in panel.charts[0].description
    assert {figure.layout.yaxis.type for figure in (loss, gradient, beta)} == {"log"}


def test_what_is_not_finite_is_counted_and_what_is_long_thinned() -> None:
    held = smoothness(steps=1000)
    losses = held.losses.copy()
    losses[3:5, 2] = np.inf
    panel = smoothness_panel({"a": {0: replace(held, losses=losses)}}, "smoothness")
    assert panel.notes == (
        "a: not finite, and so not drawn: 2 of 3,000 losses along the gradient.",
        f"1,000 probed steps are drawn as {BAND_POINTS}; each stretch keeps its extremes.",
    )
    assert len(panel.charts[0].figure().data[0].y) <= BAND_POINTS


def test_landscapes_share_levels_and_axes() -> None:
    holed = landscape(scale=100)
    holed.losses[0, 0] = np.nan
    panel = landscape_panel({"a": {0: landscape(), 3: landscape(7)}, "b": {0: holed}}, "landscape")
    first, second = (chart.figure() for chart in panel.charts)
    for figure in (first, second):
        contour, mark = figure.data
        assert (contour.type, contour.zmin, contour.zmax) == ("contour", pytest.approx(-1), pytest.approx(2.4914, 1e-4))
        assert (contour.contours.start, contour.contours.end) == (contour.zmin, contour.zmax)  # log10 of 0.1 and 310
        assert ([*mark.x], [*mark.y]) == ([0], [0])
        assert [*figure.layout.xaxis.range] == [*figure.layout.yaxis.range] == [-1, 1]
    assert first.data[0].customdata[2][4] == pytest.approx(1.1)  # 0.1 + 1, at the end of the first direction
    assert first.data[0].customdata[4][2] == pytest.approx(2.1)  # 0.1 + 2, at the end of the second
    np.testing.assert_allclose(first.data[0].z, np.log10(landscape().losses), rtol=1e-5)
    assert len(panel.charts[0].figure(seed="3").data[0].x) == 7
    assert len(panel.charts[1].figure(seed="3").data) == 0
    assert panel.notes[1:] == ("b: no finite loss at 1 of 25 points, left blank.",)
