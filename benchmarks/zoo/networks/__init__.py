"""The networks of the table."""

from benchmarks.zoo.networks import transformers_text, transformers_vision

ENTRIES = [*transformers_text.ENTRIES, *transformers_vision.ENTRIES]
