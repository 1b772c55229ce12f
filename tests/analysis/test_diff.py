from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from archlab.analysis.diff import COMPARED_FIELDS, diff
from archlab.records import Diff, Layer, Trace
from tests.traces import block, layer, trace, traces


def changes(found: Diff) -> list[tuple[str, str]]:
    return [(item.layer.path, item.change) for item in found.layers]


def sequence(*kinds: str) -> Trace:
    return trace(*(layer(str(number), kind) for number, kind in enumerate(kinds)))


def test_a_network_equals_itself() -> None:
    found = diff(trace(*block("stem")), trace(*block("stem")))
    assert found.is_empty
    assert found.count("equal") == 3


@pytest.mark.parametrize("name", COMPARED_FIELDS)
def test_every_field_that_is_compared_makes_a_difference(name: str) -> None:
    value = {"kind": "Conv2d", "detail": "causal", "dtype": "float16", "input_shapes": (), "output_shapes": ()}.get(
        name, 99
    )
    before = layer("a")
    found = diff(trace(before), trace(replace(before, **{name: value})))  # type: ignore[arg-type]
    assert [(item.change, item.fields) for item in found.layers] == [("changed", (name,))]


def test_saved_bytes_are_compared_where_both_sides_have_them() -> None:
    with_bytes = [trace(layer("a", saved_bytes=size)) for size in (64, 128)]
    assert diff(*with_bytes).layers[0].fields == ("saved_bytes",)
    assert diff(trace(layer("a")), with_bytes[0]).is_empty


def test_a_layer_put_into_a_sequence_renames_what_follows() -> None:
    before = sequence("Conv2d", "ReLU", "Conv2d", "Linear")
    after = sequence("Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "Linear")
    assert changes(diff(before, after)) == [
        ("0", "equal"),
        ("1", "added"),
        ("2", "renamed"),
        ("3", "renamed"),
        ("4", "renamed"),
    ]


def test_a_layer_taken_out_of_a_sequence() -> None:
    found = diff(sequence("Conv2d", "BatchNorm2d", "ReLU"), sequence("Conv2d", "ReLU"))
    assert changes(found) == [("0", "equal"), ("1", "removed"), ("1", "renamed")]


def test_a_spoken_name_outweighs_the_kind() -> None:
    found = diff(trace(layer("norm", "BatchNorm2d")), trace(layer("norm", "GroupNorm")))
    assert [(item.change, item.fields) for item in found.layers] == [("changed", ("kind",))]


def test_equally_built_blocks_belong_together_under_new_names() -> None:
    found = diff(trace(*block("stem"), layer("head")), trace(*block("trunk"), layer("head")))
    assert changes(found) == [
        ("trunk", "renamed"),
        ("trunk.fc", "renamed"),
        ("trunk.relu", "renamed"),
        ("head", "equal"),
    ]
    assert not found.is_empty


def test_a_whole_block_is_added_with_what_it_holds() -> None:
    found = diff(trace(*block("0")), trace(*block("0"), *block("1")))
    assert [path for path, change in changes(found) if change == "added"] == ["1", "1.fc", "1.relu"]


def test_both_sides_are_described() -> None:
    found = diff(trace(layer("a", parameters=72)), trace(layer("a", parameters=9), network="small", options={"k": "v"}))
    assert (found.before.network, found.before.totals.parameters) == ("net", 72)
    assert (found.after.network, found.after.totals.parameters, found.after.options) == ("small", 9, {"k": "v"})
    assert Diff.from_json(found.to_json()) == found


def kept(found: Diff, side: str) -> tuple[Layer, ...]:
    return tuple(item for item in (getattr(pair, side) for pair in found.layers) if item is not None)


@settings(deadline=None, max_examples=50)
@given(traces(), traces())
def test_every_layer_of_both_appears_once_and_in_order(before: Trace, after: Trace) -> None:
    found = diff(before, after)
    assert kept(found, "before") == before.layers
    assert kept(found, "after") == after.layers


@settings(deadline=None, max_examples=30)
@given(traces())
def test_no_difference_from_itself(found: Trace) -> None:
    assert diff(found, found).is_empty
