"""One poller for all tasks in flight: batched, each task asked at growing intervals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fishpipe.errors import ServiceError, TransientError
from fishpipe.ports import Running, TaskFailed
from fishpipe.runner.retry import patiently

if TYPE_CHECKING:
    from fishpipe.ports import Answered, Clock, RunLimits, Speech, TaskState


@dataclass(slots=True)
class _Waiting:
    future: asyncio.Future[Answered | TaskFailed]
    since: float
    first_asked: float
    due: float


class Poller:
    """Ask with `result`; `run` must be running beside it. A task that stays unknown is a TransientError."""

    def __init__(self, speech: Speech, clock: Clock, limits: RunLimits) -> None:
        self._speech, self._clock, self._limits = speech, clock, limits
        self._waiting: dict[str, _Waiting] = {}
        self._news = asyncio.Event()

    async def result(self, task_id: str, since: float) -> Answered | TaskFailed:
        """Wait until the task has ended; `since` is when it was asked for, in Unix seconds."""
        known = self._waiting.get(task_id)
        if known is None:
            now = self._clock.now()
            future: asyncio.Future[Answered | TaskFailed] = asyncio.get_running_loop().create_future()
            known = self._waiting[task_id] = _Waiting(future, since, now, now + self._limits.poll_first)
            self._news.set()
        return await asyncio.shield(known.future)

    async def run(self) -> None:
        """Poll until cancelled; whatever goes wrong goes to those who wait."""
        while True:
            try:
                await self._round()
            except Exception as error:  # noqa: BLE001
                for task in list(self._waiting):
                    self._end(task, error)

    async def _round(self) -> None:
        if not self._waiting:
            self._news.clear()
            await self._news.wait()
        now = self._clock.now()
        due = [task for task, waiting in self._waiting.items() if waiting.due <= now]
        if due:
            await self._ask(due[: self._limits.poll_batch])
        else:
            soonest = min(waiting.due for waiting in self._waiting.values())
            await self._clock.sleep(max(0.01, min(soonest - now, self._limits.poll_first)))

    async def _ask(self, due: list[str]) -> None:
        try:
            states = await patiently(lambda: self._speech.tasks(due), self._limits, self._clock)
        except ServiceError as error:
            for task in due:
                self._end(task, error)
            return
        for task in due:
            self._judge(task, states.get(task, Running(known=False)))

    def _judge(self, task: str, state: TaskState) -> None:
        waiting = self._waiting[task]
        now = self._clock.now()
        age = now - waiting.first_asked
        if not isinstance(state, Running):
            self._end(task, state)
        elif not state.known and age > self._limits.unknown_task_grace:
            self._end(task, TransientError("the service does not know this task; it is kept and asked for again"))
        elif now - waiting.since > self._limits.call_deadline:
            self._end(task, TransientError("the task is not finished; it is kept and asked for again"))
        else:
            waiting.due = now + min(self._limits.poll_longest, max(self._limits.poll_first, age / 4))

    def _end(self, task: str, outcome: Answered | TaskFailed | Exception) -> None:
        future = self._waiting.pop(task).future
        if future.cancelled():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
            future.exception()  # read once here, so that an outcome nobody waits for any more is not a warning
        else:
            future.set_result(outcome)
