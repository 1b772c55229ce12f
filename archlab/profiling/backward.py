"""Times the nodes that autograd runs, and says which layer made each.

While the forward pass runs, autograd makes a node for each differentiable operation and numbers them one after the
other. The recorder notes at each mark which number comes next, so that a node belongs to the span that ran when its
number was given out. Of

    y = self.conv(x)          # numbers before and after: 7, 8    ConvolutionBackward0 has number 7
    y = y + x                 #                           8, 9    AddBackward0 has number 8
    y.relu_()                 #                           9, 10   ReluBackward0 has number 9

node 7 is the convolution's, whatever was done to `y` afterwards. Backward hooks of modules can't say as much: they put
views around inputs and outputs, which in-place operations refuse, and they know nothing of operations between modules.

In the backward pass a hook before each node makes a mark, and what lies between two of them is the first one's: its
kernels, the sum of its gradients with those that came along other paths, and the accumulation into `.grad`, which the
engine does directly after the node that made them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from archlab.profiling.clock import Clock

UNNUMBERED = 2**63
"""Numbers from here on say nothing: those of nodes that accumulate gradients, which no operation made."""


@dataclass(slots=True)
class BackwardPass:
    """The nodes of a backward pass, in the order in which they ran."""

    marks: list[Any] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    """The span that made the node behind each mark."""


def watch(outputs: Iterable[Tensor], owners: Sequence[int], numbers: Sequence[int], clock: Clock) -> BackwardPass:
    """What the nodes behind some outputs will write their marks to, once they run.

    Args:
        outputs: of the network.
        owners: of the forward pass: the span that runs from each mark to the next.
        numbers: at each of these marks, the number of autograd's next node.
        clock: makes the marks.
    """
    noted = BackwardPass()
    pending: list[Any] = [output.grad_fn for output in outputs if output.grad_fn is not None]
    seen = set(pending)
    while pending:
        node = pending.pop()
        number = node._sequence_nr()
        if number < UNNUMBERED:
            place = bisect_right(numbers, number) - 1
            node.register_prehook(partial(_note, noted, owners[place] if place >= 0 else 0, clock))
        for other, _ in node.next_functions:
            if other is not None and other not in seen:
                seen.add(other)
                pending.append(other)
    return noted


def _note(noted: BackwardPass, owner: int, clock: Clock, gradients: object) -> None:
    noted.owners.append(owner)
    noted.marks.append(clock.mark())
