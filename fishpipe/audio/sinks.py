"""How the units of an output become its file: each encoded by itself and joined, or streamed through one encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from fishpipe.audio.carrier import WIDTHS, quantised
from fishpipe.audio.mixing import silence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fishpipe.audio.carrier import Kind
    from fishpipe.audio.lame import Encoding, FrameWriter
    from fishpipe.audio.renderer import Renderer
    from fishpipe.audio.score import Unit

# Seconds of a unit that are made ahead of their turn, and kept in memory; a longer one is made as it is written.
LONGEST: Final = 120.0


class SoundCache(Protocol):
    """Remembers measurements and encoded units by a key; None for an unknown one. For several threads."""

    def recall(self, key: str) -> str | None:
        """A remembered value."""

    def remember(self, values: Mapping[str, str]) -> None:
        """Keep values."""

    def unit(self, key: str) -> tuple[bytes, float] | None:
        """An encoded unit, and when it was last used (Unix seconds)."""

    def keep_unit(self, key: str, data: bytes) -> None:
        """Keep an encoded unit."""


class Writer(Protocol):
    """A file of interleaved samples of `kind`."""

    kind: Kind

    def write(self, data: bytes) -> None:
        """Append samples."""

    def close(self) -> None:
        """Finish the file."""


class Sink(Protocol):
    """Takes the units of an output, in order."""

    def made(self, unit: Unit) -> Iterable[bytes]:
        """What is written of a unit; from any thread, ahead of its turn."""

    def take(self, unit: Unit, made: Iterable[bytes]) -> None:
        """Write it at its place."""

    def close(self, length: int) -> None:
        """Finish the file, which decodes to `length` samples."""


class Joined:
    """An mp3 of units that are known, or encoded each by itself."""

    def __init__(self, renderer: Renderer, encoding: Encoding, cache: SoundCache, writer: FrameWriter) -> None:
        self._renderer, self._encoding, self._cache, self._writer = renderer, encoding, cache, writer

    def made(self, unit: Unit) -> Iterable[bytes]:
        """The frames of a unit."""
        return encoded(self._renderer, self._encoding, self._cache, unit)

    def take(self, unit: Unit, made: Iterable[bytes]) -> None:
        """Write them at their place."""
        self._writer.add(unit, made)

    def close(self, length: int) -> None:
        """Finish the file."""
        self._writer.close(length)


def encoded(renderer: Renderer, encoding: Encoding, cache: SoundCache, unit: Unit) -> Iterable[bytes]:
    """The frames of a unit: remembered, or encoded now (a long one as they are asked for)."""
    key = renderer.key(unit, encoding.key)
    known = cache.unit(key)
    if known is not None:
        data, used = known
        for number in unit.sounds:
            renderer.sounds.check_since(renderer.items[number], used)
        return (data,)
    frames = encoding.frames(unit.length, (quantised(block) for block in renderer.blocks(unit)))
    if renderer.seconds(unit) > LONGEST:
        return frames
    data = b"".join(frames)
    cache.keep_unit(key, data)
    return (data,)


class Streamed:
    """An output that one writer makes of all samples; what is kept without loss at 16 bits `dithers`."""

    def __init__(self, renderer: Renderer, writer: Writer, *, dithers: bool) -> None:
        self._renderer, self._writer, self._dithers = renderer, writer, dithers
        self._written = 0

    def made(self, unit: Unit) -> Iterable[bytes]:
        """The samples of a unit."""
        blocks = self._blocks(unit)
        return blocks if self._renderer.seconds(unit) > LONGEST else tuple(blocks)

    def _blocks(self, unit: Unit) -> Iterator[bytes]:
        noise = None
        if self._dithers:
            noise = np.random.default_rng(int(self._renderer.key(unit)[:16], 16))
        return (quantised(block, self._writer.kind, noise) for block in self._renderer.blocks(unit))

    def take(self, unit: Unit, made: Iterable[bytes]) -> None:
        """Write them at their place."""
        self._silence(unit.start)
        for block in made:
            self._writer.write(block)
        self._written = unit.end

    def close(self, length: int) -> None:
        """Finish the file."""
        self._silence(length)
        self._writer.close()

    def _silence(self, until: int) -> None:
        for block in silence(until - self._written, self._renderer.channels, WIDTHS[self._writer.kind]):
            self._writer.write(block)
        self._written = max(self._written, until)
