"""HTTP connections that are not held for ever: who says nothing, or says it slowly, is hung up on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from asyncio import Transport

# A callback is one small request: what is not done by then is none. In seconds.
LONGEST: Final = 15.0
# Connections at once; the oldest goes when one more comes.
MOST: Final = 128


class Impatient(H11Protocol):
    """One connection of the receiver."""

    open: ClassVar[dict[Impatient, asyncio.TimerHandle]] = {}

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take the connection, for a while."""
        super().connection_made(transport)
        if len(self.open) >= MOST:
            next(iter(self.open)).hang_up()
        self._begin()

    def on_response_complete(self) -> None:
        """One request is done: the next may take its time."""
        super().on_response_complete()
        if self in self.open:
            self._forget()
            self._begin()

    def _begin(self) -> None:
        self.open[self] = asyncio.get_running_loop().call_later(LONGEST, self.hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._forget()
        super().connection_lost(exc)

    def hang_up(self) -> None:
        """Close it at once, whatever is under way."""
        self._forget()
        transport: Any = self.transport
        transport.abort()

    def _forget(self) -> None:
        timer = self.open.pop(self, None)
        if timer is not None:
            timer.cancel()
