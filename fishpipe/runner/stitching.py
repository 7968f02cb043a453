"""The outputs of a run, one after the other, of the clips that are here."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fishpipe.errors import DamagedClip, FishpipeError, Interrupted
from fishpipe.events import ClipDamaged, OutputStarted, OutputWritten
from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.locking import output_entry
from fishpipe.ports import ClipFile
from fishpipe.recipes import recipe
from fishpipe.runner.preparing import job_for

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from pathlib import Path

    from fishpipe.graph.steps import Graph, OutputStep
    from fishpipe.plan import Stitch
    from fishpipe.ports import Made, RunContext
    from fishpipe.runner.tally import Tally
    from fishpipe.snapshot import Snapshot


class Stitching:
    """Makes outputs whose clips are all here; a `partial` run says nothing of the others, `locked` keeps all gains."""

    def __init__(self, graph: Graph, context: RunContext, tally: Tally, *, partial: bool, locked: bool) -> None:
        self._graph, self._context, self._tally, self._partial = graph, context, tally, partial
        self._locked = locked
        self._damaged: set[Path] = set()
        self._sifted = False

    async def make(self, stitches: tuple[Stitch, ...]) -> None:
        """Write them; what cannot be made is told."""
        clips = self._clip_files()
        snapshot = replace(self._context.snapshot, clips={key: file.digest for key, file in clips.items()})
        for items, group in groupby((stitch.step for stitch in stitches), key=lambda step: step.items):
            steps = tuple(group)
            if self._tally.interrupted:
                return
            if any(item.clip and item.clip not in clips for item in items):
                for step in steps:
                    self._say_missing(step, clips)
            elif not self._tally.code or self._tally.keep_going:
                await self._make(steps, clips, snapshot)

    async def _make(
        self, steps: tuple[OutputStep, ...], clips: dict[Fingerprint, ClipFile], snapshot: Snapshot
    ) -> None:
        """The outputs of the same items together; where that fails, one after the other."""
        for step in steps:
            self._context.reporter.tell(OutputStarted(path=step.output.shown))
        try:
            written = await asyncio.to_thread(self._stitch, steps, clips, snapshot)
        except DamagedClip as error:
            await asyncio.to_thread(self._sift, clips, Fingerprint(error.key))
            if self._mend(clips, error):
                await self._make(steps, clips, snapshot)
        except Interrupted:
            return
        except FishpipeError as error:
            if len(steps) > 1:
                for step in steps:
                    await self._make((step,), clips, snapshot)
            else:
                self._tally.unmade(steps[0], str(error), failed=True)
        else:
            for each in written:
                self._tally.outputs.append(each)
                self._context.reporter.tell(each)

    def _sift(self, clips: dict[Fingerprint, ClipFile], known: Fingerprint) -> None:
        """Where one clip is damaged others may be: all are read, so that one more plan mends them all."""
        if self._sifted:
            return
        self._sifted = True
        for key, file in list(clips.items()):
            if key != known:
                clips[key] = replace(file, path=self._whole_copy(key, file))

    def _whole_copy(self, key: Fingerprint, file: ClipFile) -> Path:
        """The first copy of a clip that is whole; those that are not are put aside."""
        store, path = self._context.store, file.path
        tried: set[Path] = set()
        while path not in tried:
            tried.add(path)
            if path.exists():
                if store.digest(path) == file.digest:
                    break
                with suppress(OSError):
                    path.replace(path.with_suffix(".damaged"))
            path = store.clip(key, file.digest, self._graph.clips[key].format)
        return path

    def _mend(self, clips: dict[Fingerprint, ClipFile], error: DamagedClip) -> bool:
        """Have the same bytes of another copy; where there is none, the next plan sees to it."""
        key = Fingerprint(error.key)
        clip, file = self._graph.clips[key], clips[key]
        path = self._context.store.clip(key, file.digest, clip.format)
        mended = path.exists() and path not in self._damaged and path != file.path
        self._damaged |= {path, file.path}
        what = "another copy stands in" if mended else "it is put aside"
        self._context.reporter.tell(ClipDamaged(address=clip.address, message=f"{error}; {what}"))
        if mended:
            clips[key] = replace(file, path=path)
        else:
            self._tally.damaged += 1
            self._tally.code = max(self._tally.code, 1)
        return mended

    def _stitch(
        self, steps: Sequence[OutputStep], clips: dict[Fingerprint, ClipFile], snapshot: Snapshot
    ) -> list[OutputWritten]:
        jobs = [job_for(step, snapshot, is_pinned=self._locked) for step in steps]
        made = self._context.assembler.assemble(jobs, clips)
        return [self._kept(step, each, snapshot) for step, each in zip(steps, made, strict=True)]

    def _kept(self, step: OutputStep, made: Made, snapshot: Snapshot) -> OutputWritten:
        if made.pin and not self._locked:
            self._context.store.pin_gains(step.output.name, made.pin)
            pinned = snapshot.lock.adding([output_entry(step.output.name, made.pin, 0.0)])
            snapshot = replace(snapshot, lock=pinned)
        identity = recipe(step, snapshot) or ""
        clips = {item.clip for item in step.items if item.clip}
        self._context.store.stitched(step.output.path, identity, made, clips)
        segments = sum(1 for item in step.items if item.clip is not None)
        seconds, output = made.length / made.rate, step.output
        return OutputWritten(
            path=output.shown, seconds=seconds, segments=segments, pattern=output.pattern, sounding=made.sounding
        )

    def _say_missing(self, step: OutputStep, here: Container[Fingerprint]) -> None:
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
