"""The life of a voice: intended → created → trained; one in doubt is looked up before it is paid for again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fishpipe.errors import CallFailed, CallInDoubt, CallRefused, ServiceError, TransientError
from fishpipe.events import CallRetried, DoubtRetried, VoiceReady
from fishpipe.plan import Collect, CreateVoice
from fishpipe.ports import Receipt, VoiceInfo
from fishpipe.runner.retry import delay, patiently

if TYPE_CHECKING:
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import VoiceStep
    from fishpipe.manifest.model import Voice
    from fishpipe.plan import Cost
    from fishpipe.ports import RunContext
    from fishpipe.runner.spending import Spending
    from fishpipe.runner.window import Place, Window
    from fishpipe.snapshot import CallRow

# The service's clock and ours may differ by this much, in seconds.
CLOCK_SLACK = 300.0


class Voices:
    """Makes voices ready for one run."""

    def __init__(self, context: RunContext, window: Window, spending: Spending) -> None:
        self._context, self._window, self._spending = context, window, spending
        self._store, self._clock, self._limits = context.store, context.clock, context.limits

    async def ready(self, action: CreateVoice | Collect, step: VoiceStep) -> str:
        """The id of a voice that can speak. Raises ServiceError."""
        row = self._store.row(step.fingerprint)
        if row is not None and row.voice_id and row.state in ("created", "trained"):
            return await self._train(step, row.voice_id, paid=False)
        found = await self._look_up(step, row) if row is not None and row.state in ("intended", "submitted") else None
        if found is not None:
            receipt = self._receipt(step, found, None if isinstance(action, Collect) else action.cost)
            self._store.move(step.fingerprint, "created", receipt=receipt, voice_id=found.id, charged="yes", error=None)
            return await self._train(step, found.id, paid=False, adopted=True)
        if isinstance(action, Collect):
            raise CallInDoubt("its creation may have been charged, and it is not at the service")
        if action.reason.code == "in doubt":
            self._pay_again(step, row, action.cost)
        info = await self._create(step, action.cost)
        return await self._train(step, info.id, paid=True)

    async def check_existing(self, voice: Voice, voice_id: str) -> str:
        """A voice by id, checked before anything is paid. Raises CallRefused with what is wrong."""
        try:
            info = await patiently(lambda: self._context.speech.voice(voice_id), self._limits, self._clock)
        except CallRefused as error:
            message = f'voice "{voice.name}" ({voice_id}) is not at the service: {error.message}'
            raise CallRefused(message, error.code, error.status, error.trace_id) from error
        if info.type != "tts" or info.state != "trained":
            raise CallRefused(f'voice "{voice.name}" ({voice_id}) cannot speak: it is {info.type}, {info.state}')
        return voice_id

    async def _look_up(self, step: VoiceStep, row: CallRow) -> VoiceInfo | None:
        """The one voice of that title made since the request left; None once it had the time to appear and did not.

        Raises CallRefused where several fit, or one that the service gives no date for.
        """
        since = row.intended - CLOCK_SLACK
        while True:
            voices = await patiently(lambda: self._context.speech.find_voices(step.title), self._limits, self._clock)
            taken = self._store.voice_ids()
            made = [v for v in voices if v.id not in taken and (v.created is None or v.created >= since)]
            if len(made) > 1 or any(voice.created is None for voice in made):
                ids = ", ".join(voice.id for voice in made)
                message = f"its creation may have been charged, and these voices at the service may be it: {ids}"
                raise CallRefused(f"{message}. Declare the one that is yours by id: instead of sample_url:")
            if made or self._clock.now() - row.updated > self._limits.voice_grace:
                return made[0] if made else None
            await self._spending.pause(self._limits.poll_longest)

    def _pay_again(self, step: VoiceStep, row: CallRow | None, cost: Cost) -> None:
        """A voice in doubt never came to be at the service: it may be asked for again, and the log says so."""
        error = f"{(row.error if row else None) or 'no answer was read'}; it is not at the service"
        if not self._spending.may_retry_doubt(step.fingerprint, cost):
            raise CallInDoubt(error)
        usd = None if cost.unpriced else cost.usd
        self._store.receipt(Receipt(fingerprint=step.fingerprint, address=step.address, kind="in doubt", usd=usd))
        self._context.reporter.tell(DoubtRetried(address=step.address, error=error, usd=usd))

    async def _create(self, step: VoiceStep, cost: Cost) -> VoiceInfo:
        place = await self._window.enter()
        try:
            return await self._create_patiently(step, cost, place)
        finally:
            place.give()

    async def _create_patiently(self, step: VoiceStep, cost: Cost, place: Place) -> VoiceInfo:
        attempt = 1
        while True:
            self._spending.check_open()
            self._store.intend(step)
            try:
                info = await self._context.speech.create_voice(step)
            except TransientError as error:
                self._store.move(step.fingerprint, "refused", error=str(error), charged="no")
                if attempt >= self._limits.attempts:
                    raise
                wait = delay(attempt, error, self._limits, self._clock)
                self._context.reporter.tell(CallRetried(address=step.address, error=error, delay=wait, attempt=attempt))
                attempt += 1
                if error.status == 429:
                    self._window.limited(wait)
                    place.give()
                    await place.take()
                else:
                    await self._spending.pause(wait)
            except CallInDoubt as error:
                self._store.note(step.fingerprint, str(error), "unknown")
                raise
            except CallFailed as error:
                self._store.move(step.fingerprint, "failed", error=str(error), charged="unknown")
                raise
            except ServiceError as error:
                self._store.move(step.fingerprint, "refused", error=str(error), charged="no")
                raise
            else:
                self._created(step, info, cost)
                return info

    @staticmethod
    def _receipt(step: VoiceStep, info: VoiceInfo, cost: Cost | None) -> Receipt:
        return Receipt(
            fingerprint=step.fingerprint,
            address=step.address,
            kind="voice",
            task_id=info.task_id,
            trace_id=info.trace_id,
            usd=None if cost is None or cost.unpriced else cost.usd,
        )

    def _created(self, step: VoiceStep, info: VoiceInfo, cost: Cost) -> None:
        receipt = self._receipt(step, info, cost)
        changes = {"voice_id": info.id, "task_id": info.task_id, "trace_id": info.trace_id, "charged": "yes"}
        self._store.move(step.fingerprint, "created", receipt=receipt, error=None, **changes)
        self._spending.paid(cost)

    async def _train(self, step: VoiceStep, voice_id: str, *, paid: bool, adopted: bool = False) -> str:
        """Ask until the voice is trained."""
        started, pause = self._clock.now(), self._limits.poll_first
        while True:
            info = await patiently(lambda: self._context.speech.voice(voice_id), self._limits, self._clock)
            if info.state == "failed":
                message = f'the service could not make voice "{step.name}" ({voice_id}) of its sample {step.sample_url}'
                self._store.move(step.fingerprint, "failed", error=message, charged="yes")
                raise CallFailed(message)
            if info.state == "trained":
                break
            if self._clock.now() - started > self._limits.training_deadline:
                raise TransientError(f'voice "{step.name}" ({voice_id}) is still {info.state}; build again to go on')
            await self._spending.pause(pause)
            pause = min(pause * 1.5, self._limits.poll_longest)
        self._store.move(step.fingerprint, "trained", error=None)
        self._context.reporter.tell(VoiceReady(name=step.name, voice_id=voice_id, paid=paid, adopted=adopted))
        return voice_id


def known_ids(context: RunContext) -> dict[Fingerprint, str]:
    """The voices that can speak already, by fingerprint."""
    rows = context.snapshot.calls.items()
    return {key: row.voice_id for key, row in rows if row.state == "trained" and row.voice_id}
