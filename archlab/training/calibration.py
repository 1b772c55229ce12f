"""How long runs took on this machine, from which the next ones are estimated.

What a run takes depends on its configuration but not on its seed or on what its variant is called. The last run that
came to its end tells, whatever else the machine did then; a run that began before this process did tells nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from archlab import kept
from archlab.records import Run, TrainingConfig
from archlab.training.asked import questions
from archlab.training.execution import Execution


def known_seconds(configs: Sequence[TrainingConfig], execution: Execution) -> dict[int, float]:
    """The seconds of a run of each configuration, by its place, where one came to its end before."""
    found = {}
    for place, question in questions([_alike(config) for config in configs], execution).items():
        content = kept.read(kept.TIMES, question)
        with contextlib.suppress(ValueError, TypeError):
            found[place] = float(json.loads(content or b"null"))
    return found


def keep_seconds(configs: Sequence[TrainingConfig], runs: Mapping[int, Run], execution: Execution) -> None:
    """Keep what runs took that are finished, by the place of their configuration."""
    asked = questions([_alike(config) for config in configs], execution)
    for place, run in runs.items():
        if place in asked and run.status == "finished" and run.epochs and not run.resumed:
            tests = sum(epoch.evaluation_seconds + epoch.precise_seconds for epoch in run.epochs)
            kept.keep(kept.TIMES, asked[place], json.dumps(run.epochs[-1].seconds + tests).encode())


def _alike(config: TrainingConfig) -> TrainingConfig:
    return replace(config, seed=0, variant="")
