"""From a network and its inputs to a trace."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

from archlab.errors import InputError, nearest
from archlab.records import Trace, Value
from archlab.tracing.failure import forward_error
from archlab.tracing.inputs import Arguments, arguments, with_values
from archlab.tracing.isolation import isolated
from archlab.tracing.leaves import convert, dtype_name, shape_of, tensors
from archlab.tracing.rows import Rows, mark, states_of
from archlab.tracing.tracer import DataDependentError, Tracer

if TYPE_CHECKING:
    from archlab.networks import Source

COLUMNS = ("saved", "receptive-field", "source")
"""Measurements that cost extra, and are only made when asked for."""


def trace(
    network: str | nn.Module,
    inputs: object = None,
    *,
    batch: int | None = None,
    columns: Iterable[str] = (),
    strict: bool = False,
    **options: Value,
) -> Trace:
    """The measured layers of a network: shapes, parameters, cost, as a tree, with totals.

    Nothing is computed: the network runs once on tensors without values. A network that was given is left as it was
    found (parameters, buffers, modes, hooks, random states), also after an exception; one that is named is built
    without weights, and traced in evaluation mode. Only where a network asks for a tensor's values (`.item()`, a
    branch on a sum) is the arithmetic real, on the CPU, and the trace's notes say so.

    Args:
        network: a source (`densenet`, `torchvision:resnet50`), or any module, traced in the mode that it is in.
        inputs: shapes or tensors, as a list in the order of the arguments or a dict of keywords; nested containers are
            kept. A string is a spec as on the command line (`96`, `3x224x224`, `ids=1x128:int64`). None for the size
            that the source was made for.
        batch: replaces the first size of every shape.
        columns: what to measure beside the usual, of `saved`, `receptive-field` and `source`.
        strict: whether an operation without a known cost is an error.
        options: what to build the network with, where it is a source.

    Raises:
        InputError: the source, an option or an input is wrong.
        ForwardError: the network doesn't take these inputs; the error holds the layers up to there.

    >>> trace("lenet").totals.parameters
    44878
    """
    wanted = frozenset(columns)
    for column in wanted:
        if column not in COLUMNS:
            raise InputError(f"there is no column {column!r} to measure: {nearest(column, COLUMNS)}")
    if isinstance(network, nn.Module):
        if options:
            raise InputError(f"options ({', '.join(options)}) belong to a source, and the network is built already")
        given = arguments(inputs, network, (), batch)
        return Measurement(network, type(network).__name__, given).trace()
    from archlab.networks import resolve

    source = resolve(network, options)
    built = source.build("meta").eval()
    given = arguments(inputs, built, source.input_shapes, batch)
    return Measurement(built, source.name, given, source=source).trace()


class _BrokenError(Exception):
    """The network raised an exception while it was traced."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer


class Measurement:
    """One network on one set of inputs."""

    def __init__(self, network: nn.Module, name: str, given: Arguments, source: Source | None = None) -> None:
        self.network = network
        self.name = name
        self.given = given
        self.source = source
        """Where the network comes from, if it was built for this trace and may be changed."""
        self.notes: list[str] = list(source.notes) if source is not None else []

    def trace(self) -> Trace:
        """The trace: by formulas, else as operations are dispatched, else with real arithmetic."""
        try:
            return self._run(quick=True)
        except DataDependentError as reason:
            return self._real(reason)
        except _BrokenError:  # a shape that a formula let through or refused: torch itself decides
            pass
        try:
            return self._run(quick=False)
        except DataDependentError as reason:
            return self._real(reason)
        except _BrokenError as broken:
            raise forward_error(self.name, broken.tracer) from broken.__cause__

    def _real(self, reason: DataDependentError) -> Trace:
        self.notes.append(f"Run with real arithmetic on the CPU: {reason}.")
        if self.source is not None:
            self.network = self.source.build("cpu").eval()
        try:
            return self._run(quick=False, real=True)
        except _BrokenError as broken:
            raise forward_error(self.name, broken.tracer) from broken.__cause__

    def _run(self, *, quick: bool, real: bool = False) -> Trace:
        context = nullcontext() if self.source is not None else isolated(self.network, real=real)
        args, kwargs = given = with_values(self.given) if real else convert(self.given, torch.Tensor.detach)
        entries = tensors(given)
        inputs = tuple(shape_of(tensor) for tensor in entries)
        dtypes = tuple(dtype_name(tensor) for tensor in entries)
        with context, torch.no_grad():
            states = states_of(self.network)
            mark(states)
            tracer = Tracer(self.network, quick=quick, real=real)
            try:
                tracer.run(args, kwargs)
            except DataDependentError:
                raise
            except Exception as error:
                raise _BrokenError(tracer) from error
            rows = Rows(tracer, states)
            layers = rows.layers()
            totals = rows.totals()
        return Trace(
            network=self.name,
            inputs=inputs,
            layers=layers,
            totals=totals,
            options={name: str(value) for name, value in self.source.options.items()} if self.source else {},
            notes=tuple(self.notes),
            input_names=tuple(kwargs),
            input_dtypes=dtypes,
        )
