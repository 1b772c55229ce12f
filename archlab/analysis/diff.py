"""Two traces side by side: which layers belong together, and in what they differ.

The trees are aligned level by level. Among the children of two layers that belong together, the alignment keeps the
order of both sides and collects the most `similarity`: a layer finds its namesake, and where names have shifted (a
layer put into a `Sequential` renumbers all that follow) the one that is built like it. Blocks that share neither name
nor kind belong together where they work at the same resolution, as the stages of a ResNet and the blocks of a DenseNet
do; any likeness by name or kind outweighs that.

Counting semantics: a layer is compared by kind, detail, shapes, element type, parameters, MACs, elementwise operations
and bytes of output, and by kernel, stride, padding and groups, the bytes saved for backward and the MACs of the
backward pass where both sides have them. Names count as a change of their own (`renamed`), since weights are stored
under them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from archlab.analysis.folding import MEASURED_SUMS, Subtree, own_name, tree
from archlab.records import Change, Diff, Layer, LayerDiff, Side, Trace

LIKENESS = 64
"""How much more a likeness by name or kind weighs than that of two blocks at one resolution."""
NAMESAKE = 4 * LIKENESS
"""The similarity from which on a layer has its partner, be it by its spoken name alone."""
MOST_SHELLS = 4
"""Blocks of one network that are looked into for partners of the other's layers, at each level."""
COMPARED_FIELDS = (
    "kind",
    "detail",
    "input_shapes",
    "output_shapes",
    "dtype",
    "parameters",
    "trainable_parameters",
    "buffers",
    "macs",
    "elementwise",
    "output_bytes",
    "calls",
)


def diff(before: Trace, after: Trace) -> Diff:
    """The second network against the first, as one tree of layers.

    >>> from archlab.records import Totals
    >>> layer = Layer("linear", "Linear", 1, ((1, 8),), ((1, 4),), parameters=36)
    >>> trace = Trace("net", ((1, 8),), (layer,), Totals(36, 36, 0, 32, 64))
    >>> diff(trace, trace).is_empty
    True
    """
    structures: dict[object, int] = {}
    roots = [_structured(tree(trace.layers), structures) for trace in (before, after)]
    return Diff(_side(before), _side(after), tuple(_aligned(_siblings(roots[0], ""), _siblings(roots[1], ""))))


def _side(trace: Trace) -> Side:
    return Side(trace.network, trace.inputs, trace.totals, trace.options)


def _structured(roots: list[Subtree], known: dict[object, int]) -> list[Subtree]:
    """The nodes with a signature of what they are built of, without shapes and names."""
    for node in roots:
        _structured(node.children, known)
        shape = (node.layer.kind, node.layer.detail, *(child.signature for child in node.children))
        node.signature = known.setdefault(shape, len(known))
    return roots


@dataclass(frozen=True, slots=True)
class _Sibling:
    """A layer among those that are aligned with the other network's."""

    node: Subtree
    name: str
    """What it is called beneath its parent."""
    shells: tuple[Subtree, ...] = ()
    """Blocks that it is the first layer of, and that only one of the networks has around it."""


def _siblings(nodes: Sequence[Subtree], parent: str) -> list[_Sibling]:
    return [_Sibling(node, own_name(node.layer.path, parent)) for node in nodes]


def _aligned(before: Sequence[_Sibling], after: Sequence[_Sibling], depth: int = 1) -> Iterator[LayerDiff]:
    """The layers of two lists of siblings, with all that they hold.

    Args:
        before: those of the first network.
        after: those of the second.
        depth: the level on which a removed layer is shown: that of the second network's last layer, or where its
            first would be.
    """
    for first, second in _pairs(*_without_shells(before, after)):
        for shell in first.shells if first is not None else ():
            yield LayerDiff("removed", depth, shell.layer, None)
        for shell in second.shells if second is not None else ():
            yield LayerDiff("added", shell.layer.depth, None, shell.layer)
        if second is not None:
            depth = second.node.layer.depth
        if first is not None and second is not None:
            yield _compared(first.node.layer, second.node.layer)
            left, right = (_siblings(side.node.children, side.node.layer.path) for side in (first, second))
            yield from _aligned(left, right, depth + 1)
        elif first is not None:
            yield from _alone(first.node, "removed", depth - first.node.layer.depth)
        elif second is not None:
            yield from _alone(second.node, "added", 0)


def _alone(node: Subtree, change: Change, shift: int) -> Iterator[LayerDiff]:
    layer = node.layer
    yield LayerDiff(change, layer.depth + shift, *((layer, None) if change == "removed" else (None, layer)))
    for child in node.children:
        yield from _alone(child, change, shift)


def _without_shells(
    before: Sequence[_Sibling], after: Sequence[_Sibling]
) -> tuple[Sequence[_Sibling], Sequence[_Sibling]]:
    """Both lists, with the layers of a block in its place where those have partners and it has hardly one.

    The stages of a DenseNet of torchvision lie in `features`, those of its ResNets do not.
    """
    for _ in range(MOST_SHELLS):
        value = _likeness(before, after)[0][0]
        for mine, others, swapped in ((before, after, False), (after, before, True)):
            for place, item in enumerate(mine):
                if not item.node.children or any(_similarity(item, other) >= NAMESAKE for other in others):
                    continue
                inner = _siblings(item.node.children, item.node.layer.path)
                if not any(_similarity(part, other) >= LIKENESS for part in inner for other in others):
                    continue
                inner[0] = replace(inner[0], shells=(*item.shells, item.node))
                changed = [*mine[:place], *inner, *mine[place + 1 :]]
                sides = (others, changed) if swapped else (changed, others)
                if _likeness(*sides)[0][0] >= value + LIKENESS:
                    before, after = sides
                    break
            else:
                continue
            break
        else:
            break
    return before, after


def _compared(before: Layer, after: Layer) -> LayerDiff:
    names = [name for name in COMPARED_FIELDS if getattr(before, name) != getattr(after, name)]
    for name in (*MEASURED_SUMS, "window"):
        values = getattr(before, name), getattr(after, name)
        if None not in values and values[0] != values[1]:
            names.append(name)
    change: Change = "changed" if names else "equal" if before.path == after.path else "renamed"
    if before.path != after.path:
        names.append("path")
    return LayerDiff(change, after.depth, before, after, tuple(names))


def _likeness(before: Sequence[_Sibling], after: Sequence[_Sibling]) -> list[list[int]]:
    """The largest sum of similarity of the tails from (i, j) on."""
    best = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for i in range(len(before) - 1, -1, -1):
        for j in range(len(after) - 1, -1, -1):
            together = _similarity(before[i], after[j])
            joined = best[i + 1][j + 1] + together if together else 0
            best[i][j] = max(joined, best[i + 1][j], best[i][j + 1])
    return best


def _pairs(before: Sequence[_Sibling], after: Sequence[_Sibling]) -> list[tuple[_Sibling | None, _Sibling | None]]:
    """Both lists in one, in order: the alignment with the largest sum of similarity.

    The dynamic programme of Needleman and Wunsch (1970) with gaps that cost nothing. Of `conv, relu, fc` and
    `conv, bn, relu, fc` it makes the pairs conv-conv, nothing-bn, relu-relu, fc-fc.
    """
    best = _likeness(before, after)
    pairs: list[tuple[_Sibling | None, _Sibling | None]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        together = _similarity(before[i], after[j])
        if together and best[i][j] == best[i + 1][j + 1] + together:
            pairs.append((before[i], after[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            pairs.append((before[i], None))
            i += 1
        else:
            pairs.append((None, after[j]))
            j += 1
    pairs += [(item, None) for item in before[i:]]
    pairs += [(None, item) for item in after[j:]]
    return pairs


def _similarity(before: _Sibling, after: _Sibling) -> int:
    return similarity(before.node, after.node, before.name, after.name)


def similarity(before: Subtree, after: Subtree, left: str, right: str) -> int:
    """How much speaks for two siblings being the same layer; 0 keeps them apart.

    A spoken name (`conv1`, `head`) says more than a number in a sequence, which shifts when a layer is put in.
    """
    score = 0
    if left == right:
        score += 1 if left.isdigit() else 4
    if before.layer.kind == after.layer.kind:
        score += 3
    if before.signature == after.signature:
        score += 2
    if score and before.layer.parameters == after.layer.parameters:
        score += 1
    if score and before.layer.output_shapes == after.layer.output_shapes:
        score += 1
    return LIKENESS * score if score else _same_stage(before, after)


def _same_stage(before: Subtree, after: Subtree) -> int:
    """1 for two blocks whose results have the same height and width, 2 if both hold blocks, or both layers alone."""
    if not before.children or not after.children:
        return 0
    resolutions = [node.layer.output_shapes[0][2:] if node.layer.output_shapes else () for node in (before, after)]
    if not resolutions[0] or resolutions[0] != resolutions[1]:
        return 0
    return 2 if _holds_blocks(before) == _holds_blocks(after) else 1


def _holds_blocks(node: Subtree) -> bool:
    return any(child.children for child in node.children)
