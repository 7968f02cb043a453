"""How many calls may be in flight: halved by a rate limit, opened again one success at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fishpipe.ports import Clock


class Window:
    """At most `limit` places at once, first come first served; a rate limit's pause holds all newcomers back.

    `pause` sleeps for a number of seconds, or raises where the run has no more use for the place.
    """

    def __init__(self, limit: int, clock: Clock, pause: Callable[[float], Awaitable[None]] | None = None) -> None:
        self._most = limit
        self._limit = float(limit)
        self._held = 0
        self._clock = clock
        self._pause = pause or clock.sleep
        self._resume_at = 0.0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many may be in flight now."""
        return max(1, int(self._limit))

    async def enter(self) -> Place:
        """Take a place."""
        place = Place(self)
        await place.take()
        return place

    def succeeded(self) -> None:
        """A call went through: open by one place in each full round."""
        self._limit = min(float(self._most), self._limit + 1 / self.limit)
        self._admit()

    def limited(self, wait: float) -> None:
        """The service says that we are too fast: halve (once a pause), and hold back for `wait` seconds."""
        now = self._clock.monotonic()
        if now >= self._resume_at:
            self._limit = max(1.0, self._limit / 2)
        self._resume_at = max(self._resume_at, now + wait)

    async def acquire(self) -> None:
        """Wait for one's turn, and for the end of a pause."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._admit()
        try:
            await turn
            while (wait := self._resume_at - self._clock.monotonic()) > 0:
                await self._pause(wait)
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a place back."""
        self._held -= 1
        self._admit()

    def _admit(self) -> None:
        """Hand the free places to those who waited longest."""
        while self._queue and self._held < self.limit:
            turn = self._queue.popleft()
            if not turn.done():
                self._held += 1
                turn.set_result(None)


class Place:
    """One place of a window; given back once, however often that is asked for."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._held = False

    async def take(self) -> None:
        """Hold the place (again)."""
        await self._window.acquire()
        self._held = True

    def give(self) -> None:
        """Give it back."""
        if self._held:
            self._held = False
            self._window.release()
