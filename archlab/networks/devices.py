"""Where networks run: the devices of this machine."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from archlab.errors import InputError


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


def accelerators(device: torch.device) -> int:
    """How many accelerators there are for work on a device: all, unless it says which; 0 for a processor."""
    if device.type == "cpu":
        return 0
    return torch.accelerator.device_count() if device.index is None else 1


def device_name(device: torch.device) -> str:
    """The device, with what an accelerator is called: `cuda:0 NVIDIA H100 80GB HBM3`."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return str(device)


def processor_name() -> str:
    """What the processor is called."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
