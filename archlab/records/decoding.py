"""What a decoder takes to read a prompt, and to make each token after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from archlab.records.display import Displayed, Shown
from archlab.records.trace import Shape

WEIGHT_BITS = {"fp32": 32, "bf16": 16, "int8": 8, "int4": 4}
"""Precision of weights -> bits per parameter, without the scales that quantised weights need beside them."""


@dataclass(frozen=True, slots=True)
class DecodingPass(Shown):
    """One pass through the network."""

    tokens: int
    """New tokens per sequence."""
    macs: int
    cache_read: int
    """Bytes of the cache that the pass finds, and reads once."""
    cache_after: int
    """Bytes of the cache that it leaves."""
    is_lower_bound: bool = False
    """Whether the cost of some operation isn't known, so that there are more MACs."""

    @property
    def flops(self) -> int:
        """2 x MACs."""
        return 2 * self.macs

    def intensity(self, weights: int) -> float:
        """FLOPs per byte: of the weights, read once, and of the cache, read once."""
        return self.flops / (weights + self.cache_read)


@dataclass(frozen=True, slots=True)
class Decoding(Displayed):
    """The two passes of a decoder with a cache: the prompt at once, then one token more."""

    SCHEMA: ClassVar[str] = "archlab.decoding/1"

    network: str
    batch: int
    prefill: DecodingPass
    """All tokens of the prompt, with an empty cache."""
    decode: DecodingPass
    """One token behind them, with the cache that the prompt left."""
    parameters: int
    cache_dtypes: tuple[str, ...]
    """Element types of what the cache holds."""
    cache_shapes: tuple[Shape, ...]
    """Shapes of what the cache holds after the prompt."""
    weights: dict[str, int]
    """Precision -> bytes of all parameters in it."""
    options: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    has_encoder: bool = False
    """Whether an encoder reads something first; `notes` say what the passes are then."""
