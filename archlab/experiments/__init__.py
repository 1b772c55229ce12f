"""Named experiments: a file of data and text each, on the machinery of comparisons."""

from archlab.experiments.reading import experiment, location, names
from archlab.experiments.running import commands, planned, run

__all__ = ["commands", "experiment", "location", "names", "planned", "run"]
