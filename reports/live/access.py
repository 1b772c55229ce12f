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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

FILE = ".live.json"
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


def last_address(folder: Path) -> Address:
    """The address that the store keeps, else a new token: a file that others can read is not trusted."""
    try:
        file = os.open(folder / FILE, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(file, "rb") as stream:
            state = os.fstat(stream.fileno())
            if state.st_uid == os.geteuid() and not stat.S_IMODE(state.st_mode) & 0o077:
                kept = json.load(stream)
                return Address(str(kept["token"]), int(kept["port"]))
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return Address(secrets.token_urlsafe(24))


def keep_address(folder: Path, address: Address) -> None:
    """Write the address for the next server, readable by this user alone; a store that can't be written keeps none."""
    draft = folder / f"{FILE}.{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            json.dump({"token": address.token, "port": address.port}, stream)
        draft.replace(folder / FILE)
    except OSError:
        draft.unlink(missing_ok=True)


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
