"""The stitcher: clips and files → the outputs of one script, in linear time and memory that does not grow with length.

Each sound's cut is found (and remembered by its digest), so that its place is known to the sample; as soon as a
unit's sounds are placed it is rendered on one of the cores, and written in its turn. The bytes are the same for any
number of threads, and whether a unit was remembered or not.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from fishpipe.audio.ahead import ahead, cores
from fishpipe.audio.making import Making
from fishpipe.audio.mastering import pinned_master
from fishpipe.audio.meter import Meter
from fishpipe.audio.rehearsal import rehearse
from fishpipe.audio.sounds import Sounds
from fishpipe.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from fishpipe.audio.copying import Shell
    from fishpipe.audio.edit import Cut
    from fishpipe.audio.making import Write
    from fishpipe.audio.score import Unit
    from fishpipe.audio.sinks import SoundCache
    from fishpipe.graph.fingerprints import Digest, Fingerprint
    from fishpipe.graph.steps import Item
    from fishpipe.ports import ClipFile, Job, Made

    _Measured = tuple[Cut | None, Shell | None]

# So many measurements are written at once.
_BATCH: Final = 64
# So many dB a lossy file's peaks may be over their ceiling before it is made again, and how often.
_OVER: Final = 0.15
_TRIES: Final = 5


class Stitcher:
    """The runner's Assembler. `digests` are those of the project's audio files, by path."""

    def __init__(
        self,
        cache: SoundCache,
        digests: Mapping[str, Digest],
        write: Write,
        threads: int | None = None,
    ) -> None:
        self._cache, self._digests, self._write = cache, digests, write
        self._threads = threads or cores()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Give up the outputs in the making."""
        self._stopped.set()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Interrupted(130)

    def prepare(self, job: Job, number: int, clips: Mapping[Fingerprint, ClipFile]) -> None:
        """Do for an item of an output what can be done before the others are here. Raises as `assemble`."""
        self._check()
        rehearse(job, number, Sounds(clips, self._digests, puts_aside=False), self._cache)

    def assemble(self, jobs: Sequence[Job], clips: Mapping[Fingerprint, ClipFile]) -> list[Made]:
        """Write the files of one script's outputs, aside and renamed; each sound is decoded once for all of them.

        One whose peaks an encoder raised over its ceiling is made again, under a lower one. Raises AudioError with
        the segment's address, or DamagedClip.
        """
        begun = [replace(job, lower=_pinned_lower(job)) for job in jobs]
        made = self._assemble(begun, clips)
        for number, job in enumerate(begun):
            lower = job
            for _ in range(0 if job.is_pinned else _TRIES):
                over = _over(job, made[number])
                if over <= _OVER:
                    break
                lower = replace(lower, lower=round(lower.lower + over, 2))
                made[number] = self._assemble([lower], clips)[0]
        return made

    def _assemble(self, jobs: Sequence[Job], clips: Mapping[Fingerprint, ClipFile]) -> list[Made]:
        sounds, wide = Sounds(clips, self._digests), Sounds(clips, self._digests, wide=True)
        with ExitStack() as stack:
            opened = (
                Making.opened(
                    job, wide if job.step.output.bits > 16 else sounds, self._cache, self._write, self._threads
                )
                for job in jobs
            )
            makings = [stack.enter_context(making) for making in opened]
            copies = any(job.step.output.mode == "copy" for job in jobs)
            measured = stack.enter_context(closing(self._measured(jobs[0].step.items, sounds, copies=copies)))
            units = stack.enter_context(closing(ahead(self._made, _units(makings, measured), self._threads, _known)))
            for (making, unit), made in units:
                self._check()
                making.take(unit, made)
            return [making.close() for making in makings]

    def _made(self, given: tuple[Making, Unit]) -> Iterable[bytes]:
        self._check()
        making, unit = given
        return making.made(unit)

    def _measured(self, items: Sequence[Item], sounds: Sounds, *, copies: bool) -> Generator[_Measured, None, None]:
        """The cut of each item (None for a pause), and with `copies` its shell; measured once and remembered."""
        meter = Meter(items, sounds, self._cache.recall, copies=copies)

        def measure(number: int) -> _Measured:
            self._check()
            return meter.measured(number)

        with closing(ahead(measure, range(len(items)), self._threads, meter.known)) as found:
            for number, measured in found:
                if len(meter.fresh) >= _BATCH or (meter.fresh and number == len(items) - 1):
                    self._cache.remember(meter.taken())
                yield measured


def _known(given: tuple[Making, Unit]) -> Iterable[bytes] | None:
    making, unit = given
    return making.known(unit)


def _pinned_lower(job: Job) -> float:
    """By how many dB an earlier build had to lower the ceiling, for the same loudness."""
    wanted = job.step.output.loudness
    is_same = wanted is not None and pinned_master(wanted, job.pin, job.channels) is not None
    return float(job.pin.get("lower", 0.0)) if is_same else 0.0


def _over(job: Job, made: Made) -> float:
    """By how many dB the peaks of a lossy file are over their ceiling."""
    wanted = job.step.output.loudness
    if wanted is None or made.sounding is None or job.step.output.format in ("wav", "flac"):
        return 0.0
    return made.sounding.true_peak - wanted.true_peak


def _units(makings: Sequence[Making], measured: Iterable[_Measured]) -> Iterator[tuple[Making, Unit]]:
    """The units of all outputs, as soon as the sounds that were measured make them whole."""
    for cut, shell in measured:
        for making in makings:
            for unit in making.add(cut, shell):
                yield making, unit
    # Those that waited take turns, so that a sound is decoded once for all of them.
    waiting = [(making, unit) for making in makings for unit in making.finish()]
    yield from sorted(waiting, key=lambda pair: pair[0].time(pair[1]))
