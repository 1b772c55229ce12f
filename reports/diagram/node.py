"""What is written on a node, and how large it is: a block ready to be drawn, in Python or in the browser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from archlab.analysis.folding import failed_rows
from archlab.analysis.wording import axes_text, layer_text, padding_text, shape_text
from archlab.records import Layer, Shape, Trace, Window
from archlab.reports.diagram.block import Block, shapes_of
from archlab.reports.diagram.layout import SPINE, Plan, placed
from archlab.reports.text import brief, count, failure_text, shortened, visible
from archlab.tables.table import duration

BOX_WIDTH, LEAF_HEIGHT, BLOCK_HEIGHT, OPERATION_HEIGHT, JOINT_DIAMETER = 184.0, 36.0, 44.0, 24.0, 26.0
"""Pixels at zoom 1; a block's height is that of a closed one without parameters."""
AMOUNT_HEIGHT = 13.0
"""What the line with a block's parameters adds to its height."""
TITLE_LETTERS, JOINT_LETTERS = 22, 26
"""Letters that a leaf's title and a joint with its parameter have room for."""
FAILURE_LETTERS = 56
"""Letters of a failure under its layer, at most; the card and the text around the drawing have all."""
LETTER_WIDTH = 6.0
"""The width of a letter in a label, a little more than fonts take."""
SYMBOLS = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "truediv": "÷", "cat": "cat", "concat": "cat",
           "concatenate": "cat", "stack": "stack", "hstack": "stack", "vstack": "stack"}  # fmt: skip
FACTS = (
    "path", "kind", "failed", "input", "output", "parameters", "MACs", "detail", "kernel", "stride", "padding",
    "dilation", "groups", "weights", "elementwise operations", "buffers", "saved for backward", "receptive field",
    "time", "dtype", "call", "stands for", "source",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DiagramNode:
    """A block as it is drawn. Its text is plain: no invisible characters, not yet escaped."""

    number: int
    """Its place among all nodes, parents first."""
    row: int
    path: str
    title: str
    subtitle: str
    symbol: str
    """What a joint shows; empty for a box."""
    label: str
    """The shape under it."""
    size: tuple[float, float]
    amount: str = ""
    """A block's parameters; of several equal blocks how many each has: `12 × 7.1M parameters`."""
    badge: str = ""
    """`×12` for twelve equal blocks."""
    unused: bool = False
    failed: bool = False
    """Whether the forward pass failed at it, or in it; its label says which."""
    repeats: tuple[str, ...] = ()
    """The paths of all that it stands for."""
    facts: tuple[str, ...] = ()
    """The row of the shape table, in the order of `FACTS`, as far as there is something to say."""
    children: tuple[DiagramNode, ...] = ()
    entries: tuple[str, ...] = ()
    """The shapes that come in."""
    exits: int = 0
    plan: Plan | None = None

    def walk(self) -> Iterable[DiagramNode]:
        """The node and all that is in it, by number."""
        yield self
        for child in self.children:
            yield from child.walk()


def diagram_node(block: Block, trace: Trace) -> DiagramNode:
    """The node of a block, with all that is in it."""
    return _NodeBuilder(trace).node(block)


class _NodeBuilder:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.numbers = 0
        self.failed = failed_rows(trace)

    def node(self, block: Block, times: int = 1) -> DiagramNode:
        """The node of a block that stands for so many equal ones, with those that it lies in."""
        number, layer = self.numbers, block.layer
        self.numbers += 1
        times *= len(block.repeats) or 1
        children = tuple(self.node(child, times) for child in block.children)
        title, subtitle = _titles(block, self.trace)
        symbol = _symbol(layer) if layer and not children else ""
        amount = _amount(layer.parameters, times) if layer and children and layer.parameters else ""
        shapes = layer.output_shapes if layer else ()
        return DiagramNode(
            number=number,
            row=block.row,
            path=visible(block.path),
            title=title,
            subtitle=subtitle,
            symbol=symbol,
            label=self._failure(block.row) if block.row in self.failed else shapes_label(shapes),
            size=_size(layer, bool(children), symbol, amount),
            amount=amount,
            badge=f"×{len(block.repeats)}" if block.repeats else "",
            unused=bool(layer and layer.call == 0),
            failed=block.row in self.failed,
            repeats=tuple(visible(self.trace.layers[row].path) for row in block.repeats),
            facts=_facts(block, self.trace, block.row in self.failed, times),
            children=children,
            entries=tuple(self._entry(origins) for origins in block.entries),
            exits=len(block.exits),
            plan=self._plan(block, children) if children else None,
        )

    def _failure(self, row: int) -> str:
        """What stands under the layer that failed, or under a block around it."""
        failure = self.trace.failure
        assert failure is not None
        where = visible(failure.path)
        if row != self.failed[-1] or where != visible(self.trace.layers[row].path):
            text = f"fails at {where}"
        else:
            text = f"failed: {failure_text(replace(failure, remedy=''))}"
        return text if len(text) <= FAILURE_LETTERS else f"{text[: FAILURE_LETTERS - 1]}…"

    def _entry(self, origins: Sequence[int]) -> str:
        return f"{len(origins)} tensors" if len(origins) > 1 else shapes_label(shapes_of(self.trace, origins))

    def _plan(self, block: Block, children: Sequence[DiagramNode]) -> Plan:
        first = len(block.entries)
        joints = [first + place for place, child in enumerate(children) if child.symbol]
        total = first + len(children) + len(block.exits)
        ported = [first + place for place, child in enumerate(children) if _is_ported(child)]
        return placed(total, block.edges, first, len(block.exits), joints, ported)


def _is_ported(node: DiagramNode) -> bool:
    """Whether it has an entry or exit beside its spine."""
    if node.plan is None:
        return False
    ends = [*node.plan.homes[: len(node.entries)], *node.plan.homes[len(node.plan.homes) - node.exits :]]
    return any(home != SPINE for home in ends)


def shapes_label(shapes: Sequence[Shape]) -> str:
    """Shapes as a label: `1×64×24×24`; the first and a number for several."""
    if not shapes:
        return ""
    first = "×".join(str(size) for size in shapes[0]) or "scalar"
    return first if len(shapes) == 1 else f"{first}, +{len(shapes) - 1}"


def _titles(block: Block, trace: Trace) -> tuple[str, str]:
    layer = block.layer
    if layer is None:
        return visible(trace.network), ""
    name = visible(block.name)
    if block.repeats:
        last = visible(trace.layers[block.repeats[-1]].path)
        if last != visible(block.path):  # a module that is called again keeps its name
            name = re.sub(r"\d+$", lambda first: f"{first[0]}–{last[len(last.rstrip('0123456789')) :]}", name)
    if block.children:
        return name, visible(layer.kind)
    text = layer_text(layer).replace("x", "×") if layer.window else ""
    if layer.operation:
        return visible(f"{layer.kind} {text}".strip()), ""
    calls = f" (call {layer.call} of {layer.calls})" if layer.calls > 1 else ""
    title = visible(f"{layer.kind} {text or layer.detail}".strip())
    if text and len(title) > TITLE_LETTERS:
        return visible(layer.kind), f"{text}: {name}{calls}"
    return title, name + calls


def _amount(parameters: int, times: int) -> str:
    """Parameters with their unit, and of several equal blocks how many each has."""
    return f"{times} × {brief(parameters)} parameters" if times > 1 else f"{brief(parameters)} parameters"


def _symbol(layer: Layer) -> str:
    if not layer.operation:
        return ""
    symbol = SYMBOLS.get(re.sub(r"^_*[ir]?(?=add|sub|mul|div|truediv)|_+$", "", layer.kind.lower()), "")
    if not symbol or not layer.parameters:
        return symbol
    taken = [f"{weight.name} {shapes_label([weight.shape])}" for weight in layer.weights]
    return shortened(visible(f"{symbol} {', '.join(taken) or _amount(layer.parameters, 1)}"), JOINT_LETTERS)


def _size(layer: Layer | None, block: bool, symbol: str, amount: str) -> tuple[float, float]:
    if symbol:
        wide = 9.0 * len(symbol) + 14.0 if len(symbol) > 1 else 0.0
        return max(JOINT_DIAMETER, wide), JOINT_DIAMETER
    if block:
        return BOX_WIDTH, BLOCK_HEIGHT + (AMOUNT_HEIGHT if amount else 0.0)
    return BOX_WIDTH, OPERATION_HEIGHT if layer and layer.operation else LEAF_HEIGHT


def _facts(block: Block, trace: Trace, failed: bool, times: int) -> tuple[str, ...]:
    layer = block.layer
    if layer is None:
        return ()
    field = layer.receptive_field
    receptive = f"{' × '.join(map(str, field.size))} ({field.kind})" if field else ""
    many = _repeats(block, trace, times)
    window = layer.window
    weights = [f"{weight.name} {shapes_label([weight.shape])}" for weight in layer.weights]

    def counted(number: int | None, unit: str = "") -> str:
        each = f" ({times} × {count(number)})" if number and times > 1 else ""
        return f"{count(times * number)}{unit}{each}" if number else ""

    facts = [
        layer.path,
        layer.kind,
        f"{trace.failure.path}: {failure_text(trace.failure)}" if failed and trace.failure else "",
        _listed(layer.input_shapes),
        _listed(layer.output_shapes),
        counted(layer.parameters),
        counted(layer.macs),
        layer.detail,
        *_window_facts(window),
        ", ".join(weights),
        counted(layer.elementwise),
        counted(layer.buffers),
        "0 bytes" if layer.saved_bytes == 0 else counted(layer.saved_bytes, " bytes"),
        receptive,
        f"{duration(layer.seconds)}{', of the first' if times > 1 else ''}" if layer.seconds is not None else "",
        layer.dtype,
        "never called" if layer.call == 0 else f"{layer.call} of {layer.calls}" if layer.calls > 1 else "",
        many,
        layer.source,
    ]
    while facts and not facts[-1]:
        facts.pop()
    return tuple(shortened(visible(fact), 200) for fact in facts)


def _window_facts(window: Window | None) -> tuple[str, str, str, str, str]:
    """Kernel, stride, padding, dilation and groups; a dilation of 1 is none."""
    if window is None:
        return "", "", "", "", ""
    texts = (
        shape_text(window.kernel),
        axes_text(window.stride),
        padding_text(window.padding),
        axes_text(window.dilation) if set(window.dilation) != {1} else "",
    )
    kernel, stride, padding, dilation = (text.replace("x", "×") for text in texts)
    return kernel, stride, padding, dilation, str(window.groups or "")


def _repeats(block: Block, trace: Trace, times: int) -> str:
    """How many equal layers a node stands for, by itself or by the block that it lies in; empty for one."""
    if times == 1:
        return ""
    if not block.repeats:
        return f"{times} equal layers, one in each repeat of the block around it"
    last = trace.layers[block.repeats[-1]].path
    return f"{len(block.repeats)} equal blocks, up to {last}" + (
        f"; {times} in all" if times > len(block.repeats) else ""
    )


def _listed(shapes: Sequence[Shape]) -> str:
    """All shapes, equal neighbours once: `1×256×14×14, 1×32×14×14 (19 times)`."""
    runs = ((shapes_label([shape]), len([*run])) for shape, run in groupby(shapes))
    return ", ".join(f"{text} ({times} times)" if times > 1 else text for text, times in runs)


def input_name(trace: Trace, origins: Sequence[int], place: int, total: int, whole: bool) -> str:
    """What an entry of the outermost block is called."""
    if whole and len(origins) == 1 and 0 <= -1 - origins[0] < len(trace.input_names):
        return visible(trace.input_names[-1 - origins[0]])
    return "input" if total == 1 else f"input {place + 1}"
