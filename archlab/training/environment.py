"""Where a run happens: the device, the versions, and what else decides its result."""

from __future__ import annotations

import inspect
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from archlab import __version__
from archlab.errors import InputError
from archlab.records import Value
from archlab.training.images import fingerprint


def find_device(name: str | None) -> torch.device:
    """The device of a name (`cpu`, `cuda`, `cuda:1`, `mps`); None stands for the accelerator if there is one.

    Raises:
        InputError: the name is unknown, or this machine has no such device.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name is None:
        return accelerator or torch.device("cpu")
    known = ["cpu"] if accelerator is None else ["cpu", accelerator.type]
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    count = torch.accelerator.device_count() if device.type != "cpu" else 1
    if device.type not in known or (device.index or 0) >= count:
        raise InputError(f"there is no device {name!r} on this machine: expected {' or '.join(known)}")
    return device


def describe(device: torch.device, network: nn.Module, data: str) -> dict[str, Value]:
    """Everything about this machine and process that decides a run's result, and the command.

    Args:
        device: where the run happens.
        network: with its first weights.
        data: hash of the data set.
    """
    return {
        "archlab": __version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{_processor()} {torch.backends.cpu.get_cpu_capability()}",
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "data": data,
        "network": network_fingerprint(network),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def network_fingerprint(network: nn.Module) -> str:
    """A hash of the network's first weights and of the source files of its classes (those of torch left out)."""
    files = set()
    for kind in {type(module) for module in network.modules()}:
        if kind.__module__.partition(".")[0] != "torch":
            path = inspect.getsourcefile(kind)
            files.add(Path(path) if path else None)
    sources = [path.read_bytes() for path in sorted(path for path in files if path and path.exists())]
    weights = [
        tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data
        for tensor in network.state_dict().values()
    ]
    return fingerprint([repr(network).encode(), *sources, *weights])


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return str(device)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
