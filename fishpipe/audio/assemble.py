"""The stitcher: clips and files → one output, streamed, in linear time and memory that does not grow with length.

Two passes: each sound's cut is found (and remembered by its digest), so that the timeline is known to the
sample; then the sounds are rendered one at a time into the writer at their places. The output is written
aside, flushed, and renamed.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from fishpipe.audio.decode import decode_clip, decode_file
from fishpipe.audio.edit import Cut, find_cut, render
from fishpipe.audio.mp3 import Mp3Writer
from fishpipe.audio.tags import id3_tag
from fishpipe.audio.wav import WavWriter
from fishpipe.errors import AudioError, DamagedClip, FishpipeError, Interrupted
from fishpipe.graph.fingerprints import Digest
from fishpipe.snapshot import OutputRow
from fishpipe.timeline import Silence, Sound, Timeline, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from fishpipe.audio.carrier import AudioSegment
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import Item, OutputStep
    from fishpipe.ports import ClipFile

_BLOCK: Final = 1 << 16


class CutCache(Protocol):
    """Remembers cuts by a key; `recall` gives None for an unknown one."""

    def recall(self, key: str) -> str | None:
        """A remembered value."""

    def remember(self, values: Mapping[str, str]) -> None:
        """Keep values."""


class _Writer(Protocol):
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class Stitcher:
    """The runner's Assembler. `digests` are those of the project's audio files, by path."""

    def __init__(self, cache: CutCache, digests: Mapping[str, Digest], flush_folder: Callable[[Path], None]) -> None:
        self._cache, self._digests, self._flush_folder = cache, digests, flush_folder
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Give up the output in the making."""
        self._stopped.set()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Interrupted(130)

    def assemble(
        self, step: OutputStep, channels: int, clips: Mapping[Fingerprint, ClipFile], recipe: str
    ) -> OutputRow:
        """Write the output's file, aside and renamed. Raises AudioError with the segment's address."""
        target = step.output.path
        cuts = self._cuts(step.items, clips)
        timeline = _timeline(step, cuts)
        if not timeline.length:
            raise AudioError(f"{step.output.shown} would be empty: script {step.script} has no sound")
        part = target.with_name(f".{target.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("w+b") as file:
                self._write(file, step, channels, clips, cuts, timeline)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                digest = Digest(hashlib.file_digest(file, "sha256").hexdigest())
            part.replace(target)
            self._flush_folder(target.parent)
        except OSError as error:
            raise AudioError(f"{step.output.shown} cannot be written: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        places = tuple((place.start, place.end) for place in timeline.places)
        return OutputRow(recipe=recipe, digest=digest, rate=timeline.rate, length=timeline.length, places=places)

    def _cuts(self, items: Iterable[Item], clips: Mapping[Fingerprint, ClipFile]) -> list[Cut | None]:
        """The cut of each item, None for a pause; measured once and remembered."""
        cuts: list[Cut | None] = []
        fresh: dict[str, str] = {}
        for item in items:
            self._check()
            if item.is_pause:
                cuts.append(None)
                continue
            key = f"{self._digest(item, clips)} {item.start} {item.end} {item.edits.trim}"
            known = fresh.get(key) or self._cache.recall(key)
            if known is None:
                cut = find_cut(_decoded(item, clips), item.edits.trim, item.start, item.end)
                known = fresh[key] = cut.to_json()
            cuts.append(Cut.from_json(known))
        if fresh:
            self._cache.remember(fresh)
        return cuts

    def _digest(self, item: Item, clips: Mapping[Fingerprint, ClipFile]) -> str:
        return clips[item.clip].digest if item.clip is not None else self._digests[str(item.asset)]

    def _write(
        self,
        file: BinaryIO,
        step: OutputStep,
        channels: int,
        clips: Mapping[Fingerprint, ClipFile],
        cuts: list[Cut | None],
        timeline: Timeline,
    ) -> None:
        output, rate = step.output, timeline.rate
        writer: _Writer
        if output.format == "mp3":
            file.write(id3_tag(step.tags, _chapters(step.items, timeline)))
            writer = Mp3Writer(file, rate, channels, output.bitrate)
        else:
            writer = WavWriter(file, rate, channels, step.tags)
        cursor = 0
        for item, cut, place in zip(step.items, cuts, timeline.places, strict=True):
            self._check()
            _silence(writer, place.start - cursor, channels)
            if cut is None:
                _silence(writer, place.end - place.start, channels)
            else:
                dither = int(self._digest(item, clips)[:16], 16) if output.format == "wav" else None
                sound = render(_decoded(item, clips), cut, item.edits, rate, channels, dither)
                _blocks(writer, sound.raw_data)
            cursor = place.end
        writer.close()


def _decoded(item: Item, clips: Mapping[Fingerprint, ClipFile]) -> AudioSegment:
    try:
        if item.clip is not None:
            clip = clips[item.clip]
            data = clip.path.read_bytes()
            if hashlib.sha256(data).hexdigest() != clip.digest:
                raise _damaged(item, clip, "was damaged")
            return _sound(item, clip, data)
        if item.asset is None:
            raise AudioError("a pause has no sound")
        return decode_file(item.asset)
    except DamagedClip:
        raise
    except (FishpipeError, OSError) as error:
        raise AudioError(f"{item.address} ({item.span}): {error}") from error


def _sound(item: Item, clip: ClipFile, data: bytes) -> AudioSegment:
    """A clip's sound; one that its name vouches for and that is none is as good as damaged."""
    try:
        return decode_clip(data, clip.format, clip.sample_rate)
    except AudioError as error:
        raise _damaged(item, clip, f"is no sound: {error}") from error


def _damaged(item: Item, clip: ClipFile, what: str) -> DamagedClip:
    """The error of a clip that cannot be used; its file is put aside."""
    with suppress(OSError):
        clip.path.replace(clip.path.with_suffix(".damaged"))
    return DamagedClip(f"{item.address} ({item.span}): its clip {clip.path} {what}", str(item.clip))


def _timeline(step: OutputStep, cuts: Iterable[Cut | None]) -> Timeline:
    rate = step.output.sample_rate
    sounds = (
        Silence(item.edits.gap) if cut is None else Sound(cut.length_at(rate), item.edits.gap)
        for item, cut in zip(step.items, cuts, strict=True)
    )
    return lay_out(sounds, rate)


def _chapters(items: Iterable[Item], timeline: Timeline) -> list[tuple[str, int, int]]:
    """(title, start, end) of each chapter, in milliseconds."""
    starts = [(item.chapter, place.start) for item, place in zip(items, timeline.places, strict=True) if item.chapter]
    ends = [*(start for _, start in starts), timeline.length][1:]
    rate = timeline.rate
    return [(title, start * 1000 // rate, end * 1000 // rate) for (title, start), end in zip(starts, ends, strict=True)]


def _silence(writer: _Writer, frames: int, channels: int) -> None:
    size = frames * channels * 2
    while size > 0:
        writer.write(bytes(min(size, _BLOCK)))
        size -= _BLOCK


def _blocks(writer: _Writer, data: bytes) -> None:
    for offset in range(0, len(data), _BLOCK):
        writer.write(data[offset : offset + _BLOCK])
