"""Lengths and gaps → where each item starts and ends in one output, in samples. Pure.

A gap is the silence from the end of a sound to the next sound; there is none after the last. A pause
replaces the gap before it. Starts and ends are absolute, so segments may come to overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fishpipe.manifest.model import Micros

Samples = NewType("Samples", int)


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound of `length` samples at the output's rate, and the gap that it asks for after it."""

    length: Samples
    gap: Micros


@dataclass(frozen=True, slots=True)
class Silence:
    """A pause."""

    duration: Micros


@dataclass(frozen=True, slots=True)
class Place:
    """From `start` up to `end`, in samples of the output."""

    start: Samples
    end: Samples


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


def to_samples(time: Micros, rate: int) -> Samples:
    """Microseconds as samples, rounded half up in whole numbers."""
    return Samples((time * rate + 500_000) // 1_000_000)


def lay_out(items: Iterable[Sound | Silence], rate: int) -> Timeline:
    """Place the items one after the other."""
    cursor, gap = 0, 0
    places = []
    for item in items:
        if isinstance(item, Silence):
            start, gap = cursor, 0
            cursor += to_samples(item.duration, rate)
        else:
            start = cursor + gap
            cursor = start + item.length
            gap = to_samples(item.gap, rate)
        places.append(Place(Samples(start), Samples(cursor)))
    return Timeline(rate, tuple(places), Samples(cursor))
