"""Runs as an MLflow database: one SQLite file, since MLflow no longer takes folders of files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from archlab.errors import InputError
from archlab.exporting.history import History

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE_FILE = "mlflow.db"
METRICS_PER_CALL = 1000
"""MLflow takes no more."""
TELEMETRY = "MLFLOW_DISABLE_TELEMETRY"
"""The environment variable that MLflow reads when it is imported."""
MLFLOW_STATUSES = {"finished": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "interrupted": "KILLED"}
"""MLflow knows no diverged runs; the tag `status` tells them apart."""


def write_mlflow(histories: Iterable[History], folder: Path, target: Path) -> None:
    """Write `mlflow.db`, with one experiment per network and data set.

    `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` shows it.

    Raises:
        InputError: MLflow, or what it needs for a database, is not installed.
    """
    with _without_telemetry():
        try:
            import alembic  # noqa: F401
            import sqlalchemy  # noqa: F401
            from mlflow import MlflowClient
        except ImportError as error:
            raise InputError(
                f"MLflow's database needs {error.name}, which is not installed: pip install 'archlab[mlflow]'"
            ) from error
        with _quiet():
            client = MlflowClient(tracking_uri=f"sqlite:///{(folder / DATABASE_FILE).resolve()}")
            experiments: dict[str, str] = {}
            for one in histories:
                name = f"{one.tags['network']} on {one.tags['dataset']}"
                if name not in experiments:
                    # The folder is renamed when it is whole: what is named in it must lie where it will be.
                    artifacts = (target.resolve() / "artifacts" / str(len(experiments))).as_uri()
                    experiments[name] = client.create_experiment(name, artifact_location=artifacts)
                _add(client, experiments[name], one)


def _add(client: MlflowClient, experiment: str, one: History) -> None:
    from mlflow.entities import Metric, Param

    started = round(1000 * one.started)
    tags = {name: value for name, value in one.tags.items() if value}
    run = client.create_run(experiment, start_time=started, run_name=one.key, tags=tags).info.run_id
    parameters = {name: value for name, value in one.parameters.items() if value is not None}
    client.log_batch(run, params=[Param(name, str(value)) for name, value in parameters.items()])
    metrics = [
        Metric(name, value, started + round(1000 * epoch.seconds), epoch.step)
        for epoch in one.epochs
        for name, value in one.metrics(epoch).items()
    ]
    metrics += [
        Metric(name, value, started + round(1000 * after), step) for name, step, value, after in one.by_step("batch.")
    ]
    for start in range(0, len(metrics), METRICS_PER_CALL):
        client.log_batch(run, metrics=metrics[start : start + METRICS_PER_CALL])
    ended = started + round(1000 * one.epochs[-1].seconds) if one.epochs else started
    if one.tags["status"] in MLFLOW_STATUSES:
        client.set_terminated(run, MLFLOW_STATUSES[one.tags["status"]], end_time=ended)


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """A context in which MLflow, if it is imported in it, sends no telemetry."""
    setting = os.environ.get(TELEMETRY)
    os.environ.setdefault(TELEMETRY, "true")
    try:
        yield
    finally:
        if setting is None:
            del os.environ[TELEMETRY]


@contextmanager
def _quiet() -> Iterator[None]:
    """A context without MLflow's notes on the tables that it makes."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
