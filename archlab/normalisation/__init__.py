"""The BatchNorm of a trained network: examined on data, recalibrated, folded."""

from archlab.normalisation.examining import examine
from archlab.normalisation.terms import Terms

__all__ = ["Terms", "examine"]
