"""Examining a trained network: its weights are loaded, its layers measured, and the verdicts drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from archlab.records import Value
from archlab.records.norm_health import NormHealth

Tell = Callable[[str, int, int], None]
"""Called with what is being done, and how many images of how many are done."""


def examine(
    network: Any,
    data: Any = None,
    *,
    weights: str | Path | None = None,
    key: str | None = None,
    options: Mapping[str, Value] | None = None,
    recalibrate: str | Path | None = None,
    fold: str | Path | None = None,
    progress: Tell | None = None,
    **terms: Any,
) -> NormHealth:
    """What the BatchNorm layers of a trained network are like.

    Args:
        network: a source's name, a module, or a class or function that gives one.
        data: a data set's name, a folder of images per class, `FILE.py:LOADER`, batches of (images, labels) or of
            images; None to look at the weights alone.
        weights: a safetensors file or a checkpoint of torch that holds tensors alone.
        key: where in the file the weights lie, where several places have some.
        options: of the network's factory.
        recalibrate: writes a checkpoint with precise statistics there.
        fold: writes one with BatchNorm folded into the convolutions there.
        progress: called as it goes.
        terms: fields of `Terms`.
    """
    raise NotImplementedError
