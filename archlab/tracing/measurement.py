"""From a network and its inputs to a trace."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

from archlab.errors import ForwardError, InputError, UncountedError, nearest
from archlab.records import Trace, Value
from archlab.tracing.forward import location
from archlab.tracing.forward.call_tree import Call, CallTree
from archlab.tracing.forward.listener import DataDependentError
from archlab.tracing.forward.module_tree import ModuleTree
from archlab.tracing.forward.rows import Rows
from archlab.tracing.forward.saved import SavedBytes
from archlab.tracing.forward.tracer import Tracer
from archlab.tracing.inputs import Arguments, arguments, parameters_text, with_values, without_values
from archlab.tracing.isolation import isolated
from archlab.tracing.pytree import convert, dtype_name, shape_of, tensors
from archlab.tracing.quick.shape_function import MismatchError, ShapeFunctionError

if TYPE_CHECKING:
    from archlab.networks import Source

COLUMNS = ("saved", "receptive-field", "source")
"""Measurements that cost extra, and are only made when asked for."""


def trace(
    network: str | Source | nn.Module,
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
        network: a source (`densenet`, `torchvision:resnet50`, or what `archlab.networks.resolve` makes of one and of
            options that are named like an argument here), or any module, traced in the mode that it is in.
        inputs: shapes or tensors, as a list in the order of the arguments or a dict of keywords; nested containers are
            kept. A string is a text as on the command line (`96`, `3x224x224`, `ids=1x128:int64=randint(0,1000)`).
            Numbers, booleans and None are handed over as they are, and whatever is in `archlab.tracing.AsIs`. None for
            the size that the source was made for, an empty list for no input.
        batch: replaces the first size of every shape.
        columns: what to measure beside the usual, of `saved`, `receptive-field` and `source`.
        strict: whether an operation without a known cost is an error.
        options: what to build the network with, where it is a source's name.

    Raises:
        InputError: the source, an option or an input is wrong.
        ForwardError: the network doesn't take these inputs; the error holds the layers up to there.
        UncountedError: `strict`, and the cost of an operation isn't known.

    >>> trace("lenet").totals.parameters
    44878
    """
    with _without_collection():
        found = prepare(network, inputs, batch, options, columns).trace()
    if strict and found.totals.uncounted_operations:
        raise UncountedError(found)
    return found


@contextmanager
def _without_collection() -> Iterator[None]:
    """A context in which Python looks for no garbage: among torch's objects that takes as long as half a trace."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def prepare(
    network: str | Source | nn.Module,
    inputs: object,
    batch: int | None,
    options: Mapping[str, Value],
    columns: Iterable[str] = (),
) -> Measurement:
    """What `trace` measures, ready to run. Arguments and errors are those of `trace`."""
    wanted = frozenset(columns)
    for column in wanted:
        if column not in COLUMNS:
            raise InputError(f"there is no column {column!r} to measure: {nearest(column, COLUMNS)}")
    source, built = found_network(network, options)
    if source is None:
        return Measurement(built, type(built).__name__, arguments(inputs, built, (), batch), columns=wanted)
    found = given(source, built.eval(), inputs, batch)
    measurement = Measurement(built, source.name, found, columns=wanted, source=source)
    if inputs is None and source.make_inputs is not None:
        measurement.advice = (
            f"the inputs were made from the config alone; {type(built).__name__} takes ({parameters_text(built)}): "
            "give each yourself, as in --input NAME=1x128:int64"
        )
    return measurement


def given(source: Source, network: nn.Module, inputs: object, batch: int | None) -> Arguments:
    """The arguments of a source's network: of the inputs that were given, else of those that the source knows."""
    if inputs is None and source.make_inputs is not None:
        return arguments(source.make_inputs(network, batch), network, (), None)
    return arguments(inputs, network, source.input_shapes, batch)


def found_network(network: str | Source | nn.Module, options: Mapping[str, Value]) -> tuple[Source | None, nn.Module]:
    """Where a network comes from, None for a module; and the network itself, without weights if it is built for this.

    Raises:
        InputError: it is neither a source nor a module, or the options are not for it.
    """
    if isinstance(network, nn.Module):
        if options:
            raise InputError(f"options ({', '.join(options)}) belong to a source, and the network is built already")
        return None, unwrapped(network)
    from archlab.networks import Source, resolve

    if isinstance(network, str):
        network = resolve(network, options)
    elif not isinstance(network, Source):
        kind = type(network).__name__
        raise InputError(f"the network is a {kind}, expected a source (a string) or a torch.nn.Module")
    elif options:
        raise InputError(
            f"options ({', '.join(options)}) were given with a source that is resolved: resolve it with them"
        )
    return network, unwrapped(network.build("meta"))


class _BrokenError(Exception):
    """The network raised an exception while it was traced."""

    def __init__(self, failed: Call, trace: Trace) -> None:
        super().__init__()
        self.failed = failed
        self.trace = trace


class Measurement:
    """One network on one set of inputs."""

    def __init__(
        self,
        network: nn.Module,
        name: str,
        given: Arguments,
        *,
        columns: frozenset[str] = frozenset(),
        source: Source | None = None,
    ) -> None:
        self.network = network
        self.name = name
        self.given = given
        self.columns = columns
        self.source = source
        """Where the network comes from, if it was built for this trace."""
        self.notes: list[str] = list(source.notes) if source is not None else []
        self.advice = ""
        """What to do where the network doesn't take its inputs, if nobody chose them."""

    def trace(self) -> Trace:
        """The trace: by shape functions, else as operations are dispatched, else with real arithmetic.

        Raises:
            ForwardError: the network doesn't take its inputs.
        """
        try:
            if self.columns.isdisjoint(("saved", "receptive-field")):
                try:
                    return self.run(quick=True)
                except _BrokenError as broken:
                    if isinstance(broken.__cause__, MismatchError):
                        raise
                    # A shape function may have given a tensor other strides than torch: torch itself decides.
            return self.run(quick=False)
        except DataDependentError as reason:
            failure: _BrokenError | DataDependentError = reason
        except _BrokenError as broken:
            raise self._error(broken) from broken.__cause__
        self.notes.append(f"Run with real arithmetic on the CPU, since {failure}.")
        check_memory(self.network, self.name, str(failure))
        if self.source is not None and not self.source.has_weights:
            self.network = unwrapped(self.source.build("cpu").eval())
        try:
            return self.run(quick=False, real=True)
        except _BrokenError as broken:
            raise self._error(broken) from broken.__cause__

    def run(self, *, quick: bool, real: bool = False) -> Trace:
        """One run, one way.

        Raises:
            DataDependentError: the network needs arithmetic.
            ShapeFunctionError: a shape function fails at a call that torch accepts.
            _BrokenError: the network raised an exception.
        """
        args, kwargs = given = with_values(self.given) if real else without_values(self.given)
        locate = location.of_call if "source" in self.columns else None
        saves, sees = "saved" in self.columns, "receptive-field" in self.columns
        with (
            self._left_alone(real),
            _uncompiled(),
            torch.inference_mode(False),
            torch.set_grad_enabled(saves),
        ):
            modules = ModuleTree(self.network)
            modules.mark()
            tree = CallTree(quick=quick, real=real, locate=locate, saves=saves)
            try:
                saving = SavedBytes(tree, nn.Module.parameters(self.network)) if saves else nullcontext()
                with saving, _receptive_fields(given) if sees else nullcontext():
                    Tracer(modules, tree).run(args, kwargs)
            except (DataDependentError, ShapeFunctionError):
                raise
            except Exception as error:
                failed = tree.failed or Call(None, "", type(self.network).__name__)
                raise _BrokenError(failed, self._trace(Rows(modules, tree), given)) from error
            finally:
                modules.unmark()
            return self._trace(Rows(modules, tree), given)

    def _left_alone(self, real: bool) -> AbstractContextManager[object]:
        """A context that leaves the network as it is; nothing, if it was built for this trace and has no values."""
        if self.source is not None and all(
            parameter.is_meta != real for parameter in nn.Module.parameters(self.network)
        ):
            return nullcontext()
        return isolated(self.network, device="cpu" if real else "meta", values=real)

    def _trace(self, rows: Rows, given: Arguments) -> Trace:
        entries = tensors(given)
        return Trace(
            network=self.name,
            inputs=tuple(shape_of(tensor) for tensor in entries),
            layers=rows.layers(),
            totals=rows.totals(),
            options={name: str(value) for name, value in self.source.options.items()} if self.source else {},
            notes=(*self.notes, *rows.tree.notes, *rows.notes),
            input_names=tuple(name for name, value in given[1].items() for _ in tensors(value)),
            input_dtypes=tuple(dtype_name(tensor) for tensor in entries),
        )

    def _error(self, broken: _BrokenError) -> ForwardError:
        """What the user is told: where, what and why, and the sizes that would fit."""
        from archlab.tracing.failure.description import forward_error

        cause = broken.__cause__ or broken
        return forward_error(broken.failed, broken.trace, cause, self._sizes(), is_theirs=self._is_theirs())

    def _is_theirs(self) -> bool:
        """Whether the network's code is the user's own, to be changed."""
        return self.source is None or not (
            self.source.is_builtin or self.name.startswith(("torchvision:", "timm:", "hf:"))
        )

    def _sizes(self) -> str:
        """A sentence about the input sizes that the network takes, if it takes one picture, signal or volume."""
        from archlab.tracing.failure.sizes import sizes_that_fit

        entries = tensors(self.given)
        if self.advice or len(entries) != 1 or entries[0].dim() < 3 or not entries[0].is_floating_point():
            return self.advice
        shape = shape_of(entries[0])
        axes = min(2, len(shape) - 2)
        default = self.source.input_shapes[0][-axes:] if self.source and self.source.input_shapes else ()

        def takes(size: int) -> bool:
            changed = torch.empty((*shape[:-axes], *(size,) * axes), dtype=entries[0].dtype, device="meta")
            given: Arguments = convert(self.given, lambda tensor: changed)
            try:
                Measurement(self.network, self.name, given, source=self.source).run(quick=True)
            except (_BrokenError, DataDependentError):
                return False
            return True

        given = shape[-1] if len(set(shape[-axes:])) == 1 else 0
        return sizes_that_fit(self.name, takes, default, given, axes)


def _uncompiled() -> AbstractContextManager[object]:
    """A context in which compiled functions and modules run as they were written."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()  # nothing can have been compiled
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _receptive_fields(given: Arguments) -> AbstractContextManager[object]:
    from archlab.tracing.receptive.fields import ReceptiveFields

    return ReceptiveFields(tensors(given))


def unwrapped(network: nn.Module) -> nn.Module:
    """The module that a compiled or data-parallel one wraps."""
    while type(network).__name__ in _WRAPPERS:
        inner = getattr(network, _WRAPPERS[type(network).__name__], None)
        if not isinstance(inner, nn.Module):
            break
        network = inner
    return network


_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}


def check_memory(network: nn.Module, name: str, reason: str) -> None:
    """Hold that the parameters fit into the memory that is free.

    Raises:
        ForwardError: they do not.
    """
    needed = sum(parameter.numel() * parameter.element_size() for parameter in nn.Module.parameters(network))
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else needed
    if needed > free:
        raise ForwardError(
            f"{name} can't be traced without arithmetic, since {reason}, and its {needed / 1e9:.1f} GB of parameters "
            f"don't fit into the {free / 1e9:.1f} GB of memory that are free"
        )
