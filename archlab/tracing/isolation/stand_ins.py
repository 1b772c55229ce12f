"""Leaves a network as it was found, whatever is done with it meanwhile.

A network that somebody gave is never run on its own tensors. For the time of a trace stand-ins are in their places:
parameters and buffers on the meta device, without values, or copies on the CPU where arithmetic can't be avoided; other
tensors that a module keeps (a table of constants) as copies with their values. Of `network = nn.Linear(3, 4)`

    weight = network.weight
    with isolated(network):
        network._parameters["weight"]           # nn.Parameter on the meta device, of the same shape and strides
        network.extra = 1                       # whatever the network does to itself meanwhile
    network._parameters["weight"] is weight     # True; and there is no `extra`

A tensor that two containers share has one stand-in (they go by identity), so that shared parameters stay shared. A
stand-in is of its tensor's class and has its attributes: a quantised layer asks its weight for its scales.

What is put back, also after an exception, is what has changed of each module's and helper's class, attributes and
containers (`snapshot.py` beside this says which), and the random states. A network whose tensors can't be stood in for
is refused before anything of it is touched.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._python_dispatch import _disable_current_modes, is_traceable_wrapper_subclass

from archlab.errors import InputError, cut
from archlab.networks.members import named_buffers, named_modules, named_parameters
from archlab.tracing.isolation.snapshot import Snapshot


@contextmanager
def isolated(
    network: nn.Module, *, device: str = "meta", values: bool = False, keeps_integers: bool = False
) -> Iterator[None]:
    """A context in which a network's tensors are replaced, and may be changed together with everything else it holds.

    Args:
        network: left as it was found when the context ends.
        device: where the stand-ins of parameters and buffers are; with `cpu` under a `FakeTensorMode` they are fake
            tensors, which can't be of a class of somebody's own, but have the attributes.
        values: whether they are copies of the values (zeros, if there are none to copy), and other tensors go to the
            device too.
        keeps_integers: whether buffers of integers and booleans (positions, routing tables, a count of steps), and
            single numbers of any type, are copies on the CPU that have their values, if they have any.

    Raises:
        InputError: nothing can stand in for one of its tensors; the network is untouched.
    """
    held = Snapshot(network)
    _refuse_sharded(network, held)
    stand_ins = _StandIns(network, held, device, values, keeps_integers)
    with ExitStack() as stack:
        stack.callback(_random_states())
        stack.callback(held.restore)
        with torch._C.DisableTorchFunction():  # the caller's modes don't hear of this, and no subclass answers
            for tensor in held.tensors.values():
                stand_ins.of(tensor)
            held.replace(stand_ins.of)
        yield


# Stand-ins


_USUAL = (nn.Parameter, Tensor)
"""The classes of nearly all tensors."""
KEPT_ELEMENTS = 2**20
"""Elements of a buffer that may keep its values where the others have none: a table, and no quantised weights."""


class _StandIns:
    """What is in the place of each tensor, made when it is first asked for."""

    def __init__(self, network: nn.Module, held: Snapshot, device: str, values: bool, keeps_integers: bool) -> None:
        self.network = network
        self.tensors = held.tensors
        self.registered = held.registered
        self.device = device
        self.values = values
        self.keeps_integers = keeps_integers
        self.made: dict[int, Any] = {}

    def of(self, tensor: Tensor) -> Any:
        """The stand-in of a tensor.

        Raises:
            InputError: there can be none.
        """
        key = id(tensor)
        made = self.made.get(key)
        if made is None:
            try:
                made = self.made[key] = self._made(tensor, key in self.registered)
            except Exception as error:
                raise InputError(
                    f"{_path(self.network, tensor) or 'a tensor'} (class {_full_name(type(tensor))}, shape "
                    f"{tuple(tensor.shape)}) can't be copied ({type(error).__name__}: {cut(error)}), expected tensors "
                    "whose copies a trace can work on: trace the network before its tensors are converted to this class"
                ) from error
            if tensor.__dict__:
                self._carry_attributes(tensor, made)
        return made

    @cached_property
    def _storages(self) -> set[int]:
        """The memory of parameters and buffers: a view of one is on the same device as its stand-in."""
        return {_storage(tensor) for key, tensor in self.tensors.items() if key in self.registered} - {0}

    def _made(self, tensor: Tensor, is_registered: bool) -> Any:
        if self.keeps_integers and is_registered and _is_kept(tensor):
            return _of_class(tensor, _copied(tensor, "cpu"))
        if type(tensor) in _USUAL and is_registered and not self.values and _is_strided(tensor):
            return _of_class(tensor, _empty(tensor, self.device))
        if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
            return type(tensor)(device=torch.device(self.device), dtype=tensor.dtype)  # type: ignore[call-arg]
        if is_registered or _storage(tensor) in self._storages:
            return self._stand_in(tensor)
        if isinstance(tensor, FakeTensor):
            return tensor.detach()
        with _disable_current_modes():  # under a fake mode too, a constant has values
            if _is_opaque(tensor):
                return _cloned(tensor)
            if tensor.is_meta:
                return _of_class(tensor, torch.zeros(tensor.shape, dtype=tensor.dtype, device=self.device))
            return _of_class(tensor, _copied(tensor, self.device if self.values else tensor.device))

    def _stand_in(self, tensor: Tensor) -> Any:
        """The stand-in of a parameter or buffer."""
        if is_traceable_wrapper_subclass(tensor):
            return self._wrapper(tensor)
        if _is_opaque(tensor):
            return _cloned(tensor)  # only it knows how it is made: it keeps its values
        if self.values and tensor.is_meta:
            bare = torch.zeros(tensor.shape, dtype=tensor.dtype)
        elif self.values or not _is_strided(tensor):
            bare = _copied(tensor, self.device)
        else:
            bare = _empty(tensor, self.device)
        return _of_class(tensor, bare)

    def _wrapper(self, tensor: Any) -> Any:
        """The stand-in of a tensor that is made of others, by torch's protocol for taking such apart."""
        names, context = tensor.__tensor_flatten__()
        inner = {name: self._stand_in(getattr(tensor, name)) for name in names}
        made = type(tensor).__tensor_unflatten__(inner, context, tensor.shape, tensor.stride())
        if not isinstance(tensor, nn.Parameter):
            return made
        return nn.Parameter(made, requires_grad=tensor.requires_grad)

    def _carry_attributes(self, tensor: Tensor, made: Tensor) -> None:
        """Gives a stand-in what its tensor has as attributes, tensors among them replaced."""
        if isinstance(tensor, FakeTensor) or is_traceable_wrapper_subclass(tensor):
            return
        for name, value in tensor.__dict__.items():
            made.__dict__.setdefault(name, self.of(value) if isinstance(value, Tensor) else value)


def _is_kept(tensor: Tensor) -> bool:
    """Whether a parameter or buffer is one that a network may read, and small."""
    if tensor.is_meta or tensor.numel() > KEPT_ELEMENTS or type(tensor) not in _USUAL or not _is_strided(tensor):
        return False
    is_number = not tensor.dim()
    return is_number or not (tensor.is_floating_point() or tensor.is_complex() or isinstance(tensor, nn.Parameter))


def _of_class(tensor: Tensor, bare: Tensor) -> Any:
    """A bare tensor as what another one is: a parameter, or a class of somebody's own.

    What is the result of an earlier run and has a gradient from there starts without, as nothing is behind it here.
    """
    kind = type(tensor)
    if kind is nn.Parameter:
        return nn.Parameter(bare, tensor.requires_grad)
    requires_grad = tensor.requires_grad and tensor.is_leaf
    if kind is not Tensor and not isinstance(tensor, FakeTensor) and type(bare) is Tensor:
        return Tensor._make_subclass(kind, bare, requires_grad)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(bare, requires_grad)
    return bare.requires_grad_() if requires_grad else bare


def _empty(tensor: Tensor, device: str) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)


def _is_strided(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_quantized


def _is_opaque(tensor: Tensor) -> bool:
    """Whether a tensor's class decides itself what every operation does, and keeps its values elsewhere."""
    kind = type(tensor)
    if kind is nn.Parameter or kind.__torch_dispatch__ is Tensor.__torch_dispatch__ or isinstance(tensor, FakeTensor):
        return False
    try:
        return tensor.untyped_storage().data_ptr() == 0
    except (RuntimeError, NotImplementedError):
        return True


def _storage(tensor: Tensor) -> int:
    """Which memory a tensor's values are in, by identity; 0 where it has none of its own."""
    try:
        return 0 if _is_opaque(tensor) else int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):
        return 0


def _copied(tensor: Tensor, device: str | torch.device) -> Tensor:
    """A copy of a tensor's own values, whatever its class makes of operations."""
    with torch._C._DisableTorchDispatch() if type(tensor) not in (*_USUAL, FakeTensor) else nullcontext():
        return tensor.detach().to(device, copy=True)


def _cloned(tensor: Tensor) -> Any:
    """A copy of a tensor whose class has a dispatch of its own, made by that dispatch.

    Raises:
        TypeError: what comes out is of another class.
    """
    with torch.no_grad():
        made = tensor.detach().clone()
    if type(made) is not type(tensor):
        raise TypeError(f"its clone is a {_full_name(type(made))}")
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _path(network: nn.Module, wanted: object) -> str:
    """The dotted name of a module, parameter or buffer; empty for the network itself and for what has none."""
    named = (*named_modules(network), *named_parameters(network), *named_buffers(network))
    return next((name for name, item in named if item is wanted), "")


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _refuse_sharded(network: nn.Module, held: Snapshot) -> None:
    """Refuses a network that is spread over processes, whose layers fetch their parameters from one another.

    Raises:
        InputError: it is one.
    """
    kinds: dict[type, Any] = {}
    for item in (*held.modules, *held.tensors.values()):
        kinds.setdefault(type(item), item)
    for kind, example in kinds.items():
        base = next((base for base in kind.__mro__ if base.__module__.startswith(_SHARDING)), None)
        if base is not None:
            raise InputError(
                f"{_path(network, example) or 'the network'} is sharded over processes ({_full_name(base)}), and its "
                "layers fetch their parameters from one another: expected a network that is whole, so trace it before "
                "it is sharded (built under torch.device('meta') it takes no memory)"
            )


_SHARDING = ("torch.distributed.fsdp", "torch.distributed._composable", "torch.distributed.tensor")
"""Packages whose modules and parameters are parts of a network that lies on several processes."""


# Random states


def _random_states() -> Callable[[], None]:
    """A function that puts the random states of Python, NumPy and torch back."""
    python = random.getstate()
    generator = torch.get_rng_state()
    numpy = sys.modules.get("numpy")
    array_state = numpy.random.get_state() if numpy is not None else None
    accelerator = torch.cuda.get_rng_state_all() if _has_accelerator() else None

    def restore() -> None:
        random.setstate(python)
        torch.set_rng_state(generator)
        if numpy is not None:
            numpy.random.set_state(array_state)
        if accelerator is not None:
            torch.cuda.set_rng_state_all(accelerator)

    return restore


def _has_accelerator() -> bool:
    started: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return started
