"""A memory estimate as a table: one row per part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.tables.columns import network_text, percent_column, shapes_text, size_column
from archlab.tables.table import Column, Row, Table, byte_size

if TYPE_CHECKING:
    from archlab.records.memory import MemoryEstimate

PARTS = {
    "parameters": "parameters",
    "gradients": "gradients",
    "optimizer_state": "optimiser state",
    "activations": "activations",
    "workspace": "workspace",
    "buffers": "buffers",
    "inputs": "inputs and labels",
}
MOMENTS = {
    "forward": "in the forward pass",
    "backward": "in the backward pass",
    "step": "in the optimiser's step",
}


def memory_table(estimate: MemoryEstimate, budget: str = "") -> Table:
    """What the peak of a training step consists of, whether it fits, and what the numbers take for granted.

    `budget` is the memory that there is, in the words that it was given in: `24GB`.
    """
    amounts = {label: getattr(estimate.parts, name) for name, label in PARTS.items()}
    return Table(
        columns=(Column("part", "part"), size_column("bytes", "bytes"), percent_column("share", "share")),
        rows=tuple(Row((label, amount, amount / estimate.peak)) for label, amount in amounts.items()),
        title=(
            f"{network_text(estimate)}, a training step on "
            f"{shapes_text(estimate.inputs)} with {estimate.optimizer}, {estimate.precision}"
        ),
        total=("peak", estimate.peak, 1.0),
        footer=(f"The peak is {MOMENTS[estimate.moment]}.", *_verdict(estimate, budget), *estimate.assumptions),
    )


def _verdict(estimate: MemoryEstimate, given: str) -> tuple[str, ...]:
    if estimate.budget is None:
        return ()
    exact = byte_size(estimate.budget)
    is_binary = "i" in given.lower()  # GiB, as the peak is written
    budget = (given.strip() if is_binary else f"{given.strip()} ({exact})") if given else exact
    if not estimate.largest_batch:
        return (f"Does not fit into {budget}, at any batch.",)
    largest = f"The largest batch that fits is {estimate.largest_batch:,}"
    if estimate.batch == estimate.largest_batch:
        return (f"{largest}, into {budget}.",)
    at_largest = byte_size(estimate.peak_at_largest or 0)
    says = "fits" if estimate.fits else "does not fit"
    return (f"A batch of {estimate.batch:,} {says} into {budget}. {largest}, with a peak of {at_largest}.",)
