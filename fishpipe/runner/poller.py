"""One poller for all tasks in flight: batched, paced, each task asked at growing intervals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fishpipe.errors import CallInDoubt, ServiceError, TaskUnknown, TransientError
from fishpipe.ports import Running
from fishpipe.runner.retry import patiently

if TYPE_CHECKING:
    from fishpipe.ports import Clock, Outcome, RunLimits, Speech, TaskState


@dataclass(slots=True)
class _Waiting:
    """A task: asked for at `since` (Unix seconds); the other times are monotonic."""

    future: asyncio.Future[Outcome]
    since: float
    begun: float
    due: float
    asking: bool = False


class Poller:
    """Ask with `result`; `run` must be running beside it.

    A few batches may be under way at once, so that a slow answer holds up nobody else's.
    """

    def __init__(self, speech: Speech, clock: Clock, limits: RunLimits) -> None:
        self._speech, self._clock, self._limits = speech, clock, limits
        self._waiting: dict[str, _Waiting] = {}
        self._news = asyncio.Event()
        self._batches: set[asyncio.Task[None]] = set()
        self._given_up: str | None = None

    async def result(self, task_id: str, since: float) -> Outcome:
        """Wait until the task has ended; `since` is when it was asked for, in Unix seconds.

        Raises TransientError where it has not when the call's deadline passes (it is kept), CallInDoubt where it
        has not a day after it was asked for, and what else keeps the service from telling.
        """
        if self._given_up is not None:
            raise TransientError(self._given_up)
        known = self._waiting.get(task_id)
        if known is None:
            now = self._clock.monotonic()
            future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            known = self._waiting[task_id] = _Waiting(future, since, now, now + self._limits.poll_first)
            self._news.set()
        return await asyncio.shield(known.future)

    def give_up(self, why: str) -> None:
        """Wait for nothing any more: the tasks are kept for the next build."""
        self._given_up = why
        for task in list(self._waiting):
            self._end(task, TransientError(why))

    async def run(self) -> None:
        """Poll until cancelled; whatever goes wrong goes to those who wait."""
        try:
            while True:
                if not self._waiting:
                    self._news.clear()
                    await self._news.wait()
                self._start_batches()
                await self._clock.sleep(self._pause())
        finally:
            for batch in self._batches:
                batch.cancel()

    def _start_batches(self) -> None:
        now = self._clock.monotonic()
        due = [task for task, waiting in self._waiting.items() if waiting.due <= now and not waiting.asking]
        size = self._limits.poll_batch
        for start in range(0, len(due), size):
            if len(self._batches) >= self._limits.polls:
                break
            batch = due[start : start + size]
            for task in batch:
                self._waiting[task].asking = True
            asked = asyncio.create_task(self._ask(batch))
            self._batches.add(asked)
            asked.add_done_callback(self._batches.discard)

    def _pause(self) -> float:
        """Until the next task is due, within the pace of the polls."""
        first = self._limits.poll_first
        due = [waiting.due for waiting in self._waiting.values() if not waiting.asking]
        soonest = min(due, default=0.0) - self._clock.monotonic()
        return max(first / 2, min(soonest, first))

    async def _ask(self, batch: list[str]) -> None:
        try:
            states = await patiently(lambda: self._speech.tasks(batch), self._limits, self._clock)
            for task in batch:
                self._judge(task, states.get(task, Running(known=False)))
        except ServiceError as error:
            self._end_all(batch, error)
        except Exception as error:  # noqa: BLE001  (a bug here must reach those who wait, or they wait for ever)
            self._end_all(batch, error)

    def _judge(self, task: str, state: TaskState) -> None:
        waiting = self._waiting.get(task)
        if waiting is None:
            return
        now = self._clock.monotonic()
        age = now - waiting.begun
        limits = self._limits
        if not isinstance(state, Running):
            self._end(task, state)
        elif self._clock.now() - waiting.since > limits.doubt_after:
            what = "is not finished" if state.known else "is not known to the service"
            self._end(task, CallInDoubt(f"the task {what} a day after it was asked for"))
        elif not state.known and age > limits.unknown_task_grace:
            self._end(task, TaskUnknown("the service does not know this task; it is kept and asked for again"))
        elif age > limits.call_deadline:
            self._end(task, TransientError("the task is not finished; it is kept and asked for by the next build"))
        else:
            waiting.asking = False
            waiting.due = now + min(limits.poll_longest, max(limits.poll_first, age / 4))

    def _end_all(self, batch: list[str], error: Exception) -> None:
        for task in batch:
            self._end(task, error)

    def _end(self, task: str, outcome: Outcome | Exception) -> None:
        waiting = self._waiting.pop(task, None)
        if waiting is None or waiting.future.cancelled():
            return
        if isinstance(outcome, Exception):
            waiting.future.set_exception(outcome)
            waiting.future.exception()  # read once here, so that an outcome nobody waits for any more is not a warning
        else:
            waiting.future.set_result(outcome)
