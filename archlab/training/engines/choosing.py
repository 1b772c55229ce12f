"""Which engine trains: the one that an execution names. Ray is imported only where it is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from archlab.errors import InputError
from archlab.records import TrainingConfig
from archlab.training.engines.local import LocalEngine
from archlab.training.execution import Execution

if TYPE_CHECKING:
    from archlab.training.engines.interface import Engine


def check_engine(execution: Execution) -> None:
    """Hold that the engine of an execution can be had.

    Raises:
        InputError: its library is not installed, or an address is given to one that has none.
    """
    if execution.engine != "ray" and execution.address is not None:
        raise InputError(
            f"address is {execution.address!r}, and the engine is {execution.engine}, which has none: add --engine ray "
            "(engine='ray'), or leave it out"
        )
    if execution.engine == "ray" and importlib.util.find_spec("ray") is None:
        raise InputError(
            "the engine is ray, and Ray is not installed: pip install 'archlab[ray]', on each machine of the cluster"
        )


def opened(execution: Execution, configs: Sequence[TrainingConfig] = ()) -> Engine:
    """The engine of an execution, ready to start workers.

    Args:
        execution: where and how.
        configs: what will be trained; none for who only asks how many workers there would be.

    Raises:
        InputError: as `check_engine`, or the cluster can't be reached.
    """
    check_engine(execution)
    if execution.engine == "local":
        return LocalEngine(len(configs))
    from archlab.training.engines.cluster import RayEngine

    return RayEngine(execution, configs)


def worker_count(execution: Execution, *, accelerators: int) -> int:
    """How many workers will train.

    Args:
        execution: where and how.
        accelerators: how many of this machine runs are trained on; 0 where they are trained on its processor.

    Raises:
        InputError: as `opened`.
    """
    if execution.workers is not None:
        return execution.workers
    engine = opened(execution)
    try:
        return engine.default_workers(accelerators=accelerators)
    finally:
        engine.close()
