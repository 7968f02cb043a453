"""One output in the making: its score, its renderer, and the sink that its units go to."""

from __future__ import annotations

import os
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from fishpipe.audio.copying import check_shell
from fishpipe.audio.lame import Encoding, FrameWriter, Mp3Writer
from fishpipe.audio.leveller import Leveller
from fishpipe.audio.listen import listen
from fishpipe.audio.loudness import HOPS, Profile, laid_out, profile
from fishpipe.audio.mastering import sounding, target_of
from fishpipe.audio.renderer import Renderer
from fishpipe.audio.score import Score, Unit, merged
from fishpipe.audio.sinks import Joined, Sink, SoundCache, Streamed, Writer, boost_for
from fishpipe.audio.tags import id3_tag
from fishpipe.audio.wav import WavWriter
from fishpipe.errors import AudioError
from fishpipe.ports import Made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from io import BufferedRandom

    from fishpipe.audio.copying import Shell
    from fishpipe.audio.edit import Cut
    from fishpipe.audio.sounds import Sounds
    from fishpipe.graph.steps import OutputStep
    from fishpipe.ports import Job
    from fishpipe.timeline import Timeline

    # Opens a new file that has its path's name once the block has ended well.
    Write = Callable[[Path], AbstractContextManager[BufferedRandom]]

# Bytes after which the disk begins to write a file that is not whole yet.
_FLUSHED: Final = 32 << 20
_CONTAINERS: Final = ("flac", "opus", "m4a", "m4b")


class Making:
    """Makes one output, from the first cut to the digest of the file. Made by `opened`."""

    def __init__(
        self, job: Job, sounds: Sounds, cache: SoundCache, file: BufferedRandom, threads: int, beside: Executor
    ) -> None:
        self._job, self._file, self._threads, self._beside, self._flushed = job, file, threads, beside, 0
        output = job.step.output
        encoding = Encoding(rate=output.sample_rate, channels=job.channels, bitrate=output.bitrate)
        self._in_units = output.format == "mp3" and not (output.exact or _sounds_throughout(job.step))
        grid = encoding.grid if self._in_units else 1
        self._score = Score(job.step.items, output.sample_rate, grid, job.step.beds, output.head, output.tail)
        self._renderer = Renderer(self._score, sounds, job.channels)
        self._tag = b""
        if output.format == "mp3":
            self._tag = self._id3()
            file.write(self._tag)
        self._encoding, self._cache = encoding, cache
        # What lies under all sounds depends on their places; containers want the chapters before their first sample.
        has_chapters = output.format in _CONTAINERS and bool(self._chapters())
        self._waits = has_chapters or bool(job.step.beds or job.step.room_tone or output.loudness)
        self._waiting: list[Unit] = []
        self._sink: Sink | None = None if self._waits else self._opened_sink()

    @classmethod
    @contextmanager
    def opened(cls, job: Job, sounds: Sounds, cache: SoundCache, write: Write, threads: int) -> Iterator[Making]:
        """An output whose file is written aside, and renamed once the block, which closes it, has ended well.

        Raises AudioError.
        """
        output = job.step.output
        try:
            output.path.parent.mkdir(parents=True, exist_ok=True)
            with write(output.path) as file, ThreadPoolExecutor(1) as beside:
                yield cls(job, sounds, cache, file, threads, beside)
        except OSError as error:
            raise AudioError(f"{output.shown} cannot be written: {error.strerror or error}") from error

    def time(self, unit: Unit) -> float:
        """When a unit begins, in seconds."""
        return unit.start / self._score.rate

    def add(self, cut: Cut | None, shell: Shell | None) -> Iterable[Unit]:
        """Place the next item: the units that are whole now. A sound with a `shell` may be copied."""
        copied = None
        if cut is None or self._job.step.output.mode != "copy":
            shell = None
        elif shell is not None:
            check_shell(shell, self._encoding, self._score.items[len(self._score.places)])
            copied = shell.copied(cut, self._encoding.grid)
        self._renderer.cuts.append(cut)
        self._renderer.shells.append(shell)
        units = self._score.add(cut, copied)
        if not self._waits:
            return units
        self._waiting += units
        return ()

    def finish(self) -> Iterable[Unit]:
        """The last units."""
        step = self._job.step
        if self._score.is_empty:
            raise AudioError(f"{step.output.shown} would be empty: script {step.script} has no sound")
        units = [*self._waiting, *self._score.finish()]
        units = merged(units, self._renderer.lay(step.beds, step.room_tone), self._score.grid)
        wanted, job = step.output.loudness, self._job
        if wanted is not None:
            leveller = Leveller(self._renderer, self._cache, self._threads, wanted, job.pin, job.lower)
            self._renderer.master = leveller.master(units, is_pinned=job.is_pinned)
        if self._sink is None:
            self._sink = self._opened_sink()
        return units

    @property
    def sink(self) -> Sink:
        """Where units go; it is there before the first of them."""
        if self._sink is None:
            raise RuntimeError("a unit came before its sink")
        return self._sink

    def _opened_sink(self) -> Sink:
        step, renderer, encoding = self._job.step, self._renderer, self._encoding
        output, rate, channels = step.output, encoding.rate, encoding.channels
        writer: Writer
        match output.format:
            case "mp3" if self._in_units:
                return Joined(
                    renderer,
                    encoding,
                    self._cache,
                    FrameWriter(self._file, encoding, is_constant=output.mode != "copy"),
                )
            case "mp3":
                writer = Mp3Writer(self._file, rate, channels, output.bitrate)
            case "wav":
                writer = WavWriter(self._file, rate, channels, step.tags, output.bits)
            case _:
                from fishpipe.audio.containers import ContainerWriter

                writer = ContainerWriter(
                    Path(self._file.name), output.format, rate, channels, output.bits, output.bitrate,
                    step.tags, self._chapters(),
                )  # fmt: skip
        boost = boost_for(encoding, renderer.master) if renderer.master and output.format == "mp3" else 1.0
        dithers = output.format in ("wav", "flac") and output.bits == 16
        return Streamed(renderer, writer, dithers=dithers, boost=boost)

    def known(self, unit: Unit) -> Iterable[bytes] | None:
        """What is written of a unit, where nothing is to be made for it."""
        return self.sink.known(unit)

    def made(self, unit: Unit) -> Iterable[bytes]:
        """What is written of a unit; from any thread, ahead of its turn."""
        return self.sink.made(unit)

    def take(self, unit: Unit, made: Iterable[bytes]) -> None:
        """Write it at its place."""
        self.sink.take(unit, made)
        if self._file.tell() - self._flushed > _FLUSHED:
            self._flushed = self._file.tell()
            self._beside.submit(os.fsync, self._file.fileno())

    def close(self) -> Made:
        """Finish the file, and flush it to disk."""
        timeline = self._score.timeline
        self.sink.close(timeline.length)
        if self._tag:
            self._file.seek(0)
            self._file.write(self._id3())
        self._file.flush()
        os.fsync(self._file.fileno())
        places = tuple((place.start, place.end) for place in timeline.places)
        made = Made(rate=timeline.rate, length=timeline.length, places=places)
        wanted, master, channels = self._job.step.output.loudness, self._renderer.master, self._renderer.channels
        if wanted is None or master is None:
            return made
        has_tone = self._job.step.room_tone is not None
        found = sounding(self._heard(timeline), wanted, channels, has_tone=has_tone)
        return replace(made, pin=master.pin(wanted, target_of(wanted, channels)), sounding=found)

    def _heard(self, timeline: Timeline) -> Profile:
        """The file as it decodes: unit by unit where each was measured."""
        heard, rate = self.sink.heard(), timeline.rate
        if heard is None:
            return profile(listen(Path(self._file.name), rate, self._renderer.channels), rate)
        return laid_out(((round(start * HOPS / rate), each) for start, each in heard), round(timeline.seconds * HOPS))

    def _id3(self) -> bytes:
        """The tag: of one size, whether the chapters' times are known yet or not."""
        return id3_tag(self._job.step.tags, self._chapters())

    def _chapters(self) -> list[tuple[str, int, int]]:
        """(title, start, end) of each chapter, in milliseconds; at 0 while the places are not known."""
        items, rate, places = self._job.step.items, self._score.rate, self._score.places
        starts = [
            (item.chapter, places[number].start if number < len(places) else 0)
            for number, item in enumerate(items)
            if item.chapter
        ]
        ends = [*(start for _, start in starts), self._score.timeline.length][1:]
        return [
            (title, start * 1000 // rate, end * 1000 // rate) for (title, start), end in zip(starts, ends, strict=True)
        ]


def _sounds_throughout(step: OutputStep) -> bool:
    """Whether there is no silence in which units could be joined."""
    last = len(step.items) - 1
    return step.room_tone is not None or any(
        laid.bed.loop and (laid.first, laid.last) == (0, last) for laid in step.beds
    )
