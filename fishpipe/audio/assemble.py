"""The stitcher: clips and files → the outputs of one script, in linear time and memory that does not grow with length.

Each sound's cut is found (and remembered by its digest), so that its place is known to the sample; as soon as a
unit's sounds are placed it is rendered on one of the cores, and written in its turn. The bytes are the same for any
number of threads, and whether a unit was remembered or not.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fishpipe.audio.ahead import ahead, cores
from fishpipe.audio.edit import Cut, find_cut
from fishpipe.audio.making import Making
from fishpipe.audio.sounds import Sounds
from fishpipe.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fishpipe.audio.score import Unit
    from fishpipe.audio.sinks import SoundCache
    from fishpipe.graph.fingerprints import Digest, Fingerprint
    from fishpipe.graph.steps import Item
    from fishpipe.ports import ClipFile, Job, Made

# So many measurements are written at once.
_BATCH: Final = 64
# So many dB a lossy file's peaks may be over their ceiling before it is made again, and how often.
_OVER: Final = 0.15
_TRIES: Final = 3


class Stitcher:
    """The runner's Assembler. `digests` are those of the project's audio files, by path."""

    def __init__(
        self,
        cache: SoundCache,
        digests: Mapping[str, Digest],
        flush_folder: Callable[[Path], None],
        threads: int | None = None,
    ) -> None:
        self._cache, self._digests, self._flush_folder = cache, digests, flush_folder
        self._threads = threads or cores()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Give up the outputs in the making."""
        self._stopped.set()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Interrupted(130)

    def assemble(self, jobs: Sequence[Job], clips: Mapping[Fingerprint, ClipFile]) -> list[Made]:
        """Write the files of one script's outputs, aside and renamed; each sound is decoded once for all of them.

        One whose peaks an encoder raised over its ceiling is made again, under a lower one. Raises AudioError with
        the segment's address, or DamagedClip.
        """
        made = self._assemble(jobs, clips)
        for number, job in enumerate(jobs):
            lower = job
            for _ in range(_TRIES):
                over = _over(job, made[number])
                if over <= _OVER:
                    break
                lower = replace(lower, lower=lower.lower + over)
                made[number] = self._assemble([lower], clips)[0]
        return made

    def _assemble(self, jobs: Sequence[Job], clips: Mapping[Fingerprint, ClipFile]) -> list[Made]:
        sounds, wide = Sounds(clips, self._digests), Sounds(clips, self._digests, wide=True)
        with ExitStack() as stack:
            opened = (
                Making.opened(
                    job, wide if job.step.output.bits > 16 else sounds, self._cache, self._flush_folder, self._threads
                )
                for job in jobs
            )
            makings = [stack.enter_context(making) for making in opened]
            cuts = stack.enter_context(closing(self._cuts(jobs[0].step.items, sounds)))
            units = stack.enter_context(closing(ahead(self._made, _units(makings, cuts), self._threads)))
            for (making, unit), made in units:
                self._check()
                making.take(unit, made)
            return [making.close() for making in makings]

    def _made(self, given: tuple[Making, Unit]) -> Iterable[bytes]:
        self._check()
        making, unit = given
        return making.made(unit)

    def _cuts(self, items: Sequence[Item], sounds: Sounds) -> Generator[Cut | None, None, None]:
        """The cut of each item, None for a pause; measured once and remembered."""
        keys = [None if item.is_pause else _cut_key(item, sounds) for item in items]
        known = {key: self._cache.recall(key) for key in {key for key in keys if key is not None}}
        if None not in known.values():
            for key in keys:
                yield None if key is None else Cut.from_json(known[key] or "")
            return

        def find(number: int) -> str:
            self._check()
            item, key = items[number], keys[number]
            found = known[key] if key is not None else ""
            if found is None:
                cut = find_cut(sounds.decoded(item), item.edits.trim, item.start, item.end)
                found = known[str(key)] = cut.to_json()
            return found

        fresh = {key for key, found in known.items() if found is None}
        measured: dict[str, str] = {}
        with closing(ahead(find, range(len(items)), self._threads)) as found:
            for number, text in found:
                key = keys[number]
                if key in fresh:
                    measured[str(key)] = text
                if len(measured) >= _BATCH or (measured and number == len(items) - 1):
                    self._cache.remember(measured)
                    measured = {}
                yield None if key is None else Cut.from_json(text)


def _over(job: Job, made: Made) -> float:
    """By how many dB the peaks of a lossy file are over their ceiling."""
    wanted = job.step.output.loudness
    if wanted is None or made.sounding is None or job.step.output.format in ("wav", "flac"):
        return 0.0
    return made.sounding.true_peak - wanted.true_peak


def _cut_key(item: Item, sounds: Sounds) -> str:
    return f"{sounds.digest(item)} {item.start} {item.end} {item.edits.trim}"


def _units(makings: Sequence[Making], cuts: Iterable[Cut | None]) -> Iterator[tuple[Making, Unit]]:
    """The units of all outputs, as soon as the cuts that have come make them whole."""
    for cut in cuts:
        for making in makings:
            for unit in making.add(cut):
                yield making, unit
    for making in makings:
        for unit in making.finish():
            yield making, unit
