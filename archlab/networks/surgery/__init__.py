"""Surgery on any network: BatchNorm folded away or replaced, skip connections switched off."""

from archlab.networks.surgery.folding import fold

__all__ = ["fold"]
