"""What the axes of each row's result are: batch, channels or features, map, tokens, time.

Layers with weights say it themselves (`Layer.axes`). From there the names are followed along the edges of the graph:

    conv_proj   (1, 768, 14, 14)   batch, channels, height, width    said by the convolution
    reshape     (1, 768, 196)      batch, channels, tokens           14 * 14 = 196: a map in one axis is tokens
    permute     (1, 196, 768)      batch, tokens, channels           by sizes
    cat         (1, 197, 768)      the same: as many axes
    linear      (1, 197, 3072)     batch, tokens, features           the last said by the layer, the others as they came

Where sizes leave a choice (a permutation of 64 x 64), the usual one is taken, and the next layer with weights sets it
right. An axis that nobody names stays "".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations

from archlab.analysis.folding import parent_rows
from archlab.records import Layer, Shape, Trace
from archlab.records.trace import FEATURE_AXES, MAP_AXES

Axes = tuple[str, ...]


def named_axes(trace: Trace) -> list[Axes]:
    """The names of the axes of each row's first result, one per axis; () for a row without a result."""
    layers = trace.layers
    shapes = [layer.output_shapes[0] if layer.output_shapes else () for layer in layers]
    parents = parent_rows(layer.depth for layer in layers)
    holders = set(parents)
    last = _last_rows(shapes, parents, holders)
    said = {last[row]: layer.axes for row, layer in enumerate(layers) if layer.axes and row in last}
    result = _spread_forwards(trace, said, holders, shapes)
    first = list(result)
    _spread_backwards(layers, result, shapes)
    corrected = {row: names for row, names in enumerate(result) if names != first[row]}
    if corrected:  # what goes past the attention (a skip connection) takes its names from there, too
        result = _spread_forwards(trace, said | corrected, holders, shapes)
    for row in range(len(layers) - 1, -1, -1):
        if row in holders and not all(result[row] or ("",)):
            result[row] = result[last[row]] if row in last else ()
    return [names or _usual(shape) for names, shape in zip(result, shapes, strict=True)]


def _spread_forwards(trace: Trace, said: dict[int, Axes], holders: set[int], shapes: Sequence[Shape]) -> list[Axes]:
    """The names by what layers say, and by what they take."""
    result: list[Axes] = []
    for row, layer in enumerate(trace.layers):
        if row in holders:
            result.append(layer.axes)
            continue
        incoming = [_incoming(trace, result, shapes, origin) for origin in layer.inputs]
        carried = [_carried(layer.kind, names, before, shapes[row]) for names, before in incoming]
        best = max(carried, key=_known, default=())
        result.append(_filled(said.get(row) or layer.axes, best, shapes[row]))
    return result


def _last_rows(shapes: Sequence[Shape], parents: Sequence[int], holders: set[int]) -> dict[int, int]:
    """For each row with rows inside, the last of these without any, whose result has its shape."""
    last: dict[int, int] = {}
    for row in range(len(shapes) - 1, -1, -1):
        above = parents[row]
        found = last.get(row) if row in holders else row
        if above >= 0 and found is not None and above not in last and shapes[found] == shapes[above]:
            last[above] = found
    return last


def _incoming(trace: Trace, result: Sequence[Axes], shapes: Sequence[Shape], origin: int) -> tuple[Axes, Shape]:
    if origin >= 0:
        return (result[origin], shapes[origin]) if origin < len(result) else ((), shapes[origin])
    shape = trace.inputs[-1 - origin]
    indices = "int" in "".join(trace.input_dtypes[-1 - origin : -origin])
    return ("batch", "tokens") if indices and len(shape) == 2 else _usual(shape), shape


def _known(names: Axes) -> tuple[int, bool]:
    return sum(map(bool, names)), any(name in FEATURE_AXES for name in names)


def _usual(shape: Shape) -> Axes:
    """What shapes usually are: pictures and volumes, or one row per sample. Three axes may be either."""
    maps = MAP_AXES.get(len(shape) - 2, ())
    if len(shape) <= 2:
        return ("batch", "features")[: len(shape)]
    return ("batch", "channels", *maps) if len(maps) > 1 else ("batch", *[""] * (len(shape) - 1))


def _filled(said: Axes, carried: Axes, shape: Shape) -> Axes:
    """What the layer says, completed by what came in."""
    if not said or all(said):
        return said or carried
    has_features = any(name in FEATURE_AXES for name in said)
    names = list(said)
    for axis, name in enumerate(carried if len(carried) == len(said) else ()):
        if not names[axis] and not (has_features and name in FEATURE_AXES):
            names[axis] = name
    if "batch" not in names and not names[0]:
        names[0] = "batch"
    if names.count("") == 2 and len(names) == 4 and names[-1] in FEATURE_AXES:
        names[1:3] = MAP_AXES[2]  # a picture with its channels last
    return tuple(names)


def _spread_backwards(layers: Sequence[Layer], result: list[Axes], shapes: Sequence[Shape]) -> None:
    """An embedding before a recurrent layer or attention: which axis is the batch, only the latter knows."""
    for row in range(len(layers) - 1, -1, -1):
        if "time" not in result[row] and result[row][:1] != ("tokens",):
            continue
        for origin in _taken_from_outside(layers, row):
            if origin >= 0 and shapes[origin][:-1] == shapes[row][:-1] and "channels" not in result[origin]:
                result[origin] = (*result[row][:-1], "features")


def _taken_from_outside(layers: Sequence[Layer], row: int) -> list[int]:
    """What a row takes; of one with rows inside, what these take from in front of it."""
    end = row + 1
    while end < len(layers) and layers[end].depth > layers[row].depth:
        end += 1
    return [origin for inner in range(row, end) for origin in layers[inner].inputs if origin < row]


def _carried(kind: str, names: Axes, before: Shape, after: Shape) -> Axes:
    """The names of a result's axes by those of what it was made from."""
    if not any(names) or len(names) != len(before):
        return ()
    if kind in _MOVES:
        return _moved(names, before, after)
    if kind.lower() in _RESHAPES and before != after:
        return _reshaped(names, before, after)
    if len(before) == len(after):
        return names
    if len(after) < len(before):
        reduced = _reduced(names, before, after)
        return _usual(after) if reduced == ("batch", "") else reduced  # one step of a sequence
    return _stacked(names, before, after) if kind == "stack" else ()


def _stacked(names: Axes, before: Shape, after: Shape) -> Axes:
    """Results side by side along a new axis, the second if sizes leave the choice; they may be steps or anything."""
    fitting = [axis for axis in range(len(after)) if after[:axis] + after[axis + 1 :] == before]
    if len(after) != len(before) + 1 or not fitting:
        return ()
    new = 1 if 1 in fitting else fitting[0]
    return (*names[:new], "", *names[new:])


def _moved(names: Axes, before: Shape, after: Shape) -> Axes:
    if sorted(before) != sorted(after) or len(before) > 6:
        return ()
    fitting = [
        order
        for order in permutations(range(len(before)))
        if all(before[axis] == size for axis, size in zip(order, after, strict=True))
    ]
    order = min(fitting, key=lambda order: (order not in _USUAL_ORDERS, order == tuple(range(len(order))), order))
    return tuple(names[axis] for axis in order)


def _reduced(names: Axes, before: Shape, after: Shape) -> Axes:
    """Some axes are gone (a mean, one token picked): rather those of positions."""
    fitting = [
        kept
        for kept in combinations(range(len(before)), len(after))
        if all(before[axis] == size for axis, size in zip(kept, after, strict=True))
    ]
    wanted = ("batch", *FEATURE_AXES)
    kept = max(fitting, key=lambda kept: sum(names[axis] in wanted for axis in kept), default=())
    return tuple(names[axis] for axis in kept)


def _reshaped(names: Axes, before: Shape, after: Shape) -> Axes:
    """The axes of both shapes are walked together: those of one size are the same, others are split or merged.

    (1, 56, 56, 96) -> (1, 8, 7, 8, 7, 96) splits 56 = 8 * 7 twice; (1, 512, 7, 7) -> (1, 25088) merges 512 * 7 * 7.
    """
    result: list[str] = []
    waiting: list[str] = []  # a batch of 1 that is merged with what follows
    i = j = 0
    while j < len(after):
        if i < len(before) and before[i] == after[j] and not waiting:
            result.append(names[i])
            i, j = i + 1, j + 1
        elif i < len(before) and before[i] == 1:
            waiting += [names[i]] if names[i] == "batch" else []
            i += 1
        elif after[j] == 1:
            result.append("")
            j += 1
        else:
            if i == len(before):
                return ()
            first, start = i, j
            have, wanted = before[i], after[j]
            i, j = i + 1, j + 1
            while have != wanted:
                if have < wanted and i < len(before):
                    have, i = have * before[i], i + 1
                elif have > wanted and j < len(after):
                    wanted, j = wanted * after[j], j + 1
                else:
                    return ()
            result += _regrouped([*waiting, *names[first:i]], j - start)
            waiting = []
    rest = [name for name, size in zip(names[i:], before[i:], strict=True) if size != 1]
    return tuple(result) if not rest else ()


def _regrouped(names: list[str], parts: int) -> list[str]:
    """The names of the axes that several others are merged and split into."""
    feature = next((name for name in names if name in FEATURE_AXES), "")
    if len(names) > 1:
        if "batch" in names:
            name = "batch"
        elif feature:
            has_map = any(name in MAP_AXES[3] or name in ("length", "tokens", "time") for name in names)
            name = "features" if has_map else feature
        else:
            name = names[0] if len(set(names)) == 1 else "tokens" if all(names) else ""
    else:
        name = names[0]
    if parts == 1:
        return [name]
    if name in FEATURE_AXES:
        return [*["heads"] * (parts - 1), name]
    if name == "batch":
        return ["batch", *[""] * (parts - 1)]
    return list(MAP_AXES[2]) if name == "tokens" and parts == 2 else [name] * parts


_MOVES = frozenset(
    ["permute", "transpose", "t", "T", "mT", "H", "mH", "swapaxes", "swapdims", "movedim", "moveaxis", "adjoint"]
)
_RESHAPES = frozenset(
    ["reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel", "view_as", "reshape_as"]
)
_USUAL_ORDERS = frozenset([(1, 0), (0, 2, 1), (0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1, 3)])
"""Transposes of channels first to channels last and back, and of heads with tokens."""
