"""How often a loop's body runs, and which side of a branch, as far as the file says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from archlab.formulas import Cost
from archlab.onnx.reading import Tensor, attributes

if TYPE_CHECKING:
    import onnx


class Run(NamedTuple):
    """What an operator with graphs inside runs."""

    body: onnx.GraphProto
    times: int
    detail: str
    pairs: list[tuple[str, str]]
    """Names of the body's inputs, and of the values outside that they are; empty for what counts the turns."""


class Knowledge(NamedTuple):
    """What can be asked about a graph."""

    value: Callable[[str], Any]
    """The number that a name stands for; None where it isn't known."""
    tensor: Callable[[str], Tensor | None]
    cost: Callable[[onnx.GraphProto], Cost | None]
    """What a graph inside costs; None where that isn't known."""


def run_of(node: onnx.NodeProto, known: Knowledge) -> Run | None:
    """What a loop or a branch runs; None where the file doesn't say."""
    bodies = {item.name: item.g for item in node.attribute if item.HasField("g")}
    if node.op_type == "If" and {"then_branch", "else_branch"} <= bodies.keys():
        return _branch(node, bodies, known)
    if "body" not in bodies:
        return None
    if node.op_type == "Loop" and len(node.input) > 1:
        return _loop(node, bodies["body"], known)
    return _scan(node, bodies["body"], known) if node.op_type == "Scan" else None


def _branch(node: onnx.NodeProto, bodies: dict[str, onnx.GraphProto], known: Knowledge) -> Run | None:
    """The side that runs; either, where both cost the same."""
    taken = known.value(node.input[0]) if node.input else None
    if taken is not None:
        return Run(bodies["then_branch" if taken else "else_branch"], 1, "then" if taken else "else", [])
    sides = [known.cost(bodies[name]) for name in ("then_branch", "else_branch")]
    return Run(bodies["then_branch"], 1, "either side", []) if sides[0] is not None and sides[0] == sides[1] else None


def _loop(node: onnx.NodeProto, body: onnx.GraphProto, known: Knowledge) -> Run | None:
    times = known.value(node.input[0]) if node.input[0] else None
    goes_on = (not node.input[1] or known.value(node.input[1]) is True) and _keeps_on(body, known)
    if not isinstance(times, int) or times < 0 or not goes_on:
        return None
    inside = [item.name for item in body.input]
    return Run(body, times, f"x{times}", list(zip(inside, ["", *node.input[1:]], strict=False)))


def _scan(node: onnx.NodeProto, body: onnx.GraphProto, known: Knowledge) -> Run | None:
    settings = attributes(node)
    count, axes = settings.get("num_scan_inputs"), settings.get("scan_input_axes")
    if not isinstance(count, int) or not 0 < count <= len(node.input):
        return None
    given = known.tensor(node.input[-count])
    axis = axes[0] if isinstance(axes, list) and axes else 0
    if given is None or given.shape is None or not -len(given.shape) <= axis < len(given.shape):
        return None
    times = given.shape[axis]
    return Run(body, times, f"x{times}", list(zip([item.name for item in body.input], node.input, strict=False)))


def _keeps_on(body: onnx.GraphProto, known: Knowledge) -> bool:
    """Whether a loop's body never ends it: what it says of going on is what it was told, or a stored yes."""
    if len(body.input) < 2 or not body.output:
        return False
    name = body.output[0].name
    makers = {output: node for node in body.node for output in node.output}
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    return name == body.input[1].name or known.value(name) is True


def taken_inside(graph: onnx.GraphProto) -> list[str]:
    """Values from around a body that nobody followed."""
    made = {item.name for item in graph.input} | {item.name for item in graph.initializer}
    taken: dict[str, None] = {}
    for node in graph.node:
        taken.update((name, None) for name in node.input if name and name not in made)
        made.update(node.output)
    return list(taken)
