"""Takes the service's answers as they come: POST /SECRET/NONCE, from a public address that leads here.

The path's secret keeps strangers out; what comes is still only believed as far as a query would be: it names
a link, and the link goes through the rules of downloads. Every request is answered at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import socket
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Route

from fishpipe.errors import StoreError, UsageError
from fishpipe.fish.answers import read_id, read_outcome
from fishpipe.fish.faults import masked, scrubbed
from fishpipe.fish.hosts import is_address
from fishpipe.fish.patience import Impatient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from fishpipe.ports import Outcome

MAX_BODY: Final = 1 << 20
_MOST_WAITING: Final = 10_000
_SLOWEST: Final = 10.0


class Receiver:
    """The runner's Callbacks port. `public` is the address from outside, `secret` a word that nobody guesses.

    `token` is masked in what comes.
    """

    def __init__(self, public: str, secret: str, token: str | None) -> None:
        self._public, self._secret = public.rstrip("/"), secret
        self._masked = [word for word in (secret, token) if word]
        self._deliver: Callable[[str, str | None, Outcome], None] | None = None
        self._early: list[tuple[str, str | None, Outcome]] = []

    def address(self, nonce: str) -> str:
        """The public address for the answer of one call."""
        return f"{self._public}/{self._secret}/{nonce}"

    def listen(self, deliver: Callable[[str, str | None, Outcome], None]) -> None:
        """Give each answer that comes to `deliver`; those that came before, too."""
        self._deliver = deliver
        for early in self._early:
            deliver(*early)
        self._early.clear()

    @contextlib.asynccontextmanager
    async def running(self, listen: str) -> AsyncIterator[None]:
        """Serve at HOST:PORT while the block runs. Raises StoreError where the place is taken."""
        listener = _bound(listen)
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        config = uvicorn.Config(
            self.app(), log_config=None, access_log=False, lifespan="off", http="h11", ws="none",
            timeout_keep_alive=5, timeout_graceful_shutdown=1, h11_max_incomplete_event_size=1 << 14,
        )  # fmt: skip
        config.load()
        config.http_protocol_class = Impatient
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await asyncio.wait([serving], timeout=3)
            listener.close()

    def app(self) -> Starlette:
        """The one route."""
        return Starlette(routes=[Route("/{rest:path}", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> JSONResponse:
        if not self._is_for_us(request):
            return JSONResponse({"ok": False}, 404)
        # Whatever path the public address has before ours, ours are the last two parts.
        secret, nonce = (["", "", *request.path_params["rest"].split("/")])[-2:]
        if not hmac.compare_digest(secret.encode("utf-8", "replace"), self._secret.encode()):
            return JSONResponse({"ok": False}, 404)
        body = await _body(request)
        if body is None:
            return JSONResponse({"ok": False}, 413)
        try:
            data = masked(scrubbed(json.loads(body)), self._masked)
        except (ValueError, RecursionError):
            return JSONResponse({"ok": False}, 400)
        return JSONResponse({"ok": self._taken(nonce, data)})

    def _is_for_us(self, request: Request) -> bool:
        """Whether a request is a service's, and not that of a page in a browser whose name leads here (rebinding)."""
        host = urlsplit(f"http://{request.headers.get('host', '')}").hostname or ""
        is_known = host in (urlsplit(self._public).hostname, "localhost") or is_address(host)
        return is_known and "origin" not in request.headers

    def _taken(self, nonce: str, data: Any) -> bool:  # noqa: ANN401
        """Deliver what a body says; False where it says nothing that can be used."""
        if not isinstance(data, dict):
            return False
        task, trace = (read_id(data.get(name)) for name in ("task_id", "trace_id"))
        outcome = read_outcome(data, task, trace)
        if outcome is None:
            return False
        if self._deliver is not None:
            self._deliver(nonce, task, outcome)
        elif len(self._early) < _MOST_WAITING:
            self._early.append((nonce, task, outcome))
        return True


class _Server(uvicorn.Server):
    """A server that leaves the signals of the build alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:  # noqa: ANN401
        yield


async def _body(request: Request) -> bytes | None:
    """The whole body; None where it is too large, or does not come in time."""
    body = b""
    try:
        async with asyncio.timeout(_SLOWEST):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return body


def _bound(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"callback_listen {listen} is no place to listen at: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"callbacks cannot be taken at {listen}: {reason}; choose another callback_listen") from error
    return listener
