"""FLAC, Opus and AAC (m4a, m4b), streamed through ffmpeg's encoders (PyAV): the same bytes for the same samples.

m4a: the movie's timescale is the sample rate, which makes its length exact; `faststart` puts the index first.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

import av
import numpy as np
from mutagen.mp4 import MP4

from fishpipe.audio.tags import iso639_2
from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container.core import Chapter

    from fishpipe.audio.carrier import Kind

_MUXERS: Final = {"flac": "flac", "opus": "opus", "m4a": "ipod", "m4b": "ipod"}
_CODECS: Final = {"flac": "flac", "opus": "libopus", "m4a": "aac", "m4b": "aac"}
_TAGS: Final = {"title": "\xa9nam", "artist": "\xa9ART", "album": "\xa9alb"}
_AUDIOBOOK: Final = 2
_MILLISECOND: Final = Fraction(1, 1000)
_FRAMES: Final = {"s16": "s16", "s24in32": "s32", "f32": "flt"}


class ContainerWriter:
    """Encodes interleaved samples of `kind` into the file at `path`; chapters are (title, start ms, end ms)."""

    def __init__(
        self, path: Path, name: str, rate: int, channels: int, bits: int, bitrate: int,
        tags: Mapping[str, str], chapters: Sequence[tuple[str, int, int]],
    ) -> None:  # fmt: skip
        self._path, self._name, self._rate, self._channels, self._tags = path, name, rate, channels, dict(tags)
        self.kind: Kind = "f32" if name != "flac" else "s16" if bits == 16 else "s24in32"
        options = {"fflags": "+bitexact"}
        if _MUXERS[name] == "ipod":
            brand = "M4B " if name == "m4b" else "M4A "
            options |= {"movie_timescale": str(rate), "movflags": "+faststart", "brand": brand}
        try:
            self._container = av.open(f"file:{path.absolute()}", "w", format=_MUXERS[name], options=options)
            self._stream = cast("AudioStream", self._container.add_stream(_CODECS[name], rate=rate))
            self._describe(bitrate, chapters)
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioError(f"no {name} of {rate} Hz can be made: {error}") from error
        self._samples = 0

    def _describe(self, bitrate: int, chapters: Sequence[tuple[str, int, int]]) -> None:
        context = self._stream.codec_context
        context.layout = self._layout
        context.flags |= av.codec.context.Flags.bitexact
        if self._name == "flac":
            context.format = _FRAMES[self.kind]
        else:
            context.bit_rate = bitrate * 1000
        if _MUXERS[self._name] != "ipod":
            self._container.metadata.update(self._tags | _comments(chapters))
            return
        if "language" in self._tags:
            self._stream.metadata["language"] = iso639_2(self._tags["language"])
        spans: list[Chapter] = [
            {"id": number, "start": start, "end": end, "time_base": _MILLISECOND, "metadata": {"title": title}}
            for number, (title, start, end) in enumerate(chapters)
        ]
        if spans:
            self._container.set_chapters(spans)

    @property
    def _layout(self) -> str:
        return "stereo" if self._channels == 2 else "mono"

    def write(self, data: bytes) -> None:
        """Encode samples."""
        if not data:
            return
        kind = {"s16": "<i2", "s24in32": "<i4", "f32": "<f4"}[self.kind]
        values = np.frombuffer(data, dtype=kind).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(values, format=_FRAMES[self.kind], layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._samples
        self._samples += values.shape[1] // self._channels
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Flush the encoder, and finish the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        if _MUXERS[self._name] == "ipod":
            self._tag()

    def _tag(self) -> None:
        file = MP4(self._path)
        if file.tags is None:
            file.add_tags()
        for name, key in _TAGS.items():
            if name in self._tags:
                file.tags[key] = [self._tags[name]]
        file.tags["pgap"] = True
        if self._name == "m4b":
            file.tags["stik"] = [_AUDIOBOOK]
        file.save(padding=lambda _: 0)


def _comments(chapters: Sequence[tuple[str, int, int]]) -> dict[str, str]:
    """Chapters as Vorbis comments (https://wiki.xiph.org/Chapter_Extension).

    ffmpeg leaves them out of FLAC, and rounds their seconds up in Ogg.
    """
    found = {}
    for number, (title, start, _) in enumerate(chapters):
        minutes, rest = divmod(start, 60_000)
        found[f"CHAPTER{number:03d}"] = f"{minutes // 60:02d}:{minutes % 60:02d}:{rest / 1000:06.3f}"
        found[f"CHAPTER{number:03d}NAME"] = title
    return found
