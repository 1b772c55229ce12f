"""From a network and its inputs to a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import nn

from archlab.errors import ForwardError, InputError, UncountedError, cut, nearest
from archlab.networks.members import parameters, refuse_unsound, set_training
from archlab.networks.strangers import EndedError, contained, left_as_found, settings_kept, telling
from archlab.records import Trace, Value
from archlab.tracing.forward import location
from archlab.tracing.forward.attempt import Attempt, refuses
from archlab.tracing.forward.available import check_memory, free_for
from archlab.tracing.forward.call_tree import Call, CallTree
from archlab.tracing.forward.compilation import uncompiled
from archlab.tracing.forward.listener import DataDependentError
from archlab.tracing.forward.module_tree import ModuleTree, unwrapped
from archlab.tracing.forward.rows import Rows
from archlab.tracing.forward.saved import SavedBytes
from archlab.tracing.forward.tracer import Tracer
from archlab.tracing.inputs import (
    Arguments,
    arguments,
    parameters_text,
    with_assumed_values,
    with_known_values,
    with_values,
)
from archlab.tracing.isolation import isolated
from archlab.tracing.isolation.collection import without_collection
from archlab.tracing.pytree import convert, dtype_name, shape_of, tensors
from archlab.tracing.quick.shape_function import MismatchError, ShapeFunctionError

if TYPE_CHECKING:
    from archlab.networks import Source
    from archlab.tracing.forward.gradients import Gradients

Network: TypeAlias = "str | Source | nn.Module | Callable[..., nn.Module]"
"""What is measured: a source or its name, a module, or a class or function that gives one."""
COLUMNS = ("saved", "backward", "recomputed", "receptive-field", "source")
"""Measurements that cost extra, and are only made when asked for."""
_OF_A_RUN = frozenset(COLUMNS) - {"source"}
"""Those for which every operation runs, and no shape function stands for it."""
_OF_A_STEP = frozenset(["backward", "recomputed"])
"""Those for which a backward pass runs too."""


def trace(
    network: Network,
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
            options that are named like an argument here), a class or function that gives a module, or any module,
            traced in the mode that it is in. A path that ends in `.onnx` is read by `archlab.onnx.trace`.
        inputs: shapes or tensors, as a list in the order of the arguments or a dict of keywords; nested containers are
            kept. A string is a text as on the command line (`96`, `3x224x224`, `ids=1x128:int64=randint(0,1000)`).
            Numbers, booleans and None are handed over as they are, and whatever is in `archlab.tracing.AsIs`. None for
            the size that the source was made for, an empty list for no input.
        batch: replaces the first size of every shape.
        columns: what to measure beside the usual, of `saved`, `backward`, `recomputed`,
            `receptive-field` and `source`.
        strict: whether an operation without a known cost is an error.
        options: what to build the network with, unless it is a module; `bn="off"` as on the command line.

    Raises:
        InputError: the source, an option or an input is wrong.
        ForwardError: the network doesn't take these inputs; the error holds the layers up to there.
        UncountedError: `strict`, and the cost of an operation isn't known.

    >>> trace("lenet").totals.parameters
    44878
    """
    if isinstance(network, str) and network.lower().endswith(".onnx"):
        from archlab.onnx import trace as trace_graph

        return trace_graph(network, inputs, batch=batch, columns=columns, strict=strict, options=options)
    name = cut(network) if isinstance(network, str) else "the network"
    with (
        left_as_found(),
        settings_kept(),
        without_collection(),
        telling(f"{name} can't be traced", ShapeFunctionError),
    ):
        found = _traced(network, inputs, batch, options, frozenset(columns))
    if strict and found.totals.uncounted_operations:
        raise UncountedError(found)
    return found


def _traced(
    network: Network,
    inputs: object,
    batch: int | None,
    options: Mapping[str, Value],
    columns: frozenset[str],
) -> Trace:
    """The trace; without what autograd saves, and with a note, where the network only runs without gradients."""
    needs = columns & {"saved"} if columns.isdisjoint(_OF_A_STEP) else ()
    try:
        return prepare(network, inputs, batch, options, columns).trace()
    except ForwardError as error:
        if not needs:
            raise
        try:
            found = prepare(network, inputs, batch, options, columns.difference(needs)).trace()
        except ForwardError:
            raise error from error.__cause__
        note = f"Without {', '.join(needs)}: it doesn't run with gradients ({error})."
        return replace(found, notes=(*found.notes, note))


def prepare(
    network: Network,
    inputs: object,
    batch: int | None,
    options: Mapping[str, Value],
    columns: Iterable[str] = (),
) -> Measurement:
    """What `trace` measures, ready to run. Arguments and errors are those of `trace`."""
    wanted = frozenset(columns)
    if unknown := sorted(wanted.difference(COLUMNS)):
        raise InputError(f"there is no column {unknown[0]!r} to measure: {nearest(unknown[0], COLUMNS)}")
    source, built = found_network(network, options)
    if source is None:
        return Measurement(built, type(built).__name__, arguments(inputs, built, (), batch), columns=wanted)
    found = given(source, set_training(built, False), inputs, batch)
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


def found_network(network: Network, options: Mapping[str, Value]) -> tuple[Source | None, nn.Module]:
    """Where a network comes from, None for a module; and the network itself, without weights if it is built for this.

    Raises:
        InputError: it is neither a source nor a module, or the options are not for it.
    """
    from archlab.networks.given import source_of

    if isinstance(network, nn.Module) and not options:
        refuse_unsound(network)
        return None, unwrapped(network)
    source = source_of(network, options)  # a module with options is refused there
    return source, unwrapped(source.build("meta"))


Values = Literal["known", "assumed", "all"]
_FILLED: dict[Values, Callable[[Arguments], Arguments]] = {
    "known": with_known_values,
    "assumed": with_assumed_values,
    "all": with_values,
}


class _BrokenError(Exception):
    """The network raised an exception while it was traced; the message says where."""

    def __init__(self, failed: Call, trace: Trace, attempt: Attempt | None) -> None:
        super().__init__()
        self.failed = failed
        self.trace = trace
        self.attempt = attempt

    def __str__(self) -> str:
        where = self.failed.path or "the network"
        line = location.first_line(self.__cause__ or self)
        return f"{where} fails without values ({line if len(line) <= 120 else f'{line[:117]}...'})"


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
        """The trace, by the first way that the network lets be gone: each computes more than the one before.

        1. Shape functions stand for operations; only what is made of numbers alone (masks, lengths, positions) has
           values.
        2. Operations are dispatched on tensors without values.
        3. The inputs get values too, which are made up where none are given.
        4. All has values: real arithmetic on the CPU, if there is memory for it.

        Raises:
            ForwardError: the network doesn't take its inputs.
        """
        first = self._failure("known")
        if isinstance(first, Trace):
            return first
        if self._has_more_values():
            second = self._failure("assumed")
            if isinstance(second, Trace):
                return second
        if isinstance(first, _BrokenError) and not free_for(self.network, first.trace):
            raise self._error(first) from first.__cause__
        check_memory(self.network, self.name, str(first))
        self.notes.append(f"Run with real arithmetic on the CPU, since {first}.")
        if self.source is not None and not self.source.has_weights:
            self.network = set_training(unwrapped(self.source.build("cpu")), False)
        try:
            return self.run("all")
        except _BrokenError as last:
            # What got further says more, and the first says it first.
            if isinstance(first, _BrokenError) and len(first.trace.layers) >= len(last.trace.layers):
                last = first
            raise self._error(last) from last.__cause__

    def _failure(self, values: Values) -> Trace | DataDependentError | _BrokenError:
        """The trace without arithmetic, or why there is none.

        Raises:
            ForwardError: what fails would fail with values too.
        """
        try:
            if self.columns.isdisjoint(_OF_A_RUN):
                try:
                    return self.run(values, quick=True)
                except _BrokenError as broken:
                    if isinstance(
                        broken.__cause__, (MismatchError, NotImplementedError, EndedError)
                    ):  # so would the next way
                        raise
                    # A shape function may have given a tensor other strides than torch: torch itself decides.
            return self.run(values)
        except DataDependentError as reason:
            return reason
        except _BrokenError as broken:
            final = (MismatchError, RecursionError, EndedError)
            if isinstance(broken.__cause__, final) or refuses(broken.attempt):
                raise self._error(broken) from broken.__cause__
            return broken

    def _has_more_values(self) -> bool:
        """Whether some input could have values beside those of integers and booleans that are given."""
        return any(tensor.is_meta != tensor.is_floating_point() for tensor in tensors(self.given))

    def run(self, values: Values, *, quick: bool = False) -> Trace:
        """One run, one way.

        Args:
            values: what has values: `known` for what is made of numbers alone, `assumed` for all inputs too, `all`.
            quick: whether shape functions stand for operations on tensors without values.

        Raises:
            DataDependentError: the network needs arithmetic.
            ShapeFunctionError: a shape function fails at a call that torch accepts.
            _BrokenError: the network raised an exception.
        """
        real = values == "all"
        args, kwargs = given = _FILLED[values](self.given)
        locate = location.of_call if "source" in self.columns else None
        saves, sees = "saved" in self.columns, "receptive-field" in self.columns
        steps = not self.columns.isdisjoint(_OF_A_STEP)
        with (
            self._left_alone(real),
            uncompiled(),
            torch.inference_mode(False),
            torch.set_grad_enabled(saves or steps),
        ):
            modules = ModuleTree(self.network)
            modules.mark()
            tree = CallTree(quick=quick, real=real, locate=locate, saves=saves)
            gradients = _gradients(tree, modules) if steps else None
            try:
                saving = SavedBytes(tree, parameters(self.network)) if saves else nullcontext()
                with contained():
                    with saving, gradients or nullcontext(), _receptive_fields(given) if sees else nullcontext():
                        out = Tracer(modules, tree).run(args, kwargs)
                    if gradients is not None:
                        gradients.run(out)
            except (DataDependentError, ForwardError, ShapeFunctionError):
                raise
            except KeyboardInterrupt as error:
                if tree.failed is not None:
                    error.args = (f"in {tree.failed.path or 'the network'} ({tree.failed.kind}) of {self.name}",)
                raise
            except Exception as error:
                failed = tree.failed or Call(None, "", type(self.network).__name__)
                raise _BrokenError(failed, self._trace(Rows(modules, tree), given), tree.attempt) from error
            finally:
                modules.unmark()
            found = self._trace(Rows(modules, tree), given)
            tree.release()
            return found

    def _left_alone(self, real: bool) -> AbstractContextManager[object]:
        """A context that leaves the network as it is; nothing, if it was built for this trace and has no values."""
        if self.source is not None and all(parameter.is_meta != real for parameter in parameters(self.network)):
            return nullcontext()
        return isolated(self.network, device="cpu" if real else "meta", values=real, keeps_integers=not real)

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

        cause, source = broken.__cause__ or broken, self.source
        # Code of the user's own can be changed.
        is_theirs = source is None or not (source.is_builtin or self.name.startswith(("torchvision:", "timm:", "hf:")))
        return forward_error(broken.failed, broken.trace, cause, self._sizes(), is_theirs=is_theirs)

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
                Measurement(self.network, self.name, given, source=self.source).run("known", quick=True)
            except (_BrokenError, DataDependentError):
                return False
            return True

        given = shape[-1] if len(set(shape[-axes:])) == 1 else 0
        return sizes_that_fit(self.name, takes, default, given, axes)


def _receptive_fields(given: Arguments) -> AbstractContextManager[object]:
    from archlab.tracing.receptive.fields import ReceptiveFields

    return ReceptiveFields(tensors(given))


def _gradients(tree: CallTree, modules: ModuleTree) -> Gradients:
    from archlab.tracing.forward.gradients import Gradients

    return Gradients(tree, modules)
