"""The picture of a failed forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archlab.records import Failure


def failure_lines(failure: Failure) -> str:
    """Where it failed, what the layer got and expected, and a remedy, one line each; what isn't known is left out."""
    kind = f" ({failure.kind})" if failure.path and failure.kind else ""
    facts = {
        "layer": f"{failure.path or failure.kind}{kind}",
        "source": failure.source,
        "got": failure.got,
        "expected": failure.expected,
        "mend": failure.remedy,
        "torch": failure.error,
    }
    width = max(map(len, facts))
    return "\n".join(f"  {name:<{width}}  {_indented(text, width + 4)}" for name, text in facts.items() if text)


def _indented(text: str, columns: int) -> str:
    return ("\n" + " " * columns).join(text.splitlines())
