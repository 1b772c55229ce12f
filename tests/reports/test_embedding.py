"""Charts as JSON: once, small, exact enough, and safe in a script element."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archlab.reports.embedding import Pool, array, embed, number
from archlab.reports.panel import Chart, Control, Exact, Logarithm, Panel, Pick, Slice, Switch


def decoded(entry: Any) -> Any:
    """What the page's script makes of a pool entry."""
    if isinstance(entry, list):
        return np.array(entry, dtype=float)
    if "f4" in entry:
        values = np.frombuffer(base64.b64decode(entry["f4"]), "<f4")
        return values.reshape(-1, entry["columns"]) if "columns" in entry else values
    halves = np.frombuffer(base64.b64decode(entry["f2"]), "<f2").reshape(-1, entry["columns"])
    return halves.astype(np.float64) * 2.0 ** entry["exponent"]


@settings(deadline=None, max_examples=60)
@given(st.floats(-30, 30), st.integers(0, 1_000))
def test_a_matrix_keeps_eleven_bits_at_any_scale(power: float, seed: int) -> None:
    values = (np.random.default_rng(seed).normal(size=(7, 5)) * 10.0**power).astype("f4")
    found = decoded(array(values))
    assert np.abs(found - values).max() <= 0.0005 * np.abs(values).max()
    large = np.abs(values) > 1e-3 * np.abs(values).max()
    assert (np.abs(found - values)[large] <= 0.0005 * np.abs(values)[large]).all()


def test_an_exact_matrix_keeps_what_is_tiny() -> None:
    pool = Pool()
    values = np.array([[1e-20, 1.0], [np.nan, 3e-15]], dtype=np.float32)
    first, second = pool.encode([Exact(values), Pick(Exact(values.copy()), [1])])
    assert (first, second) == ({"$ref": 0}, {"$pick": {"$ref": 0}, "places": [1]})
    np.testing.assert_array_equal(decoded(pool.entries[0]), values)
    assert pool.encode(Logarithm(Exact(values))) == {"$log": {"$ref": 0}}


def test_gaps_stay_gaps() -> None:
    matrix = np.array([[np.nan, 1.0], [2.0, np.inf]])
    found = decoded(array(matrix))
    assert np.isnan(found[0, 0])
    assert found[0, 1] == 1.0
    assert array(np.array([np.nan, 1.5])) == [None, 1.5]
    assert decoded(array(np.full((2, 2), np.nan))).shape == (2, 2)


@pytest.mark.parametrize(
    ("value", "written"), [(1.0, 1), (0.1 + 0.2, 0.3), (float("nan"), None), (1 / 3, 0.3333333), (1e300, 1e300)]
)
def test_numbers_are_short(value: float, written: Any) -> None:
    assert number(value) == written


def test_equal_arrays_are_embedded_once() -> None:
    pool = Pool()
    first, second = np.arange(100.0), np.arange(100.0)
    switch = Switch("x", {"a": first, "b": second})
    node = pool.encode([{"y": Slice(switch, "step")}, {"y": second}, {"x": switch}])
    assert len(pool.entries) == 2  # the array and the switch
    assert node[0]["y"] == {"$slice": {"$ref": 1}, "at": "step"}
    assert node[1]["y"] == {"$ref": 0}
    assert node[2]["x"] == {"$ref": 1}


def test_equal_looking_lists_of_other_types_stay_apart() -> None:
    pool = Pool()
    node = pool.encode([[True] * 10, [1] * 10])
    assert [type(pool.entries[item["$ref"]][0]) for item in node] == [bool, int]


def test_no_name_closes_the_script_element() -> None:
    evil = "</script><!--\u2028&"
    chart = Chart("c", evil, evil, [{"type": "scatter", "name": evil, "y": [1]}])
    panel = Panel("p", (chart,), (Control("x", evil, "select", ((evil, evil),), evil),))
    text = embed([panel], {"t": {"rows": [[evil]]}})
    assert not set(text) & set("<>&\u2028")
    found = json.loads(text)
    assert found["panels"]["p"]["charts"]["c"]["title"] == evil
    assert found["tables"]["t"]["rows"] == [[evil]]
