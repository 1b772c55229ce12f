"""The server behind the live page, in a thread: Starlette on uvicorn, bound to this machine."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Self

from archlab.errors import InputError
from archlab.records import TrainingConfig
from archlab.reports import resources
from archlab.reports.live import page
from archlab.reports.live.access import HEADERS, HOSTS, Address, Guard, keep_address, last_address
from archlab.reports.live.watching import Watch

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp
    from uvicorn import Server

    from archlab.store import Store

PORT = 8420
POLL_SECONDS = 0.5
"""Between two looks at the store."""
SILENCE_SECONDS = 15.0
"""Without an event, after which a comment shows that the connection lives."""
SHUTDOWN_SECONDS = 2
"""How long open pages have to take the last message."""


class Live:
    """A page on a store's runs that fills as they go; use it in a `with` statement.

    Nothing is kept but what the store holds, so that a page can be closed and opened again, and a server started anew
    goes on where the last one was: it keeps its address in the store.

    Args:
        store: the folder of runs; it may be empty yet.
        plan: configurations that are trained; then the page shows these, and not all of the store.
        fresh: whether the plan is trained anew where the store has finished it.
        port: of 127.0.0.1; None for the last one of this store, else 8420, else any that is free.
        token: in the page's address; None for the last one of this store, else a random one.

    Raises:
        InputError: Starlette or uvicorn is not installed, the port is taken, or the token can't stand in an address.

    >>> with Live(open_store()) as live:  # doctest: +SKIP
    ...     print(live.url)
    """

    def __init__(
        self,
        store: Store,
        *,
        plan: Sequence[TrainingConfig] = (),
        fresh: bool = False,
        port: int | None = None,
        token: str | None = None,
    ) -> None:
        try:
            import starlette  # noqa: F401
            import uvicorn
        except ImportError as error:
            raise InputError(
                f"the live page needs {error.name}, which is not installed: pip install 'archlab[serve]'"
            ) from error
        if token is not None and not re.fullmatch(r"[\w-]{16,}", token, re.ASCII):
            raise InputError(f"the token {token!r} is no secret: expected 16 or more letters, digits, - or _")
        last = last_address(store.address_path)
        self._socket = _bound([port] if port is not None else [last.port or PORT, PORT, 0])
        self.address = Address(token or last.token, self._socket.getsockname()[1])
        self.is_kept = keep_address(store.address_path, self.address)
        """Whether the next server of this store will have the same address: not where the store can't be written."""
        self.last_message = ""
        """What open pages say when the server has ended; empty where it may come back."""
        self._watch = Watch(store, plan, fresh)
        # The first page would wait for it: plotly.js is packed, which mostly needs no Python.
        threading.Thread(target=resources.plotly, daemon=True).start()
        self._ending = threading.Event()
        application = app(self._watch, self.address.token, self._events)
        from archlab.reports.live.connections import QuietServer, protocol

        config = uvicorn.Config(
            application,
            http=protocol(self.address.token),
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        self._server: Server = QuietServer(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def url(self) -> str:
        """Where the page is: whoever knows it can read the store's runs."""
        return f"http://127.0.0.1:{self.address.port}/{self.address.token}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._server.should_exit = True
        self._thread.join()

    async def _events(self, number: int) -> AsyncIterator[str]:
        async for text in events(self._watch, self._ending, number):
            yield text
        if self.last_message:
            yield event("end", json.dumps(self.last_message))


def app(watch: Watch, token: str, stream: Callable[[int], AsyncIterator[str]]) -> ASGIApp:
    """The application: the page and its stream of events, for those who know the token."""
    from starlette.applications import Starlette
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import HTMLResponse, StreamingResponse
    from starlette.routing import Route

    policy = page.policy()
    title = f"Runs in {watch.store.path.resolve().name}"

    def answer_page(request: Request) -> Response:
        headers = {**HEADERS, "content-security-policy": policy}
        return HTMLResponse(page.html(watch.shown(_number(request)), title), headers=headers)

    def answer_events(request: Request) -> Response:
        return StreamingResponse(stream(_number(request)), media_type="text/event-stream", headers=HEADERS)

    routes = [Route("/", answer_page), Route("/events", answer_events)]
    return TrustedHostMiddleware(Guard(Starlette(routes=routes), token), HOSTS, www_redirect=False)


def _number(request: Request) -> int:
    """The page that is asked for, from 1."""
    number = request.query_params.get("page", "")
    return int(number) if re.fullmatch(r"[0-9]{1,6}", number, re.ASCII) else 1


async def events(watch: Watch, ending: threading.Event, number: int = 1) -> AsyncIterator[str]:
    """Server-sent events until the end: which experiments a page has, and each that has changed.

    Each event holds a whole state and not a difference, so that none is missed by a page that was away.
    """
    from starlette.concurrency import run_in_threadpool

    sent: dict[str, object] = {}
    listing = ""
    quiet = 0.0
    while not ending.is_set():
        shown = await run_in_threadpool(watch.shown, number)
        if listing != page.listing(shown):
            listing = page.listing(shown)
            yield event("boards", listing)
            quiet = 0.0
        for board in shown.boards:
            if sent.get(board.anchor) is not board:
                sent[board.anchor] = board
                yield event("board", await run_in_threadpool(page.message, board))
                quiet = 0.0
        if quiet >= SILENCE_SECONDS:
            yield ": still here\n\n"
            quiet = 0.0
        await asyncio.sleep(POLL_SECONDS)
        quiet += POLL_SECONDS


def event(name: str, data: str) -> str:
    """One server-sent event; the data is one line."""
    return f"event: {name}\ndata: {data}\n\n"


def _bound(ports: Sequence[int]) -> socket.socket:
    """A socket on the first of the ports that is free; 0 is any."""
    for port in ports:
        try:
            return socket.create_server((HOSTS[0], port))
        except (OSError, OverflowError):
            continue
    raise InputError(f"port {ports[0]} of {HOSTS[0]} can't be used: choose another, or leave --port out")
