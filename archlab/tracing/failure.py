"""Says where and why a forward pass failed."""

from __future__ import annotations

from dataclasses import replace

from archlab.errors import ForwardError
from archlab.records import Failure, Trace
from archlab.tracing import location
from archlab.tracing.inputs import text
from archlab.tracing.tracer import Tracer


def forward_error(tracer: Tracer, trace: Trace) -> ForwardError:
    """The error that names the layer which a run ended at, what it got and what it expected."""
    assert tracer.failed is not None
    node, error = tracer.failed
    got = ", ".join(map(text, node.inputs))
    failure = Failure(node.path, node.kind, location.of_error(error), got, "", "", str(error))
    message = f"{trace.network} fails at {node.path or 'the network itself'} ({node.kind}, got {got}): {error}"
    return ForwardError(message, failure, replace(trace, failure=failure))
