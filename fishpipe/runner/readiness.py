"""Which voices can speak, and which clips wait for one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fishpipe.graph.steps import VoiceStep
from fishpipe.runner.spending import Closed
from fishpipe.runner.voices import gone, known_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from fishpipe.errors import CallRefused
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import ClipStep, Graph, Speaker
    from fishpipe.plan import Collect, CreateVoice, Plan, Speak
    from fishpipe.ports import RunContext
    from fishpipe.runner.tally import Tally
    from fishpipe.runner.voices import Voices

    Need = str | asyncio.Task[str]


class Readiness:
    """Makes a plan's voices ready, each once."""

    def __init__(self, plan: Plan, graph: Graph, context: RunContext, voices: Voices, tally: Tally) -> None:
        self._plan, self._graph, self._context = plan, graph, context
        self._voices, self._tally = voices, tally
        self._known = known_ids(context)
        self._tasks: dict[str, asyncio.Task[str]] = {}
        self._told: set[str] = set()
        self._there: set[str] = set()

    async def release(self, ready: Callable[[Speak, tuple[str, ...]], None]) -> None:
        """Give each clip to `ready` with the ids of its voices, as soon as these can speak; ends when all can."""
        waiting: dict[tuple[Need, ...], list[Speak]] = {}
        await self._check_all()
        collects = [action for action in self._plan.collect if isinstance(action.step, VoiceStep)]
        makers: list[CreateVoice | Collect] = [*self._plan.voices, *collects]
        for action in makers:
            self._make(action)
        for speak in self._plan.clips:
            needs = [self._need(speaker) for speaker in speak.step.speakers if not speaker.references]
            there = tuple(need for need in needs if need is not None)
            if len(there) == len(needs):
                waiting.setdefault(there, []).append(speak)
        await asyncio.gather(*(self._when_ready(needs, speaks, ready) for needs, speaks in waiting.items()))
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _check_all(self) -> None:
        """Look up the voices by id first: what is wrong with them is told before anything is paid."""
        speakers = [speaker for speak in self._plan.clips for speaker in speak.step.speakers if speaker.id]
        checks = [need for speaker in speakers if not isinstance(need := self._need(speaker), (str, type(None)))]
        await asyncio.gather(*checks, return_exceptions=True)

    def cancel(self) -> None:
        """Wait for no voice any more."""
        for task in self._tasks.values():
            task.cancel()

    @staticmethod
    async def _when_ready(
        needs: tuple[Need, ...], speaks: list[Speak], ready: Callable[[Speak, tuple[str, ...]], None]
    ) -> None:
        pending = [need for need in needs if not isinstance(need, str)]
        if pending:
            await asyncio.wait(pending)
        # A voice that failed has told so itself.
        if any(task.cancelled() or task.exception() is not None for task in pending):
            return
        ids = tuple(need if isinstance(need, str) else need.result() for need in needs)
        for speak in speaks:
            ready(speak, ids)

    def _need(self, speaker: Speaker) -> Need | None:
        """A voice's id, or the task that will have it; None for one that waits for a decision."""
        if speaker.created is not None:
            return self._known.get(speaker.created) or self._tasks.get(speaker.created)
        voice_id = speaker.id or ""
        if voice_id in self._context.snapshot.checked:
            return voice_id
        if voice_id not in self._tasks:
            self._tasks[voice_id] = asyncio.create_task(self._check(voice_id))
        return self._tasks[voice_id]

    def _make(self, action: CreateVoice | Collect) -> None:
        step = action.step
        assert isinstance(step, VoiceStep)  # noqa: S101  (the caller chose it)

        async def make() -> str:
            try:
                return await self._voices.ready(action, step)
            except Closed:
                raise
            except Exception as error:
                self._tally.problem(step, error)
                raise

        self._tasks[step.fingerprint] = asyncio.create_task(make())

    async def _check(self, voice_id: str) -> str:
        voice = self._graph.existing[voice_id]
        try:
            return await self._voices.check_existing(voice, voice_id, self._users(voice_id))
        except Exception as error:
            self._tally.trouble(f"voices.{voice.name}", str(voice.span), error)
            raise

    def _users(self, voice: str | Fingerprint) -> list[str]:
        """The segments that are to be spoken with a voice, by its id or fingerprint."""
        users = (use for speak in self._plan.clips if speak.step.speaks_with(voice) for use in speak.step.uses)
        return [use.address for use in users]

    async def refused(self, step: ClipStep, voice_ids: tuple[str, ...], error: CallRefused) -> None:
        """A clip was refused: where it is for a voice that is gone, that is told, once, with all that it breaks."""
        named = [speaker for speaker in step.speakers if not speaker.references]
        for speaker, voice_id in zip(named, voice_ids, strict=False):
            asked = error.status in (400, 404) and voice_id not in self._there
            missing = await self._voices.is_gone(voice_id) if asked else None
            if missing is None:
                self._there.add(voice_id)
                continue
            if voice_id not in self._told:
                self._told.add(voice_id)
                again = f"; create it again: fishpipe voices forget {speaker.name}" if speaker.created else ""
                problem = gone(speaker.name, voice_id, self._users(speaker.created or voice_id), missing)
                problem.message += again
                self._tally.problem(step, problem)
            return
        self._tally.problem(step, error)
