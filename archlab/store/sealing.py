"""JSON documents that hold their own hash: `"sha256"`, the last of their fields, of all bytes before it.

One rename puts document and hash into their place, so that no kill parts them. Whoever does not know the field leaves
it out; documents of an older archlab have none.
"""

from __future__ import annotations

import hashlib

from archlab.errors import StoreError

_BEFORE, _AFTER = b',\n  "sha256": "', b'"\n}'
_DIGITS = 64
_LIKE = 12
"""Bytes of the 18 around a hash that make an end a seal: of one that is damaged itself most are left."""


def sealed(document: str) -> str:
    """A JSON object, which must not be empty, with its hash."""
    body = document.rstrip().removesuffix("}").rstrip()
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f"{body}{_BEFORE.decode()}{digest}{_AFTER.decode()}"


def check_seal(content: bytes) -> bool:
    """Whether a document has its hash; none where an older archlab wrote it.

    Raises:
        StoreError: the bytes are not those that were written.
    """
    whole = content.rstrip(b"\n") if content.endswith(b"\n") else content
    length = len(_BEFORE) + _DIGITS + len(_AFTER)
    body, tail = whole[:-length], whole[-length:]
    if not (tail.startswith(_BEFORE) and tail.endswith(_AFTER)):
        around = tail[: len(_BEFORE)] + tail[len(_BEFORE) + _DIGITS :]
        if sum(mine == theirs for mine, theirs in zip(around, _BEFORE + _AFTER, strict=False)) < _LIKE:
            return False
    if tail != _BEFORE + hashlib.sha256(body).hexdigest().encode() + _AFTER:
        raise StoreError("it is damaged: its bytes are not those that were written (sha256)")
    return True
