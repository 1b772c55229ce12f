from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from archlab.analysis.folding import Fold, OutlineRow, failed_rows, fold, likeness, outline, tree
from archlab.records import Failure, Layer, ReceptiveField, Totals, Trace
from tests.traces import block, layer, trace, traces


def rows(found: Trace, depth: int | None = None) -> list[tuple[str, int, int, int]]:
    return [(row.layer.path, row.depth, row.count, row.layer.parameters) for row in fold(found, depth)]


def stack(*blocks: tuple[Layer, ...]) -> Trace:
    """A network whose `layers` holds the blocks, with a head behind."""
    inner = tuple(replace(item, depth=item.depth) for part in blocks for item in part)
    total = sum(part[0].parameters for part in blocks)
    return trace(layer("layers", "Sequential", parameters=total), *inner, layer("head", parameters=8))


def test_equal_neighbours_are_one_row_with_the_sums_of_all() -> None:
    assert rows(stack(*(block(f"layers.{number}") for number in range(12)))) == [
        ("layers", 1, 1, 864),  # 12 * 72
        ("layers.0-11", 2, 12, 864),
        ("layers.0-11.fc", 3, 1, 864),
        ("layers.0-11.relu", 3, 1, 0),
        ("head", 1, 1, 8),
    ]


def test_a_series_ends_where_the_counts_or_shapes_differ() -> None:
    found = stack(block("layers.0"), block("layers.1"), block("layers.2", 90), block("layers.3"))
    assert [row[:3] for row in rows(found, 2)] == [
        ("layers", 1, 1),
        ("layers.0-1", 2, 2),
        ("layers.2", 2, 1),
        ("layers.3", 2, 1),
        ("head", 1, 1),
    ]
    other = replace(found.layers[4], output_shapes=((1, 9),))
    changed = replace(found, layers=(*found.layers[:4], other, *found.layers[5:]))
    assert "layers.0-1" not in [row[0] for row in rows(changed)]


def test_names_that_say_different_things_stay_apart() -> None:
    found = trace(*(layer(name, parameters=72) for name in ("query", "key", "value")))
    assert [row[0] for row in rows(found)] == ["query", "key", "value"]


def test_numbered_names_are_a_series_too() -> None:
    found = trace(*(layer(f"conv{number}", parameters=72) for number in (1, 2, 3)), layer("fc1", parameters=72))
    assert rows(found) == [("conv1-3", 1, 3, 216), ("fc1", 1, 1, 72)]  # 3 * 72


def test_series_within_series_multiply() -> None:
    def outer(path: str) -> tuple[Layer, ...]:
        return (layer(path, "Stage", parameters=144), *block(f"{path}.0"), *block(f"{path}.1"))

    found = trace(layer("net", parameters=432), *outer("net.0"), *outer("net.1"), *outer("net.2"), layer("head"))
    assert rows(found)[:4] == [
        ("net", 1, 1, 432),  # 3 * 2 * 72
        ("net.0-2", 2, 3, 432),
        ("net.0-2.0-1", 3, 2, 432),
        ("net.0-2.0-1.fc", 4, 1, 432),
    ]


def test_later_calls_of_a_shared_module_are_one_row() -> None:
    first = layer("cell", parameters=72, macs=64, call=1, calls=4)
    later = [layer("cell", macs=64, call=call, calls=4) for call in (2, 3, 4)]
    found = fold(trace(first, *later))
    assert [(row.layer.path, row.count, row.layer.macs) for row in found] == [("cell", 1, 64), ("cell", 3, 192)]


def test_a_receptive_field_that_was_measured_keeps_blocks_apart() -> None:
    layers = [
        layer(f"conv{number}", receptive_field=ReceptiveField((size,), (1,), "exact"))
        for number, size in ((1, 3), (2, 5))
    ]
    assert len(fold(trace(*layers))) == 2


def test_a_container_of_one_module_takes_no_level() -> None:
    found = trace(
        layer("wrapper", "Wrapper", parameters=72),
        layer("wrapper.inner", "Sequential", parameters=72),
        layer("wrapper.inner.fc", parameters=72),
        layer("wrapper.inner.relu", "ReLU"),
        layer("head", parameters=8),
    )
    assert [row[:2] for row in rows(found)] == [
        ("wrapper.inner", 1),
        ("wrapper.inner.fc", 2),
        ("wrapper.inner.relu", 2),
        ("head", 1),
    ]


def test_a_network_that_only_wraps_another_shows_the_other() -> None:
    top = layer("model", "Net", parameters=80, macs=64, elementwise=8)
    found = trace(top, *block("model.stem"), layer("model.head", parameters=8))
    assert rows(found, 1) == [("model.stem", 1, 1, 72), ("model.head", 1, 1, 8)]


def test_a_module_of_one_operation_keeps_its_name() -> None:
    found = trace(layer("pool", "Pool"), layer("pool.mean", "mean", operation=True), layer("head"))
    assert [row[0] for row in rows(found, 1)] == ["pool", "head"]


def test_a_container_with_parameters_of_its_own_keeps_its_level() -> None:
    found = trace(layer("scale", "Scale", parameters=73), layer("scale.fc", parameters=72), layer("head"))
    assert [row[0] for row in rows(found)] == ["scale", "scale.fc", "head"]


def level(found: tuple[Fold, ...], depth: int) -> list[Fold]:
    return [row for row in found if row.depth == depth]


@settings(deadline=None, max_examples=60)
@given(traces())
def test_the_folded_tree_sums_to_the_totals(found: Trace) -> None:
    folded = fold(found)
    for name in ("parameters", "macs"):
        assert sum(getattr(row.layer, name) for row in level(folded, 1)) == getattr(found.totals, name)
    parents: list[Fold] = []
    inner: dict[int, int] = {}
    for number, row in enumerate(folded):
        while parents and parents[-1].depth >= row.depth:
            parents.pop()
        if parents:
            place = folded.index(parents[-1])
            inner[place] = inner.get(place, 0) + row.layer.parameters
        parents.append(row)
        assert number >= len(parents) - 1
    assert all(folded[place].layer.parameters == total for place, total in inner.items())


@settings(deadline=None, max_examples=60)
@given(traces())
def test_a_depth_cuts_the_folded_tree(found: Trace) -> None:
    folded = fold(found)
    for depth in (1, 2, 3):
        assert fold(found, depth) == tuple(row for row in folded if row.depth <= depth)


@settings(deadline=None, max_examples=30)
@given(traces())
def test_the_tree_holds_every_layer_once(found: Trace) -> None:
    def flat(nodes: list[object]) -> list[Layer]:
        return [item for node in nodes for item in (node.layer, *flat(node.children))]  # type: ignore[attr-defined]

    assert tuple(flat(list(tree(found.layers)))) == found.layers


def is_shown(lines: tuple[OutlineRow, ...], line: OutlineRow, opened: bool) -> bool:
    """Whether a row shows while all series are open, or all are closed."""
    return line.series < 0 or (line.member == opened and is_shown(lines, lines[line.series], opened))


def test_a_series_opens_into_its_members() -> None:
    found = outline(trace(layer("stem"), *block("b.0"), *block("b.1"), layer("head")))
    assert [
        (line.layer.path, line.path, line.layer.parameters, line.count, line.series, line.member) for line in found
    ] == [
        ("stem", "stem", 0, 1, -1, False),
        ("b.0-1", "b.0", 144, 2, -1, False),  # 2 * 72
        ("b.0-1.fc", "b.0.fc", 144, 1, 1, False),
        ("b.0-1.relu", "b.0.relu", 0, 1, 1, False),
        ("b.0", "b.0", 72, 1, 1, True),
        ("b.0.fc", "b.0.fc", 72, 1, 1, True),
        ("b.0.relu", "b.0.relu", 0, 1, 1, True),
        ("b.1", "b.1", 72, 1, 1, True),
        ("b.1.fc", "b.1.fc", 72, 1, 1, True),
        ("b.1.relu", "b.1.relu", 0, 1, 1, True),
        ("head", "head", 0, 1, -1, False),
    ]


@given(found=traces())
@settings(max_examples=100)
def test_open_series_show_every_layer_and_closed_ones_its_sums(found: Trace) -> None:
    lines = outline(found)
    opened = [line.layer for line in lines if line.count == 1 and is_shown(lines, line, True)]
    assert opened == list(found.layers)
    for level in (1, 2):
        rows = [layer for layer in found.layers if layer.depth == level]
        closed = [line.layer for line in lines if line.layer.depth == level and is_shown(lines, line, False)]
        assert sum(item.macs for item in closed) == sum(item.macs for item in rows)
        assert sum(item.parameters for item in closed) == sum(item.parameters for item in rows)


@given(found=traces())
@settings(max_examples=50)
def test_rows_alike_have_equal_subtrees(found: Trace) -> None:
    alike = likeness(found.layers)
    for line in outline(found):
        if line.count > 1:
            first = next(row for row, layer in enumerate(found.layers) if layer.path == line.path)
            assert alike.count(alike[first]) >= line.count


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("head.fc", (1, 2)),
        ("head.deep.inside", (1,)),  # cut to a depth
        ("stem", (0,)),
        ("cell.0", (5, 6)),  # the call that failed is the last
        ("gone", ()),
        ("never", ()),
        ("", ()),
    ],
)
def test_where_a_forward_pass_failed(path: str, expected: tuple[int, ...]) -> None:
    found = trace(
        layer("stem"), layer("head"), layer("head.fc"), *2 * (layer("cell"), layer("cell.0")), layer("never", call=0)
    )
    failed = replace(found, failure=Failure(path, "Linear", "", "1x4", "1x8", "", "boom"))
    assert failed_rows(found) == ()
    assert failed_rows(failed) == expected


def timed(path: str, seconds: float, depth: int = 1) -> Layer:
    return Layer(path, "Linear", depth, ((1, 8),), ((1, 8),), parameters=72, seconds=seconds)


def test_equal_blocks_of_unequal_times_are_one_row_with_the_sum() -> None:
    layers = []
    for number, seconds in enumerate([1.0, 2.0, 4.0]):
        layers += [timed(f"blocks.{number}", 3 * seconds), timed(f"blocks.{number}.linear", 2 * seconds, depth=2)]
        layers += [timed(f"blocks.{number}.other", seconds, depth=2)]
    found = Trace("stack", (), tuple(layers), Totals(0, 0, 0, 0, 0))
    assert {row.layer.path: row.layer.seconds for row in fold(found)} == {
        "blocks.0-2": 21,
        "blocks.0-2.linear": 14,
        "blocks.0-2.other": 7,
    }
    lines = {(line.layer.path, line.member): line.layer.seconds for line in outline(found)}
    assert lines["blocks.0-2", False] == 21
    assert [lines[f"blocks.{number}", True] for number in range(3)] == [3, 6, 12]
