"""Hears torch's functions while a network runs, and files those that are operations in the tree of calls."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from archlab.tracing.forward.attempt import Attempt
from archlab.tracing.forward.call_tree import Call, CallTree, UnheardError, is_under_vmap
from archlab.tracing.forward.constants import base_of, is_stale, move_constant, write_through, written_tensors
from archlab.tracing.forward.dispatch import Dispatched
from archlab.tracing.forward.formulas import result_of
from archlab.tracing.forward.grouped import grouped_product
from archlab.tracing.forward.higher_order import where_nobody_listens, written_in_python
from archlab.tracing.forward.module_tree import State, stray
from archlab.tracing.forward.operations import Operation, Role, detail, opened, operation
from archlab.tracing.forward.placement import CPU, converted, is_too_large, new_tensor_on, on_meta, shape_by_values
from archlab.tracing.forward.repeated import Signature, remember, repeat, signature
from archlab.tracing.forward.saved import fused_attention
from archlab.tracing.forward.windows import operation_window
from archlab.tracing.pytree import convert, shape_of, tensors, version
from archlab.tracing.quick.layers import VARYING_FUNCTIONS


class DataDependentError(Exception):
    """The network asks for the values of a tensor that has none; the message says how."""


class Listener(TorchFunctionMode):
    """A context in which every function of torch's passes by here.

    Operations on data become rows. Views of parameters don't: whoever takes the view takes the parameter. What is
    computed from constants and buffers alone (a mask, a grid of positions) has no row either, unless it has MACs.
    """

    def __init__(self, tree: CallTree) -> None:
        super().__init__()
        self.tree = tree
        self._inner: Dispatched | None = None

    def __enter__(self) -> Listener:
        """Also hears what is dispatched, unless shape functions stand for running."""
        if not self.tree.quick and self.tree.dispatched is None:
            self._inner = self.tree.dispatched = Dispatched(self.tree)
            self._inner.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        """Raises `UnheardError` again, which the network may have caught, or a jitted function made another of."""
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        if self._inner is not None:
            self.tree.dispatched = None
            self._inner.__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        if self.tree.has_unheard:
            raise UnheardError from error  # whatever has become of it on the way

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs a function, or what stands for it; the mode is off meanwhile."""
        known = operation(func)
        if known.role is Role.QUERY or self.tree.parent is None:
            return func(*args, **(kwargs or {}))
        kwargs = kwargs or {}
        signed = signature(func, args, kwargs) if self.tree.quick and known.repeats else None
        if signed is not None:
            before = self.tree.repeated.get(signed[0])
            if before is not None and not _is_in_kernel(sys._getframe(1)):
                out = repeat(self.tree, known, before, signed[1], lambda: result_of(known, func, args, kwargs))
                if out is not None:
                    return out
        return self._hear(known, func, args, kwargs, signed)

    def _hear(
        self,
        known: Operation,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        signed: tuple[Signature, list[Tensor]] | None,
    ) -> Any:
        role = known.role
        if role is Role.COMPOSITE:
            with Listener(self.tree):
                return opened(function)(*args, **kwargs)
        if role is Role.HIGHER_ORDER and (in_python := written_in_python(known.name)) is not None:
            with Listener(self.tree):
                return in_python(*args, **kwargs)
        if known.name in ("eq", "ne") and args[-1] is None:
            if function in _BY_IDENTITY:  # `x == None`, which torch leaves to Python by an exception
                return known.name == "ne"
            return function(*args, **kwargs)
        if role is Role.DEVICE:
            is_asked_by_torch = not args[0].is_meta or _is_in_kernel(sys._getframe(2))
            return function(*args) if is_asked_by_torch else CPU
        if self.tree.quick and _is_in_kernel(sys._getframe(2)):
            self.tree.has_unheard = True
            raise UnheardError
        given = signed[1] if signed is not None else tensors((args, kwargs))
        origins: dict[int, None] = {}
        states: dict[State, None] = {}
        mixed = meta = False
        stayed: list[tuple[int, Tensor]] = []
        foreign: list[Tensor] = []
        for tensor in given:
            origin = getattr(tensor, "_archlab", None)
            if type(origin) is int:
                origins[origin] = None
            elif not origin and type(tensor) is nn.Parameter and not known.in_place:  # drawing first values is no use
                self.tree.strays.append(stray(tensor, on_meta=not self.tree.real))
                states[self.tree.strays[-1]] = None
            elif origin is not None:
                states.update(dict.fromkeys(origin))
            elif (origin := self.tree.found(tensor)) is not None:
                (origins if type(origin) is int else states).update(dict.fromkeys(_items(origin)))
            if tensor.is_meta:
                meta = True
            elif tensor.dim() > 0:
                mixed = True
                meta = meta or (not self.tree.real and is_stale(tensor))
        targets = written_tensors(known.in_place, args, kwargs)
        for item in targets:
            base = base_of(item)
            if base is not item and type(getattr(item, "_archlab", None)) is not int:
                origin = self.tree.written.get(id(base), (base, getattr(base, "_archlab", None)))[1]
                if type(origin) is int:
                    origins[origin] = None  # what was written to another part of it
        if role is Role.READ:
            if meta:
                parent = self.tree.parent
                where = parent.path if parent is not None else ""
                raise DataDependentError(f"{where or 'the network'} reads a tensor's values ({known.name})")
            return function(*args, **kwargs)
        if known.name == "set_data" and len(given) < 2 and len(args) > 1:
            self.tree.notes[_CUT.format(self.tree.parent.path or "the network")] = None  # type: ignore[union-attr]
        if role is Role.FACTORY:
            args, kwargs = new_tensor_on(known.name, args, kwargs, real=self.tree.real)
        elif role is Role.CONVERSION:
            conversion = converted(function, args, kwargs, real=self.tree.real)
            if conversion is None:
                return args[0]
            function, args, kwargs = conversion
        elif meta and mixed and not self.tree.real and known.name not in _KEEP_DEVICE:
            stayed = [(k, item) for k, item in enumerate(map(move_constant, targets)) if item is not None]
            foreign = [item for item in targets if not item.is_meta and not hasattr(base_of(item), "_archlab_made")]
            function, args, kwargs = shape_by_values(known.name, function, args, kwargs)
            args, kwargs = convert((args, kwargs), on_meta)
        elif mixed and not meta and not self.tree.real and is_too_large(given):
            meta = True
            args, kwargs = convert((args, kwargs), on_meta)
        is_row = origins or role in (Role.PRODUCT, Role.HIGHER_ORDER)
        if not is_row and role is not Role.VIEW:
            is_row = any(state.is_parameter for state in states)
        if role is Role.FACTORY or not is_row:
            return self._constant(known, function, args, kwargs, given, states, meta)
        out = self._operation(known, function, args, kwargs, given, origins, states, meta, signed)
        stand_ins = written_tensors(known.in_place, args, kwargs) if stayed else []
        for k, tensor in stayed:
            if hasattr(stand_ins[k], "_archlab"):
                write_through(tensor, stand_ins[k])
        for tensor in foreign:
            self.tree.written[id(base_of(tensor))] = base_of(tensor), self.tree.calls[-1].index
        return out

    def _constant(
        self,
        known: Operation,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: list[Tensor],
        states: dict[State, None],
        meta: bool,
    ) -> Any:
        tree = self.tree
        quick = tree.is_quick and (meta or known.role is Role.FACTORY)
        result = result_of(known, function, args, kwargs) if quick else None
        if result is not None:
            out = result[0]
        else:
            was_quiet, tree.is_quiet = tree.is_quiet, True
            try:
                out = function(*args, **kwargs)
            finally:
                tree.is_quiet = was_quiet
        mark = () if known.role is Role.FACTORY else tuple(states)
        for tensor in (out,) if type(out) is Tensor else tensors(out):
            is_new = not any(tensor is item for item in given)
            if is_new:
                tensor._archlab_made = True  # type: ignore[attr-defined]
                if known.name in ("data", "detach"):
                    tensor._archlab_shares = base_of(given[0])  # type: ignore[attr-defined]
            if is_new or getattr(tensor, "_archlab", ()) in (None, ()):
                tensor._archlab = mark  # type: ignore[attr-defined]
        return out

    def _operation(
        self,
        known: Operation,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: list[Tensor],
        origins: dict[int, None],
        states: dict[State, None],
        meta: bool,
        signed: tuple[Signature, list[Tensor]] | None,
    ) -> Any:
        """A row, and what it gives; shape functions stand only for operations on tensors without values (`meta`)."""
        tree = self.tree
        parent = tree.parent
        assert parent is not None
        call = Call(parent, "", known.name, None, parent.number)
        call.inputs = tuple([shape_of(tensor) for tensor in given])
        call.origins = tuple(origins)
        try:
            out = self._run(call, known, function, args, kwargs, meta)
        except Exception as error:
            call.path = tree.path_of(known.name)
            tree.add(call)
            tree.fail(call, error, Attempt(function, args, kwargs))
            raise
        result = args[0] if known.name in ("setitem", "set_data") else out
        same = any(result is tensor for tensor in given)
        is_nothing = type(result) is not Tensor and not tensors(result)
        if is_nothing or (same and not known.in_place and known.role in (Role.VIEW, Role.CONVERSION)):
            return out  # nothing happened that is worth a row
        if known.name in ("set_data", "as_subclass"):  # where nothing is dispatched
            result._archlab_regions = getattr(given[-1], "_archlab_regions", ())
        call.path = tree.path_of(known.name)
        call.detail = detail(known.name, args, kwargs, out)
        call.window = operation_window(known.name, args, kwargs)
        if tree.locate is not None:
            call.source = tree.locate()
        tree.add(call)
        for state in states:
            if state.taken_by is None:
                state.taken_by = call
        tree.leave(call, result, leaf=True)
        for tensor in written_tensors(known.in_place, args, kwargs):
            tree.overwrite(tensor, call)
        if signed is not None and meta and not is_under_vmap():
            remember(tree, signed[0], call, out, given, is_view=known.role is Role.VIEW)
        return out

    def _run(
        self, call: Call, known: Operation, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], meta: bool
    ) -> Any:
        """What the function returns, or what stands for it; its cost goes to the call."""
        tree = self.tree
        is_quick = tree.is_quick
        quick = meta and is_quick
        if known.name == "scaled_dot_product_attention" and meta and not quick:
            function = fused_attention
        if known.name == "grouped_mm" and isinstance(args[0], Tensor) and args[0].is_meta:
            function = grouped_product
        if known.role is Role.HIGHER_ORDER:
            out = where_nobody_listens(function, args, kwargs)
            result = result_of(known, function, args, kwargs)
            call.macs, call.elementwise = result[1:] if result is not None else (0, 0)
            call.uncounted = () if result is not None else (f"higher_order::{known.name}",)
            return out
        by_formula = known.name in _BY_FORMULA or (known.name.startswith("conv") and args and _is_complex(args[0]))
        if (is_quick or (by_formula and not is_under_vmap())) and kwargs.get("out") is None:
            result = result_of(known, function, args, kwargs)
            if result is not None:
                if quick:
                    out = result[0]
                elif is_quick:  # on tensors with values, which the formula says nothing of
                    out = function(*args, **kwargs)
                else:
                    out = tree.count(call, function, args, kwargs)
                call.macs, call.elementwise = result[1:]
                call.uncounted = call.uncounted or ()
                return out
        if known.name == "scaled_dot_product_attention" and args and args[0].is_nested:
            out = tree.count(call, function, args, kwargs)  # of which only a part is dispatched where it is heard
            call.macs, call.elementwise, call.uncounted = 0, 0, ("aten::scaled_dot_product_attention",)
            return out
        first = args[0] if args and isinstance(args[0], Tensor) else None  # none where all are given by name
        if known.role is Role.VIEW and is_quick and type(first) is Tensor:
            call.uncounted = ()  # what views dispatch is free
            return function(*args, **kwargs)
        before = version(first) if first is not None else -1
        out = tree.count(call, function, args, kwargs)
        if known.role is Role.COMPUTE and first is not None and out is first and version(first) == before:
            out = out.view_as(out)  # passed on as it is (dropout in evaluation): an edge of its own
        return out


_BY_FORMULA = VARYING_FUNCTIONS | {"einsum"}
"""Functions that are counted by their formula also where they are dispatched: torch runs a product over an axis of size
1 as a pointwise one."""

_BY_IDENTITY = (Tensor.__eq__, Tensor.__ne__)

_CUT = "The graph is cut at {}: a tensor gets the storage of another there (set_), which doesn't say what wrote it."

_KEEP_DEVICE = frozenset(["pack_padded_sequence", "pad_packed_sequence"])
"""Functions that want one of their tensors on the CPU."""


def _is_in_kernel(frame: FrameType | None) -> bool:
    """Whether a frame belongs to torch's own arithmetic without values, which is written in Python.

    Whoever is called from there works for an operation that was dispatched, and that nobody announced.
    """
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module != "torch._ops":  # which calls what `torch.ops` names
            return module is not None and module[:7] == "torch._" and module.startswith(_KERNELS)
        frame = frame.f_back
    return False


_KERNELS = ("torch._meta_registrations", "torch._refs", "torch._prims", "torch._decomp")


def _is_complex(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_complex()


def _items(mark: int | tuple[State, ...]) -> tuple[Any, ...]:
    return (mark,) if isinstance(mark, int) else mark
