"""How the units of an output become its file: each encoded by itself and joined, or streamed through one encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from msgspec.structs import replace

from fishpipe.audio.carrier import WIDTHS, floats, quantised, samples
from fishpipe.audio.decode import decode_clip
from fishpipe.audio.lame import CARRIED
from fishpipe.audio.loudness import Profile, decibels, profile
from fishpipe.audio.mixing import silence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fishpipe.audio.carrier import Kind
    from fishpipe.audio.copying import Shell
    from fishpipe.audio.lame import Encoding, FrameWriter
    from fishpipe.audio.mastering import Master
    from fishpipe.audio.renderer import Renderer
    from fishpipe.audio.score import Unit

# Seconds of a unit whose samples, or whose frames, are made ahead of their turn, in memory; a longer one is made as it
# is written, and remembered up to so many seconds.
_LONGEST_BLOCKS: Final = 40.0
_LONGEST_UNIT: Final = 300.0
_LONGEST_KEPT: Final = 1800.0
# So many dB an encoded peak may be over the ceiling.
_RAISED: Final = 0.1


class SoundCache(Protocol):
    """Remembers measurements and encoded units by a key; None for an unknown one. For several threads."""

    def recall(self, key: str) -> str | None:
        """A remembered value."""

    def remember(self, values: Mapping[str, str]) -> None:
        """Keep values."""

    def unit(self, key: str) -> tuple[bytes, float] | None:
        """An encoded unit, and when it was last known to be right (Unix seconds)."""

    def touch_unit(self, key: str) -> None:
        """What a unit was made of was looked at again."""

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

    def known(self, unit: Unit) -> Iterable[bytes] | None:
        """What is written of a unit, where nothing is to be made for it."""

    def made(self, unit: Unit) -> Iterable[bytes]:
        """What is written of a unit; from any thread, ahead of its turn."""

    def take(self, unit: Unit, made: Iterable[bytes]) -> None:
        """Write it at its place."""

    def close(self, length: int) -> None:
        """Finish the file, which decodes to `length` samples."""

    def heard(self) -> list[tuple[int, Profile]] | None:
        """The profile of each encoded unit, and where it begins in samples; None where they were not measured."""


class Joined:
    """An mp3 of units that are known, copied, or encoded each by itself; with a master each is measured as decoded.

    Without a `writer` units are made for the cache alone.
    """

    def __init__(self, renderer: Renderer, encoding: Encoding, cache: SoundCache, writer: FrameWriter | None) -> None:
        self._renderer, self._encoding, self._cache, self._file = renderer, encoding, cache, writer
        self._heard: dict[int, Profile | None] = {}

    @property
    def _writer(self) -> FrameWriter:
        if self._file is None:
            raise RuntimeError("there is no file to write to")
        return self._file

    def known(self, unit: Unit) -> Iterable[bytes] | None:
        """The frames of a unit that was encoded before; its clips are still what they were."""
        if self._shell(unit) is not None:
            return None
        key = self._key(unit)
        known = self._cache.unit(key)
        if known is None:
            return None
        data, right = known
        read = [self._renderer.sounds.check_since(self._renderer.items[number], right) for number in unit.sounds]
        if any(read):
            self._cache.touch_unit(key)
        if self._renderer.master is not None:
            heard = self._cache.unit(f"{key}.heard")
            profile = Profile.from_bytes(heard[0]) if heard else None
            is_long = self._renderer.seconds(unit) > _LONGEST_UNIT
            self._heard[unit.start] = None if is_long else profile or self._measured(data)
        return (data,)

    def made(self, unit: Unit) -> Iterable[bytes]:
        """The frames of a unit: copied, or encoded now (a long one as they are asked for)."""
        renderer = self._renderer
        shell = self._shell(unit)
        if shell is not None:
            return self._copied(unit.sounds[0], shell)
        master, key = renderer.master, self._key(unit)
        if renderer.seconds(unit) > _LONGEST_UNIT:
            self._heard[unit.start] = None
            frames = self._frames(unit, master)
            return self._keeping(key, frames) if renderer.seconds(unit) <= _LONGEST_KEPT else frames
        data = b"".join(self._frames(unit, master))
        if master is not None:
            data, profile = self._under_ceiling(unit, data, master)
            self._cache.keep_unit(f"{key}.heard", profile.to_bytes())
            self._heard[unit.start] = profile
        self._cache.keep_unit(key, data)
        return (data,)

    def _keeping(self, key: str, frames: Iterable[bytes]) -> Iterator[bytes]:
        """Frames as they are asked for, and remembered once they are whole."""
        pieces = []
        for piece in frames:
            pieces.append(piece)
            yield piece
        self._cache.keep_unit(key, b"".join(pieces))

    def _shell(self, unit: Unit) -> Shell | None:
        """Of the sound whose frames are copied, if that is what this unit is."""
        return self._renderer.shells[unit.sounds[0]] if unit.sounds else None

    def _key(self, unit: Unit) -> str:
        master = self._renderer.master
        return self._renderer.key(unit, self._encoding.key, *(master.key if master else ()))

    def _copied(self, number: int, shell: Shell) -> Iterable[bytes]:
        """The frames of a clip, and the silent one that parts it from the next."""
        cut = self._renderer.cuts[number]
        if cut is None:
            raise ValueError("a pause has no frames")
        item, sounds = self._renderer.items[number], self._renderer.sounds
        starts = sounds.starts(item)
        kept = sounds.data(item)[starts[0] : starts[shell.needed(cut, self._encoding.grid)]]
        return (kept, self._writer.silent)

    def _frames(self, unit: Unit, master: Master | None) -> Iterator[bytes]:
        renderer = self._renderer
        if master is None:
            return self._encoding.frames(unit.length, (quantised(block) for block in renderer.blocks(unit)))
        boost = np.float32(boost_for(self._encoding, master))
        blocks = renderer.mastered(unit, master)
        return self._encoding.frames(unit.length, (quantised(floats(block) * boost) for block in blocks))

    def _under_ceiling(self, unit: Unit, data: bytes, master: Master) -> tuple[bytes, Profile]:
        """A unit whose peaks the encoder raised over the ceiling is encoded once more, under a lower one."""
        profile = self._measured(data)
        over = decibels(profile.highest) - master.ceiling
        if over <= _RAISED:
            return data, profile
        lower = replace(master, ceiling=master.ceiling - over - _RAISED)
        data = b"".join(self._frames(unit, lower))
        return data, self._measured(data)

    def _measured(self, data: bytes) -> Profile:
        sound = samples(decode_clip(data, "mp3", self._encoding.rate, wide=True))
        return profile([sound[CARRIED:]], self._encoding.rate)

    def take(self, unit: Unit, made: Iterable[bytes]) -> None:
        """Write them at their place."""
        self._writer.add(unit, made)

    def close(self, length: int) -> None:
        """Finish the file."""
        self._writer.close(length)

    def heard(self) -> list[tuple[int, Profile]] | None:
        """The profile of each unit as it decodes."""
        found = [(start, each) for start, each in sorted(self._heard.items()) if each is not None]
        return found if len(found) == len(self._heard) else None


def boost_for(encoding: Encoding, master: Master) -> float:
    """The factor that makes up for the encoder's own, as far as there is room."""
    return max(1.0, min(1 / encoding.scale, 10 ** (-master.ceiling / 20)))


class Streamed:
    """An output that one writer makes of all samples; what is kept without loss at 16 bits `dithers`."""

    def __init__(self, renderer: Renderer, writer: Writer, *, dithers: bool, boost: float = 1.0) -> None:
        self._renderer, self._writer, self._dithers, self._boost = renderer, writer, dithers, np.float32(boost)
        self._written = 0

    @staticmethod
    def known(unit: Unit) -> None:
        """Nothing: samples are rendered each time."""
        del unit

    def made(self, unit: Unit) -> Iterable[bytes]:
        """The samples of a unit."""
        blocks = self._blocks(unit)
        return blocks if self._renderer.seconds(unit) > _LONGEST_BLOCKS else tuple(blocks)

    def _blocks(self, unit: Unit) -> Iterator[bytes]:
        noise = None
        if self._dithers:
            noise = np.random.default_rng(int(self._renderer.key(unit)[:16], 16))
        kind, boost = self._writer.kind, self._boost
        blocks = self._renderer.blocks(unit)
        return (quantised(block if boost == 1 else floats(block) * boost, kind, noise) for block in blocks)

    def take(self, unit: Unit, made: Iterable[bytes]) -> None:
        """Write them at their place."""
        self._silence(unit.start)
        for block in made:
            self._writer.write(block)
        self._written = max(self._written, unit.end)

    def close(self, length: int) -> None:
        """Finish the file."""
        self._silence(length)
        self._writer.close()

    @staticmethod
    def heard() -> None:
        """Nothing: the file is measured as a whole."""

    def _silence(self, until: int) -> None:
        for block in silence(until - self._written, self._renderer.channels, WIDTHS[self._writer.kind]):
            self._writer.write(block)
        self._written = max(self._written, until)
