"""A paid request: a row before it leaves and after it is answered, tried again only where it was not charged."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from fishpipe.errors import CallFailed, CallInDoubt, FishpipeError, ServiceError, TransientError
from fishpipe.events import CallRetried, CallSubmitted, DoubtRetried
from fishpipe.graph.steps import ClipStep, VoiceStep
from fishpipe.plan import Cost
from fishpipe.ports import Answered, Receipt, Submitted, TaskFailed, VoiceInfo
from fishpipe.runner.retry import delay

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fishpipe.ports import Outcome, RunContext
    from fishpipe.runner.results import Results
    from fishpipe.runner.spending import Spending
    from fishpipe.runner.window import Place, Window
    from fishpipe.snapshot import CallRow

    Accepted = Submitted | Answered | VoiceInfo
    Send = Callable[[str | None], Coroutine[object, object, Accepted]]


# How long the answer of a submission may still take once its callback is there, in seconds.
_MOMENT: Final = 5.0


class Doubt(Struct, frozen=True, kw_only=True):
    """Why a call that may have been charged is made again; `paid` where its first payment has a receipt already."""

    error: str
    trace_id: str = ""
    paid: bool = False

    @classmethod
    def of(cls, row: CallRow | None, error: str) -> Doubt:
        """As the ledger has it."""
        trace = (row.trace_id if row else None) or ""
        return cls(error=error, trace_id=trace, paid=row is not None and row.state == "lost")


class ClaimLost(FishpipeError):
    """Another project has taken over the claim of a call, and pays for it; nothing was sent."""


class Payments:
    """Makes paid requests for one run."""

    def __init__(self, context: RunContext, window: Window, spending: Spending, results: Results) -> None:
        self._context, self._window, self._spending, self._results = context, window, spending, results
        self._store, self._clock, self._limits = context.store, context.clock, context.limits

    async def pay(
        self, step: ClipStep | VoiceStep, cost: Cost, send: Send, place: Place, doubt: Doubt | None = None
    ) -> tuple[Accepted, str | None]:
        """The service's answer to `send(callback address)`, and the nonce of its callback.

        One in `doubt` is made again: said, and kept in the record of money. Raises ServiceError; the row says how
        far it came; and ClaimLost. The place is given back while a retry waits.
        """
        attempt = limited = 1
        while True:
            self._spending.check_open()
            if doubt is not None:
                self._again(step, cost, doubt)
                doubt = None
            nonce = await self._begun(step)
            try:
                answer = await self._answer(step, send, nonce)
            except TransientError as error:
                self._store.move(step.fingerprint, "refused", error=str(error), charged="no")
                if attempt >= self._limits.attempts or limited >= self._limits.rate_limits:
                    raise
                too_fast = error.status == 429
                await self._wait_out(step, error, place, min(limited, 4) if too_fast else attempt)
                limited, attempt = limited + too_fast, attempt + (not too_fast)
            except CallInDoubt as error:
                self._store.note(step.fingerprint, str(error), "unknown")
                early = await self._results.early(nonce)
                if early is None:
                    raise
                return await self.resolved(step, cost, early), nonce
            except CallFailed as error:
                self._store.move(step.fingerprint, "failed", error=str(error), charged="unknown")
                raise
            except ServiceError as error:
                self._store.move(step.fingerprint, "refused", error=str(error), charged="no")
                raise
            else:
                await self._paid(step, cost, answer)
                self._window.succeeded()
                return answer, nonce

    async def _begun(self, step: ClipStep | VoiceStep) -> str | None:
        """The row is on the disk, and the claim is ours still: the request may leave. Its nonce. Raises ClaimLost."""
        nonce = secrets.token_urlsafe(16) if self._context.callbacks is not None else None
        self._store.intend(step, nonce)
        await self._store.settled()
        if self._store.is_shared and not await asyncio.to_thread(self._store.holds, step.fingerprint):
            why = "another project pays for these words: this one was stopped for too long"
            self._store.move(step.fingerprint, "refused", error=why, charged="no")
            raise ClaimLost(why)
        return nonce

    async def _wait_out(self, step: ClipStep | VoiceStep, error: TransientError, place: Place, attempt: int) -> None:
        """Let some time pass before the next attempt; nobody's place is held for it."""
        wait = delay(attempt, error, self._limits, self._clock)
        self._context.reporter.tell(CallRetried(address=step.address, error=error, delay=wait, attempt=attempt))
        place.give()
        if error.status == 429:
            self._window.limited(wait)
        else:
            await self._spending.pause(wait)
        await place.take()

    async def _answer(self, step: ClipStep | VoiceStep, send: Send, nonce: str | None) -> Accepted:
        """The answer to the request; a bug of ours on the way to it is noted: it may have been charged.

        So it counts like any other call in doubt, which is not made again for ever.
        """
        try:
            return await self._answered(step, send, nonce)
        except Exception as error:
            if not isinstance(error, FishpipeError):
                self._store.note(step.fingerprint, f"an internal error: {type(error).__name__}", "unknown")
            raise

    async def _answered(self, step: ClipStep | VoiceStep, send: Send, nonce: str | None) -> Accepted:
        """The answer to the request, or the callback that comes before it."""
        address = self._results.address(nonce)
        if nonce is None or address is None:
            return await send(None)
        arrived = self._results.expect(nonce)
        post = asyncio.create_task(send(address))
        both: list[asyncio.Future[Any]] = [post, arrived]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not post.done():
                # The submission's own answer says which task is ours; it is given a moment.
                await asyncio.wait([post], timeout=_MOMENT)
            return await post if post.done() else self._fine(step, arrived.result())
        finally:
            post.cancel()

    @staticmethod
    def _fine(step: ClipStep | VoiceStep, outcome: Outcome) -> Answered | VoiceInfo:
        if isinstance(outcome, TaskFailed):
            raise CallFailed(outcome.message, trace_id=outcome.trace_id or "")
        if isinstance(outcome, VoiceInfo) != isinstance(step, VoiceStep):
            raise CallFailed("the service sent the answer of another kind of call", trace_id=outcome.trace_id or "")
        return outcome

    def _succeeded(self, step: ClipStep | VoiceStep, outcome: Outcome) -> Answered | VoiceInfo:
        try:
            return self._fine(step, outcome)
        except CallFailed as error:
            self._store.move(step.fingerprint, "failed", error=str(error), charged="unknown")
            raise

    async def resolved(self, step: ClipStep | VoiceStep, cost: Cost, outcome: Outcome) -> Answered | VoiceInfo:
        """A call in doubt whose callback came after all: it was paid for once. Raises CallFailed."""
        answer = self._succeeded(step, outcome)
        await self._paid(step, cost, answer)
        return answer

    def _again(self, step: ClipStep | VoiceStep, cost: Cost, doubt: Doubt) -> None:
        """A call that may have been charged is made again: said, and kept in the record of money."""
        usd = None if cost.unpriced else cost.usd
        self._store.receipt(receipt_of(step, "in doubt", Cost() if doubt.paid else cost))
        told = DoubtRetried(address=step.address, error=doubt.error, usd=usd, trace_id=doubt.trace_id)
        self._context.reporter.tell(told)

    async def _paid(self, step: ClipStep | VoiceStep, cost: Cost, answer: Accepted) -> None:
        receipt = receipt_of(step, "voice" if isinstance(step, VoiceStep) else "clip", cost, answer)
        changes = {"task_id": answer.task_id, "trace_id": answer.trace_id, "charged": "yes", "error": None}
        match answer:
            case Submitted():
                self._store.move(step.fingerprint, "submitted", receipt=receipt, **changes)
            case Answered(url=url):
                self._store.move(step.fingerprint, "answered", receipt=receipt, url=url, **changes)
            case VoiceInfo(id=voice_id):
                self._store.move(step.fingerprint, "created", receipt=receipt, voice_id=voice_id, **changes)
        self._spending.paid(cost)
        await self._store.settled()
        self._context.reporter.tell(CallSubmitted(address=step.address, bytes=cost.bytes, usd=receipt.usd))


def receipt_of(
    step: ClipStep | VoiceStep, kind: str, cost: Cost | None, answer: Submitted | Answered | VoiceInfo | None = None
) -> Receipt:
    """The receipt of a call; `cost` None is one whose price was paid at a time unknown."""
    clip = isinstance(step, ClipStep)
    return Receipt(
        fingerprint=step.fingerprint,
        address=step.address,
        kind=kind,
        realm=str(step.record["realm"]),
        voice=", ".join(speaker.name for speaker in step.speakers) if isinstance(step, ClipStep) else step.name,
        model=step.model if isinstance(step, ClipStep) else "",
        task_id=answer.task_id if answer else None,
        trace_id=answer.trace_id if answer else None,
        url=answer.url if isinstance(answer, Answered) else None,
        bytes=cost.bytes if cost and clip else 0,
        usd=None if cost is None or cost.unpriced else cost.usd,
        take=step.take if isinstance(step, ClipStep) else 1,
    )
