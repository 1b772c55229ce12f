"""What somebody's code may leave behind: in the process, and in the network that was given."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

Held = dict[str, Any]


def process() -> Held:
    """The state of this process, part by part, so that two can be compared."""
    device = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    every = nn.modules.module
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": None if device is None else device.device,
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "determinism": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "function modes": torch._C._len_torch_function_stack(),
        "dispatch modes": torch._C._len_torch_dispatch_stack(),
        "hooks of saved tensors": torch._C._autograd._top_saved_tensors_default_hooks(True) is not None,
        "hooks of every module": [
            list(getattr(every, name))
            for name in sorted(vars(every))
            if name.startswith("_global_")
            and name != "_global_is_full_backward_hook"
            and hasattr(getattr(every, name), "keys")
        ],
        "torch's draws": torch.get_rng_state().tolist(),
        "Python's draws": random.getstate(),
        "NumPy's draws": np.random.get_state(legacy=False)["state"]["key"].tolist(),
        "NumPy's errors": np.geterr(),
        "folder": str(Path.cwd()),
        "path": list(sys.path),
        "environment": dict(os.environ),
        "recursion limit": sys.getrecursionlimit(),
        "excepthook": sys.excepthook,
        "streams": (sys.stdout, sys.stderr, sys.stdin),
        "closed": (sys.stdout.closed, sys.stderr.closed),
        "tracing": (sys.gettrace(), sys.getprofile()),
        "collection": gc.isenabled(),
        "warnings": list(warnings.filters),
        "interrupts": signal.getsignal(signal.SIGINT),
        "os._exit": os._exit,
    }


def network(given: nn.Module) -> Held:
    """What a network consists of, below what its classes answer."""
    found: Held = {}
    pending: list[tuple[str, Any]] = [("", given)]
    known: set[int] = set()
    while pending:
        path, module = pending.pop()
        if id(module) in known or not issubclass(type(module), nn.Module):
            continue
        known.add(id(module))
        own = object.__getattribute__(module, "__dict__")
        found[f"{path}: class"] = type(module)
        for name, value in own.items():
            if name in ("_parameters", "_buffers"):
                for label, tensor in value.items():
                    found[f"{path}.{label}"] = _tensor(tensor)
            elif name.startswith("_") and name.endswith("hooks"):
                found[f"{path}: {name}"] = list(value)
            elif name == "_modules":
                found[f"{path}: modules"] = [(label, id(child)) for label, child in value.items()]
                pending += [(f"{path}.{str(label)[:30]}", child) for label, child in value.items()]
            else:
                found[f"{path}: {name}"] = value if isinstance(value, bool | int | str) else id(value)
    return found


def _tensor(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return id(value)
    if type(value).__name__.startswith("Uninitialized"):
        return id(value), type(value)
    plain = value.layout is torch.strided and not value.is_quantized and not value.is_meta and value.numel() < 10**6
    values = value.detach().tolist() if plain else None
    return id(value), value.dtype, value.requires_grad, value.grad is None, tuple(value.shape), repr(values)


def changed(before: Held, after: Held) -> str:
    """The parts that differ, by name; empty where none does."""
    names = [name for name in before if name not in after or before[name] != after[name]]
    return ", ".join([*names, *(f"{name} (new)" for name in after if name not in before)])
