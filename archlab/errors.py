"""The errors that archlab raises on purpose.

    ArchlabError            anything below; catch this one
    ├── InputError          a value in the call is wrong: a shape, a name, an option
    │   ├── SourceError     no network can be built from what was named
    │   ├── UntrustedError  what a record or a file names would run code, and nobody said that it may
    │   └── DataError       a data set can't be had or can't be read
    ├── ForwardError        the network itself does not take the input it was given
    ├── UncountedError      the cost of an operation is not known, and was asked to be
    ├── StoreError          a folder of runs can't be read or written
    └── RunError            a training failed: its network raised, it ran out of memory, was killed
        └── DivergedError   its loss left the bound; a run that diverged is kept as a result

Every message says what was given, what was expected and what to do. The command line prints it as it is and leaves with
the exit code of the class: 2 where the call was wrong, 1 where the work failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import takewhile
from typing import Any, ClassVar


class ArchlabError(Exception):
    """The base of all errors that archlab raises on purpose."""

    exit_code: ClassVar[int] = 2


class InputError(ArchlabError, ValueError):
    """A value in the call is wrong."""


class SourceError(InputError):
    """No network can be built from what was named."""


class UntrustedError(InputError):
    """What a record or a file names would run somebody else's code."""


class DataError(InputError):
    """A data set can't be had, or can't be read."""


class ForwardError(ArchlabError):
    """The network does not take the input that it was given.

    Records may raise errors, so this file imports no record: what an error carries is named in words.
    """

    failure: Any
    """Where and why, an `archlab.records.Failure`; None where that isn't known."""
    trace: Any
    """The layers up to there, an `archlab.records.Trace`; None where there are none."""

    def __init__(self, message: str, failure: Any = None, trace: Any = None) -> None:
        super().__init__(message)
        self.failure = failure
        self.trace = trace


class UncountedError(ArchlabError):
    """The cost of an operation is not known, and the call was strict."""

    exit_code = 1
    trace: Any
    """What could be counted, an `archlab.records.Trace`."""

    def __init__(self, trace: Any) -> None:
        totals = trace.totals
        missing = totals.uncounted_operations
        listed = ", ".join(f"{name} ({count} times)" if count > 1 else name for name, count in missing.items())
        whole = totals.counted_operations + sum(missing.values())
        super().__init__(
            f"{trace.network}: counted {totals.counted_operations} of {whole} operations, expected all of them; there "
            f"is no formula for {listed}. archlab.tracing.register_cost adds one"
        )
        self.trace = trace


class StoreError(ArchlabError):
    """A folder of runs can't be read or written."""


class RunError(ArchlabError):
    """A training failed."""

    exit_code = 1


class DivergedError(RunError):
    """A training's loss is not finite any more."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"diverged: {reason}")
        self.reason = reason


def cut(value: object, most: int = 200) -> str:
    r"""What a file or a stranger says, as it can stand in a message: in one line, no controls, not too long.

    >>> cut("a\x1b[31mb\nc"), cut(["x"] * 1000, 10)
    ('a [31mb c', "['x', 'x',...")
    """
    text = value if isinstance(value, str) else str(value)
    kept = "".join(letter if letter.isprintable() else " " for letter in text[:most])
    return kept if len(text) <= most else f"{kept}..."


MOST_COMPARED = 1000
"""Names that are compared letter by letter, which takes a while; of more than that, those that begin alike."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A half sentence that names what the reader may have meant, for the end of a message.

    >>> nearest("densnet", ["lenet", "densenet"])
    'did you mean densenet or lenet? Known: densenet, lenet'
    """
    names = sorted(known)
    asked = names
    if len(names) > MOST_COMPARED:
        asked = sorted(names, key=lambda other: -_shared(name, other))[:MOST_COMPARED]
    close = difflib.get_close_matches(name, asked, n=3, cutoff=0.6)
    listed = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
    return (f"did you mean {' or '.join(close)}? " if close else "") + f"Known: {listed}"


def _shared(name: str, other: str) -> int:
    """How many letters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False)))
