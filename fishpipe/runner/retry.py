"""When to try again: jittered exponential backoff, bounded in count."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fishpipe.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fishpipe.ports import Clock, RunLimits

T = TypeVar("T")


def delay(attempt: int, error: TransientError, limits: RunLimits, clock: Clock) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1); what the service asks for comes first, within reason."""
    backoff: float = min(limits.longest_delay, limits.first_delay * float(2 ** (attempt - 1))) * (
        0.5 + clock.jitter() / 2
    )
    return max(backoff, min(error.retry_after or 0.0, limits.longest_wait))


async def patiently(
    ask: Callable[[], Awaitable[T]],
    limits: RunLimits,
    clock: Clock,
    pause: Callable[[float], Awaitable[None]] | None = None,
) -> T:
    """The answer to a free query, tried again while the error is likely to pass; `pause` sleeps, or gives up."""
    attempt = 1
    while True:
        try:
            return await ask()
        except TransientError as error:
            if attempt >= limits.attempts:
                raise
            await (pause or clock.sleep)(delay(attempt, error, limits, clock))
            attempt += 1
