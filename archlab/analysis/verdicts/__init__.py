"""Verdicts: what is wrong with some trainings, each a check of its own; `examination` asks them all."""

from archlab.analysis.verdicts.examination import CHECKS, DESIGN_CHECKS, LAST_ROWS, examine

__all__ = ["CHECKS", "DESIGN_CHECKS", "LAST_ROWS", "examine"]
