"""Shapes without running anything: formulas for the layers and functions that networks consist of.

Importing this package registers them all.
"""

from archlab.tracing.quick import constants, layers, recurrent

__all__ = ["constants", "layers", "recurrent"]
