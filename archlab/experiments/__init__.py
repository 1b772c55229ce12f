"""Named experiments: a file of data and text each, on the machinery of comparisons."""

from archlab.experiments.reading import experiment, names
from archlab.experiments.running import planned, run

__all__ = ["experiment", "names", "planned", "run"]
