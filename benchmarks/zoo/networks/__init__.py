"""The networks of the table."""

from benchmarks.zoo.networks import (
    diffusers,
    others,
    pictures,
    transformers_others,
    transformers_text,
    transformers_vision,
)

ENTRIES = [
    *transformers_text.ENTRIES,
    *transformers_vision.ENTRIES,
    *transformers_others.ENTRIES,
    *diffusers.ENTRIES,
    *pictures.ENTRIES,
    *others.ENTRIES,
]
