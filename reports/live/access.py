"""Who may see the page: a token in the address, kept in the store so that an address outlives its server.

The server listens on this machine alone, but every user and every web page of this machine can reach it there. The
token keeps the users out, its check by constant time and the check of the Host header keep out pages that guess or that
point a name of their own at 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Refuses to open a link, which another user could have put there; Windows has no such flag."""
HOSTS = ("127.0.0.1", "localhost")
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class Address:
    """Where a store's page was last."""

    token: str
    port: int = 0
    """0 where it has not been anywhere."""


def last_address(path: Path) -> Address:
    """The address that a file keeps, else a new token: a file that others can read is not trusted."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | NO_LINK), "rb") as stream:
            if _is_private(os.fstat(stream.fileno())):
                kept = json.load(stream)
                return Address(str(kept["token"]), int(kept["port"]))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        pass
    return Address(secrets.token_urlsafe(24))


def keep_address(path: Path, address: Address) -> bool:
    """Whether the address is written for the next server, readable by this user alone.

    A folder that can't be written keeps none: a colleague's store can be looked at, too.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as draft:
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w") as stream:
                json.dump({"token": address.token, "port": address.port}, stream)
        return True
    return False


def _is_private(state: os.stat_result) -> bool:
    """Whether a file is this user's, who alone may read it."""
    if not hasattr(os, "geteuid"):  # Windows: modes say nothing there, the store's folder decides who reads
        return True
    return state.st_uid == os.geteuid() and not stat.S_IMODE(state.st_mode) & 0o077


class Guard:
    """Lets a request through if its path starts with the token, and takes the token off it; all others find nothing."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        from starlette.responses import PlainTextResponse

        given, _, rest = str(scope["path"]).removeprefix("/").partition("/")
        if secrets.compare_digest(given.encode(errors="replace"), self.token):
            await self.app({**scope, "path": f"/{rest}"}, receive, send)
        else:
            text = "Nothing is here. The address of the page, with its token, is where archlab was started."
            await PlainTextResponse(text, 404, HEADERS)(scope, receive, send)
