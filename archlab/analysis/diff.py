"""Two traces side by side: which layers belong together, and in what they differ.

The trees are aligned level by level. Among the children of two layers that belong together, the alignment keeps the
order of both sides and collects the most `similarity`: a layer finds its namesake, and where names have shifted (a
layer put into a `Sequential` renumbers all that follow) the one that is built like it.

Counting semantics: a layer is compared by kind, detail, shapes, element type, parameters, MACs, elementwise operations
and bytes of output, and by kernel, stride, padding and groups, the bytes saved for backward and the MACs of the
backward pass where both sides have them. Names count as a change of their own (`renamed`), since weights are stored
under them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archlab.analysis.folding import MEASURED_SUMS, Subtree, own_name, tree
from archlab.records import Change, Diff, Layer, LayerDiff, Side, Trace

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
    return Diff(_side(before), _side(after), tuple(_aligned(roots[0], roots[1], "", "")))


def _side(trace: Trace) -> Side:
    return Side(trace.network, trace.inputs, trace.totals, trace.options)


def _structured(roots: list[Subtree], known: dict[object, int]) -> list[Subtree]:
    """The nodes with a signature of what they are built of, without shapes and names."""
    for node in roots:
        _structured(node.children, known)
        shape = (node.layer.kind, node.layer.detail, *(child.signature for child in node.children))
        node.signature = known.setdefault(shape, len(known))
    return roots


def _aligned(before: Sequence[Subtree], after: Sequence[Subtree], left: str, right: str) -> Iterator[LayerDiff]:
    """The layers of two lists of siblings; `left` and `right` are their parents' paths."""
    for first, second in _pairs(before, after, left, right):
        if first is not None and second is not None:
            yield _compared(first.layer, second.layer)
            yield from _aligned(first.children, second.children, first.layer.path, second.layer.path)
        elif first is not None:
            yield from _alone(first, "removed")
        elif second is not None:
            yield from _alone(second, "added")


def _alone(node: Subtree, change: Change) -> Iterator[LayerDiff]:
    layer = node.layer
    yield LayerDiff(change, layer.depth, *((layer, None) if change == "removed" else (None, layer)))
    for child in node.children:
        yield from _alone(child, change)


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


def _pairs(
    before: Sequence[Subtree], after: Sequence[Subtree], left: str, right: str
) -> list[tuple[Subtree | None, Subtree | None]]:
    """Both lists in one, in order: the alignment with the largest sum of similarity.

    The dynamic programme of Needleman and Wunsch (1970) with gaps that cost nothing. Of `conv, relu, fc` and
    `conv, bn, relu, fc` it makes the pairs conv-conv, nothing-bn, relu-relu, fc-fc.
    """
    lefts = [own_name(node.layer.path, left) for node in before]
    rights = [own_name(node.layer.path, right) for node in after]
    best = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]  # of the tails from (i, j) on
    for i in range(len(before) - 1, -1, -1):
        for j in range(len(after) - 1, -1, -1):
            together = similarity(before[i], after[j], lefts[i], rights[j])
            joined = best[i + 1][j + 1] + together if together else 0
            best[i][j] = max(joined, best[i + 1][j], best[i][j + 1])
    pairs: list[tuple[Subtree | None, Subtree | None]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        together = similarity(before[i], after[j], lefts[i], rights[j])
        if together and best[i][j] == best[i + 1][j + 1] + together:
            pairs.append((before[i], after[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            pairs.append((before[i], None))
            i += 1
        else:
            pairs.append((None, after[j]))
            j += 1
    pairs += [(node, None) for node in before[i:]]
    pairs += [(None, node) for node in after[j:]]
    return pairs


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
    return score
