"""The life of a voice: intended → (submitted →) created → trained; in doubt, looked up before it is paid again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fishpipe.errors import (
    CallFailed,
    CallInDoubt,
    CallRefused,
    ConfigurationError,
    LinkExpired,
    ServiceError,
    TransientError,
)
from fishpipe.events import VoiceReady
from fishpipe.plan import Collect, CreateVoice
from fishpipe.ports import Submitted, TaskFailed, VoiceInfo
from fishpipe.runner.payments import Doubt, receipt_of
from fishpipe.runner.retry import patiently

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.graph.fingerprints import Digest, Fingerprint
    from fishpipe.graph.steps import VoiceStep
    from fishpipe.manifest.model import Voice
    from fishpipe.plan import Cost
    from fishpipe.ports import Outcome, RunContext
    from fishpipe.runner.payments import Payments
    from fishpipe.runner.results import Results
    from fishpipe.runner.spending import Spending
    from fishpipe.runner.window import Window
    from fishpipe.snapshot import CallRow

# The service's clock and ours may differ by this much, in seconds.
CLOCK_SLACK = 300.0


class Voices:
    """Makes voices ready for one run."""

    def __init__(
        self, context: RunContext, window: Window, payments: Payments, results: Results, spending: Spending
    ) -> None:
        self._context, self._window, self._payments, self._results = context, window, payments, results
        self._spending = spending
        self._store, self._clock, self._limits = context.store, context.clock, context.limits

    async def ready(self, action: CreateVoice | Collect, step: VoiceStep) -> str:
        """The id of a voice that can speak. Raises ServiceError."""
        row = self._store.row(step.fingerprint)
        if row is not None and row.voice_id and row.state in ("created", "trained"):
            return await self._train_known(step, row.voice_id)
        if row is not None and row.state == "submitted" and row.task_id:
            try:
                outcome = await self._results.of(row.task_id, row.intended, row.nonce)
            except CallInDoubt as error:
                # Its task will never tell: it is looked for by its title, in this build or in the next.
                self._store.move(step.fingerprint, "lost", error=str(error), charged="unknown")
            else:
                return await self._train(step, self._made(step, outcome).id, paid=False)
        if row is not None and row.state in ("intended", "submitted", "lost"):
            found = await self._found(action, step, row)
            if found is not None:
                return await self._train(step, found.id, paid=False, adopted=True)
        if isinstance(action, Collect):
            raise CallInDoubt("its creation may have been charged, and it is not at the service")
        doubt = None
        if action.reason.code == "in doubt":
            self._spending.retrying(step.fingerprint)
            why = (row.error if row else None) or "no answer was read"
            doubt = Doubt.of(row, f"{why}; it is not at the service")
        info = await self._create(step, action.cost, doubt)
        return await self._train(step, info.id, paid=True)

    async def check_existing(self, voice: Voice, voice_id: str, users: Sequence[str]) -> str:
        """A voice by id, looked up before anything is paid. Raises CallRefused with what is wrong, and for whom."""
        try:
            info = await patiently(lambda: self._context.speech.voice(voice_id), self._limits, self._clock)
        except CallRefused as error:
            self._store.unchecked(voice_id)
            raise gone(voice.name, voice_id, users, error) from error
        if (wrong := unfit(voice.name, info, users)) is not None:
            self._store.unchecked(voice_id)
            raise wrong
        self._store.checked(info, voice.consent)
        return voice_id

    async def is_gone(self, voice_id: str) -> CallRefused | None:
        """The service's word that it does not know a voice; None where it does, or cannot tell."""
        try:
            await patiently(lambda: self._context.speech.voice(voice_id), self._limits, self._clock)
        except CallRefused as error:
            self._store.unchecked(voice_id)
            return error
        except ServiceError:
            return None
        return None

    async def _found(self, action: CreateVoice | Collect, step: VoiceStep, row: CallRow) -> VoiceInfo | None:
        """A voice whose creation is in doubt, by its callback or by its title."""
        outcome = await self._results.early(row.nonce, self._clock.now() - row.intended)
        if outcome is None:
            info = await self._look_up(step, row)
        else:
            info = self._made(step, outcome)
        if info is not None:
            # One that was submitted has its receipt.
            receipt = receipt_of(step, "voice", action.cost, info) if row.state == "intended" else None
            self._store.move(step.fingerprint, "created", receipt=receipt, voice_id=info.id, charged="yes", error=None)
        return info

    def _made(self, step: VoiceStep, outcome: Outcome) -> VoiceInfo:
        """The voice that a task or a callback brought, in the ledger. Raises CallFailed."""
        if isinstance(outcome, VoiceInfo):
            self._store.move(step.fingerprint, "created", voice_id=outcome.id, charged="yes", error=None)
            return outcome
        message = outcome.message if isinstance(outcome, TaskFailed) else "the service answered with no voice"
        self._store.move(step.fingerprint, "failed", error=message, charged="unknown")
        raise CallFailed(message)

    async def _look_up(self, step: VoiceStep, row: CallRow) -> VoiceInfo | None:
        """The one voice of that title made since the request left; None once it had the time to appear and did not.

        Raises CallRefused where several fit, or one that the service gives no date for.
        """
        since = row.intended - CLOCK_SLACK
        grace = self._limits.voice_grace
        # A wall clock that jumped makes the wait no longer than the grace.
        patience = self._clock.monotonic() + min(grace, max(0.0, grace - (self._clock.now() - row.updated)))
        title = step.voice.title
        while True:
            voices = await patiently(lambda: self._context.speech.find_voices(title), self._limits, self._clock)
            taken = self._store.voice_ids()
            made = [v for v in voices if v.id not in taken and (v.created is None or v.created >= since)]
            if len(made) > 1 or any(voice.created is None for voice in made):
                ids = ", ".join(voice.id for voice in made)
                message = f"its creation may have been charged, and these voices at the service may be it: {ids}"
                raise CallRefused(f"{message}. Declare the one that is yours by id: instead of sample_url:")
            if made or self._clock.monotonic() >= patience:
                return made[0] if made else None
            await self._spending.pause(self._limits.poll_longest)

    async def _create(self, step: VoiceStep, cost: Cost, doubt: Doubt | None) -> VoiceInfo:
        sample = await self._checked_sample(step)
        place = await self._window.enter()
        try:
            answer, nonce = await self._payments.pay(
                step, cost, lambda callback: self._context.speech.create_voice(step, callback), place, doubt
            )
            if isinstance(answer, Submitted):
                answer = self._made(step, await self._results.of(answer.task_id, self._clock.now(), nonce))
        finally:
            place.give()
        if not isinstance(answer, VoiceInfo):
            raise CallFailed("the service answered with no voice")
        if sample is not None:
            self._store.move(step.fingerprint, "created", sample=sample)
        return answer

    async def _checked_sample(self, step: VoiceStep) -> Digest | None:
        """The digest of a pinned sample. Raises CallRefused, before anything is paid, where it is another."""
        voice = step.voice
        if voice.sample_sha256 is None:
            return None
        fetch = self._context.downloads.digest
        try:
            pause = self._spending.pause
            digest = await patiently(lambda: fetch(voice.sample_url), self._limits, self._clock, pause)
        except (LinkExpired, ConfigurationError, TransientError) as error:
            error.message = f"its sample cannot be checked against sample_sha256: {error.message}"
            if isinstance(error, TransientError):
                raise
            raise CallRefused(error.message, error.code, error.status, fields=("sample_url",)) from error
        if digest != voice.sample_sha256:
            message = f"the sample {voice.sample_url} is another than sample_sha256 says: its sha256 is {digest}"
            raise CallRefused(message, fields=("sample_sha256",))
        return digest

    async def _train_known(self, step: VoiceStep, voice_id: str) -> str:
        """A voice that was created before; one that is gone says so, and how to make it again."""
        try:
            return await self._train(step, voice_id, paid=False)
        except CallRefused as error:
            missing = gone(step.name, voice_id, (), error)
            missing.message += f"; create it again: fishpipe voices forget {step.name}"
            raise missing from error

    async def _train(self, step: VoiceStep, voice_id: str, *, paid: bool, adopted: bool = False) -> str:
        """Ask until the voice is trained."""
        started, pause = self._clock.monotonic(), self._limits.poll_first
        while True:
            info = await patiently(lambda: self._context.speech.voice(voice_id), self._limits, self._clock)
            if info.state == "failed":
                url = step.voice.sample_url
                message = f'the service could not make voice "{step.name}" ({voice_id}) of its sample {url}'
                self._store.move(step.fingerprint, "failed", error=message, charged="yes")
                raise CallFailed(message)
            if info.state == "trained":
                break
            if self._clock.monotonic() - started > self._limits.training_deadline:
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


def gone(name: str, voice_id: str, users: Sequence[str], error: ServiceError) -> CallRefused:
    """The error of a voice that the service does not know (any more), and of the segments that need it."""
    called = f'"{name}" ({voice_id})' if name != voice_id else f'"{name}"'
    message = f"voice {called} is not at the service{needed_by(users)}: {error.message}"
    return CallRefused(message, error.code, error.status, error.trace_id)


def unfit(name: str, info: VoiceInfo, users: Sequence[str]) -> CallRefused | None:
    """What keeps a voice that is at the service from speaking; None where nothing does."""
    if info.type == "tts" and info.state == "trained":
        return None
    return CallRefused(f'voice "{name}" ({info.id}) cannot speak: it is {info.type}, {info.state}{needed_by(users)}')


def needed_by(users: Sequence[str], most: int = 5) -> str:
    """`; it is needed by one/0001, one/0002 and 3 more`."""
    if not users:
        return ""
    more = f" and {len(users) - most} more" if len(users) > most else ""
    return f"; it is needed by {', '.join(users[:most])}{more}"
