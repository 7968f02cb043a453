"""One output in the making: its score, its renderer, and the sink that its units go to."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from fishpipe.audio.lame import Encoding, FrameWriter
from fishpipe.audio.renderer import Renderer
from fishpipe.audio.score import Score, Unit
from fishpipe.audio.sinks import Joined, Sink, SoundCache, Streamed
from fishpipe.audio.tags import id3_tag
from fishpipe.audio.wav import WavWriter
from fishpipe.errors import AudioError
from fishpipe.graph.fingerprints import Digest
from fishpipe.ports import Made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedRandom
    from pathlib import Path

    from fishpipe.audio.edit import Cut
    from fishpipe.audio.sounds import Sounds
    from fishpipe.ports import Job


class Making:
    """Makes one output, from the first cut to the digest of the file. Made by `opened`."""

    def __init__(self, job: Job, sounds: Sounds, cache: SoundCache, file: BufferedRandom) -> None:
        self._job, self._file = job, file
        output = job.step.output
        encoding = Encoding(rate=output.sample_rate, channels=job.channels, bitrate=output.bitrate)
        in_units = output.format == "mp3"
        self._score = Score(job.step.items, output.sample_rate, encoding.grid if in_units else 1)
        self._renderer = Renderer(self._score, sounds, job.channels)
        self._tag = b""
        if output.format == "mp3":
            self._tag = self._id3()
            file.write(self._tag)
        self._sink: Sink
        if in_units:
            self._sink = Joined(self._renderer, encoding, cache, FrameWriter(file, encoding))
        else:
            writer = WavWriter(file, output.sample_rate, job.channels, job.step.tags)
            self._sink = Streamed(self._renderer, writer, 16, dithers=True)

    @classmethod
    @contextmanager
    def opened(
        cls, job: Job, sounds: Sounds, cache: SoundCache, flush_folder: Callable[[Path], None]
    ) -> Iterator[Making]:
        """An output whose file is written aside, and renamed once the block has ended well. Raises AudioError."""
        output = job.step.output
        part = output.path.with_name(f".{output.path.name}.part")
        with ExitStack() as stack:
            try:
                output.path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(part.open("w+b"))
                stack.callback(_discard, part)
                yield cls(job, sounds, cache, file)
                file.flush()
                os.fsync(file.fileno())
                part.replace(output.path)
                flush_folder(output.path.parent)
            except OSError as error:
                raise AudioError(f"{output.shown} cannot be written: {error.strerror or error}") from error

    def add(self, cut: Cut | None) -> Iterable[Unit]:
        """Place the next item: the units that are whole now."""
        self._renderer.cuts.append(cut)
        return self._score.add(cut)

    def finish(self) -> Iterable[Unit]:
        """The last units."""
        step = self._job.step
        if not self._score.timeline.length:
            raise AudioError(f"{step.output.shown} would be empty: script {step.script} has no sound")
        return self._score.finish()

    def made(self, unit: Unit) -> Iterable[bytes]:
        """What is written of a unit; from any thread, ahead of its turn."""
        return self._sink.made(unit)

    def take(self, unit: Unit, made: Iterable[bytes]) -> None:
        """Write it at its place."""
        self._sink.take(unit, made)

    def close(self) -> Made:
        """Finish the file."""
        timeline = self._score.timeline
        self._sink.close(timeline.length)
        if self._tag:
            self._file.seek(0)
            self._file.write(self._id3())
        self._file.flush()
        self._file.seek(0)
        digest = Digest(hashlib.file_digest(self._file, "sha256").hexdigest())
        places = tuple((place.start, place.end) for place in timeline.places)
        return Made(digest=digest, rate=timeline.rate, length=timeline.length, places=places)

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


def _discard(part: Path) -> None:
    with suppress(OSError):
        part.unlink(missing_ok=True)
