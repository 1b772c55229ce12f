"""What a message may be."""

from __future__ import annotations

LONGEST = 2_000
"""Characters."""


def unclear(message: str, lines: int = 6) -> str:
    """What is wrong with a message; empty where nothing.

    Args:
        message: as it is printed.
        lines: that it may have.
    """
    if not message.strip():
        return "an empty message"
    if len(message) > LONGEST or message.count("\n") >= lines:
        return f"a message of {len(message):,} characters in {message.count(chr(10)) + 1} lines"
    odd = sorted({letter for letter in message if not letter.isprintable() and letter != "\n"})
    return f"{odd} in the message" if odd else ""
