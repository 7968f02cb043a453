"""Who may ask a server on this machine: programs of this machine, and no page in a browser.

A page can have its own name lead to 127.0.0.1 a moment later (DNS rebinding), and ask what it likes; its requests say
what they were sent to (Host), and where they come from (Origin).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


def is_own(url: str) -> bool:
    """Whether an address leads to this machine, by its number or as localhost."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class OwnHosts:
    """Middleware that answers 403 to what was sent to another name, or comes from another place."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not is_own(f"http://{headers.get('host', '')}") or (origin is not None and not is_own(origin)):
            await PlainTextResponse("only for programs of this machine", 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)
