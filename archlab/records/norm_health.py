"""What the BatchNorm layers of a trained network are like, and what they do to its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from archlab.records.display import Displayed
from archlab.records.norm_use import NormUse
from archlab.records.trace import Shape
from archlab.records.verdict import LEVELS, Verdict

Statistics = Literal["running", "precise", "batch"]
"""What BatchNorm normalises by: the averages that training kept, the mean and variance over images with the weights as
they are, or each batch's own."""
Channels = tuple[float | None, ...]
"""A number per channel; None where it is not finite; empty where it was not measured."""


@dataclass(frozen=True, slots=True)
class WrongShape:
    """A tensor of a checkpoint that doesn't go into the network."""

    name: str
    stored: Shape
    expected: Shape


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """What of a checkpoint went into the network."""

    path: str
    sha256: str
    """Of the file (of all shards in order), which is only read."""
    key: str = ""
    """Where in the file the weights lie: `model.state_dict`; empty where they are the file."""
    prefixes: tuple[str, ...] = ()
    """Taken off the names: `module.`, `_orig_mod.`."""
    loaded: int = 0
    """Tensors that went into the network."""
    missing: tuple[str, ...] = ()
    """Names of the network that the file lacks."""
    unexpected: tuple[str, ...] = ()
    """Names of the file that the network lacks."""
    wrong: tuple[WrongShape, ...] = ()
    others: tuple[str, ...] = ()
    """Other places in the file whose weights would go in too: `ema`."""

    @property
    def is_complete(self) -> bool:
        """Whether every tensor of the network was in the file."""
        return not self.missing and not self.wrong


@dataclass(frozen=True, slots=True)
class ExaminedData:
    """The images that a network was examined on."""

    name: str
    statistics_images: int
    """That precise statistics were taken over: training images, where the data has a split."""
    tested_images: int
    """That answers were compared on."""
    image_shape: Shape
    """(channels, height, width) of what the network was given."""
    batch_size: int
    """Of the training, that batch statistics are judged at."""
    batch_size_given: bool = True
    """Whether somebody said so; else it is what is usual."""
    labelled: bool = True
    classes: int = 0
    is_split: bool = True
    """Whether the tested images are others than those of the statistics."""
    fitting: tuple[str, ...] = ()
    """What was done to the images, in sentences."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The network's answers on the tested images, normalised in one way."""

    statistics: Statistics
    images: int
    accuracy: float | None = None
    """None where there are no labels, or no classes."""
    loss: float | None = None
    """Mean cross-entropy in nats."""
    drift: float | None = None
    """Distance of the outputs from those with precise statistics, over the deviation of the latter from their mean."""
    agreement: float | None = None
    """Share of images whose most probable class is the one with precise statistics."""


@dataclass(frozen=True, slots=True)
class NormLayerHealth:
    """One BatchNorm layer of a trained network."""

    path: str
    kind: str
    epsilon: float
    momentum: float | None
    """Weight of the newest batch, as the network is built; checkpoints don't hold it."""
    gamma: Channels
    beta: Channels
    running_mean: Channels = ()
    """Empty where the layer keeps no running statistics."""
    running_var: Channels = ()
    batches: int | None = None
    """That the layer's counter says went into the running statistics; None without a counter."""
    mean: Channels = ()
    """Precise statistics, over the examined images."""
    variance: Channels = ()
    mean_noise: Channels = ()
    """Deviation of a batch's mean at the training's batch size, in standard deviations (precise statistics)."""
    variance_noise: Channels = ()
    """The same of a batch's variance, over the precise variance."""
    activation: str = ""
    """The function that the layer's output goes into at once, where it gives exact zeros: `relu`."""
    zeros: Channels = ()
    """Share of the values behind that function that are 0."""
    loaded: bool = True
    """Whether the weights file held its statistics."""

    @property
    def channels(self) -> int:
        """How many there are."""
        return len(self.gamma)

    @property
    def scale(self) -> Channels:
        """Of each filter, gamma / sqrt(running variance + eps): what folding multiplies it by."""
        return tuple(
            None if gamma is None or variance is None or variance + self.epsilon <= 0
            else gamma / (variance + self.epsilon) ** 0.5
            for gamma, variance in zip(self.gamma, self.running_var, strict=False)
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FoldingCheck:
    """What folding BatchNorm into the convolutions before it does to the answers."""

    folded: tuple[str, ...]
    """Paths of the BatchNorm layers that can be folded."""
    left: tuple[str, ...] = ()
    """Those that can't, each with its reason: `norm_3: its input is no convolution's`."""
    images: int = 0
    difference: float | None = None
    """Largest difference of any output."""
    largest: float | None = None
    """Largest size of any output, beside which it stands."""
    agreement: float | None = None
    """Share of images whose most probable class stays."""


@dataclass(frozen=True, slots=True)
class WrittenWeights:
    """A checkpoint that was written, and what was measured when it was read again."""

    kind: Literal["recalibrated", "folded"]
    path: str
    sha256: str
    layers: int
    """BatchNorm layers that it changed."""
    images: int = 0
    accuracy_before: float | None = None
    """In evaluation (running statistics), on the same images."""
    accuracy_after: float | None = None
    difference: float | None = None
    """Largest difference of any output from that with the original."""
    agreement: float | None = None
    """Share of images whose most probable class stays."""
    original_sha256: str = ""
    """Of the original, taken again after writing."""


@dataclass(frozen=True, slots=True)
class NormHealth(Displayed):
    """The BatchNorm of a trained network, examined."""

    SCHEMA: ClassVar[str] = "archlab.norm-health/1"

    network: str
    layers: tuple[NormLayerHealth, ...]
    """In the order of `named_modules()`."""
    weights: LoadedWeights | None = None
    data: ExaminedData | None = None
    """None where only the weights were looked at."""
    outcomes: tuple[Outcome, ...] = ()
    folding: FoldingCheck | None = None
    uses: tuple[NormUse, ...] = ()
    """How the layers were used in the evaluation."""
    written: tuple[WrittenWeights, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """The worst first."""
    notes: tuple[str, ...] = ()
    run: str = ""
    """Key of the stored run that it was read from; empty for a checkpoint or a module."""

    def conflict(self) -> str:
        """No layer, or one whose numbers are of several counts of channels."""
        if not self.layers:
            return "it has no layers"
        for layer in self.layers:
            measured = (
                layer.beta, layer.running_mean, layer.running_var, layer.mean, layer.variance,
                layer.mean_noise, layer.variance_noise, layer.zeros,
            )  # fmt: skip
            sizes = {len(values) for values in measured} - {0, layer.channels}
            if sizes:
                return f"{layer.path!r} has numbers for {min(sizes)} channels and for {layer.channels}"
        return ""

    def outcome(self, statistics: Statistics) -> Outcome | None:
        """The answers normalised in one way; None where they were not looked at."""
        return next((one for one in self.outcomes if one.statistics == statistics), None)

    @property
    def alarming(self) -> tuple[Verdict, ...]:
        """The problems and the warnings."""
        return tuple(verdict for verdict in self.verdicts if verdict.level in LEVELS[:2])
