"""`--dry-run`: the runs that a comparison would train, with what they take on this machine. Nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archlab.analysis.wording import spoken_time
from archlab.cli.common.console import emit, message, prints_aside
from archlab.cli.common.output import Output

if TYPE_CHECKING:
    from archlab.records import TrainingConfig
    from archlab.training.preparation import Preparer

OPTIMIZERS = {"sgd": "sgd-momentum", "nesterov": "sgd-momentum"}
"""What `fits` calls the optimisers that keep a velocity."""
WORKERS = (1, 2, 4, 8, 16)


def show_plan(configs: Sequence[TrainingConfig], preparer: Preparer, target: Output) -> None:
    """Show each variant's runs: how many, how many of them the store has, what each takes in time and memory.

    Raises:
        InputError: a configuration, the device or the data can't be used.
    """
    import msgspec

    from archlab.networks.devices import accelerators
    from archlab.tables.plan import PlannedVariant, plan_table
    from archlab.training import estimate_time, missing
    from archlab.training.engines.choosing import worker_count

    with prints_aside():
        waiting = missing(configs, preparer)
        estimate = estimate_time(configs, preparer)
    seconds = dict(zip(map(id, configs), estimate.runs, strict=True))
    kinds: dict[tuple[str, str], list[TrainingConfig]] = {}
    for config in configs:
        kinds.setdefault((config.network, config.variant), []).append(config)
    rows = []
    for (network, variant), runs in kinds.items():
        stored = sum(config not in waiting for config in runs)
        memory = _step_bytes(runs[0], preparer)
        rows.append(PlannedVariant(variant or network, len(runs), stored, seconds[id(runs[0])], memory))
    usual = worker_count(preparer.execution, accelerators=accelerators(preparer.device))
    longest = max((row.seconds for row in rows if row.stored < row.runs), default=0.0)
    total = sum(row.seconds * (row.runs - row.stored) for row in rows)
    workers = {count: max(longest, total / count) for count in sorted({*WORKERS, usual})}
    document = {
        "schema": "archlab.plan/1",
        "variants": [msgspec.structs.asdict(row) for row in rows],
        "seconds": total,
        "workers": usual,
        "seconds_by_workers": {str(count): value for count, value in workers.items()},
    }
    emit(
        target,
        lambda: plan_table(rows, total, workers, usual),
        lambda: msgspec.json.format(msgspec.json.encode(document), indent=2).decode(),
    )
    for failure in estimate.failures:
        message(f"without what already failed when it was tried: {failure}")
    if target == Output():
        message(f"nothing was trained; without --dry-run: about {spoken_time(workers[usual])}")


def _step_bytes(config: TrainingConfig, preparer: Preparer) -> int | None:
    """The most bytes that a step takes, and the images beside it; None where no step can be pretended."""
    from archlab.errors import ArchlabError
    from archlab.tracing import fits

    prepared = preparer.prepare(config)
    images = sum(prepared.samples)
    channels, height, width = prepared.image_shape
    optimizer = OPTIMIZERS.get(config.optimizer, config.optimizer)
    if config.optimizer == "sgd" and not config.sgd_momentum:
        optimizer = "sgd"
    try:
        with prints_aside():
            found = fits(prepared.source, [(1, *prepared.image_shape)], optimizer=optimizer, batch=config.batch_size)
    except ArchlabError:
        return None
    return found.peak + images * channels * height * width
