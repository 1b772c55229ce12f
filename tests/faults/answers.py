"""What a module may answer otherwise than torch expects: names of methods and attributes, and what stands there."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import torch
from torch import nn

from tests.faults.deeds import endless, later


def refuse(*_: object, **__: object) -> NoReturn:
    raise ValueError("\x1b[31masked in vain")


def leave(*_: object, **__: object) -> NoReturn:
    sys.exit(0)


def _getattr(self: nn.Module, name: str) -> Any:
    if name in ("_parameters", "_modules", "_buffers"):
        return nn.Module.__getattr__(self, name)
    raise ValueError(f"no {name}")


def _getattr_without_end(self: Any, name: str) -> Any:
    return getattr(self, f"{name}_")


def _getattribute(self: Any, name: str) -> Any:
    if name == "forward":
        raise ValueError("no forward")
    return object.__getattribute__(self, name)


METHODS: dict[str, tuple[str, Any]] = {
    **{
        f"{name} that fails": (name, refuse)
        for name in (
            "state_dict",
            "parameters",
            "named_parameters",
            "named_modules",
            "named_children",
            "modules",
            "train",
            "eval",
            "buffers",
            "__repr__",
            "extra_repr",
            "__deepcopy__",
            "__reduce_ex__",
            "__len__",
            "__iter__",
            "__bool__",
            "__eq__",
            "__dir__",
            "_apply",
            "zero_grad",
            "named_buffers",
            "apply",
            "to",
            "cpu",
            "_get_name",
            "__getstate__",
            "__setattr__",
            "__delattr__",
            "requires_grad_",
            "_save_to_state_dict",
            "register_forward_hook",
            "__call__",
            "children",
        )
    },
    **{
        f"{name} that ends the program": (name, leave)
        for name in ("__repr__", "state_dict", "train", "__deepcopy__", "parameters")
    },
    "parameters without end": ("parameters", lambda self, *_: endless()),
    "parameters of words": ("parameters", lambda self, *_: iter(["weight"])),
    "parameters that are None": ("parameters", None),
    "a state_dict of words": ("state_dict", lambda self, *_a, **_k: {"weight": "heavy"}),
    "a train without a result": ("train", lambda self, *_: None),
    "a repr of megabytes": ("__repr__", lambda self: "x" * 3_000_000),
    "a repr that is a number": ("__repr__", lambda self: 3),
    "__getattr__ that fails": ("__getattr__", _getattr),
    "__getattr__ without end": ("__getattr__", _getattr_without_end),
    "__getattribute__ that fails": ("__getattribute__", _getattribute),
    "no hash": ("__hash__", None),
    "an equality of tensors": ("__eq__", lambda self, other: torch.zeros(3) == 0),
    "another class": ("__class__", property(lambda self: int)),
    "forward that is None": ("forward", None),
    "forward without arguments": ("forward", lambda: None),
    "forward of many arguments": ("forward", lambda self, a, b, c, *, d: a),
    "forward that is asynchronous": ("forward", later),
    "modules that is a list": ("modules", []),
    "training that is a word": ("training", "yes"),
    "slots": ("__slots__", ("extra",)),
}
"""What a layer answers otherwise than torch expects."""
