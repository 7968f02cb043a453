"""Where the answers of calls come from: callbacks where the service sends them, else the poller."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fishpipe.ports import Callbacks, Clock, Outcome, RunLimits
    from fishpipe.runner.poller import Poller


@dataclass(slots=True)
class _Expected:
    """An answer that may come; `task_id` once it is known, `named` the task that a callback spoke of."""

    arrived: asyncio.Future[Outcome]
    task_id: str | None = None
    named: str | None = None


class Results:
    """Waits for answers. Late, repeated, reordered and unknown callbacks are normal: the first that fits counts."""

    def __init__(self, poller: Poller, clock: Clock, limits: RunLimits, callbacks: Callbacks | None) -> None:
        self._poller, self._clock, self._limits = poller, clock, limits
        self._callbacks = callbacks
        self._over = asyncio.Event()
        self._nonces: dict[str, _Expected] = {}
        self._tasks: dict[str, _Expected] = {}

    def give_up(self, why: str) -> None:
        """Wait for nothing any more: the tasks are kept for the next build."""
        self._poller.give_up(why)
        self._over.set()

    def listen(self) -> None:
        """Take callbacks from now on."""
        if self._callbacks is not None:
            self._callbacks.listen(self.deliver)

    def address(self, nonce: str | None) -> str | None:
        """Where the service is to send an answer, if it is to."""
        return self._callbacks.address(nonce) if self._callbacks is not None and nonce else None

    def expect(self, nonce: str) -> asyncio.Future[Outcome]:
        """What the callback of a call brings."""
        if nonce not in self._nonces:
            self._nonces[nonce] = _Expected(asyncio.get_running_loop().create_future())
        return self._nonces[nonce].arrived

    def deliver(self, nonce: str, task_id: str | None, outcome: Outcome) -> None:
        """A callback came: matched by its nonce, else by its task; one that names another task is not ours."""
        expected = self._nonces.get(nonce) or self._tasks.get(task_id or "")
        if expected is None or expected.arrived.done():
            return
        if expected.task_id is None or task_id is None or expected.task_id == task_id:
            expected.named = task_id
            expected.arrived.set_result(outcome)

    def _bind(self, nonce: str, task_id: str) -> asyncio.Future[Outcome]:
        """The answer of a call whose task is known now; a callback that named another one was not ours."""
        self.expect(nonce)
        expected = self._nonces[nonce]
        if expected.named not in (None, task_id):
            expected = self._nonces[nonce] = _Expected(asyncio.get_running_loop().create_future())
        expected.task_id = task_id
        self._tasks[task_id] = expected
        return expected.arrived

    async def early(self, nonce: str | None, waited: float = 0.0) -> Outcome | None:
        """The callback of a call in doubt, if it comes in time; `waited` seconds have passed already."""
        if self._callbacks is None or nonce is None:
            return None
        arrived = self.expect(nonce)
        # One may lie in the mail of a receiver that has only just opened: it is given a moment at least.
        await self._first(arrived, max(1.0, self._limits.callback_timeout - max(0.0, waited)))
        return arrived.result() if arrived.done() else None

    async def _first(self, arrived: asyncio.Future[Outcome], seconds: float) -> None:
        """Wait for an answer, for a while, or until nothing is waited for any more."""
        over = asyncio.create_task(self._over.wait())
        both: list[asyncio.Future[Any]] = [arrived, over]
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()

    async def of(self, task_id: str, since: float, nonce: str | None) -> Outcome:
        """What became of a task that was asked for at `since` (Unix seconds).

        A callback that does not come is stood in for by polling. Raises ServiceError as the poller does.
        """
        if self._callbacks is None or nonce is None:
            return await self._poller.result(task_id, since)
        arrived = self._bind(nonce, task_id)
        waited = max(0.0, self._clock.now() - since)
        patience = min(self._limits.callback_timeout - waited, self._limits.call_deadline / 2)
        await self._first(arrived, max(0.0, patience))
        if arrived.done():
            return arrived.result()
        polled = asyncio.ensure_future(self._poller.result(task_id, since))
        try:
            await asyncio.wait([arrived, polled], return_when=asyncio.FIRST_COMPLETED)
            return arrived.result() if arrived.done() else await polled
        finally:
            polled.cancel()
