"""What decides an answer beside its question, as far as it can be seen without torch: code, libraries, the machine.

An answer that was kept holds while all of it is as it was. Of a network from a user's file or module nobody can see
what it depends on, so that nothing is kept of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from functools import cache
from pathlib import Path

from archlab import __version__

BUILT_IN = (
    *("densenet", "densenet-100-12", "densenet-40-12", "densenet-bc-100-12", "densenet-bc-190-40"),
    *(f"densenet{depth}" for depth in (121, 161, 169, 201)),
    *("lenet", "lenet-position", "plain20", "plain56", "resnet"),
    *(f"resnet{depth}" for depth in (18, 20, 32, 34, 44, 50, 56, 101, 110, 152)),
    "resnet20-scaled",
)
"""The registry's names, written out: it needs torch, whose import takes longer than anybody waits for a word. A test
holds that they are the same."""
LIBRARIES = ("torchvision", "timm")
ACCELERATORS = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dri/renderD*")
SETTINGS = ("ATEN_", "CUBLAS_", "CUDA_", "DNNL_", "HIP_", "MKL_", "ONEDNN_", "PYTORCH_", "ROCR_", "TORCH_", "NVIDIA_")
"""How variables of the environment begin by which torch and what it stands on compute otherwise."""
CODE = (".py", ".js", ".css", ".html", ".toml")
OTHERS = {"__pycache__", "resources", "tests", ".git", ".venv"}
"""Folders beside and in archlab's, without code of it."""


def code(network: str) -> list[str] | None:
    """The versions of all code that builds a network, measures and trains it.

    None where they can't be seen, or are not installed: whoever builds it says so.
    """
    library, mark, _ = network.partition(":")
    if not (library in LIBRARIES if mark else network in BUILT_IN):
        return None
    from importlib import metadata  # 20 ms, of which lists have no use

    try:
        versions = [metadata.version(name) for name in ("torch", *([library] if mark else []))]
    except metadata.PackageNotFoundError:
        return None
    return [__version__, str(newest()), *versions, sys.version, sys.platform]


def machine() -> list[str]:
    """What of this machine decides how it computes: processor, accelerators, settings in the environment."""
    variables = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(SETTINGS))
    devices = sorted(str(path) for pattern in ACCELERATORS for path in Path("/").glob(pattern[1:]))
    return [platform.machine(), *_processor(), *devices, *variables]


def digest(*parts: object) -> str:
    """A short name of some values that JSON can hold.

    >>> digest("lenet", 3) == digest("lenet", 3) != digest("lenet", 4)
    True
    """
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]


def _processor() -> list[str]:
    """What it is called, and what it can do."""
    lines: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - of it the beginning
            for line in file:
                name, _, value = line.partition(":")
                if not name.strip():
                    break
                lines[name.strip()] = value.strip()
    except OSError:
        return [platform.processor()]
    return [lines.get(name, "") for name in ("model name", "flags", "Features", "CPU part")]


@cache
def newest() -> int:
    """When a file of archlab was last written, in nanoseconds: one that is worked on has no other sign of it."""
    found = 0
    package = Path(__file__).resolve().parent
    links = [item.resolve() for item in package.iterdir() if item.is_symlink()]  # a checkout has folders outside
    for root in (package, *links):
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in OTHERS]
            for name in names:
                if name.endswith(CODE):
                    found = max(found, os.stat(os.path.join(folder, name)).st_mtime_ns)  # noqa: PTH116, PTH118
    return found


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
