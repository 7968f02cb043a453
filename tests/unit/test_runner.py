"""The window and the poller, under a clock of their own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from fishpipe.errors import TransientError
from fishpipe.ports import Answered, RunLimits, Running, TaskState
from fishpipe.runner.poller import Poller
from fishpipe.runner.retry import delay, patiently
from fishpipe.runner.window import Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FakeClock:
    """Time passes only when someone sleeps."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)

    def jitter(self) -> float:
        return 1.0


class FakeTasks:
    """Tasks that are done after so many questions."""

    def __init__(self, after: Mapping[str, int], errors: int = 0) -> None:
        self.after, self.errors = dict(after), errors
        self.asked: list[list[str]] = []

    async def tasks(self, ids: Sequence[str]) -> Mapping[str, TaskState]:
        self.asked.append(list(ids))
        if self.errors:
            self.errors -= 1
            raise TransientError("busy")
        for task in ids:
            self.after[task] -= 1
        return {task: Answered(url=task) if self.after[task] <= 0 else Running() for task in ids}


def test_never_more_than_the_limit_at_once_and_first_come_first_served() -> None:
    async def story() -> tuple[int, list[int]]:
        window, held, most, order = Window(3, FakeClock()), 0, 0, []

        async def worker(number: int) -> None:
            nonlocal held, most
            place = await window.enter()
            order.append(number)
            held += 1
            most = max(most, held)
            await asyncio.sleep(0.001)
            held -= 1
            place.give()
            place.give()

        await asyncio.gather(*(worker(number) for number in range(20)))
        return most, order

    most, order = asyncio.run(story())
    assert most == 3
    assert order == list(range(20))


def test_a_rate_limit_halves_once_a_pause_and_success_opens_again() -> None:
    clock = FakeClock()
    window = Window(8, clock)
    window.limited(10.0)
    window.limited(10.0)
    assert window.limit == 4
    for _ in range(60):
        window.succeeded()
    assert window.limit == 8


def test_newcomers_wait_for_the_pause() -> None:
    clock = FakeClock()
    window = Window(2, clock)
    window.limited(7.0)
    asyncio.run(window.enter())
    assert clock.time == 1007.0


def test_backoff_doubles_is_bounded_and_honours_the_service() -> None:
    limits, clock = RunLimits(first_delay=1.0, longest_delay=8.0), FakeClock()
    assert [delay(n, TransientError("x"), limits, clock) for n in (1, 2, 3, 4, 9)] == [1, 2, 4, 8, 8]
    assert delay(1, TransientError("x", retry_after=20.0), limits, clock) == 20


def test_a_query_is_asked_again_a_bounded_number_of_times() -> None:
    tries = 0

    async def ask() -> None:
        nonlocal tries
        tries += 1
        raise TransientError("no")

    with pytest.raises(TransientError):
        asyncio.run(patiently(ask, RunLimits(attempts=4), FakeClock()))
    assert tries == 4


async def poll(speech: Any, *ids: str, limits: RunLimits | None = None) -> tuple[list[Any], FakeClock]:
    clock = FakeClock()
    poller = Poller(speech, clock, limits or RunLimits())
    runner = asyncio.create_task(poller.run())
    results = await asyncio.gather(*(poller.result(task, clock.now()) for task in ids), return_exceptions=True)
    runner.cancel()
    return results, clock


def test_tasks_are_asked_for_in_batches() -> None:
    speech = FakeTasks({str(n): 1 for n in range(120)})
    results, _ = asyncio.run(poll(speech, *map(str, range(120))))
    assert [answer.url for answer in results] == list(map(str, range(120)))
    assert [len(batch) for batch in speech.asked] == [50, 50, 20]


def test_the_interval_grows_with_the_age_of_a_task() -> None:
    speech = FakeTasks({"slow": 12})
    _, clock = asyncio.run(poll(speech, "slow"))
    waits = [wait for wait in clock.slept if wait > 0]
    assert len(speech.asked) == 12
    assert clock.time - 1000 > 10
    assert max(waits) <= RunLimits().poll_first


def test_a_passing_error_loses_no_task() -> None:
    results, _ = asyncio.run(poll(FakeTasks({"a": 1}, errors=2), "a"))
    assert results == [Answered(url="a")]


def test_an_unknown_task_is_given_up_for_this_run() -> None:
    class Nothing:
        async def tasks(self, ids: Sequence[str]) -> Mapping[str, TaskState]:
            return {task: Running(known=False) for task in ids}

    results, clock = asyncio.run(poll(Nothing(), "a"))
    assert isinstance(results[0], TransientError)
    assert clock.time - 1000 > RunLimits().unknown_task_grace
