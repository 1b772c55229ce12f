"""The key of a picture: a block of known size, what the colours mean, what an arrow is."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from archlab.reports.diagram.colour import CATEGORIES
from archlab.reports.volume.plan import SMALL_LETTER, Block, Label, Plan, Wire, block
from archlab.reports.volume.scale import Scale, depth_of
from archlab.reports.volume.tensors import Tensor

SAMPLE_PIXELS = 42.0
WIDEST = 860.0
LINE = 16.0
WORDS = {
    "is-pooling": "pooling, resizing",
    "is-joint": "sums, products, concatenations",
    "is-other": "other operations",
    "is-block": "blocks of layers",
}


@dataclass(frozen=True, slots=True)
class Keys:
    """What stands below a picture."""

    sample: Block
    labels: tuple[Label, ...]
    swatches: tuple[tuple[float, float, str], ...]
    """Left, top and style."""
    wires: tuple[Wire, ...]
    width: float
    height: float


def keys_of(plan: Plan, scale: Scale) -> Keys:
    """The key of a plan, not wider than the plan unless that is narrow."""
    width = min(max(plan.width, 560.0), WIDEST)
    sample = _sample(plan, scale)
    number, high = f"{sample.tensor.channels:,} {_noun(plan)}", f"{sample.tensor.positions[0]:,}"
    labels = [
        Label(sample.x, sample.y + sample.height + 14, number, "size", "start"),
        Label(sample.x - 5, sample.y + sample.height / 2 + 4, high, "size", "end"),
    ]
    left = max(sample.right, sample.x + 7.2 * len(number)) + 18
    y = 10.0
    for line in textwrap.wrap(_sentence(plan, scale), int((width - left) / SMALL_LETTER)):
        labels.append(Label(left, y, line, "name", "start"))
        y += LINE
    x, y = left, y + 2
    swatches, wires = [], []
    for style, text in _meanings(plan):
        taken = 20 + SMALL_LETTER * len(text) + 14
        if x + taken > width and x > left:
            x, y = left, y + LINE
        if style.startswith("wire"):
            wires.append(Wire(((x - 2, y - 4), (x + 14, y - 4)), style == "wire-skip"))
        else:
            swatches.append((x, y - 9, style))
        labels.append(Label(x + 20, y, text, "name", "start"))
        x += taken
    height = max(y + 6, sample.y + sample.height + 18)
    return Keys(sample, tuple(labels), tuple(swatches), tuple(wires), width, height)


def _sample(plan: Plan, scale: Scale) -> Block:
    channels, positions = _round(scale.channels.size(SAMPLE_PIXELS)), _round(scale.positions.size(SAMPLE_PIXELS))
    flat = not any(depth_of(item.tensor) for item in plan.blocks)
    tensor = Tensor(
        0, "key", "key", "is-other", channels, (positions,) * (1 if flat else 2), ("",) * (1 if flat else 2)
    )
    made = block(tensor, scale, 0.0, 0.0)
    left = 8 + 7.0 * len(f"{positions:,}")
    return Block(tensor, left, made.depth + 2, made.width, made.height, made.depth)


def _noun(plan: Plan) -> str:
    return "channels" if any(depth_of(item.tensor) for item in plan.blocks) else "features"


def _round(size: float) -> int:
    """The next power of two below, as channels and maps usually are; at least 1."""
    return 1 << max(0, math.floor(math.log2(max(size, 1.0)) + 0.25))


def _sentence(plan: Plan, scale: Scale) -> str:
    flat = not any(depth_of(item.tensor) for item in plan.blocks)
    tokens = any(len(item.tensor.positions) == 1 for item in plan.blocks)
    roots = [name for name, axis in (("width", scale.channels), ("height and depth", scale.positions)) if axis.root]
    parts = ["Width: channels or features."]
    parts.append(
        "Height: tokens, steps or length."
        if flat
        else f"Height and depth: the map{' (of tokens and steps, the height)' if tokens else ''}."
    )
    if any(len(item.tensor.positions) > 2 for item in plan.blocks):
        parts.append("The first axis of volumes is not drawn.")
    rest = "the rest is to scale, all blocks alike" if len(roots) < 2 else "all blocks alike"
    parts.append(f"By the square root of the size: {' and '.join(roots)}; {rest}." if roots else "All to one scale.")
    return " ".join(parts)


def _meanings(plan: Plan) -> list[tuple[str, str]]:
    """Only what occurs."""
    drawn = {item.tensor.style for item in plan.blocks if not item.tensor.bands}
    bands = {band.style for item in plan.blocks for band in item.tensor.bands}
    styles = ("is-input", *(f"is-{name}" for name in CATEGORIES), "is-block", "is-other")
    found = [(style, WORDS.get(style, style.removeprefix("is-"))) for style in styles if style in drawn | bands]
    made = (sum(band.style != "is-carried" for band in item.tensor.bands) for item in plan.blocks)
    if max(made, default=0) > 1:
        found.append(("is-convolution is-shade", "each layer's part of a concatenation, the later the darker"))
    if "is-carried" in bands:
        found.append(("is-carried", "in a concatenation: what was there before"))
    if not all(wire.skip for wire in plan.wires):
        found.append(("wire", "what goes into a block"))
    if any(wire.skip for wire in plan.wires):
        found.append(("wire-skip", "skip connection"))
    return found


def failure_lines(text: str, width: float) -> Sequence[str]:
    """What failed, in lines of a width."""
    return textwrap.wrap(text, max(40, int(width / 6.6))) if text else []
