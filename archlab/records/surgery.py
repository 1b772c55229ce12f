"""What was changed in a network that exists: layers folded, replaced or taken away, and what was left as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from archlab.records.display import Displayed

Action = Literal["fold", "norm", "skip"]


@dataclass(frozen=True, slots=True)
class Cut:
    """One layer or addition that was looked at."""

    path: str
    """The layer, or the block whose addition it is."""
    kind: str
    """Its class before, or `add`."""
    channels: int = 0
    """Channels of a normalisation; 0 where that means nothing."""
    into: str = ""
    """What became of it: the layer that it was folded into, what stands there now, the branch that is kept. Empty where
    it was left as it was."""
    reason: str = ""
    """Why it was left; or what was chosen on the way, such as a number of groups."""

    @property
    def done(self) -> bool:
        """Whether something was changed."""
        return bool(self.into)


@dataclass(frozen=True, slots=True)
class Surgery(Displayed):
    """What was done to a network, layer by layer."""

    SCHEMA: ClassVar[str] = "archlab.surgery/1"

    action: Action
    """`fold`: BatchNorm into the layers beside it. `norm`: another normalisation. `skip`: no skip connections."""
    network: str
    """Class of the network."""
    to: str = ""
    """What BatchNorm was replaced by (`group`); empty for other actions."""
    cuts: tuple[Cut, ...] = ()
    """Each layer or addition that was looked at, in the order of the network's modules or of its run."""
    biases: tuple[str, ...] = ()
    """Layers that were given a bias, which they hadn't."""
    removed: tuple[str, ...] = ()
    """Modules whose result nothing uses any more, and that were taken out."""
    parameters: tuple[int, int] = (0, 0)
    """Parameters before and after."""
    notes: tuple[str, ...] = ()
    """Sentences that belong under the table."""

    @property
    def done(self) -> tuple[Cut, ...]:
        """What was changed."""
        return tuple(cut for cut in self.cuts if cut.done)

    @property
    def left(self) -> tuple[Cut, ...]:
        """What was left as it was, each with its reason."""
        return tuple(cut for cut in self.cuts if not cut.done)
