"""The memory of a training step, and whether it fits."""
