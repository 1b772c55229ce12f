"""Traces of networks that were asked for before: a second look needs no torch.

What decides a trace is archlab's version and the time of its newest file, the versions of torch and of the library
that has the network, the name, options, input and columns. Only those of archlab's own networks, torchvision's and
timm's are kept (`archlab.kept`), since nobody can see what else a user's file depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from archlab import kept
from archlab.circumstances import code, digest
from archlab.errors import ArchlabError

if TYPE_CHECKING:
    from archlab.records import Trace, Value


def kept_trace(
    network: str,
    inputs: Sequence[str] | None,
    batch: int | None,
    options: Mapping[str, Value],
    columns: Sequence[str],
    measure: Callable[[], Trace],
) -> Trace:
    """The trace that was kept of the same question; else what is measured now, which is kept for the next time."""
    question = _question(network, inputs, batch, options, columns)
    if question is None:
        return measure()
    found = _read(question)
    if found is None:
        found = measure()
        kept.keep(kept.TRACES, question, found.to_json(indent=0).encode())
    return found


def _question(
    network: str, inputs: Sequence[str] | None, batch: int | None, options: Mapping[str, Value], columns: Sequence[str]
) -> str | None:
    """What a question is called; None for one whose answer depends on what nobody can see."""
    versions = None if kept.folder() is None else code(network)
    if versions is None or any("@" in text for text in inputs or ()):
        return None
    return digest(network, inputs, batch, sorted(options.items()), sorted(columns), versions)


def _read(question: str) -> Trace | None:
    content = kept.read(kept.TRACES, question)
    if content is None:
        return None
    from archlab.records import Trace

    try:
        return Trace.from_json(content)
    except ArchlabError:
        return None
