"""The volumes of networks as an SVG text, for notebooks, pages and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from archlab import files
from archlab.errors import InputError
from archlab.records import Trace
from archlab.reports.text import failure_text, shortened, visible
from archlab.reports.volume.drawing import described, drawing
from archlab.reports.volume.key import failure_lines, keys_of
from archlab.reports.volume.levels import is_u, levels
from archlab.reports.volume.plan import Label, Plan
from archlab.reports.volume.rows import rows
from archlab.reports.volume.scale import Scale, scale_of
from archlab.reports.volume.tensors import Tensor, tensors

FORMATS = (".svg", ".png")

PAGE_PIXELS = 850.0
NARROWER = (1.0, 0.9, 0.8)
"""Shares of the scale of channels that are tried in turn until a picture fits a page."""

Named = tuple[str, tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """A drawing, which a notebook shows by itself."""

    svg: str

    def __repr__(self) -> str:
        return f"a picture of {len(self.svg):,} characters of SVG: its text is .svg, a notebook shows it"

    def _repr_svg_(self) -> str:
        return self.svg


def draw(*traces: Trace, only: str = "", depth: int | None = 0, alone: bool = True) -> Picture:
    """The picture of networks as blocks to scale, several of them over one axis of map sizes.

    Width is channels, height and depth are the map (of tokens the height); one scale for all blocks, stated in the
    key. A network whose maps shrink and grow again is drawn as a U, its skip connections across.

    Args:
        traces: the networks, drawn below each other.
        only: the path of the layer whose inside is drawn instead.
        depth: levels of blocks to open; None for all, 0 for as many as make at most 32 blocks.
        alone: whether it has a title, its own style, and what failed; without, it takes its colours from the page that
            it is in, which says the rest.

    Raises:
        InputError: no trace is given, a network has no layer of that path, or there is nothing to draw.

    >>> from archlab.records import Layer, Totals
    >>> conv = Layer("conv", "Conv2d", 1, ((1, 3, 8, 8),), ((1, 16, 8, 8),), 448, 27_648, inputs=(-1,))
    >>> draw(Trace("tiny", ((1, 3, 8, 8),), (conv,), Totals(448, 448, 0, 27_648, 55_296))).svg[:4]
    '<svg'
    """
    if not traces:
        raise InputError("a picture needs at least one trace, got none")
    found = [(_title(trace, only), tensors(trace, only, depth)) for trace in traces]
    scale, plan = _fitted(found)
    keys = keys_of(plan, scale)
    failures = [line for trace in traces for line in failure_lines(_failure(trace), plan.width)] if alone else []
    title = shortened(", ".join(name for name, _ in found), 90)
    return Picture(drawing(plan, keys, title, _description(found), alone, failures))


def save(path: str | Path, *traces: Trace, only: str = "", depth: int | None = 0) -> Path:
    """The path of the file that the picture was written to: `.svg`, or `.png`, twice as large, by a Chromium or Chrome.

    Raises:
        InputError: the ending is another one, there is no browser for a PNG; and as `draw`.
        StoreError: the file can't be written.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"{target} has an ending that volumes can't be written as; expected {', '.join(FORMATS)}")
    picture = draw(*traces, only=only, depth=depth)
    if ending == ".svg":
        return files.save(target, picture.svg)
    from archlab.reports.diagram.picture import png

    return files.save(target, png(picture.svg))


def _fitted(found: Sequence[Named]) -> tuple[Scale, Plan]:
    """The scale and the plan, narrower where it would be wider than a page and labels let it."""
    scale = scale_of([blocks for _, blocks in found])
    for share in NARROWER:
        narrow = Scale(replace(scale.channels, pixels=share * scale.channels.pixels), scale.positions)
        plan = _plan(found, narrow)
        if plan.width <= PAGE_PIXELS:
            break
    return narrow, plan


def _plan(found: Sequence[Named], scale: Scale) -> Plan:
    if not any(is_u(blocks) for _, blocks in found):
        return rows(found, scale)
    plan = Plan()
    for name, blocks in found:
        part = levels(blocks, scale) if is_u(blocks) else rows([("", blocks)], scale)
        if len(found) > 1:
            plan.add(Plan(labels=[Label(0.0, 12.0, name, "heading", "start")], height=20.0), plan.height + 10)
        plan.add(part, plan.height)
    return plan


def _failure(trace: Trace) -> str:
    """Where and why the forward pass failed, empty where it did not."""
    if trace.failure is None:
        return ""
    return f"The forward pass failed at {visible(trace.failure.path or trace.network)}: {failure_text(trace.failure)}"


def _title(trace: Trace, only: str) -> str:
    options = " ".join(f"{name}={value}" for name, value in trace.options.items())
    name = f"{trace.network} {options}".strip()
    return visible(f"{name}: {only}" if only else name)


def _description(found: Sequence[Named]) -> str:
    """The picture in words."""
    parts = []
    for name, blocks in found:
        shown = "; ".join(described(tensor) for tensor in blocks[:40])
        parts.append(f"{name}, {len(blocks)} tensors as blocks: {shown}{'; ...' if len(blocks) > 40 else ''}")
    return ". ".join(parts)
