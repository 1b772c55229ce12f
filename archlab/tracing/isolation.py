"""Leaves a network as it was found, whatever is done with it meanwhile.

A network that somebody gave is never run on its own parameters. For the time of a trace each module's own dictionaries
hold replacements: tensors on the meta device, without values, or copies on the CPU where arithmetic can't be avoided.
Of `network = nn.Linear(3, 4)`

    weight = network.weight
    with isolated(network):
        network._parameters["weight"]           # nn.Parameter on the meta device, of the same shape and strides
        network.extra = 1                       # whatever the network does to itself meanwhile
    network._parameters["weight"] is weight     # True; and there is no `extra`

A tensor that two modules share has one replacement (`replacements` goes by identity), so that shared parameters stay
shared. What is put back, also after an exception, is each module's class (a lazy module changes it), its `__dict__`
entry by entry, the contents of the dictionaries, lists and sets in it, which hold parameters, buffers and hooks, and
the random states.
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
def isolated(network: nn.Module, *, device: str = "meta", values: bool = False) -> Iterator[None]:
    """A context in which a network's tensors are replaced, and may be changed together with everything else it holds.

    Args:
        network: left as it was found when the context ends.
        device: where the replacements are; with `cpu` under a `FakeTensorMode` they are fake tensors.
        values: whether the replacements are copies of the values (zeros, if there are none to copy).
    """
    with ExitStack() as stack:
        stack.callback(_random_states())
        for module in nn.Module.modules(network):
            stack.callback(_snapshot(module))
        replacements: dict[int, Tensor] = {}
        for module in nn.Module.modules(network):
            _replace(module, replacements, device, values)
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


def _replace(module: nn.Module, replacements: dict[int, Tensor], device: str, values: bool) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        return
    held: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
    for registered in held:
        for name, tensor in registered.items():
            if tensor is None:
                continue
            if id(tensor) not in replacements:
                replacements[id(tensor)] = _replacement(tensor, device, values)
            registered[name] = replacements[id(tensor)]
    for name, value in module.__dict__.items():
        if isinstance(value, Tensor) and id(value) in replacements:
            module.__dict__[name] = replacements[id(value)]
        elif type(value) is list and any(isinstance(item, Tensor) and id(item) in replacements for item in value):
            value[:] = [replacements.get(id(item), item) for item in value]  # a recurrent layer's flat weights


def _replacement(tensor: Tensor, device: str, values: bool) -> Any:
    if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
        return type(tensor)(device=torch.device(device), dtype=tensor.dtype)  # type: ignore[call-arg]
    if values and tensor.is_meta:
        bare = torch.zeros(tensor.shape, dtype=tensor.dtype)
    elif values or tensor.layout is not torch.strided or tensor.is_quantized:
        bare = tensor.detach().to(device, copy=True)
    else:
        bare = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
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
