"""The networks of the table."""

from benchmarks.zoo.networks import (
    diffusers,
    diffusers_films,
    graphs,
    pictures,
    sequences,
    sounds,
    transformers_audio,
    transformers_detection,
    transformers_multimodal,
    transformers_text,
    transformers_vision,
)

_FILES = (
    transformers_text,
    transformers_vision,
    transformers_detection,
    transformers_audio,
    transformers_multimodal,
    diffusers,
    diffusers_films,
    pictures,
    sounds,
    graphs,
    sequences,
)
ENTRIES = [entry for file in _FILES for entry in file.ENTRIES]
