"""Runs a network once, with every module wrapped, so that its calls and operations are written down."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.overrides import _pop_mode, _push_mode
from torch.utils.hooks import RemovableHandle

from archlab.networks.members import modules
from archlab.tracing.forward import location
from archlab.tracing.forward.attempt import Attempt
from archlab.tracing.forward.call_tree import Call, CallTree, is_under_vmap
from archlab.tracing.forward.listener import DataDependentError, Listener
from archlab.tracing.forward.module_tree import ModuleTree
from archlab.tracing.forward.placement import one_device
from archlab.tracing.forward.surroundings import surroundings
from archlab.tracing.pytree import tensors, version
from archlab.tracing.quick.layers import VARYING_LAYERS, has_one_value
from archlab.tracing.quick.shape_function import ShapeFunctionError, raise_refusal, registered_module

FRAMES_PER_FRAME = 3
"""Of the Python stack, what a traced network takes at most for each frame of its own: of the three that torch spends on
a level of nesting the tracer makes four, and a function that it hears takes a few more at the innermost."""
_GLOBAL_HOOKS = nn.modules.module._global_forward_hooks
_GLOBAL_PRE_HOOKS = nn.modules.module._global_forward_pre_hooks
without_functions = torch._C.DisableTorchFunction
"""No function mode hears what is called within: measuring is not to be measured."""


class Tracer:
    """One run of a network.

    Every module's `forward` is wrapped on the instance for the time of the run, which gives the tree of calls; a torch
    function mode hears every operation outside the modules that are measured as a whole. If the tree is `quick`, what
    has a shape function isn't run at all; else everything runs and is counted as it is dispatched.
    """

    def __init__(self, modules: ModuleTree, tree: CallTree) -> None:
        self.modules = modules
        self.tree = tree

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the network gives back, called under observation.

        Raises:
            DataDependentError: it asks for values, and there are none.
            Exception: whatever the network raises; the tree's `failed` then says where.
        """
        tree = self.tree
        for position, tensor in enumerate(tensors((args, kwargs))):
            tensor._archlab = -1 - position  # type: ignore[attr-defined]
        with self._wrapped(), Listener(tree), _deeper_recursion(), surroundings():
            try:
                if _works_around_forward(self.modules.network):
                    self._open(args, kwargs)
                out = self.modules.network(*args, **kwargs)
                tree.failed = None  # what failed on the way, the network has caught
                return out
            finally:
                tree.parent = None
                for state in tree.strays:
                    state.original.__dict__.pop("_archlab", None)

    def _open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """File the network's own call before anything of it runs, so that what runs around its `forward` is below."""
        network = self.modules.network
        call = self.tree.opened = self.tree.parent = Call(None, "", type(network).__name__, network)
        with without_functions():
            self.tree.enter(call, args, kwargs)

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        changed: list[tuple[dict[str, Any], Any]] = []
        handles: list[RemovableHandle] = []
        inside: set[int] = set()
        try:
            for module in self.modules.modules.values():
                if id(module) in inside:
                    continue
                own = module.__dict__
                before = own.get("forward", _MISSING)
                if isinstance(module, torch.jit.ScriptModule):
                    if not self.tree.real:
                        name = self.modules.paths[id(module)] or "it"
                        raise DataDependentError(f"{name} is jitted, and runs on its own parameters")
                    inside.update(id(child) for child in modules(module))
                    original = copy.deepcopy(module).forward  # nothing can stand in for its parameters
                else:
                    original = module.forward
                is_usual = before is _MISSING or isinstance(module, torch.jit.ScriptModule)
                calls = self.tree.by_module[id(module)] = []
                place = (module, self.modules.paths[id(module)], calls)
                own["forward"] = _StandIn(self._module, place, original, is_usual)
                changed.append((own, before))
                if (module._forward_hooks or _GLOBAL_HOOKS) and not isinstance(module, torch.jit.ScriptModule):
                    own["forward"] = self._before_hooks(module, own["forward"], calls, handles)
                if isinstance(module, LazyModuleMixin) and hasattr(module, "_initialize_hook"):
                    hooks = module._forward_pre_hooks
                    hooks[module._initialize_hook.id] = partial(_unheard, hooks[module._initialize_hook.id])
            yield
        finally:
            for handle in handles:
                handle.remove()
            for own, before in changed:
                if before is _MISSING:
                    own.pop("forward", None)
                else:
                    own["forward"] = before

    def _before_hooks(
        self, module: nn.Module, run: Callable[..., Any], calls: list[Call], handles: list[RemovableHandle]
    ) -> Callable[..., Any]:
        """What stands in for the `forward` of a module with hooks, which may replace its result.

        A hook of our own comes last, and files again what the module really gives back. It is called right after
        `run` and the other hooks, but is told nothing of the call: `latest` holds it.
        """
        latest: list[tuple[Call, Any]] = []

        def forward(*args: Any, **kwargs: Any) -> Any:
            number = len(calls)
            out = run(*args, **kwargs)
            latest[:] = [(calls[number], out)]
            return out

        def refile(_: nn.Module, args: Any, out: Any) -> None:
            if latest and latest[0][1] is not out:
                with without_functions():
                    self.tree.replace(latest[0][0], out)

        handles.append(module.register_forward_hook(refile))
        return forward

    def _module(
        self,
        place: tuple[nn.Module, str, list[Call]],
        original: Callable[..., Any],
        is_usual: bool,
        /,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Stands in for `module.forward`, which is its class's if `is_usual`."""
        tree = self.tree
        module, path, calls = place
        parent = tree.parent
        registration = registered_module(module) if is_usual else None
        is_leaf = registration is not None or (is_usual and is_atomic(module))
        call, tree.opened = tree.opened, None
        is_open = call is not None and not is_leaf
        if call is None or is_leaf:
            call = Call(parent, path, type(module).__name__, module, len(calls) + 1)
        if tree.locate is not None:
            call.source = location.of_class(type(module))
        with without_functions():
            if not is_open:
                tree.enter(call, args, kwargs)
            calls.append(call)
            has_values = False
            if is_leaf and not tree.real and not (len(args) == 1 and not kwargs and _has_none(args[0])):
                args, kwargs, has_values = one_device(module, args, kwargs)
            if registration is not None:
                refused = module.training and has_one_value(module, args)
                if refused:
                    tree.notes[_ONE_VALUE.format(path or call.kind)] = None
                if refused or (tree.is_quick and not has_values):
                    try:
                        try:
                            result = registration.module_result(module, args, kwargs)
                        except ShapeFunctionError as fault:
                            raise_refusal(fault, original, args, kwargs)
                    except Exception as error:
                        tree.fail(call, error)
                        raise
                    if result is not None:
                        out, call.macs, call.elementwise = result
                        call.uncounted = ()
                        call.whole = True
                        tree.leave(call, out, leaf=True)
                        return out
        tree.parent = call
        try:
            if is_leaf and is_atomic(module):
                call.whole = True
                with _without_modes() if _answers_functions(module) else without_functions():
                    out = tree.count(call, original, args, kwargs)
                    if registration is not None and type(module) in VARYING_LAYERS and not is_under_vmap():
                        result = registration.module_result(module, args, kwargs)
                        call.macs, call.elementwise = result[1:] if result else (call.macs, call.elementwise)
            else:
                out = original(*args, **kwargs)
            with without_functions():
                out = self._returned(call, out, args, kwargs)
        except BaseException as error:
            tree.fail(call, error, Attempt(module, args, kwargs) if call.whole else None)
            raise
        finally:
            tree.parent = parent
        return out

    def _returned(self, call: Call, out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a module that ran gives back, filed as the result of its row if it has none below."""
        if call.children:
            self.tree.leave(call, out, leaf=False)
            return out
        given = tensors((args, kwargs))
        if isinstance(out, Tensor) and any(out is tensor for tensor in given) and version(out) == call.version:
            out = out.view_as(out)  # passed on as it is: an edge of its own, for those who take it from here
            out._archlab = ()
        self.tree.leave(call, out, leaf=True)
        return out


def _works_around_forward(network: nn.Module) -> bool:
    """Whether more than a module's `forward` runs when it is called: hooks, or a `__call__` of its own."""
    hooks = network._forward_pre_hooks or network._forward_hooks or _GLOBAL_HOOKS or _GLOBAL_PRE_HOOKS
    return bool(hooks) or type(network).__call__ is not nn.Module.__call__


class _StandIn(partial):  # type: ignore[type-arg]
    """What stands in for a module's `forward`. A copy that the network makes of the module has its own `forward`."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """The copied module's own: the original's is bound to the original."""
        return copy.deepcopy(self.args[1], memo)


@contextmanager
def _deeper_recursion() -> Iterator[None]:
    """A context in which what torch itself can run doesn't fail for the frames that the tracer adds to each level."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(FRAMES_PER_FRAME * limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def is_atomic(module: nn.Module) -> bool:
    """Whether a module is one row without operations below: torch's own layers, and jitted ones."""
    if isinstance(module, torch.jit.ScriptModule):
        return True
    home = str(type(module).forward.__module__)
    return home.startswith("torch.ao.nn.") or (not module._modules and home.startswith("torch.nn.modules."))


def _has_none(value: object) -> bool:
    """Whether it is a tensor without values."""
    return type(value) is Tensor and value.is_meta


def _answers_functions(module: nn.Module) -> bool:
    """Whether a parameter's class says itself what torch's functions do with it, as quantised weights do."""
    return any(
        type(parameter) is not nn.Parameter
        and parameter is not None
        and type(parameter).__torch_function__ is not nn.Parameter.__torch_function__
        for parameter in module._parameters.values()
    )


@contextmanager
def _without_modes() -> Iterator[None]:
    """A context in which no function mode hears anything, while tensors' classes still answer."""
    modes = []
    try:
        while torch._C._len_torch_function_stack():
            modes.append(_pop_mode())  # type: ignore[no-untyped-call]
        yield
    finally:
        for mode in reversed(modes):
            _push_mode(mode)  # type: ignore[no-untyped-call]


def _unheard(hook: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Runs a hook that gives a lazy module its parameters: part of its making, and no operation."""
    with without_functions():
        return hook(*args, **kwargs)


_MISSING = object()
_ONE_VALUE = (
    "{} has one value per channel at this batch: training would fail there (take a larger batch); counted as if it ran."
)
