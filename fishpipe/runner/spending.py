"""The purse of one run: whether new calls may be made, and what was paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fishpipe.errors import FishpipeError

if TYPE_CHECKING:
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.plan import Cost
    from fishpipe.ports import Clock


class Closed(FishpipeError):
    """No new calls are made in this run any more."""


class Spending:
    """Counts, and closes for good once a run must stop. `planned` and `ceiling` (the budget) in USD."""

    def __init__(self, clock: Clock, *, retry_doubt: bool, planned: float, ceiling: float | None) -> None:
        self._clock = clock
        self._retry_doubt = retry_doubt
        self._committed = planned
        self._ceiling = ceiling
        self._retried: set[Fingerprint] = set()
        self.closed: str | None = None
        self.calls = 0
        self.bytes = 0
        self.usd = 0.0
        self.unpriced = 0

    def close(self, why: str) -> bool:
        """Allow no new calls; True the first time."""
        first = self.closed is None
        self.closed = self.closed or why
        return first

    async def pause(self, seconds: float) -> None:
        """Sleep, but not past the end of the run's new calls: raises Closed."""
        while seconds > 0:
            self.check_open()
            await self._clock.sleep(min(seconds, 0.5))
            seconds -= 0.5
        self.check_open()

    def retrying(self, key: Fingerprint) -> None:
        """A call in doubt is made again by plan: not once more in this run."""
        self._retried.add(key)

    def check_open(self) -> None:
        """Raise Closed where no new calls may be made."""
        if self.closed is not None:
            raise Closed(self.closed)

    def paid(self, cost: Cost) -> None:
        """A call was taken."""
        self.calls += 1
        self.bytes += cost.bytes
        self.usd += cost.usd
        self.unpriced += cost.unpriced

    def may_retry_doubt(self, key: Fingerprint, cost: Cost) -> bool:
        """Whether a call in doubt may be paid for again: once a run, and within the budget."""
        if not self._retry_doubt or key in self._retried or self.closed is not None:
            return False
        if self._ceiling is not None and self._committed + cost.usd > self._ceiling:
            return False
        self._committed += cost.usd
        self._retried.add(key)
        return True
