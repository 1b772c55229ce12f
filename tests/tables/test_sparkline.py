from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archlab.analysis.comparison import summarise
from archlab.records import Epoch, Estimate, Run, TrainingConfig
from archlab.tables.sparkline import ASCII_BLOCKS, BLOCKS, intervals, picture, sparkline

NAN = math.nan
HOSTILE = ['</svg><script>alert(1)</script>"', "norm\u202e=none", "a & b"]


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 40, "▁▂▃▄▅▆▇█"),
        ([7, 0], 40, "█▁"),
        ([3, 3, 3], 40, "▁▁▁"),
        ([], 40, ""),
        ([5], 40, "▁"),
        ([0, NAN, 1], 40, "▁ █"),
        ([NAN, math.inf], 40, "  "),
        ([0, 2, 4, 6, 10, 14], 3, "▁▃█"),  # the means 1, 5, 12: 8 * (5 - 1) / (12 - 1) = 2.9
        ([0, 5e-324], 40, "▁▁"),
        ([-1.7e308, 1.7e308], 40, "▁█"),
    ],
)
def test_a_curve_as_a_line(values: Sequence[float], width: int, expected: str) -> None:
    assert sparkline(values, width) == expected


def test_ascii() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5], plain=True) == ASCII_BLOCKS
    assert ASCII_BLOCKS.isascii()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=50), st.integers(1, 30))
def test_whatever_comes_fits_and_is_drawn(values: list[float], width: int) -> None:
    drawn = sparkline(values, width)
    assert len(drawn) == min(len(values), width)
    assert set(drawn) <= set(BLOCKS + " ")


def figure(html: str) -> ElementTree.Element:
    """The picture, which must be well-formed."""
    return ElementTree.fromstring(html[html.index("<figure") :])


def test_curves_as_a_picture() -> None:
    drawn = figure(picture({"one": [0.0, 1.0, 0.5], "level": [0.25]}, "accuracy"))
    lines = [line.get("points") for line in drawn.iter("polyline")]
    # 300 x 110 with a margin of 8: x is 8, 150, 292; y is 102 for the least value, 8 for the greatest.
    assert lines == ["8.0,102.0 150.0,8.0 292.0,55.0", "8.0,78.5 292,78.5"]
    (svg,) = drawn.iter("svg")
    assert svg.get("aria-label") == "accuracy, between 0 and 1"


def test_chance_is_a_dotted_line_on_the_scale() -> None:
    drawn = figure(picture({"one": [0.5, 1.0]}, "accuracy", "{:.0%}".format, 0.0))
    (line,) = drawn.iter("line")
    assert (line.get("y1"), line.get("y2")) == ("102.0", "102.0")  # 0 is the least there is
    assert [one.get("points") for one in drawn.iter("polyline")] == ["8.0,55.0 292.0,8.0"]
    assert "accuracy, between 50% and 100%; dotted: chance, 0%" in "".join(drawn.itertext())
    drawn = figure(intervals({"one": Estimate(1, 1.0, None, None, (1.0,))}, "accuracy", "{:.0%}".format, 0.5))
    (line,) = drawn.iter("line")
    assert (line.get("x1"), line.get("x2")) == ("8.0", "8.0")


def test_means_as_a_picture() -> None:
    estimates = {"one": Estimate(2, 0.5, 0.25, 0.75, (0.0, 1.0)), "a < b": Estimate(1, 0.5, None, None, (0.5,))}
    drawn = figure(intervals(estimates, "accuracy", "{:.0%}".format))
    several, single = drawn.iter("svg")
    # 300 pixels with a margin of 8: 0 is at 8, 1/4 at 79, 1/2 at 150, 3/4 at 221, 1 at 292.
    _, band, tick = several.iter("rect")
    assert (band.get("x"), band.get("width")) == ("79.0", "142.0")
    assert tick.get("x") == "149.0"  # 2 wide
    assert [dot.get("cx") for dot in several.iter("circle")] == ["8.0", "292.0"]
    assert several.get("aria-label") == "one: mean 50%, n = 2, 95 % interval 25% to 75%"
    assert single.get("aria-label") == "a < b: mean 50%, n = 1"
    assert [mark.tag for mark in single] == ["rect", "circle", "rect"]  # ground, dot, tick: no band
    assert "".join(drawn.itertext()).endswith("50% (n = 2)a < b50% (n = 1)")


@pytest.mark.parametrize("estimates", [{}, {"one": Estimate(1, NAN, None, None, (NAN,))}])
def test_no_mean_is_no_picture(estimates: dict[str, Estimate]) -> None:
    assert intervals(estimates, "loss") == ""


def test_a_gap_parts_a_line() -> None:
    assert len(list(figure(picture({"one": [0, 1, NAN, 1, 0]}, "loss")).iter("polyline"))) == 2


@pytest.mark.parametrize("curves", [{}, {"one": []}, {"one": [NAN]}])
def test_nothing_is_no_picture(curves: dict[str, list[float]]) -> None:
    assert picture(curves, "loss") == ""


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_every_point_lies_in_the_picture(values: list[float]) -> None:
    html = picture({"one": values}, "loss")
    for line in figure(html).iter("polyline") if html else ():
        pairs = [pair.split(",") for pair in str(line.get("points")).split()]
        assert all(8 <= float(x) <= 292 and 8 <= float(y) <= 102 for x, y in pairs)


def run(variant: str, seed: int, accuracy: float) -> Run:
    epochs = tuple(Epoch(n, 6 * n, 0.5 * n, 1 / n, accuracy, 1 / n, accuracy * n / 3) for n in (1, 2, 3))
    return Run(f"{variant}-{seed}", TrainingConfig(variant=variant, seed=seed, epochs=3), "finished", epochs)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_notebook_shows_runs_and_comparisons(name: str) -> None:
    single = run(name, 0, 0.9)
    comparison = summarise([run(variant, seed, 0.9 - seed / 10) for variant in ("norm=batch", name) for seed in (0, 1)])
    for html, tables in ((single._repr_html_(), 1), (comparison._repr_html_(), 2)):
        assert html.isascii()
        assert "<script" not in html
        assert "\u202e" not in html
        assert html.count("<table") == tables
        ElementTree.fromstring(f"<div>{html}</div>".replace("&#160;", " "))  # well-formed
    assert single._repr_html_().count("<polyline") == 2
    assert comparison._repr_html_().count("<circle") == 4
    assert comparison._repr_html_().count("<li>") == len(comparison.findings) > 0


def test_a_run_without_an_epoch_is_shown_without_a_picture() -> None:
    html = Run("key", TrainingConfig(), "interrupted")._repr_html_()
    assert "<table" in html
    assert "<svg" not in html
