"""What a check of how BatchNorm layers were used finds, before it is a verdict.

A text follows on `3 of 20 BatchNorm layers`, with both forms of what must agree with it: `[keeps|keep]`.
"""

from __future__ import annotations

from typing import NamedTuple

from archlab.analysis.metrics import SHARE
from archlab.records import NormUse, Run
from archlab.records.verdict import Level

IOFFE_SZEGEDY_2015 = "Ioffe and Szegedy, Batch Normalization, 2015, section 3.1"
WU_JOHNSON_2021 = "Wu and Johnson, Rethinking “Batch” in BatchNorm, 2021, section"


class Found(NamedTuple):
    """What one check found."""

    check: str
    level: Level
    layers: list[NormUse]
    """Those that have it, the worst first."""
    text: str
    remedy: str
    source: str
    breaks_averages: bool = False
    """Whether running statistics are wrong by it, so that their error needs no other cause."""


def accuracies(run: Run | None, form: str) -> str:
    """A sentence with what the run reached; empty where it lacks one of the numbers."""
    if run is None or not run.epochs:
        return ""
    last = run.epochs[-1]
    values = {"test": last.test_accuracy, "running": last.test_accuracy_running, "train": last.train_accuracy}
    if any(value is None and f"{{{name}}}" in form for name, value in values.items()):
        return ""
    shown = {name: "" if value is None else f"{SHARE.number(value)} %" for name, value in values.items()}
    return f" {form.format(**shown)}."
