"""How files are read in a fuzz, and what of it is a violation."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

from archlab.errors import ArchlabError
from tests.faults.children import BYTES
from tests.faults.messages import unclear

SECONDS = 10.0
"""That the reading of one file may take."""


class ViolationError(Exception):
    """A file did what none may do."""


def attempt(read: Callable[[], object]) -> Any:
    """What was read; None where it was refused, in a clear message.

    Raises:
        ViolationError: the message is none, or it took too long or too much memory.
    """
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = None
    try:
        found = read()
    except ArchlabError as error:
        if wrong := unclear(str(error)):
            raise ViolationError(f"{wrong}: {str(error)[:300]!r}") from None
    seconds = time.monotonic() - started
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if seconds > SECONDS or more > BYTES:
        raise ViolationError(f"it took {seconds:.1f} s and {more / 1e9:.1f} GB")
    return found
