"""Runs as TensorBoard's event files, written by the package tensorboard alone, without TensorFlow or torch."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from archlab.errors import InputError
from archlab.exporting.history import History

STEP_GROUP = "batch"
"""What scalars by step are called, beside those by epoch: `batch/train_loss` and `train_loss`."""
TENSORBOARD_STATUSES = {
    "finished": "STATUS_SUCCESS",
    "diverged": "STATUS_FAILURE",
    "failed": "STATUS_FAILURE",
    "running": "STATUS_RUNNING",
}


def write_tensorboard(histories: Iterable[History], folder: Path, target: Path) -> None:
    """Write one folder per run: scalars by step, settings for the tab HParams, tags as text.

    Raises:
        InputError: tensorboard is not installed.
    """
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise InputError(
            "TensorBoard's files need tensorboard, which is not installed: pip install 'archlab[tensorboard]'"
        ) from error
    for one in histories:
        writer = EventFileWriter(str(folder / one.key))
        try:
            for event in _events(one):
                writer.add_event(event)
        finally:
            writer.close()


def _events(one: History) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, summary_v2
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    settings = {name: value for name, value in one.parameters.items() if value is not None}
    settings |= {name: one.tags[name] for name in ("network", "variant", "dataset")}
    started = one.started
    yield Event(
        wall_time=started, summary=summary_v2.hparams_pb(settings, trial_id=one.key, start_time_secs=started or 1.0)
    )
    lines = "\n".join(f"{name}: {value}" for name, value in one.tags.items() if value)
    text = textwrap.indent(lines, "    ", lambda line: True)  # indented: Markdown's code
    tags = Summary.Value(
        tag="tags",
        metadata=create_summary_metadata("Tags", "What the run is"),
        tensor=make_tensor_proto([text], dtype="string"),
    )
    yield Event(wall_time=started, summary=Summary(value=[tags]))
    for (step, after), every in groupby(one.by_step(f"{STEP_GROUP}/"), lambda found: (found[1], found[3])):
        scalars = [Summary.Value(tag=name, simple_value=value) for name, _, value, _ in every]
        yield Event(wall_time=started + after, step=step, summary=Summary(value=scalars))
    for epoch in one.epochs:
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in one.metrics(epoch).items()]
        yield Event(wall_time=started + epoch.seconds, step=epoch.step, summary=Summary(value=scalars))
    end = SessionEndInfo(
        status=api_pb2.Status.Value(TENSORBOARD_STATUSES.get(one.tags["status"], "STATUS_UNKNOWN")),
        end_time_secs=started + (one.epochs[-1].seconds if one.epochs else 0.0),
    )
    yield Event(wall_time=started, summary=_session_end(HParamsPluginData(session_end_info=end)))


def _session_end(data: Any) -> Any:
    """How the tab HParams is told that a run has ended."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams import metadata

    content = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString())
    )
    value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=content, tensor=metadata.NULL_TENSOR)
    return Summary(value=[value])
