"""How each BatchNorm layer was used: what it really normalised by, how often it was called, what its averages took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Normalised = Literal["", "batch", "running", "both"]
"""What inputs were normalised by: statistics of their own batch, running ones, now these and now those; empty where no
call was seen."""


@dataclass(frozen=True, slots=True)
class NormUse:
    """How one BatchNorm layer was used, also one that keeps no running statistics or stands in evaluation mode.

    *Counting semantics.* Numbers per step are the most in any step that was looked at (`steps`): archlab's own loop
    looks at the first two steps and the last of each epoch, and at every evaluation. `in_training` and `in_evaluation`
    are read off the layer's outputs: whether their mean and deviation are those of an input normalised by its own
    batch, or by the running statistics; where both give the same, the layer's mode decides.

    For example: a layer inside a checkpointed block has `calls` 1, `recomputed` 1 and `updates` 2, since the backward
    pass calls it again; one that two branches share has `calls` 2, `recomputed` 0 and `updates` 2.
    """

    path: str
    kind: str = "BatchNorm2d"
    """Name of its class."""
    paths: int = 1
    """Names that it has in the network: 2 where two modules hold it."""
    channels: int = 0
    momentum: float | None = 0.1
    """Weight of the newest batch in the running statistics (torch's momentum); None for a cumulative average."""
    epsilon: float = 1e-5
    tracks: bool = True
    """Whether it keeps running statistics."""
    affine: bool = True
    """Whether it has gamma and beta."""
    trains: bool = True
    """Whether gamma or beta is trained."""
    is_initial: bool = False
    """Whether the running statistics are at last still the initial ones: means of 0, variances of 1."""
    processes: int = 1
    """Processes of a distributed training, whose batches a SyncBatchNorm takes together."""

    steps: int = 0
    """Training steps that were looked at."""
    in_training: Normalised = ""
    in_evaluation: Normalised = ""
    calls: int = 0
    """Per training step, recomputations left out."""
    passes: int = 0
    """Forward passes of the whole network per training step: 2 where gradients of two batches are accumulated."""
    recomputed: int = 0
    """Calls per training step that the backward pass made once more, as activation checkpointing does."""
    idle: int = 0
    """Calls per training step that normalised by the batch and recorded no gradient, so that nothing came of them but
    an update of the running statistics; the first call of a checkpointed block is none."""
    updates: int = 0
    """Updates of the running statistics per training step, by the layer's counter."""
    moves: bool = False
    """Whether a training step changed the running statistics."""
    shift: float = 0.0
    """How far the inputs of a step's calls lie apart: largest distance of their means, in standard deviations, median
    over the channels (16 at most)."""
    stretch: float = 1.0
    """The same of their variances, as largest over smallest."""
    fewest_values: int = 0
    """Values per channel in the smallest training batch; 0 where none was seen."""
    most_values: int = 0
    """Values per channel in the largest."""
    fewest_images: int = 0
    """Size of axis 0 of that smallest batch."""
    evaluation_images: int = 0
    """The same of the largest batch in evaluation."""
    evaluation_updates: int = 0
    """How often an evaluation changed the running statistics, in one evaluation at most."""
    not_finite_step: int | None = None
    """The first step after which the running statistics were seen to hold an infinity or NaN; None for never."""
    left_out: int = 0
    """Batches that precise statistics leave out, since what they gave was not finite."""

    @property
    def depends_on_test_batch(self) -> bool:
        """Whether an image's output in evaluation depends on the images beside it."""
        return self.in_evaluation in ("batch", "both") and not self.is_per_image

    @property
    def is_per_image(self) -> bool:
        """Whether it is an InstanceNorm, which takes each image for a batch of its own."""
        return self.kind.startswith("InstanceNorm")

    @property
    def step_weight(self) -> float | None:
        """Weight of the newest step in the running statistics; None where it falls, as in a cumulative average.

        >>> round(NormUse("norm", momentum=0.1, updates=2).step_weight, 4)
        0.19
        """
        return None if self.momentum is None else 1 - (1 - self.momentum) ** max(1, self.updates)

    @property
    def is_frozen(self) -> bool:
        """Whether training normalises by the running statistics, which then stay."""
        # A layer whose input is 0 everywhere, behind dead ReLUs, gives the same by either, and its statistics move.
        return self.in_training == "running" and not self.moves

    @property
    def mixes(self) -> bool:
        """Whether the calls of a step see inputs so different that averages over them fit none.

        Two batches of 16 independent values each lie 0.35 deviations apart by chance (the root of 2 / 16), and their
        variances a factor of 1.5.
        """
        return self.calls > 1 and (self.shift >= APART_SHIFT or self.stretch >= APART_STRETCH)


APART_SHIFT, APART_STRETCH = 0.5, 2.0
"""Standard deviations between the means of a step's calls, and factor between their variances, from which on they are
different inputs."""
