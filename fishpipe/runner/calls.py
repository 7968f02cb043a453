"""The life of one clip: intended → submitted → answered → fetched → stored, a row before and after each effect."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from fishpipe.errors import (
    AudioError,
    CallFailed,
    CallInDoubt,
    CallRefused,
    ImplausibleAudio,
    LinkExpired,
    LockedMissing,
    ServiceError,
    TaskUnknown,
    TransientError,
)
from fishpipe.events import CallClaimed, ClipStored
from fishpipe.ports import Answered, Submitted, TaskFailed, VoiceInfo
from fishpipe.runner.payments import ClaimLost, Doubt
from fishpipe.runner.retry import delay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fishpipe.graph.steps import ClipStep
    from fishpipe.plan import Collect, Held, Speak
    from fishpipe.ports import Outcome, RunContext
    from fishpipe.runner.payments import Payments
    from fishpipe.runner.results import Results
    from fishpipe.runner.spending import Spending
    from fishpipe.runner.window import Place
    from fishpipe.snapshot import CallRow


# How often a link that is dead is tried again: a new file may take some seconds to show.
_MOST_DEAD: Final = 3


# How long to wait for another project that pays for the same words, before looking again; in seconds.
_CLAIM_PAUSE: Final = 1.0
# Who waited for the place sends its request before this clip is fetched; in seconds.
_LEAD: Final = 0.002


class Calls:
    """Makes and collects clips for one run."""

    def __init__(self, context: RunContext, payments: Payments, results: Results, spending: Spending) -> None:
        self._context, self._payments, self._results, self._spending = context, payments, results, spending
        self._store, self._clock, self._limits = context.store, context.clock, context.limits
        self._downloading = asyncio.Semaphore(context.limits.downloads)
        # Takes of the same words go one after the other: equal requests at one time might be taken for one.
        self._turns: dict[str, asyncio.Lock] = {}

    async def speak(self, action: Speak, voice_ids: Sequence[str], place: Place) -> bool:
        """Pay for a clip and keep it: True. The place in the window is given back when the answer is there.

        Raises ServiceError or AudioError; the row says how far it came.
        """
        step = action.step
        turn = self._turns.setdefault(step.words, asyncio.Lock())
        waits = turn.locked()
        if waits:
            place.give()
        async with turn:
            if waits:
                await place.take()
            return await self._speak(action, voice_ids, place)

    async def _speak(self, action: Speak, voice_ids: Sequence[str], place: Place) -> bool:
        step = action.step
        try:
            self._spending.check_open()
            answer = await self._resolved(action, place)
            while answer is None:
                if await self._claimed(step, place):
                    return True
                with suppress(ClaimLost):
                    answer = await self._pay(action, voice_ids, place)
            place.give()
            await asyncio.sleep(_LEAD)
            await self._fetch(step, answer, paid=True, usd=None if action.cost.unpriced else action.cost.usd)
        finally:
            place.give()
            self._store.release(step.fingerprint)
        return True

    async def _claimed(self, step: ClipStep, place: Place) -> bool:
        """Be the only one of those that share their clips who pays for this call; True where its clip came instead."""
        if not self._store.is_shared:
            return False
        told = False
        message = f"{step.address}: another project pays for these words just now; its clip is waited for"
        while True:
            free = await asyncio.to_thread(self._store.claim, step.fingerprint)
            path = await asyncio.to_thread(self._store.arrived, step)
            if path is not None:
                seconds = await asyncio.to_thread(self._context.inspector.inspect, path, step)
                self._context.reporter.tell(ClipStored(address=step.address, seconds=seconds, paid=False))
                return True
            if free:
                if told:
                    await place.take()
                return await self._inherited(step)
            if not told:
                self._context.reporter.tell(CallClaimed(address=step.address, message=message))
                place.give()
                told = True
            await self._spending.pause(_CLAIM_PAUSE)

    async def _resolved(self, action: Speak, place: Place) -> Answered | None:
        """A call in doubt whose callback still comes; the place is not held while it is waited for."""
        step, row = action.step, self._store.row(action.step.fingerprint)
        if action.reason.code != "in doubt" or row is None or row.state != "intended" or row.nonce is None:
            return None
        place.give()
        outcome = await self._results.early(row.nonce, self._clock.now() - row.intended)
        if outcome is not None:
            return _audio(await self._payments.resolved(step, action.cost, outcome))
        await place.take()
        return None

    async def resolve(self, held: Held, step: ClipStep) -> bool:
        """A call that waits for a decision: whether its callback came, and its clip is kept."""
        row = held.row
        if row.state != "intended":
            return False
        outcome = await self._results.early(row.nonce, self._clock.now() - row.intended)
        if outcome is None:
            return False
        answer = _audio(await self._payments.resolved(step, held.cost, outcome))
        await self._fetch(step, answer, paid=False, usd=0.0)
        return True

    async def _inherited(self, step: ClipStep) -> bool:
        """Fetch what somebody who died had paid for; False where there is no such thing, or it cannot be had."""
        task = await asyncio.to_thread(self._store.inherited, step)
        if task is None:
            return False
        try:
            answer = await self._result(step, task, self._clock.now(), None)
            await self._fetch(step, answer, paid=False, usd=0.0)
        except ServiceError:
            return False
        return True

    async def _pay(self, action: Speak, voice_ids: Sequence[str], place: Place) -> Answered:
        step, doubt = action.step, None
        if action.reason.code == "in doubt":
            self._spending.retrying(step.fingerprint)
            doubt = Doubt.of(self._store.row(step.fingerprint), action.reason.what)
        while True:
            try:
                answer, nonce = await self._payments.pay(
                    step,
                    action.cost,
                    lambda callback: self._context.speech.speak(step, voice_ids, callback),
                    place,
                    doubt,
                )
            except CallInDoubt as error:
                if error.code == "deadline" or not self._spending.may_retry_doubt(step.fingerprint, action.cost):
                    raise
                doubt = Doubt(error=error.message, trace_id=error.trace_id)
            else:
                if isinstance(answer, Submitted):
                    return await self._result(step, answer.task_id, self._clock.now(), nonce)
                return _audio(answer)

    async def collect(self, action: Collect, step: ClipStep, place: Place | None) -> bool:
        """Fetch what is paid for already: True; a task that may still run holds a place."""
        if action.row.state != "stored" or step.fingerprint not in self._context.snapshot.lock.clips:
            return await self._collect(action, step, place)
        try:
            return await self._collect(action, step, place)
        except ServiceError as error:
            if isinstance(error, TransientError) and not isinstance(error, TaskUnknown):
                raise
            self._store.move(step.fingerprint, "lost", error=str(error), charged="yes")
            why = ", which the service does not know" if isinstance(error, TaskUnknown) else f": {error.message}"
            message = f"the lock file has this clip, it is not here, and its task does not give it{why}"
            raise LockedMissing(message, error.code, error.status, error.trace_id) from error

    async def _collect(self, action: Collect, step: ClipStep, place: Place | None) -> bool:
        row = action.row
        if row.state == "fetched" and await asyncio.to_thread(self._finish, step, row):
            return True
        # The link of a clip that was stored once is likely dead: its task gives a fresh one.
        fresh = row.state in ("answered", "fetched") or row.task_id is None
        if row.url and fresh and row.state != "submitted":
            answer = Answered(url=row.url, task_id=row.task_id)
        elif row.task_id:
            try:
                answer = await self._result(step, row.task_id, row.intended, row.nonce)
            finally:
                if place is not None:
                    place.give()
        else:
            raise self._lost(step, LinkExpired("neither a link nor a task is known"))
        await self._fetch(step, answer, paid=False, usd=0.0)
        return True

    async def _result(self, step: ClipStep, task_id: str, since: float, nonce: str | None) -> Answered:
        try:
            outcome = await self._results.of(task_id, since, nonce)
        except CallInDoubt as error:
            self._store.move(step.fingerprint, "lost", error=str(error), charged="unknown")
            raise
        except ServiceError as error:
            self._store.note(step.fingerprint, str(error))
            raise
        if isinstance(outcome, TaskFailed):
            self._store.move(step.fingerprint, "failed", error=outcome.message, charged="unknown")
            raise CallFailed(outcome.message, trace_id=outcome.trace_id or "")
        answer = replace(_audio(outcome), task_id=task_id)
        self._store.move(step.fingerprint, "answered", url=answer.url, task_id=task_id)
        return answer

    async def _fetch(self, step: ClipStep, answer: Answered, *, paid: bool, usd: float | None) -> None:
        """Download, check and keep; a dead link asks the task once more for another."""
        task = answer.task_id
        try:
            seconds = await self._download(step, answer.url, patient=task is None)
        except LinkExpired as error:
            if task is None:
                raise self._lost(step, error) from error
            try:
                fresh = await self._result(step, task, self._clock.now(), None)
                seconds = await self._download(step, fresh.url, patient=True)
            except LinkExpired as again:
                raise self._lost(step, again) from again
        self._context.reporter.tell(ClipStored(address=step.address, seconds=seconds, paid=paid, usd=usd))

    async def _download(self, step: ClipStep, url: str, *, patient: bool) -> float:
        """Fetch, check and keep. A dead link is tried again, where `patient`: a new file may take a moment to show."""
        part = self._store.part(step.fingerprint)
        attempt, before = 1, b""
        while True:
            try:
                async with self._downloading:
                    await self._context.downloads.fetch(url, part)
                    return await asyncio.to_thread(self._keep, step, before)
            except (AudioError, TransientError, LinkExpired) as error:
                if isinstance(error, LinkExpired) and (not patient or error.status is None or attempt > _MOST_DEAD):
                    raise
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
        self._check_locked(step, part)
        try:
            seconds = self._context.inspector.inspect(part, step)
        except ImplausibleAudio as error:
            # PCM says nothing of itself: only its length can tell it from noise.
            if before != part.read_bytes() or step.format == "pcm":
                raise
            seconds = error.seconds
        self._store.keep(step, part, seconds)
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
        self._store.keep(step, part, seconds)
        self._context.reporter.tell(ClipStored(address=step.address, seconds=seconds, paid=False))
        return True

    def _check_locked(self, step: ClipStep, part: Path) -> None:
        """A clip that is fetched again must be the lock's own. Raises LockedMissing."""
        locked, row = self._context.snapshot.lock.clips.get(step.fingerprint), self._store.row(step.fingerprint)
        if locked is None or row is None or row.digest != locked:
            return
        found = self._store.digest(part)
        if found != locked:
            part.unlink()
            raise LockedMissing(
                f"the service gives another clip (sha256 {found[:12]}…) than the lock's ({locked[:12]}…)"
            )

    def _lost(self, step: ClipStep, error: LinkExpired) -> ServiceError:
        message = f"{error}; this clip was paid for, and can no longer be fetched"
        self._store.move(step.fingerprint, "lost", error=message, charged="yes")
        return CallRefused(message)


def _audio(answer: Outcome | Submitted) -> Answered:
    """The answer of a speech call. Raises CallFailed where it is none."""
    if isinstance(answer, Answered):
        return answer
    what = "a voice" if isinstance(answer, VoiceInfo) else "no audio"
    raise CallFailed(f"the service answered with {what}")
