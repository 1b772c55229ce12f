"""From rows and edges to nested blocks."""

import pytest

from archlab.errors import InputError
from archlab.records import Trace
from archlab.reports.diagram.block import Block, Edge, outermost_block, shapes_of
from tests.reports.diagrams import dense, layer, residual, stack, trace


def children(block: Block) -> list[str]:
    return [child.path for child in block.children]


def test_an_edge_shows_in_the_block_that_holds_both_ends() -> None:
    network = trace(
        layer("a", 1, kind="Block"),
        layer("a.0", 2, [-1]),
        layer("a.1", 2, [1]),
        layer("b", 1, kind="Block"),
        layer("b.0", 2, [2]),
        layer("b.1", 2, [4, 1]),
    )
    whole = outermost_block(network)
    a, b = whole.children
    # entries first, then children, then exits
    assert whole.edges == (Edge(0, 1), Edge(1, 2), Edge(1, 2, outlet=1, inlet=1), Edge(2, 3))
    assert a.entries == ((-1,),)
    assert a.exits == ((2,), (1,))
    assert a.edges == (Edge(0, 1), Edge(1, 2), Edge(2, 3), Edge(1, 4))
    assert b.entries == ((2,), (1,))
    assert b.edges == (Edge(0, 2), Edge(1, 3), Edge(2, 3), Edge(3, 4))


def test_rows_that_nothing_joins_have_no_edges() -> None:
    whole = outermost_block(trace(layer("a", 1), layer("b", 1, call=0)))
    assert children(whole) == ["a", "b"]
    assert whole.edges == ()
    assert whole.entries == ((-1,),)


def test_many_tensors_for_the_same_child_share_an_entry() -> None:
    rows = [layer(f"in_{number}", 1, [-1]) for number in range(6)]
    rows += [layer("block", 1, kind="Block"), layer("block.cat", 2, range(6), "cat", operation=True)]
    block = outermost_block(trace(*rows)).children[-1]
    assert block.entries == (tuple(range(6)),)


@pytest.mark.parametrize(("blocks", "expected"), [(1, ()), (2, (1, 7)), (12, tuple(range(1, 73, 6)))])
def test_equal_blocks_in_a_row_are_one(blocks: int, expected: tuple[int, ...]) -> None:
    whole = outermost_block(stack(blocks))
    assert children(whole) == ["stem", "blocks.0", "head"]
    assert whole.children[1].repeats == expected
    assert whole.edges == (Edge(0, 1), Edge(1, 2), Edge(2, 3), Edge(3, 4))


def test_unequal_blocks_stay_apart() -> None:
    rows = [layer("stem", 1, [-1], "Conv2d"), *residual("a", 1, 1, 0, 10), *residual("b", 1, 7, 6, 20)]
    assert children(outermost_block(trace(*rows))) == ["stem", "a", "b"]


def test_equal_blocks_beside_one_another_stay_apart() -> None:
    rows = [layer("stem", 1, [-1], "Conv2d"), *residual("a.0", 1, 1, 0), *residual("a.1", 1, 7, 0)]
    rows.append(layer("add", 1, [6, 12], "add", operation=True))
    assert children(outermost_block(trace(*rows))) == ["stem", "a.0", "a.1", "add"]


def test_equal_blocks_whose_names_say_different_things_stay_apart() -> None:
    rows = [layer("stem", 1, [-1], "Conv2d"), *residual("encoder", 1, 1, 0), *residual("decoder", 1, 7, 6)]
    assert children(outermost_block(trace(*rows))) == ["stem", "encoder", "decoder"]


def test_a_block_whose_result_is_used_again_later_ends_the_row() -> None:
    rows = [layer("stem", 1, [-1], "Conv2d")]
    for place in range(3):
        rows += residual(f"a.{place}", 1, 1 + 6 * place, 6 * place)
    rows.append(layer("add", 1, [12, 18], "add", operation=True))
    whole = outermost_block(trace(*rows))
    assert [(child.path, child.repeats) for child in whole.children] == [
        ("stem", ()),
        ("a.0", (1, 7)),
        ("a.2", ()),
        ("add", ()),
    ]


def test_a_tensor_that_all_repeats_share_does_not_part_them() -> None:
    rows = [layer("mask", 1, [-1]), layer("x", 1, [-1], "Conv2d")]
    for number in range(4):
        rows.append(layer(f"h.{number}", 1, kind="Block", parameters=5))
        rows.append(layer(f"h.{number}.f", 2, [0, len(rows) - 2], "Linear", parameters=5))
    whole = outermost_block(trace(*rows))
    assert children(whole) == ["mask", "x", "h.0"]
    assert whole.children[2].repeats == (2, 4, 6, 8)


def test_dense_connections_are_kept() -> None:
    whole = outermost_block(dense(4))
    # 1 + 2 + 3 + 4 + 5 edges to layers and concatenation, and the one to the output
    assert len(whole.edges) == 16


def test_only_a_layer() -> None:
    block = outermost_block(stack(3), "blocks.1")
    assert children(block) == [f"blocks.1.{name}" for name in ("conv_1", "norm", "relu", "conv_2", "add")]
    assert (block.entries, block.exits) == (((6,),), ((12,),))


def test_only_a_leaf_is_drawn_with_what_it_takes() -> None:
    block = outermost_block(stack(1), "blocks.0.add")
    assert children(block) == ["blocks.0.add"]
    assert block.edges == (Edge(0, 2), Edge(1, 2), Edge(2, 3))


def test_an_unknown_layer_is_named_with_its_like() -> None:
    with pytest.raises(InputError, match=r"no layer of stack has the path 'block.0'.*did you mean blocks\.0"):
        outermost_block(stack(1), "block.0")


def test_edges_that_lead_back_are_left_out() -> None:
    whole = outermost_block(trace(layer("a", 1, [-1, 1]), layer("b", 1, [0, 5])))
    assert whole.edges == (Edge(0, 1), Edge(1, 2), Edge(2, 3))


def test_collapsed_traces_can_be_drawn() -> None:
    whole = outermost_block(stack(2).to_depth(1))
    assert children(whole) == ["stem", "blocks.0", "blocks.1", "head"]
    assert whole.edges == (Edge(0, 1), Edge(1, 2), Edge(2, 3), Edge(3, 4), Edge(4, 5))


def test_shapes_of_rows_and_inputs() -> None:
    network = Trace("net", ((1, 3),), (layer("a", 1, [-1], output_shapes=((1, 5), (2,))),), stack(1).totals)
    assert shapes_of(network, [-1, 0]) == ((1, 3), (1, 5), (2,))
