"""Connections to the live page: whoever doesn't know its address can't keep the owner out.

Every program of the machine can open connections to the server, as many as it likes, and leave them half open. So a
connection on which no request has shown the token ends after `STRANGER_SECONDS`, and of such connections there are
`MOST_STRANGERS` at most: a further one ends the oldest. The owner's have shown the token, and stay.
"""

from __future__ import annotations

import asyncio
from secrets import compare_digest
from typing import Any

from uvicorn import Server
from uvicorn.protocols.http.h11_impl import H11Protocol

STRANGER_SECONDS = 5.0
"""For a request to come whole; an honest one takes milliseconds."""
MOST_STRANGERS = 512
"""So many that an honest request is read before others push it out; half of the descriptors that a process may have."""


def protocol(token: str) -> type[H11Protocol]:
    """The class of a server's connections, of which those that show the token stay."""
    strangers: dict[Connection, None] = {}  # in the order in which they came

    class Connection(H11Protocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._ends: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            strangers[self] = None
            self._ends = self.loop.call_later(STRANGER_SECONDS, transport.abort)
            if len(strangers) > MOST_STRANGERS:
                oldest = next(iter(strangers))
                strangers.pop(oldest)
                oldest.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def handle_events(self) -> None:
            super().handle_events()
            path = str(self.scope["path"]) if self.scope else ""
            if self in strangers and _shows(path, token):
                self._forget()

        def _forget(self) -> None:
            strangers.pop(self, None)
            if self._ends is not None:
                self._ends.cancel()

    return Connection


def _shows(path: str, token: str) -> bool:
    given = path.removeprefix("/").partition("/")[0]
    return compare_digest(given.encode(errors="replace"), token.encode())


class QuietServer(Server):
    """A server that says nothing of what strangers send it, nor of a system that is out of descriptors."""

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await super().startup(sockets)
