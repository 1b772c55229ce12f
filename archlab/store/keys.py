"""What runs and comparisons are called in a store."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path

from archlab.records import TrainingConfig, Value
from archlab.records.settings import keyed, settings

STACKED = "stacked"
"""What the environment of a run says that was trained with others as one program, which adds in another order."""


def run_key(config: TrainingConfig, environment: Mapping[str, Value]) -> str:
    """The name of a run: network, variant, data set, precision, seed, and a hash of everything that decides the result.

    The precision where it is not float32; and `stacked` of a run that was trained with others as one program.
    """
    deciding = {name: value for name, value in environment.items() if name != "command"}
    chosen = keyed(config.to_dict(), settings(TrainingConfig).values())
    text = json.dumps([chosen, deciding], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    precision = "" if config.precision in config.variant else precision_part(config.precision)
    stacked = STACKED if environment.get(STACKED) else ""
    names = [
        config.network,
        config.variant,
        Path(config.dataset).name,
        precision,
        stacked,
        f"seed{config.seed}",
        digest,
    ]
    return "-".join(slug(name) for name in names if name)


def precision_part(precision: Value | None) -> str:
    """What a name says of a precision: nothing of float32, nor where runs differ in it."""
    return "" if precision in (None, "fp32") else str(precision)


def watched_key(config: TrainingConfig) -> str:
    """The name of a watched training, which no other has: nobody knows what decided it."""
    network = "" if config.variant.startswith(config.network) else config.network
    names = [network, config.variant, "watched", uuid.uuid4().hex[:12]]
    return "-".join(slug(name) for name in names if name)


def slug(text: str) -> str:
    """A text as a part of a file's name."""
    # A long name may be cut before a dot, which would hide the folder, or a dash, which would make it an option.
    return re.sub(r"[^a-zA-Z0-9.]+", "-", text).strip("-.")[-48:].lstrip("-.") or "x"
