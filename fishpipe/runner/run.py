"""Carries out a plan: voices, then the clips that need them, then the outputs.

One dispatcher takes places in the window and starts calls in the plan's order; a clip whose voice is not
ready yet waits outside of the line. What goes wrong with one call is told and counted; what makes every
call fail closes the purse, and what is paid for is still collected.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fishpipe.errors import CallRefused
from fishpipe.events import RunStarted
from fishpipe.graph.steps import ClipStep
from fishpipe.plan import Collect, Held, Plan, Speak
from fishpipe.runner.calls import Calls
from fishpipe.runner.payments import Payments
from fishpipe.runner.poller import Poller
from fishpipe.runner.preparing import Preparing
from fishpipe.runner.readiness import Readiness
from fishpipe.runner.results import Results
from fishpipe.runner.spending import Closed, Spending
from fishpipe.runner.stitching import Stitching
from fishpipe.runner.tally import Tally
from fishpipe.runner.voices import Voices
from fishpipe.runner.window import Place, Window

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fishpipe.events import RunFinished
    from fishpipe.graph.steps import Graph
    from fishpipe.ports import RunContext

_Line = asyncio.Queue[tuple[Speak | Collect, tuple[str, ...]] | None]
# How long calls in flight may still take once the run's deadline has passed, in seconds.
GRACE: Final = 20.0
# How often a run says that it lives, to those that share its clips, in seconds.
_RENEWAL: Final = 15.0


class RunOptions(Struct, frozen=True, kw_only=True):
    """How to carry a plan out.

    `ceiling` is the build's budget in USD, `deadline` how many seconds it may take, `free` says that nothing is
    really paid, `offline` that nothing may be asked for, `locked` that the lock stays as it is.
    """

    keep_going: bool = False
    collect_only: bool = False
    retry_doubt: bool = True
    ceiling: float | None = None
    deadline: float | None = None
    free: bool = False
    offline: bool = False
    locked: bool = False


class Run:
    """One run. `stop` may be called from a signal handler."""

    def __init__(self, plan: Plan, graph: Graph, context: RunContext, options: RunOptions) -> None:
        self._plan, self._graph, self._context, self._options = plan, graph, context, options
        limits, clock = context.limits, context.clock
        self.spending = Spending(clock, retry_doubt=options.retry_doubt, planned=plan.cost.usd, ceiling=options.ceiling)
        self.tally = Tally(context, self.spending, options.keep_going)
        self._window = Window(limits.concurrency, clock, self.spending.pause)
        self._poller = Poller(context.speech, clock, limits)
        self._results = Results(self._poller, clock, limits, context.callbacks)
        payments = Payments(context, self._window, self.spending, self._results)
        self._calls = Calls(context, payments, self._results, self.spending)
        voices = Voices(context, self._window, payments, self._results, self.spending)
        self._readiness = Readiness(plan, graph, context, voices, self.tally)
        self._preparing = Preparing(plan, graph, context)
        self._stitching = Stitching(graph, context, self.tally, partial=options.collect_only, locked=options.locked)
        self._running: set[asyncio.Task[None]] = set()
        self._over = False
        self._resolved: set[str] = set()

    def stop(self, code: int = 130) -> None:
        """Make no new calls; what is paid for is still collected."""
        self.tally.interrupted = self.tally.interrupted or code
        self._context.assembler.stop()
        self.tally.close("interrupted: no new calls; collecting what is paid for (again to stop now)")

    async def carry_out(self) -> RunFinished:
        """Do all of it; the result says how it went. A bug that one call hit is raised at the end."""
        self._context.reporter.tell(RunStarted(plan=self._plan, free=self._options.free))
        self._expect_callbacks()
        beside = [asyncio.create_task(self._poller.run()), asyncio.create_task(self._renew_claims())]
        beside.append(asyncio.create_task(self._preparing.run()))
        if self._options.deadline is not None:
            beside.append(asyncio.create_task(self._end_after(self._options.deadline)))
        try:
            await self._make_clips()
        finally:
            for task in beside:
                task.cancel()
            self._readiness.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        for held in self._plan.held:
            if held.step.fingerprint not in self._resolved:
                self.tally.held(held.step, held.row)
        await self._stitching.make(self._plan.stitches)
        return self.summary()

    def summary(self) -> RunFinished:
        """How it went, as far as it went."""
        return self.tally.summary(self._graph, free=self._options.free)

    async def _renew_claims(self) -> None:
        while True:
            await self._context.clock.sleep(_RENEWAL)
            await asyncio.to_thread(self._context.store.renew_claims)

    def _expect_callbacks(self) -> None:
        """Answers to earlier builds' calls may come from the first moment on."""
        if self._context.callbacks is not None:
            for action in (*self._plan.collect, *self._plan.paid, *self._plan.held):
                row = self._context.snapshot.calls.get(action.step.fingerprint)
                if row is not None and row.nonce:
                    self._results.expect(row.nonce)
        self._results.listen()

    async def _end_after(self, deadline: float) -> None:
        """At the deadline no new calls are made and no task is waited for; a little later calls are left alone."""
        clock = self._context.clock
        await clock.sleep(deadline)
        why = f"the deadline of {deadline:g} s has passed"
        self.tally.code = max(self.tally.code, 1)
        self.tally.close(f"{why}: no new calls; what is paid for is collected by the next build")
        self._results.give_up(f"{why}; the task is kept, and collected by the next build")
        await clock.sleep(GRACE)
        self._over = True
        self._readiness.cancel()
        for task in self._running:
            task.cancel()

    async def _make_clips(self) -> None:
        ready: _Line = asyncio.Queue()
        for action in self._plan.collect:
            if isinstance(action.step, ClipStep):
                ready.put_nowait((action, ()))
        for held in self._plan.held:
            if isinstance(held.step, ClipStep):
                self._start(held.step, self._hold(held, held.step), ())
        dispatcher = asyncio.create_task(self._dispatch(ready))
        try:
            await self._readiness.release(lambda speak, ids: ready.put_nowait((speak, ids)))
            ready.put_nowait(None)
            await dispatcher
        finally:
            dispatcher.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _dispatch(self, ready: _Line) -> None:
        """Start the jobs in line, each as soon as the window has room; once closed, only what is paid for."""
        while (job := await ready.get()) is not None:
            if self._over:
                continue
            action, voice_ids = job
            if isinstance(action, Speak):
                try:
                    place = await self._window.enter()
                except Closed:
                    continue
                step, work = action.step, self._calls.speak(action, voice_ids, place)
            elif isinstance(action.step, ClipStep):
                step = action.step
                work = self._calls.collect(action, step, await self._place_of(action))
            else:
                continue
            self._start(step, work, voice_ids)

    def _start(self, step: ClipStep, work: Coroutine[object, object, bool], voice_ids: tuple[str, ...]) -> None:
        task = asyncio.create_task(self._guarded(step, work, voice_ids))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _hold(self, held: Held, step: ClipStep) -> bool:
        """A call that waits for a decision needs none once its callback comes."""
        resolved = await self._calls.resolve(held, step)
        if resolved:
            self._resolved.add(step.fingerprint)
        return resolved

    async def _place_of(self, action: Collect) -> Place | None:
        """A task that may still run at the service counts as in flight."""
        if action.row.state != "submitted" or self.spending.closed is not None:
            return None
        try:
            return await self._window.enter()
        except Closed:
            return None

    async def _guarded(self, step: ClipStep, work: Coroutine[object, object, bool], voice_ids: tuple[str, ...]) -> None:
        try:
            stored = await work
        except Closed:
            return
        except CallRefused as error:
            await self._readiness.refused(step, voice_ids, error)
        except Exception as error:  # noqa: BLE001  (one call's bug must not cost the others their answers)
            self.tally.problem(step, error)
        else:
            self.tally.stored += stored
            self._preparing.arrived(step)
