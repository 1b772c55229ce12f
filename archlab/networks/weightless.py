"""Building a network without its weights: parameters on the meta device, first values never drawn.

There are two ways, and `build_weightless` tries them in this order:

1. What weights are made of (`empty`, `zeros`, `randn`, ...) is made on the meta device, where a tensor has a shape and
   no memory. Tables (`arange`, `linspace`, `tensor`, ..., and whatever is of integers) stay on the CPU: they are small,
   constructors read values out of them (`linspace(0, rate, depth).tolist()`; RegNet does such), and arithmetic on the
   meta device is slower.
2. Parameters alone go to the meta device, when their module takes them in. That is for constructors that do arithmetic
   with both kinds of tensors, or read the values of the first kind.

Either way nothing fills a tensor that has no memory (there, drawing first values is slow Python that computes nothing),
and the other tensors that a module still holds on the CPU at the end are replaced too; small tables of integers stay,
since a network may read them when it runs. Both ways act in the calling thread alone, and end with the call, also by an
exception.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from archlab.networks.members import modules

_META = torch.device("meta")

# On the meta device the first makes the same tensor as the second, more slowly.
_UNFILLED: dict[Callable[..., Any], Callable[..., Any]] = {torch.zeros: torch.empty, torch.ones: torch.empty}

_CREATORS = {
    *_UNFILLED,
    torch.empty,
    torch.empty_permuted,
    torch.empty_strided,
    torch.full,
    torch.rand,
    torch.randint,
    torch.randn,
}

# Attention's masks: on the meta device they are worked out in Python that takes seconds to import.
_MASKERS = {torch.tril, torch.triu, Tensor.tril, Tensor.triu}

# Tables and masks, which a network may read when it runs.
_INTEGERS = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
KEPT_ELEMENTS = 2**20
"""Elements of such a table that keeps its values; a larger one is quantised weights, say."""

_FILLERS = {
    Tensor.add_,
    Tensor.clamp_,
    Tensor.div_,
    Tensor.erfinv_,
    Tensor.exponential_,
    Tensor.fill_,
    Tensor.mul_,
    Tensor.normal_,
    Tensor.sub_,
    Tensor.uniform_,
    Tensor.zero_,
    nn.init.constant_,
    nn.init.kaiming_uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.uniform_,
}


def _empty(value: Tensor) -> Tensor:
    # empty_like is worked out in Python too.
    return torch.empty(value.shape, dtype=value.dtype, device=_META)


class _Unfilled(TorchFunctionMode):
    """Skips what only sets the values of tensors without memory; makes new ones such ones if `creates_meta`."""

    def __init__(self, creates_meta: bool) -> None:
        super().__init__()
        self.creates_meta = creates_meta

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The function's own result, but for those two cases."""
        if func in _CREATORS:
            if self.creates_meta:
                kwargs = dict(kwargs or {})
                if kwargs.get("device") is None and kwargs.get("dtype") not in _INTEGERS:
                    kwargs["device"] = _META
                    func = _UNFILLED.get(func, func)
        elif func in _FILLERS:
            target = args[0] if args else (kwargs or {}).get("tensor")
            # With a tensor among the arguments the call also checks that the shapes agree: that stays.
            if target is not None and target.is_meta and not any(isinstance(item, Tensor) for item in args[1:]):
                return target
        elif func in _MASKERS and args and args[0].is_meta:
            return _empty(args[0])
        return func(*args, **(kwargs or {}))


class _Emptied:
    """Tensor -> one like it on the meta device, the same for the same: what two modules hold must stay one."""

    def __init__(self) -> None:
        self.replaced = WeakIdKeyDictionary()

    def __call__(self, value: Tensor) -> Tensor:
        """The replacement; the value itself where it takes no memory anyway."""
        if value.is_meta or is_lazy(value):
            return value
        if value not in self.replaced:
            empty = _empty(value)
            is_parameter = isinstance(value, nn.Parameter)
            self.replaced[value] = nn.Parameter(empty, value.requires_grad) if is_parameter else empty
        replacement: Tensor = self.replaced[value]
        return replacement


_RESETTING = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.Embedding,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.Linear,
)
"""Layers whose `reset_parameters` only fills what they have just made."""


class _Resets:
    """Leaves out the first filling of torch's own layers, where all that they hold has no memory.

    It would change nothing, but takes a third of the time that a network of many small layers takes to be built. Only
    threads that build without weights leave it out; the functions are put back when the last of them is done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: Counter[int] = Counter()
        self._kept: dict[type[nn.Module], tuple[Callable[..., Any], Callable[..., Any]]] = {}
        """Of each class its own function, and what stands for it."""

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """A context in which this thread leaves them out."""
        thread = threading.get_ident()
        with self._lock:
            if not self._threads:
                for kind in _RESETTING:
                    self._replace(kind)
            self._threads[thread] += 1
        try:
            yield
        finally:
            with self._lock:
                self._threads -= Counter([thread])
                if not self._threads:
                    for changed, (reset, stand_in) in self._kept.items():
                        if vars(changed)["reset_parameters"] is stand_in:  # else somebody has changed it for good
                            setattr(changed, "reset_parameters", reset)  # noqa: B010
                    self._kept.clear()

    def _replace(self, kind: type[nn.Module]) -> None:
        reset = vars(kind).get("reset_parameters")
        if reset is None or not reset.__module__.startswith("torch.nn."):  # somebody else's may do more
            return

        def unless_empty(module: nn.Module) -> None:
            if threading.get_ident() not in self._threads or not _is_empty(module):
                reset(module)

        self._kept[kind] = reset, unless_empty
        setattr(kind, "reset_parameters", unless_empty)  # noqa: B010


_RESETS = _Resets()


def _is_empty(module: nn.Module) -> bool:
    """Whether nothing that a module holds has memory, but for single numbers such as a counter that is 0."""
    held = (*module._parameters.values(), *module._buffers.values())
    with torch._C.DisableTorchFunction():  # else each of these questions goes through the mode, ten times as slowly
        return all(value is None or value.is_meta or not value.dim() for value in held)


@contextmanager
def _empty_parameters() -> Iterator[None]:
    """Modules that this thread builds take in parameters without memory."""
    thread = threading.get_ident()
    emptied = _Emptied()

    def replace(module: nn.Module, name: str, value: nn.Parameter | None) -> Tensor | None:
        return emptied(value) if value is not None and threading.get_ident() == thread else None

    handle = register_module_parameter_registration_hook(replace)  # type: ignore[arg-type]  # torch's lacks the result
    try:
        yield
    finally:
        handle.remove()


def _empty_rest(network: nn.Module) -> nn.Module:
    """The network, its remaining tensors on the meta device, but for tables of integers and single numbers."""
    emptied = _Emptied()
    for module in modules(network):
        held = [*module._parameters.items(), *module._buffers.items()]
        if not type(module).__module__.startswith("torch.nn.modules."):  # whose layers register all that they hold
            held += [(name, value) for name, value in vars(module).items() if isinstance(value, Tensor) and value.dim()]
        for name, value in held:
            if value is None or value.is_meta:
                continue
            if not _is_kept(value) and emptied(value) is not value:
                setattr(module, name, emptied(value))
    return network


def _is_kept(value: Tensor) -> bool:
    """Whether a tensor may be read when the network runs, and takes little memory."""
    is_table = value.dtype in _INTEGERS and not is_lazy(value) and value.numel() <= KEPT_ELEMENTS
    return not isinstance(value, nn.Parameter) and (is_table or (not is_lazy(value) and not value.dim()))


def build_weightless(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` returns, with parameters and buffers on the meta device; the random state stays as it was.

    Raises:
        Exception: whatever `make` raises when its parameters have no values.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # Of each tensor of a state dict that the factory loads: it has nowhere to go, as it should here.
        warnings.filterwarnings("ignore", message=r".*copying from a non-meta parameter .* is a no-op")
        try:
            with _RESETS.left_out(), _Unfilled(creates_meta=True):
                network = make()
        except Exception:  # the second way may suit it; what is wrong with either way comes from there
            with _empty_parameters(), _Unfilled(creates_meta=False):
                network = make()
    return _empty_rest(network) if isinstance(network, nn.Module) else network
