"""Small pictures in a table: every number lies where its value says, on one scale for all lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archlab.records import Comparison, VariantResult
from archlab.reports import page
from archlab.reports.strip import MARGIN, WIDTH, Series, strip
from tests.reports.samples import experiment

FLOATS = st.floats(-1e6, 1e6)


def test_numbers_lie_between_the_margins_in_proportion() -> None:
    drawn = strip([Series(0, 2.0, 1.5, 2.5, (1.0, 3.0)), Series(3, 4.0)], 0.0, 4.0)
    one, other = drawn.lines
    across = (WIDTH - 2 * MARGIN) / 4  # pixels per unit
    assert (one.mean, one.low, one.high) == (MARGIN + 2 * across, MARGIN + 1.5 * across, MARGIN + 2.5 * across)
    assert one.values == (MARGIN + across, MARGIN + 3 * across)
    assert (other.place, other.mean, other.low, other.high) == (3, WIDTH - MARGIN, None, None)
    assert (one.y, other.y, drawn.height) == (8, 24, 32)


def test_equal_numbers_stand_in_the_middle() -> None:
    assert strip([Series(0, 0.5)], 0.5, 0.5).lines[0].mean == WIDTH / 2


@given(st.lists(FLOATS, min_size=1, max_size=5), FLOATS, FLOATS)
def test_nothing_leaves_the_picture_and_order_is_kept(values: list[float], low: float, high: float) -> None:
    series = Series(0, values[0], min(low, high), max(low, high), tuple(values))
    line = strip([series], *series.extent).lines[0]
    assert line.low is not None
    assert line.high is not None
    assert line.low <= line.high
    assert all(MARGIN <= place <= WIDTH - MARGIN for place in (line.mean, line.low, line.high, *line.values))
    assert sorted(line.values) == [place for _, place in sorted(zip(values, line.values, strict=True))]


@pytest.mark.parametrize("variants", [3, 5])
def test_a_comparison_in_which_all_failed_is_a_page_without_numbers(variants: int) -> None:
    names = [f"lr={place}" for place in range(variants)]
    results = tuple(VariantResult(name, {}, {"lr": place}, failed=1) for place, name in enumerate(names))
    html = page([Comparison("lenet", "digits", (0,), results, (), ("All runs failed.",))])
    assert "All runs failed." in html
    assert '<table class="metrics">' not in html


@pytest.mark.parametrize(("variants", "lines"), [(2, 2), (5, 1)])
def test_a_row_shows_a_metric_in_all_variants_or_one_of_many_variants(
    tmp_path: Path, variants: int, lines: int
) -> None:
    _, comparison = experiment(tmp_path, 2, [f"lr={place}" for place in range(variants)])
    html = page([comparison])
    table = html[html.index('<table class="metrics">') : html.index("</table>")]
    pictures = [picture.count('class="mean"') for picture in re.findall("<svg.*?</svg>", table, re.DOTALL)]
    rows = table.count('<th scope="row">')
    assert rows == len(pictures) > 1
    assert pictures[0] == lines
