"""The memory that is free, and refusals of what would take more: before any of it is taken."""

from __future__ import annotations

import os
from pathlib import Path

from archlab.errors import InputError

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int | None:
    """Bytes of memory that this process can still have, by the system and by its container; None where nobody says."""
    limits = [limit for limit in (_available(), _container()) if limit is not None]
    return min(limits) if limits else None


def demand(needed: int, what: str, remedy: str) -> None:
    """Refuse what needs more memory than is free.

    Args:
        needed: bytes.
        what: that they are for, as the beginning of a sentence: "2,000 images of 3 x 100000 x 100000".
        remedy: what to do.

    Raises:
        InputError: there are fewer.

    >>> demand(2**70, "an input of 2 x 2**69", "give a smaller one")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    archlab.errors.InputError: an input of 2 x 2**69 would take 1,180,591,620,717 GB of memory, and ...
    """
    free = free_bytes()
    if free is not None and needed > free:
        raise InputError(
            f"{what} would take {needed / 1e9:,.{0 if needed >= 10**10 else 1}f} GB of memory, and {free / 1e9:.1f} GB "
            f"are free: {remedy}"
        )


def _available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows; a system without that number
        return None


def _container() -> int | None:
    try:
        most = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        return None if most == "max" else int(most) - int((_CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
