"""Where a run happens: the device, the versions, and what else decides its result."""

from __future__ import annotations

import inspect
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from archlab import __version__
from archlab.networks import members
from archlab.networks.devices import device_name, processor_name
from archlab.networks.local_modules import local_files
from archlab.networks.strangers import contained
from archlab.records import Value
from archlab.training.definitions import definition
from archlab.training.images import fingerprint


def describe(device: torch.device, network: nn.Module, data: str, module: str = "") -> dict[str, Value]:
    """Everything about this machine and process that decides a run's result, and the command.

    Args:
        device: where the run happens.
        network: with its first weights.
        data: hash of the data set.
        module: the name of the user's module that builds the network.
    """
    return machine(device) | {
        "data": data,
        "network": network_fingerprint(network, module),
        "command": command(),
    }


def machine(device: torch.device) -> dict[str, Value]:
    """Everything about this machine that decides a run's result."""
    return {
        "archlab": __version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{processor_name()} {torch.backends.cpu.get_cpu_capability()}",
        "device": device_name(device),
        "threads": torch.get_num_threads(),
    }


def command() -> str:
    """The command that this process was started with."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def peak_memory(device: torch.device) -> int | None:
    """The most bytes in use at a time since the process began: of the device that torch allocated, else of the process.

    None where the system doesn't say it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def network_fingerprint(network: nn.Module, module: str = "") -> str:
    """A hash of the network's first weights and of the source files of its classes (those of torch left out).

    So are the files of all modules outside installed packages that they import, and the module that builds the network.
    A class that no file holds, as a notebook's, counts by its definition.
    """
    files, definitions, modules = set(), set(), {module}
    for kind in {type(module) for module in members.modules(network)}:
        if kind.__module__.partition(".")[0] == "torch":
            continue
        path = _source_file(kind)
        modules.add(kind.__module__)
        if path is not None:
            files.add(path)
        elif kind.__module__ == "__main__":
            definitions.add(definition(kind))
    files |= set(local_files(modules))
    sources = [path.read_bytes() for path in sorted(path for path in files if path.exists())] + sorted(definitions)
    weights = [
        tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data for tensor in _state(network)
    ]
    return fingerprint([_written(network), *sources, *weights])


def _state(network: nn.Module) -> list[Tensor]:
    """The network's state; where it can't tell it, all that its modules hold."""
    try:
        with contained():
            return list(network.state_dict().values())
    except Exception:  # of a module that answers otherwise, or is held by one that it holds
        return [*members.parameters(network), *members.buffers(network)]


def _written(network: nn.Module) -> bytes:
    """How the network writes itself; where it can't, the classes of its modules by name."""
    try:
        with contained():
            return repr(network).encode(errors="replace")
    except Exception:  # as in `_state`
        kinds = [(path, type(module).__qualname__) for path, module in members.named_modules(network)]
        return repr(kinds).encode(errors="replace")


def _source_file(kind: type) -> Path | None:
    try:
        path = inspect.getsourcefile(kind)
    except (OSError, TypeError):  # what a notebook or `python -` defines has none
        return None
    return Path(path) if path else None
