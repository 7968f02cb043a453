"""Callbacks: the answer of a call, POSTed to the address that the call named, as badly as the switches say."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from fishpipe.sandbox.switches import Dice, Mishap

LATE: Final = 3.0
_MALFORMED: Final = b'{"task_id": "'


class Callbacks:
    """Sends them; a receiver that is not there is its own loss. Close with `aclose`."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._sending: set[asyncio.Task[None]] = set()
        self._held: list[tuple[str, bytes | dict[str, Any]]] = []

    def send_when(self, url: str, task_id: str, done: asyncio.Task[dict[str, Any]]) -> None:
        """Send a task's answer once it is made."""
        done.add_done_callback(lambda made: self._made(url, task_id, made))

    def _made(self, url: str, task_id: str, made: asyncio.Task[dict[str, Any]]) -> None:
        if not made.cancelled() and made.exception() is None:
            self.send(url, task_id, made.result())

    def send(self, url: str, task_id: str, answer: dict[str, Any]) -> None:
        """Send an answer, unless a mishap befalls it."""
        mishap = self._dice.mishap()
        if mishap == "never":
            return
        body = {**answer, "task_id": task_id}
        if mishap == "reorder" and not self._held:
            # This one waits until another has gone, or for as long as a late one.
            self._held.append((url, body))
            self._start(self._release_later())
            return
        self._start(self._post(url, body, mishap))

    async def _post(self, url: str, body: bytes | dict[str, Any], mishap: Mishap | None) -> None:
        if mishap == "late":
            await asyncio.sleep(LATE)
        if mishap == "malformed":
            await _send(url, _MALFORMED)
        for _ in range(2 if mishap == "twice" else 1):
            await _send(url, body)
        await self._release()

    async def _release_later(self) -> None:
        await asyncio.sleep(LATE)
        await self._release()

    async def _release(self) -> None:
        while self._held:
            await _send(*self._held.pop())

    def _start(self, sending: Any) -> None:  # noqa: ANN401
        task = asyncio.get_running_loop().create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


async def _send(url: str, body: bytes | dict[str, Any]) -> None:
    with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            if isinstance(body, bytes):
                await client.post(url, content=body, headers={"content-type": "application/json"})
            else:
                await client.post(url, json=body)
