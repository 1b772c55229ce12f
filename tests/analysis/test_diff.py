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


def stage(path: str, side: int, kind: str, inner: str) -> tuple[Layer, ...]:
    """A block that holds a block, whose results are `side` high and wide."""
    shapes = ((1, 8, side, side),)
    return (
        layer(path, kind, output_shapes=shapes),
        layer(f"{path}.{inner}", f"{kind}Inner", output_shapes=shapes),
        layer(f"{path}.{inner}.{kind}", kind, output_shapes=shapes),
    )


def paired(found: Diff) -> list[tuple[str, str]]:
    return [(item.before.path, item.after.path) for item in found.layers if item.before and item.after]


def test_blocks_of_unlike_networks_belong_together_by_their_resolution() -> None:
    before = trace(*stage("layer1", 8, "Stage", "a"), *stage("layer2", 4, "Stage", "a"))
    halving = (layer("shrink", "Transition", output_shapes=((1, 8, 4, 4),)), layer("shrink.pool", "AvgPool2d"))
    after = trace(*stage("dense1", 8, "Dense", "x"), *halving, *stage("dense2", 4, "Dense", "x"))
    found = diff(before, after)
    assert [pair for pair in paired(found) if "." not in pair[0]] == [("layer1", "dense1"), ("layer2", "dense2")]
    assert [item.change for item in found.layers if item.layer.path.startswith("shrink")] == ["added", "added"]


def test_a_name_outweighs_a_resolution() -> None:
    before = trace(*stage("stem", 4, "A", "a"), *stage("head", 8, "A", "a"))
    after = trace(*stage("other", 8, "B", "x"), *stage("head", 4, "A", "a"))
    assert ("head", "head") in paired(diff(before, after))


def test_layers_that_only_one_network_has_a_block_around_find_their_partners() -> None:
    before = trace(layer("conv", "Conv2d"), layer("norm", "BatchNorm2d"), layer("fc"))
    after = trace(
        layer("features", "Body"), layer("features.conv", "Conv2d"), layer("features.relu", "ReLU"), layer("fc")
    )
    for one, other in ((before, after), (after, before)):
        found = diff(one, other)
        assert sorted(map(sorted, paired(found))) == [["conv", "features.conv"], ["fc", "fc"]]
    rows = [(item.layer.path, item.change, item.depth) for item in diff(before, after).layers]
    assert rows == [
        ("features", "added", 1),
        ("features.conv", "renamed", 2),
        ("norm", "removed", 2),  # shown where it would be in the second network
        ("features.relu", "added", 2),
        ("fc", "equal", 1),
    ]
