"""Says where and why a forward pass failed."""

from __future__ import annotations

from archlab.errors import ForwardError
from archlab.records import Failure
from archlab.tracing.inputs import text
from archlab.tracing.tracer import Tracer


def forward_error(network: str, tracer: Tracer) -> ForwardError:
    """The error that names the layer which a run ended at, what it got and what it expected."""
    assert tracer.failed is not None
    node, error = tracer.failed
    got = ", ".join(map(text, node.inputs))
    failure = Failure(node.path, node.kind, "", got, "", "", str(error))
    return ForwardError(
        f"{network} fails at {node.path or 'the network itself'} ({node.kind}, got {got}): {error}", failure
    )
