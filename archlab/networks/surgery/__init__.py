"""Surgery on any network: BatchNorm folded away or replaced, skip connections switched off."""

from archlab.networks.surgery.folding import fold
from archlab.networks.surgery.norms import replace_norms
from archlab.networks.surgery.skips import skips_off

__all__ = ["fold", "replace_norms", "skips_off"]
