"""Where the sounds of one output lie, and the units that it falls into; grows as the sounds' lengths come.

A unit is one sound or several with silence around them: what is rendered, and for an mp3 encoded, by itself. On the
grid of an mp3's frames it begins with a frame of silence (an encoder that begins at full level would smear it) and
ends with QUIET samples of it; what silence there is beyond that belongs to no unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fishpipe.errors import AudioError
from fishpipe.manifest.model import Micros
from fishpipe.timeline import QUIET, Layout, Place, Samples, Silence, Sound, Timeline, to_samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fishpipe.audio.edit import Cut
    from fishpipe.graph.steps import Item, LaidBed
    from fishpipe.timeline import Copied

# Seconds of one sound that are believed.
_BELIEVED: Final = 24 * 3600


class Unit(Struct, frozen=True):
    """From `start` up to `end` in samples of the output; `sounds` are the indexes of its items."""

    start: int
    end: int
    sounds: tuple[int, ...]

    @property
    def length(self) -> int:
        """In samples."""
        return self.end - self.start


@dataclass
class Score:
    """The places of an output's items; `rate` in samples a second, `grid` in samples (1: none).

    Under a bed that loops, sounds keep their distances to the sample. `head` and `tail` are silence at the ends, in
    microseconds.
    """

    items: Sequence[Item]
    rate: int
    grid: int = 1
    beds: Sequence[LaidBed] = ()
    head: int = 0
    tail: int = 0
    places: list[Place] = field(default_factory=list)
    _open: list[int] = field(default_factory=list)
    _begun: int = 0
    _end: int = 0

    def __post_init__(self) -> None:
        self._layout = Layout(self.rate, self.grid, to_samples(self.head, self.rate))
        loops = (laid for laid in self.beds if laid.bed.loop)
        self._joins = {number for laid in loops for number in range(laid.first + 1, laid.last + 1)}

    @property
    def is_empty(self) -> bool:
        """Whether nothing lasts."""
        return all(place.end == place.start for place in self.places)

    @property
    def timeline(self) -> Timeline:
        """Of all items, once they are placed."""
        return Timeline(self.rate, tuple(self.places), Samples(self._layout.length))

    def add(self, cut: Cut | None, copied: Copied | None = None) -> list[Unit]:
        """Place the next item (None for a pause): the units that this closes. Raises AudioError with its address."""
        number = len(self.places)
        item = self.items[number]
        edits = item.edits
        try:
            if cut is None:
                self.places.append(self._layout.add(Silence(edits.gap, item.scope)))
                return []
            length = cut.length_at(self.rate, edits.tempo)
            if cut.end <= cut.start:
                raise AudioError("has no sound between its start and its end")
            if length > _BELIEVED * self.rate:
                raise AudioError(f"lasts {length / self.rate / 3600:.0f} hours, which is not believed")
            overlap = max(edits.overlap, edits.crossfade)
            sound = Sound(
                length, edits.gap, overlap, item.at, item.scope, copied, number in self._joins and bool(self._open)
            )
            place = self._layout.add(sound)
        except AudioError as error:
            raise AudioError(f"{item.address} ({item.span}): {error}") from error
        self.places.append(place)
        closed = self._close() if place.unit is not None else []
        if place.unit is not None:
            self._begun = place.unit
        self._open.append(number)
        self._end = max(self._end, place.end) if self.grid == 1 else self._layout.free
        return closed

    def finish(self) -> list[Unit]:
        """The last unit."""
        if self.tail:
            self._layout.add(Silence(Micros(self.tail)))
        return self._close()

    def _close(self) -> list[Unit]:
        if not self._open:
            return []
        unit = Unit(self._begun, self._end, tuple(self._open))
        self._open = []
        return [unit]


def merged(units: Iterable[Unit], spans: Iterable[tuple[int, int]], grid: int) -> list[Unit]:
    """The units where what sounds throughout `spans` (a bed, in samples) leaves no silence to part them."""
    found = list(units)
    for start, end in (span for span in spans if span[1] > span[0]):
        first = max(0, (start // grid - (grid > 1)) * grid)
        last = end if grid == 1 else -(-(end + QUIET) // grid) * grid
        inside = [unit for unit in found if unit.start < last and unit.end > first]
        whole = Unit(
            min([first, *(unit.start for unit in inside)]),
            max([last, *(unit.end for unit in inside)]),
            tuple(number for unit in inside for number in unit.sounds),
        )
        found = sorted([unit for unit in found if unit not in inside] + [whole], key=lambda unit: unit.start)
    return found
