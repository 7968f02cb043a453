"""The outputs of a run, one after the other, of the clips that are here."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from fishpipe.errors import DamagedClip, FishpipeError, Interrupted, ServiceError
from fishpipe.events import ClipMended, OutputStarted, OutputWritten
from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.ports import ClipFile
from fishpipe.recipes import output_channels, recipe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from fishpipe.graph.steps import ClipStep, Graph, OutputStep
    from fishpipe.plan import Stitch
    from fishpipe.ports import RunContext
    from fishpipe.runner.tally import Tally

    Recover = Callable[[ClipStep], Awaitable[object]]


class Stitching:
    """Makes outputs whose clips are all here; a `partial` run says nothing of the others."""

    def __init__(
        self, graph: Graph, context: RunContext, tally: Tally, recover: Recover | None, *, partial: bool
    ) -> None:
        self._graph, self._context, self._tally, self._partial = graph, context, tally, partial
        self._recover = recover
        self._damaged: set[Path] = set()

    async def make(self, stitches: tuple[Stitch, ...]) -> None:
        """Write them; what cannot be made is told."""
        clips = self._clip_files()
        snapshot = replace(self._context.snapshot, clips={key: file.digest for key, file in clips.items()})
        for stitch in stitches:
            if self._tally.interrupted:
                return
            identity = recipe(stitch.step, snapshot)
            if identity is None:
                self._say_missing(stitch.step, set(clips))
            elif not self._tally.code or self._tally.keep_going:
                channels = output_channels(stitch.step, snapshot)
                await self._one(stitch.step, channels, clips, identity)

    async def _one(self, step: OutputStep, channels: int, clips: dict[Fingerprint, ClipFile], identity: str) -> None:
        self._context.reporter.tell(OutputStarted(path=step.output.shown))
        try:
            written = await asyncio.to_thread(self._stitch, step, channels, clips, identity)
        except DamagedClip as error:
            if await self._mend(step, clips, error):
                await self._one(step, channels, clips, identity)
        except Interrupted:
            return
        except FishpipeError as error:
            self._tally.unmade(step, str(error), failed=True)
        else:
            self._tally.outputs.append(written)
            self._context.reporter.tell(written)

    async def _mend(self, step: OutputStep, clips: dict[Fingerprint, ClipFile], error: DamagedClip) -> bool:
        """Have the same bytes from elsewhere: another copy, else the task; whether they are here now."""
        key = Fingerprint(error.key)
        clip, file = self._graph.clips[key], clips[key]
        first = file.path not in self._damaged
        self._damaged.add(file.path)
        path = self._context.store.clip(key, file.digest, clip.format)
        try:
            if first and not path.exists() and self._recover is not None:
                await self._recover(clip)
                path = self._context.store.clip(key, file.digest, clip.format)
        except ServiceError as again:
            error = DamagedClip(f"{error}; it cannot be fetched again: {again}", error.key)
        if first and path.exists():
            clips[key] = replace(file, path=path)
            self._context.reporter.tell(ClipMended(address=clip.address, message=f"{error}; it is whole again"))
            return True
        self._tally.unmade(step, f"{error}, and is put aside. Have it from a store: fishpipe store pull", failed=True)
        return False

    def _stitch(
        self, step: OutputStep, channels: int, clips: dict[Fingerprint, ClipFile], identity: str
    ) -> OutputWritten:
        row = self._context.assembler.assemble(step, channels, clips, identity)
        self._context.store.stitched(step.output.path, row, {item.clip for item in step.items if item.clip})
        segments = sum(1 for item in step.items if item.clip is not None)
        return OutputWritten(path=step.output.shown, seconds=row.length / row.rate, segments=segments)

    def _say_missing(self, step: OutputStep, here: set[Fingerprint]) -> None:
        """An output whose clips are not all there: said, unless it is clear why."""
        if not (self._tally.code or self._partial):
            missing = len({item.clip for item in step.items if item.clip and item.clip not in here})
            self._tally.unmade(step, f"not made: {missing} of its clips are missing", failed=False)

    def _clip_files(self) -> dict[Fingerprint, ClipFile]:
        files = {}
        for key, step in self._graph.clips.items():
            digest = self._context.snapshot.clips.get(key)
            if digest is None:
                row = self._context.store.row(key)
                digest = row.digest if row is not None and row.state == "stored" else None
            if digest is not None:
                path = self._context.store.clip(key, digest, step.format)
                if path.exists():
                    files[key] = ClipFile(path=path, digest=digest, format=step.format, sample_rate=step.sample_rate)
        return files
