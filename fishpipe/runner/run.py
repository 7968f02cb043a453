"""Carries out a plan: voices, then the clips that need them, then the outputs.

One dispatcher takes places in the window and starts calls in the plan's order; a clip whose voice is not
ready yet waits outside of the line. What goes wrong with one call is told and counted; what makes every
call fail closes the purse, and what is paid for is still collected.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from fishpipe.errors import (
    AuthError,
    BalanceError,
    CallInDoubt,
    ConfigurationError,
    FishpipeError,
    Interrupted,
    ServiceError,
    StoreError,
)
from fishpipe.events import CallProblem, OutputStarted, OutputWritten, RunFinished, RunStarted, Stopping
from fishpipe.graph.steps import ClipStep, VoiceStep
from fishpipe.plan import Collect, CreateVoice, Plan, Speak, output_channels, recipe
from fishpipe.ports import ClipFile, RunContext
from fishpipe.runner.calls import Calls
from fishpipe.runner.poller import Poller
from fishpipe.runner.spending import Closed, Spending
from fishpipe.runner.voices import Voices, known_ids
from fishpipe.runner.window import Place, Window

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import Graph, OutputStep

_Line = asyncio.Queue[tuple[Speak | Collect, str | None] | None]
_STOPS_ALL: Final = (AuthError, BalanceError, ConfigurationError, StoreError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to carry a plan out. `ceiling` is the build's budget in USD; `free` says that nothing is really paid."""

    keep_going: bool = False
    collect_only: bool = False
    retry_doubt: bool = True
    ceiling: float | None = None
    free: bool = False


@dataclass
class Run:
    """One run. `stop` may be called from a signal handler."""

    plan: Plan
    graph: Graph
    context: RunContext
    options: RunOptions
    failed: int = 0
    in_doubt: int = 0
    stored: int = 0
    code: int = 0
    interrupted: int = 0
    crash: Exception | None = None
    outputs: list[OutputWritten] = field(default_factory=list)
    _speakers: dict[str, asyncio.Task[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = self.context.limits
        self.spending = Spending(
            self.context.clock,
            retry_doubt=self.options.retry_doubt,
            planned=self.plan.cost.usd,
            ceiling=self.options.ceiling,
        )
        self.window = Window(limits.concurrency, self.context.clock, self.spending.pause)
        self.poller = Poller(self.context.speech, self.context.clock, limits)
        self.calls = Calls(self.context, self.window, self.poller, self.spending)
        self.voices = Voices(self.context, self.window, self.spending)

    def stop(self, code: int = 130) -> None:
        """Make no new calls; what is paid for is still collected."""
        self.interrupted = self.interrupted or code
        self.context.assembler.stop()
        self._close("interrupted: no new calls; collecting what is paid for (again to stop now)")

    async def carry_out(self) -> RunFinished:
        """Do all of it; the result says how it went. A bug that one call hit is raised at the end."""
        self._tell(RunStarted(plan=self.plan, free=self.options.free))
        poller = asyncio.create_task(self.poller.run())
        try:
            await self._make_clips()
        finally:
            poller.cancel()
            for task in self._speakers.values():
                task.cancel()
        for held in self.plan.held:
            self._held(held.step, held.row.error or "")
        await self._stitch_all()
        return self.summary()

    def _tell(self, event: object) -> None:
        self.context.reporter.tell(event)  # type: ignore[arg-type]

    def _close(self, why: str) -> None:
        if self.spending.close(why):
            self._tell(Stopping(why=why))

    async def _make_clips(self) -> None:
        known = known_ids(self.context)
        collects = [c for c in self.plan.collect if isinstance(c.step, VoiceStep)]
        makers: list[CreateVoice | Collect] = [*self.plan.voices, *collects]
        by_key = {action.step.fingerprint: self._voice(action) for action in makers}
        running: set[asyncio.Task[None]] = set()
        ready: _Line = asyncio.Queue()
        for action in self.plan.collect:
            if isinstance(action.step, ClipStep):
                ready.put_nowait((action, None))
        waiting: dict[asyncio.Task[str], list[Speak]] = {}
        for speak in self.plan.clips:
            speaker = speak.step.speaker
            if speaker.created is not None and speaker.created in known:
                ready.put_nowait((speak, known[speaker.created]))
            elif speaker.created is not None:
                if speaker.created in by_key:
                    waiting.setdefault(by_key[speaker.created], []).append(speak)
            elif speaker.id is not None:
                waiting.setdefault(self._existing(speaker.id), []).append(speak)
            else:
                ready.put_nowait((speak, None))
        voices = [asyncio.create_task(self._release(task, speaks, ready)) for task, speaks in waiting.items()]
        dispatcher = asyncio.create_task(self._dispatch(ready, running))
        await asyncio.gather(*by_key.values(), return_exceptions=True)
        await asyncio.gather(*voices)
        ready.put_nowait(None)
        await dispatcher
        await asyncio.gather(*running)

    def _voice(self, action: CreateVoice | Collect) -> asyncio.Task[str]:
        step = action.step
        assert isinstance(step, VoiceStep)  # noqa: S101  (the caller chose it)
        task = asyncio.create_task(self._voice_guarded(action, step))
        self._speakers[step.fingerprint] = task
        return task

    async def _voice_guarded(self, action: CreateVoice | Collect, step: VoiceStep) -> str:
        try:
            return await self.voices.ready(action, step)
        except Closed:
            raise
        except Exception as error:
            self._problem(step.address, str(step.span), error)
            raise

    def _existing(self, voice_id: str) -> asyncio.Task[str]:
        if voice_id not in self._speakers:
            voice = self.graph.existing[voice_id]

            async def check() -> str:
                try:
                    return await self.voices.check_existing(voice, voice_id)
                except Exception as error:
                    self._problem(f"voices.{voice.name}", str(voice.span), error)
                    raise

            self._speakers[voice_id] = asyncio.create_task(check())
        return self._speakers[voice_id]

    @staticmethod
    async def _release(voice: asyncio.Task[str], speaks: list[Speak], ready: _Line) -> None:
        """Put a voice's clips in line once it can speak; a voice that failed has told so itself."""
        await asyncio.wait([voice])
        if not voice.cancelled() and voice.exception() is None:
            for speak in speaks:
                ready.put_nowait((speak, voice.result()))

    async def _dispatch(self, ready: _Line, running: set[asyncio.Task[None]]) -> None:
        """Start the jobs in line, each as soon as the window has room; once closed, only what is paid for."""
        while (job := await ready.get()) is not None:
            action, voice_id = job
            if isinstance(action, Speak):
                try:
                    place = await self.window.enter()
                except Closed:
                    continue
                work = self.calls.speak(action, voice_id, place)
                step = action.step
            elif isinstance(action.step, ClipStep):
                step = action.step
                work = self.calls.collect(action, step, await self._place_of(action))
            else:
                continue
            task = asyncio.create_task(self._guarded(step, work))
            running.add(task)
            task.add_done_callback(running.discard)

    async def _place_of(self, action: Collect) -> Place | None:
        """A task that may still run at the service counts as in flight."""
        if action.row.state != "submitted" or self.spending.closed is not None:
            return None
        try:
            return await self.window.enter()
        except Closed:
            return None

    async def _guarded(self, step: ClipStep, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except Closed:
            return
        except Exception as error:  # noqa: BLE001  (one call's bug must not cost the others their answers)
            self._problem(step.address, str(step.span), error)
        else:
            self.stored += 1

    def _problem(self, address: str, place: str, error: Exception) -> None:
        if not isinstance(error, FishpipeError):
            self.crash = self.crash or error
        doubt = isinstance(error, CallInDoubt)
        if doubt:
            self.in_doubt += 1
        else:
            self.failed += 1
        self.code = max(self.code, error.exit_code if isinstance(error, ServiceError) else 1)
        hint = _hint(error)
        self._tell(CallProblem(address=address, place=place, message=str(error), hint=hint, in_doubt=doubt))
        if isinstance(error, _STOPS_ALL) or not isinstance(error, FishpipeError):
            self._close(f"no new calls: {error}")
        elif not self.options.keep_going:
            self._close("no new calls after a failure (go on regardless: --keep-going)")

    def _held(self, step: ClipStep | VoiceStep, error: str) -> None:
        self.in_doubt += 1
        self.code = max(self.code, 1)
        message = error or "the last run ended before its answer was read; it may have been charged"
        hint = "pay for it again: --in-doubt retry"
        self._tell(CallProblem(address=step.address, place=str(step.span), message=message, hint=hint, in_doubt=True))

    async def _stitch_all(self) -> None:
        clips = self._clip_files()
        snapshot = replace(self.context.snapshot, clips={key: file.digest for key, file in clips.items()})
        for stitch in self.plan.stitches:
            if self.interrupted:
                return
            identity = recipe(stitch.step, snapshot)
            if identity is None:
                self._unmade(stitch.step, set(clips))
            if identity is None or (self.code and not self.options.keep_going):
                continue
            shown = stitch.step.output.shown
            self._tell(OutputStarted(path=shown))
            try:
                written = await asyncio.to_thread(
                    self._stitch, stitch.step, output_channels(stitch.step, snapshot), clips, identity
                )
            except Interrupted:
                return
            except FishpipeError as error:
                self.failed += 1
                self.code = max(self.code, 1)
                self._tell(CallProblem(address=shown, place=str(stitch.step.output.span), message=str(error)))
            else:
                self.outputs.append(written)
                self._tell(written)

    def _unmade(self, step: OutputStep, here: set[Fingerprint]) -> None:
        """An output whose clips are not all there: said, unless it is clear why."""
        if self.code or self.interrupted or self.options.collect_only:
            return
        self.code = 1
        missing = len({item.clip for item in step.items if item.clip and item.clip not in here})
        output = step.output
        message = f"not made: {missing} of its clips are missing"
        self._tell(CallProblem(address=output.shown, place=str(output.span), message=message))

    def _clip_files(self) -> dict[Fingerprint, ClipFile]:
        files = {}
        for key, step in self.graph.clips.items():
            digest = self.context.snapshot.clips.get(key)
            if digest is None:
                row = self.context.store.row(key)
                digest = row.digest if row is not None and row.state == "stored" else None
            if digest is not None:
                path = self.context.store.clip(key, digest, step.format)
                if path.exists():
                    files[key] = ClipFile(path=path, digest=digest, format=step.format, sample_rate=step.sample_rate)
        return files

    def _stitch(
        self, step: OutputStep, channels: int, clips: dict[Fingerprint, ClipFile], identity: str
    ) -> OutputWritten:
        row = self.context.assembler.assemble(step, channels, clips, identity)
        self.context.store.stitched(step.output.path, row)
        segments = sum(1 for item in step.items if item.clip is not None)
        return OutputWritten(path=step.output.shown, seconds=row.length / row.rate, segments=segments)

    def summary(self) -> RunFinished:
        """How it went, as far as it went; after a second signal, calls without an answer are in doubt."""
        rows = [row for key in (*self.graph.clips, *self.graph.voices) if (row := self.context.store.row(key))]
        collectable = sum(1 for row in rows if row.state in ("submitted", "answered", "fetched"))
        if self.interrupted:
            self.in_doubt = sum(1 for row in rows if row.state == "intended")
        spending = self.spending
        return RunFinished(
            exit_code=self.interrupted or self.code,
            calls=spending.calls,
            bytes=spending.bytes,
            usd=spending.usd,
            unpriced=spending.unpriced,
            stored=self.stored,
            in_doubt=self.in_doubt,
            failed=self.failed,
            outputs=tuple(self.outputs),
            free=self.options.free,
            collectable=collectable,
        )


def _hint(error: Exception) -> str:
    match error:
        case AuthError():
            return "check ACEDATACLOUD_API_TOKEN"
        case BalanceError():
            return "add to your balance, then build again: nothing is lost"
        case CallInDoubt():
            return "pay for it again: --in-doubt retry; leave it: --in-doubt skip"
        case _:
            return ""
