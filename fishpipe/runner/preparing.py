"""Prepares outputs while calls are still running: each clip as it comes, so that little is left for the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from fishpipe.errors import FishpipeError
from fishpipe.ports import ClipFile, Job
from fishpipe.recipes import output_channels

if TYPE_CHECKING:
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import ClipStep, Graph, OutputStep
    from fishpipe.plan import Plan
    from fishpipe.ports import RunContext
    from fishpipe.snapshot import Snapshot


def job_for(step: OutputStep, snapshot: Snapshot, *, is_pinned: bool = False) -> Job:
    """An output to make, with the gains that the lock keeps for it."""
    pin = snapshot.lock.output(step.output.name)
    return Job(step=step, channels=output_channels(step, snapshot), pin=pin, is_pinned=is_pinned)


class Preparing:
    """One clip at a time, on a thread. What goes wrong here goes wrong again in the stitch, and is told there."""

    def __init__(self, plan: Plan, graph: Graph, context: RunContext) -> None:
        self._graph, self._context = graph, context
        self._queue: asyncio.Queue[Fingerprint] = asyncio.Queue()
        self._places: dict[Fingerprint, list[tuple[Job, int]]] = {}
        for stitch in plan.stitches:
            job = job_for(stitch.step, context.snapshot)
            for number, item in enumerate(stitch.step.items):
                if item.clip is not None:
                    self._places.setdefault(item.clip, []).append((job, number))
        if not plan.is_stitching:
            for key in self._places:
                if key in context.snapshot.clips:
                    self._queue.put_nowait(key)

    def arrived(self, step: ClipStep) -> None:
        """A clip is here."""
        self._queue.put_nowait(step.fingerprint)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            key = await self._queue.get()
            work = asyncio.create_task(asyncio.to_thread(self._prepare, key))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                # The stitch would do the same work again.
                await work
                raise

    def _prepare(self, key: Fingerprint) -> None:
        store, step = self._context.store, self._graph.clips[key]
        row = store.row(key)
        digest = row.digest if row is not None and row.state == "stored" else None
        if digest is None:
            return
        path = store.clip(key, digest, step.format)
        clip = ClipFile(path=path, digest=digest, format=step.format, sample_rate=step.sample_rate)
        for job, number in self._places.get(key, ()):
            with suppress(FishpipeError, OSError):
                self._context.assembler.prepare(job, number, {key: clip})
