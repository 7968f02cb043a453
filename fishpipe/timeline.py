"""Lengths and gaps → where each item starts and ends in one output, in samples. Pure.

A gap is the silence from the end of a sound to the next sound; there is none after the last. A pause
replaces the gap before it. Starts and ends are absolute, so segments may overlap.

On a grid (the frames of an mp3) a sound that follows enough silence starts on a multiple of it: its gap moves by
at most half a step, and the moves do not add up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Final, NewType

from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from fishpipe.manifest.model import Micros

Samples = NewType("Samples", int)
# So much silence, in samples, hides what an encoder carries over from one frame to the next.
QUIET: Final = 2304


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A sound whose encoded frames are used as they are: samples of them before it, and behind it."""

    before: int
    behind: int


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound of `length` samples at the output's rate, and the gap that it asks for after it.

    The next sound begins `overlap` before this one ends. `at` is the time in `scope` (a script in an output) at which
    this one begins. One that `joins` begins no unit: something sounds on from before it.
    """

    length: Samples
    gap: Micros
    overlap: Micros | int = 0
    at: Micros | None = None
    scope: str = ""
    copied: Copied | None = None
    joins: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """A pause."""

    duration: Micros
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """From `start` up to `end`, in samples of the output; `unit` is where its unit begins, if it begins one."""

    start: Samples
    end: Samples
    unit: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Timeline:
    """One place an item, in the items' order; `rate` in samples a second, `length` of the whole in samples."""

    rate: int
    places: tuple[Place, ...]
    length: Samples

    @property
    def seconds(self) -> float:
        """How long the output lasts."""
        return self.length / self.rate


def to_samples(time: Micros | int, rate: int) -> Samples:
    """Microseconds as samples, rounded half up in whole numbers."""
    return Samples((time * rate + 500_000) // 1_000_000)


@dataclass
class Layout:
    """Places items one after the other, as their lengths come; `rate` in samples a second, `grid` in samples.

    All begins after `head` samples.

    With a grid of 1 each sound begins a unit that does not touch the one before; on others `free` is where the next
    may begin.
    """

    rate: int
    grid: int = 1
    head: int = 0
    length: int = 0
    free: int = 0
    _cursor: int = 0
    _gap: int = 0
    _shift: int = 0
    _end: int = 0
    _is_copied: bool = False
    _is_first: bool = True
    _origins: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._cursor = self._origins[""] = self.head

    def add(self, item: Sound | Silence) -> Place:
        """Where the next item lies. Raises AudioError where it would be late, or overlap more than there is."""
        place = self._silence(item) if isinstance(item, Silence) else self._sound(item)
        self.length = max(self.length, place.end)
        return place

    def _silence(self, item: Silence) -> Place:
        start, self._gap = self._cursor, 0
        self._origins.setdefault(item.scope, start)
        self._cursor += to_samples(item.duration, self.rate)
        return Place(Samples(start + self._shift), Samples(self._cursor + self._shift))

    def _sound(self, item: Sound) -> Place:
        ideal = self._cursor + self._gap
        origin = self._origins.setdefault(item.scope, ideal)
        if item.at is not None:
            ideal = origin + to_samples(item.at, self.rate)
            if ideal < self._cursor:
                late, end = (self._cursor - ideal) / self.rate, (self._cursor - origin) / self.rate
                raise AudioError(
                    f"begins {late:.2f} s too late for at: {item.at / 1e6:g}s: what is before it ends at {end:.2f} s; "
                    f"write at: {ceil(end * 10) / 10:g}s or later"
                )
        overlap = to_samples(item.overlap, self.rate)
        if overlap > item.length:
            length = item.length / self.rate
            raise AudioError(
                f"overlaps by {item.overlap / 1e6:g} s with the next, and lasts {length:.2f} s only; write less"
            )
        unit = None if item.joins else self._begin(ideal, item.copied)
        start = ideal + self._shift
        if item.at is not None and self._shift > self.grid:
            late = self._shift / self.rate
            raise AudioError(
                f"begins {late:.2f} s too late for at: {item.at / 1e6:g}s: the frames before it are too long"
            )
        self._cursor = ideal + item.length
        self._gap = -overlap if overlap else to_samples(item.gap, self.rate)
        self._end, self._is_first = max(self._end, start + item.length), False
        behind = item.copied.behind if item.copied else QUIET
        self.free, self._is_copied = -(-(self._end + behind) // self.grid) * self.grid, item.copied is not None
        return Place(Samples(start), Samples(start + item.length), unit)

    def _begin(self, ideal: int, copied: Copied | None) -> int | None:
        """Where the unit of a sound at `ideal` begins, if it begins one; the sound may move onto the grid."""
        if self.grid == 1:
            return ideal if ideal > self._end or self._is_first else None
        before = copied.before if copied else 0 if self._is_first and ideal < self.grid else self.grid
        unit = (ideal - before + self.grid // 2) // self.grid * self.grid
        # A copied sound's frames may begin with what decoders cut at the start of a file.
        least = max(self.free, -(before // self.grid) * self.grid)
        if unit < least:
            if copied is None and not self._is_copied and not self._is_first:
                return None
            unit = least
        self._shift = unit + before - ideal
        return unit
