"""What a network is: shapes, parameters, cost and memory, layer by layer."""

from archlab.tracing import aten as aten  # registers the costs of torch's own operations
from archlab.tracing import recurrent as recurrent  # registers the handlers of recurrent layers
from archlab.tracing.costs import register_cost
from archlab.tracing.fits import fits
from archlab.tracing.formulas import Cost
from archlab.tracing.measurement import trace
from archlab.tracing.verify import verify

__all__ = ["Cost", "fits", "register_cost", "trace", "verify"]
