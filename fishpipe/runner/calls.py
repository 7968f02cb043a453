"""The life of one clip: intended → submitted → answered → fetched → stored, a row before and after each effect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fishpipe.errors import (
    AudioError,
    CallFailed,
    CallInDoubt,
    CallRefused,
    ImplausibleAudio,
    LinkExpired,
    ServiceError,
    TransientError,
)
from fishpipe.events import CallRetried, CallSubmitted, ClipStored, DoubtRetried
from fishpipe.ports import Answered, Receipt, Submitted, TaskFailed
from fishpipe.runner.retry import delay

if TYPE_CHECKING:
    from fishpipe.graph.steps import ClipStep
    from fishpipe.plan import Collect, Cost, Speak
    from fishpipe.ports import RunContext
    from fishpipe.runner.poller import Poller
    from fishpipe.runner.spending import Spending
    from fishpipe.runner.window import Place, Window
    from fishpipe.snapshot import CallRow


class Calls:
    """Makes and collects clips for one run."""

    def __init__(self, context: RunContext, window: Window, poller: Poller, spending: Spending) -> None:
        self._context, self._window, self._poller, self._spending = context, window, poller, spending
        self._store, self._clock, self._limits = context.store, context.clock, context.limits
        self._downloading = asyncio.Semaphore(context.limits.downloads)

    async def speak(self, action: Speak, voice_id: str | None, place: Place) -> None:
        """Pay for a clip and keep it; the place in the window is given back when the answer is there.

        Raises ServiceError or AudioError; the row says how far it came.
        """
        step = action.step
        try:
            self._spending.check_open()
            if action.reason.code == "in doubt":
                self._spending.retrying(step.fingerprint)
                self._again(step, action.reason.what, action.cost)
            answer = await self._submit(step, action.cost, voice_id, place)
            self._window.succeeded()
            if isinstance(answer, Submitted):
                answer = await self._result(step, answer.task_id, self._clock.now())
        finally:
            place.give()
        await self._fetch(step, answer, paid=True, usd=action.cost.usd)

    async def collect(self, action: Collect, step: ClipStep, place: Place | None) -> None:
        """Fetch what is paid for already; a task that may still run holds a place."""
        row = action.row
        if row.state == "fetched" and await asyncio.to_thread(self._finish, step, row):
            return
        if row.url and row.state in ("answered", "fetched", "stored"):
            answer = Answered(url=row.url, task_id=row.task_id)
        elif row.task_id:
            try:
                answer = await self._result(step, row.task_id, row.intended)
            finally:
                if place is not None:
                    place.give()
        else:
            raise self._lost(step, LinkExpired("neither a link nor a task is known"))
        await self._fetch(step, answer, paid=False, usd=0.0)

    async def _submit(self, step: ClipStep, cost: Cost, voice_id: str | None, place: Place) -> Submitted | Answered:
        attempt = limited = 1
        while True:
            try:
                return await self._submit_once(step, cost, voice_id)
            except TransientError as error:
                self._store.move(step.fingerprint, "refused", error=str(error), charged="no")
                too_fast = error.status == 429
                if attempt >= self._limits.attempts or limited >= self._limits.rate_limits:
                    raise
                wait = delay(min(limited, 4) if too_fast else attempt, error, self._limits, self._clock)
                self._context.reporter.tell(CallRetried(address=step.address, error=error, delay=wait, attempt=attempt))
                if too_fast:
                    # The place is given back: of those who hold one, only as many as the halved window go on.
                    limited += 1
                    self._window.limited(wait)
                    place.give()
                    await place.take()
                else:
                    attempt += 1
                    await self._spending.pause(wait)
                self._spending.check_open()
            except CallInDoubt as error:
                self._store.note(step.fingerprint, str(error), "unknown")
                if not self._spending.may_retry_doubt(step.fingerprint, cost):
                    raise
                self._again(step, str(error), cost)
            except CallFailed as error:
                self._store.move(step.fingerprint, "failed", error=str(error), charged="unknown")
                raise
            except ServiceError as error:
                self._store.move(step.fingerprint, "refused", error=str(error), charged="no")
                raise

    def _again(self, step: ClipStep, error: str, cost: Cost) -> None:
        """A call that may have been charged is made again: said, and kept in the record of money."""
        self._store.receipt(
            Receipt(fingerprint=step.fingerprint, address=step.address, kind="in doubt", bytes=cost.bytes, usd=cost.usd)
        )
        self._context.reporter.tell(DoubtRetried(address=step.address, error=error, usd=cost.usd))

    async def _submit_once(self, step: ClipStep, cost: Cost, voice_id: str | None) -> Submitted | Answered:
        self._store.intend(step)
        answer = await self._context.speech.speak(step, voice_id)
        url = answer.url if isinstance(answer, Answered) else None
        receipt = Receipt(
            fingerprint=step.fingerprint,
            address=step.address,
            kind="clip",
            task_id=answer.task_id,
            trace_id=answer.trace_id,
            url=url,
            bytes=cost.bytes,
            usd=cost.usd,
        )
        changes = {"task_id": answer.task_id, "trace_id": answer.trace_id, "url": url, "charged": "yes", "error": None}
        self._store.move(step.fingerprint, "answered" if url else "submitted", receipt=receipt, **changes)
        self._spending.paid(cost)
        self._context.reporter.tell(CallSubmitted(address=step.address, bytes=cost.bytes, usd=cost.usd))
        return answer

    async def _result(self, step: ClipStep, task_id: str, since: float) -> Answered:
        try:
            outcome = await self._poller.result(task_id, since)
        except ServiceError as error:
            if self._clock.now() - since > self._limits.call_deadline:
                message = f"{error.message}; it is more than a day old, and given up"
                self._store.move(step.fingerprint, "lost", error=message, charged="unknown")
                raise CallInDoubt(message) from error
            self._store.note(step.fingerprint, str(error))
            raise
        if isinstance(outcome, TaskFailed):
            self._store.move(step.fingerprint, "failed", error=outcome.message, charged="unknown")
            raise CallFailed(outcome.message)
        self._store.move(step.fingerprint, "answered", url=outcome.url, task_id=task_id)
        return outcome

    async def _fetch(self, step: ClipStep, answer: Answered, *, paid: bool, usd: float | None) -> None:
        """Download, check and keep; a dead link asks the task once more for another."""
        try:
            seconds = await self._download(step, answer.url)
        except LinkExpired as error:
            task = answer.task_id
            if task is None:
                raise self._lost(step, error) from error
            try:
                fresh = await self._result(step, task, self._clock.now())
                seconds = await self._download(step, fresh.url)
            except LinkExpired as again:
                raise self._lost(step, again) from again
        self._context.reporter.tell(ClipStored(address=step.address, seconds=seconds, paid=paid, usd=usd))

    async def _download(self, step: ClipStep, url: str) -> float:
        part = self._store.part(step.fingerprint)
        attempt, before = 1, b""
        while True:
            try:
                async with self._downloading:
                    await self._context.downloads.fetch(url, part)
                    return await asyncio.to_thread(self._keep, step, before)
            except (AudioError, TransientError) as error:
                self._store.note(step.fingerprint, str(error))
                if attempt >= self._limits.attempts:
                    raise
                if isinstance(error, ImplausibleAudio):
                    before = part.read_bytes()
                passing = error if isinstance(error, TransientError) else TransientError(str(error))
                await self._clock.sleep(delay(attempt, passing, self._limits, self._clock))
                attempt += 1

    def _keep(self, step: ClipStep, before: bytes) -> float:
        """Check the part and keep it; an implausible length that comes the same again is what the service made."""
        part = self._store.part(step.fingerprint)
        try:
            seconds = self._context.inspector.inspect(part, step)
        except ImplausibleAudio as error:
            # PCM says nothing of itself: only its length can tell it from noise.
            if before != part.read_bytes() or step.format == "pcm":
                raise
            seconds = error.seconds
        self._store.keep(step, part)
        return seconds

    def _finish(self, step: ClipStep, row: CallRow) -> bool:
        """A kill came between the checks and the rename: the part is whole if its digest is the row's."""
        part = self._store.part(step.fingerprint)
        if row.digest is None or not part.exists() or self._store.digest(part) != row.digest:
            return False
        try:
            seconds = self._context.inspector.inspect(part, step)
        except ImplausibleAudio as error:
            seconds = error.seconds
        self._store.keep(step, part)
        self._context.reporter.tell(ClipStored(address=step.address, seconds=seconds, paid=False))
        return True

    def _lost(self, step: ClipStep, error: LinkExpired) -> ServiceError:
        message = f"{error}; this clip was paid for, and can no longer be fetched"
        self._store.move(step.fingerprint, "lost", error=message, charged="yes")
        return CallRefused(message)
