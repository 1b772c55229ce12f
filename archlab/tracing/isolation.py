"""Leaves a network as it was found, whatever is done with it meanwhile.

A network that somebody gave is never run on its own parameters: for the time of a trace, twins without values (or
copies of the values, where arithmetic can't be avoided) stand in the modules' own dictionaries. Afterwards, also
after an exception, every module's attributes, parameters, buffers, hooks and `training` are put back, and so are the
random states.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter


@contextmanager
def isolated(network: nn.Module, *, real: bool = False) -> Iterator[None]:
    """A context in which a network's tensors are twins, and may be changed together with everything else it holds.

    Args:
        network: left as it was found when the context ends.
        real: whether the twins are copies with values on the CPU; else they are on the meta device, without any.
    """
    with ExitStack() as stack:
        stack.callback(_random_states())
        for module in network.modules():
            stack.callback(_snapshot(module))
        twins: dict[int, Tensor] = {}
        for module in network.modules():
            _replace(module, twins, real)
        yield


def _snapshot(module: nn.Module) -> Callable[[], None]:
    """A function that puts a module's class and attributes back, containers among them with their contents."""
    kind, own = type(module), module.__dict__
    before = dict(own)
    contents = {name: value.copy() for name, value in own.items() if isinstance(value, (dict, list, set))}

    def restore() -> None:
        if type(module) is not kind:
            module.__class__ = kind  # a lazy module has become what it was to be
        if list(own) != list(before) or any(own[name] is not value for name, value in before.items()):
            own.clear()
            own.update(before)
        for name, content in contents.items():
            container = own[name]
            if isinstance(container, list):
                container[:] = content
            else:
                container.clear()
                container.update(content)

    return restore


def _replace(module: nn.Module, twins: dict[int, Tensor], real: bool) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        return
    for registered in (module._parameters, module._buffers):
        for name, tensor in registered.items():
            if tensor is not None:
                registered[name] = _twin(tensor, twins, real)
    for name, value in module.__dict__.items():
        if isinstance(value, Tensor) and id(value) in twins:
            module.__dict__[name] = twins[id(value)]
        elif type(value) is list and any(isinstance(item, Tensor) and id(item) in twins for item in value):
            value[:] = [twins.get(id(item), item) for item in value]  # a recurrent layer's flat weights


def _twin(tensor: Tensor, twins: dict[int, Tensor], real: bool) -> Any:
    known = twins.get(id(tensor))
    if known is None:
        known = twins[id(tensor)] = _make_twin(tensor, real)
    return known


def _make_twin(tensor: Tensor, real: bool) -> Tensor:
    device = "cpu" if real else "meta"
    if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
        twin: Tensor = type(tensor)(device=torch.device(device), dtype=tensor.dtype)  # type: ignore[call-arg]
        return twin
    if real and tensor.is_meta:
        bare = torch.zeros(tensor.shape, dtype=tensor.dtype)  # it has no values to copy
    elif real:
        bare = tensor.detach().to(device, copy=True)
    elif tensor.layout is torch.strided and not tensor.is_quantized:
        bare = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
    else:
        bare = tensor.detach().to(device)
    return nn.Parameter(bare, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else bare


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
