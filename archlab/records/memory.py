"""What memory a training step of a network takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from archlab.records.display import Displayed, Shown
from archlab.records.trace import Shape

Optimizer = Literal["sgd", "sgd-momentum", "adam", "adamw"]
Precision = Literal["fp32", "bf16"]
Moment = Literal["forward", "backward", "step"]


@dataclass(frozen=True, slots=True)
class MemoryParts(Shown):
    """What memory is used for at one moment of a training step, in bytes."""

    parameters: int = 0
    buffers: int = 0
    optimizer_state: int = 0
    inputs: int = 0
    """Inputs and labels."""
    gradients: int = 0
    """Of the parameters, as far as they are made."""
    activations: int = 0
    """What the forward pass made and backward, or the caller, still holds; with bf16, the weights' copies too."""
    workspace: int = 0
    """Gradients of activations on their way, and what an operation of the optimiser takes for a while."""

    @property
    def total(self) -> int:
        """The sum of all parts."""
        fixed = self.parameters + self.buffers + self.optimizer_state + self.inputs
        return fixed + self.gradients + self.activations + self.workspace


@dataclass(frozen=True, slots=True)
class MemoryEstimate(Displayed):
    """The most memory that a training step takes at a time, and the largest batch that fits a budget."""

    SCHEMA: ClassVar[str] = "archlab.memory/1"

    network: str
    inputs: tuple[Shape, ...]
    """With the batch that the estimate is for."""
    optimizer: Optimizer
    precision: Precision
    batch: int
    peak: int
    """Bytes at the worst moment; the sum of `parts`."""
    moment: Moment
    """When that is: in the forward pass, in the backward pass, or in the optimiser's step."""
    parts: MemoryParts
    """What the peak consists of."""
    budget: int | None = None
    """Bytes that there are; None where no budget was given."""
    fits: bool | None = None
    """Whether the batch fits into the budget."""
    largest_batch: int | None = None
    """The largest batch that fits the budget, 0 where none does; None without a budget."""
    peak_at_largest: int | None = None
    """Bytes at that batch."""
    assumptions: tuple[str, ...] = ()
    """What the numbers take for granted, and leave out."""
    options: dict[str, str] = field(default_factory=dict)
    """What the network was built with, where it was built by name."""
