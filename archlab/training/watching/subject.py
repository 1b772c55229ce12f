"""What is watched: the modules within whatever wraps them, and the optimisers that train them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archlab.errors import InputError

WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel")
"""Classes that hold what they wrap as `module`."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """The network that is watched."""

    network: nn.Module
    """It itself; of several networks, a module that holds them under their names."""
    title: str
    """The name of its class, or of theirs."""
    is_compiled: bool
    """Whether torch.compile has made code of it or of a part, which calls no hooks."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Each network that is called by itself, by its path; that of a single one is empty."""
        several = isinstance(self.network, nn.ModuleDict)
        return dict(self.network.named_children()) if several else {"": self.network}

    @property
    def device(self) -> torch.device:
        """Where its first parameter lies."""
        return next((held.device for held in self.network.parameters()), torch.device("cpu"))


def subject_of(model: object) -> Subject:
    """The network behind a model, a dictionary of models or a sequence of them.

    Raises:
        InputError: it is none of these.

    >>> subject_of({"generator": nn.Linear(2, 3), "discriminator": nn.Bilinear(3, 3, 1)}).title
    'Linear + Bilinear'
    """
    if isinstance(model, nn.Module) and not isinstance(model, (nn.ModuleDict, nn.ModuleList)):
        network, is_compiled = _unwrapped(model)
        return Subject(network, type(network).__name__, is_compiled or _holds_compiled(network))
    members: dict[str, object] = {}
    if isinstance(model, (Mapping, nn.ModuleDict)):
        members = {str(name): member for name, member in model.items()}
    elif isinstance(model, (Sequence, nn.ModuleList)) and not isinstance(model, str):
        members = {str(place): member for place, member in enumerate(model)}
    if not members or not all(isinstance(member, nn.Module) for member in members.values()):
        raise InputError(
            f"model is of type {type(model).__name__}, expected a torch.nn.Module, or a dictionary or a list of some"
        )
    found = {name.replace(".", "_"): _unwrapped(member) for name, member in members.items()}  # type: ignore[arg-type]
    networks = [network for network, _ in found.values()]
    return Subject(
        nn.ModuleDict({name: network for name, (network, _) in found.items()}),
        " + ".join(dict.fromkeys(type(network).__name__ for network in networks)),
        any(is_compiled or _holds_compiled(network) for network, is_compiled in found.values()),
    )


def optimizers_of(optimizer: object) -> list[torch.optim.Optimizer]:
    """The optimisers behind one, several or none, without what Accelerate or Lightning puts around them.

    Raises:
        InputError: it is something else.
    """
    if optimizer is None:
        return []
    given = list(optimizer) if isinstance(optimizer, Iterable) else [optimizer]
    found = []
    for one in given:
        while not hasattr(one, "register_step_post_hook") or hasattr(one, "optimizer"):
            inner = getattr(one, "optimizer", None)
            if inner is None or inner is one:
                break
            one = inner
        if not isinstance(one, torch.optim.Optimizer):
            raise InputError(
                f"optimizer is of type {type(one).__name__}, expected a torch.optim.Optimizer or a list of some; leave "
                "it out, and run.step(loss=...) tells each step"
            )
        found.append(one)
    return found


def gradient_scale(optimizer: torch.optim.Optimizer) -> tuple[float, float]:
    """By what losses, and by what the gradients that this optimiser gets, are multiplied; to be asked in its step.

    A `GradScaler` multiplies the loss and divides the gradients before it calls the optimiser, which knows nothing of
    it: it is found as the caller whose `step` is running. A fused optimiser divides by itself, and says so in its
    attribute `grad_scale`.
    """
    own = getattr(optimizer, "grad_scale", None)
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not torch.amp.GradScaler.step.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    losses = float(frame.f_locals["self"].get_scale()) if frame is not None else 1.0
    return losses, float(own) if isinstance(own, (Tensor, float)) else 1.0


def _unwrapped(model: nn.Module) -> tuple[nn.Module, bool]:
    """The module within its wrappers, and whether one of them compiles it."""
    is_compiled = False
    while True:
        inner: Any = None
        if type(model).__name__ == "OptimizedModule":
            inner, is_compiled = getattr(model, "_orig_mod", None), True
        elif type(model).__name__ in WRAPPERS:
            inner = getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            return model, is_compiled
        model = inner


def _holds_compiled(network: nn.Module) -> bool:
    return any(
        type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None
        for module in network.modules()
    )
