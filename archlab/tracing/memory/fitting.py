"""Whether a training step fits into memory, and how large its batch may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

from torch import nn

from archlab.errors import ForwardError, InputError, nearest
from archlab.records import Value
from archlab.records.memory import MemoryEstimate, Optimizer, Precision
from archlab.tracing.forward.location import first_line
from archlab.tracing.inputs import Arguments, arguments, shape_text
from archlab.tracing.measurement import found_network
from archlab.tracing.measurement import given as of_source
from archlab.tracing.memory.step import pretended_step
from archlab.tracing.memory.timeline import Timeline
from archlab.tracing.pytree import shape_of, tensors

if TYPE_CHECKING:
    from archlab.networks import Source

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
"""Bytes."""
FIRST_BATCH = 2
"""The batch that a search starts at: batch normalisation over single values takes none of 1."""
LARGEST_BATCH = 2**24
"""Batches aren't looked for beyond this."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([kmgt]?i?)b?", re.I)


def parse_bytes(text: str | float) -> int:
    """The bytes that a size names: `24GB` and `24G` are 24 x 10^9, `24GiB` 24 x 2^30; a number is one of bytes.

    Raises:
        InputError: it is no size, or a text without a unit.

    >>> parse_bytes("24GB"), parse_bytes("1.5 GiB")
    (24000000000, 1610612736)
    """
    found = _SIZE.fullmatch(str(text).strip())
    if found is not None and isinstance(text, str) and found[0].rstrip()[-1].isdigit():
        raise InputError(
            f"{text!r} has no unit: expected {text.strip()}GB (10^9 bytes), {text.strip()}GiB (2^30) or the like"
        )
    if found is None or found[2].lower() not in UNITS or float(found[1]) <= 0:
        raise InputError(
            f"{text!r} is no size of memory: expected a number with a unit, as in 24GB, 80G (10^9 each) or 24GiB (2^30)"
        )
    return int(float(found[1]) * UNITS[found[2].lower()])


def fits(
    network: str | Source | nn.Module,
    inputs: object = None,
    *,
    budget: str | float | None = None,
    optimizer: str = "adam",
    precision: str = "fp32",
    batch: int | None = None,
    **options: Value,
) -> MemoryEstimate:
    """The most memory that a training step takes at a time, and the largest batch that fits a budget.

    A step is pretended on tensors without values: forward, loss, backward, optimiser. A network that was given is left
    as it was found. The step at the largest batch is gone through as well, and not only computed from smaller ones.

    Args:
        network: a source, or any module; it is trained in its training mode.
        inputs: as `trace` takes them.
        budget: memory that there is, in bytes or as `24GB`, `24GiB`, `80G`.
        optimizer: `sgd`, `sgd-momentum`, `adam` or `adamw`, as torch runs them on an accelerator.
        precision: `fp32` for the network's own types, or `bf16` for automatic mixed precision: weights, gradients and
            the optimiser's state stay as they are, products and convolutions are computed in bfloat16.
        batch: what the estimate is for; None for the largest that fits the budget, or the inputs' own without one.
        options: what to build the network with, where it is a source.

    Raises:
        InputError: an argument is wrong.
        ForwardError: the network can't be trained on these inputs.

    >>> fits("lenet", batch=256).parts.parameters  # 4 bytes x 44,878
    179512
    """
    chosen = _one_of(optimizer, "optimizer", get_args(Optimizer))
    arithmetic = _one_of(precision, "precision", get_args(Precision))
    limit = None if budget is None else parse_bytes(budget)
    source, built = found_network(network, options)
    name = source.name if source else type(built).__name__

    def given(size: int | None) -> Arguments:
        return arguments(inputs, built, (), size) if source is None else of_source(source, built, inputs, size)

    def step(size: int | None) -> Timeline:
        try:
            return pretended_step(built, given(size), chosen, arithmetic)  # type: ignore[arg-type]
        except InputError:  # nothing can stand in for its tensors
            raise
        except Exception as error:  # whatever the network raises
            shapes = ", ".join(shape_text(shape_of(tensor)) for tensor in tensors(given(size)))
            raise ForwardError(_no_step(name, shapes, error)) from error

    search = _Search(step)
    start = batch or FIRST_BATCH
    largest = None if limit is None else search.largest(limit, start)
    timeline = step(batch) if limit is None else search.measured(batch or largest or start)
    peak = timeline.peak()
    return MemoryEstimate(
        network=name,
        inputs=tuple(shape_of(tensor) for tensor in tensors(given(timeline.batch))),
        optimizer=chosen,  # type: ignore[arg-type]
        precision=arithmetic,  # type: ignore[arg-type]
        batch=timeline.batch,
        peak=peak.total,
        moment=peak.moment,
        parts=peak.parts,
        budget=limit,
        fits=None if limit is None else peak.total <= limit,
        largest_batch=largest,
        peak_at_largest=search.measured(largest).peak().total if largest else None,
        assumptions=ASSUMPTIONS[arithmetic] + COMMON,
        options={key: str(value) for key, value in source.options.items()} if source else {},
    )


class _Search:
    """Steps at several batches, each gone through once."""

    def __init__(self, step: Callable[[int | None], Timeline]) -> None:
        self.step = step
        self.known: dict[int, Timeline] = {}

    def measured(self, batch: int) -> Timeline:
        """A step at a batch, gone through."""
        if batch not in self.known:
            self.known[batch] = self.step(batch)
        return self.known[batch]

    def expected(self, batch: int) -> int:
        """The bytes of the peak at a batch, from the two largest that were gone through, or by itself."""
        if batch not in self.known:
            first, second = sorted(self.known.values(), key=lambda timeline: timeline.batch)[-2:]
            timeline = first.at(batch, second)
            if timeline is not None:
                return timeline.peak().total
        return self.measured(batch).peak().total

    def largest(self, budget: int, start: int) -> int:
        """The largest batch whose step takes no more than the budget; 0 if none is small enough.

        The answer is gone through itself; where it takes more than smaller ones let expect, the search goes on below.
        """
        self.measured(start)
        self.measured(2 * start)
        high = LARGEST_BATCH
        while True:
            low = 0
            while high - low > 1:
                middle = (low + high) // 2
                if self.expected(middle) <= budget:
                    low = middle
                else:
                    high = middle
            if low == 0:
                return 0
            try:
                if self.measured(low).peak().total <= budget:
                    return low
            except ForwardError:
                if low > 1:
                    raise
                return 0  # batch normalisation over single values takes no batch of 1
            high = low


def _one_of(value: str, name: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise InputError(f"there is no {name} {value!r} to estimate memory for: {nearest(value, known)}")
    return value


def _no_step(name: str, shapes: str, error: Exception) -> str:
    message = f"{name} can't be trained on {shapes}: {type(error).__name__}: {first_line(error)}"
    if "more than 1 value per channel" in str(error):
        return f"{message}; take a larger batch"
    return message


ASSUMPTIONS: dict[str, tuple[str, ...]] = {
    "fp32": ("Parameters, gradients, the optimiser's state and activations have the network's own element types.",),
    "bf16": (
        "Automatic mixed precision: parameters, gradients and the optimiser's state stay in their own types.",
        "Products and convolutions take bfloat16 copies; layer normalisation and softmax run in float32.",
    ),
}
COMMON = (
    "The step is a later one: the optimiser's state exists, the last step's gradients were set to None.",
    "The loss is a cross-entropy over tables of scores, a mean of squares over other outputs.",
    "The optimiser works on all parameters at once, as torch does on an accelerator (foreach=True).",
    "Attention saves no table of all pairs where torch has a fused kernel for it.",
    "Not in it: a driver's own memory, an allocator's fragmentation, scratch space inside kernels, data loaded ahead.",
)
