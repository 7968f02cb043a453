"""Units of one output → samples: the sounds with their edits, at their places."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Final

from fishpipe.audio.edit import Cut, Shape, render
from fishpipe.audio.mixing import Part, mix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fishpipe.audio.carrier import Sound
    from fishpipe.audio.score import Score, Unit
    from fishpipe.audio.sounds import Sounds
    from fishpipe.graph.steps import Item

# Raise it where the same sounds and edits give other samples.
_VERSION: Final = 2


class Renderer:
    """Renders units of the items in a score; `cuts` grows with the score's places (None for a pause)."""

    def __init__(self, score: Score, sounds: Sounds, channels: int) -> None:
        self.score, self.sounds, self.channels = score, sounds, channels
        self.cuts: list[Cut | None] = []

    @property
    def items(self) -> Sequence[Item]:
        """Those of the output."""
        return self.score.items

    def blocks(self, unit: Unit) -> Iterator[Sound]:
        """The samples of a unit."""
        return mix(unit.start, unit.end, [self._part(number) for number in unit.sounds], self.channels)

    def key(self, unit: Unit, *more: object) -> str:
        """The identity of a unit's samples and of what is made of them by `more`: sha256 of all they come from."""
        sounds = [self._source(number, unit.start) for number in unit.sounds]
        whole = [_VERSION, self.score.rate, self.channels, unit.length, sounds, *more]
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()

    def seconds(self, unit: Unit) -> float:
        """How long a unit lasts."""
        return unit.length / self.score.rate

    def shape(self, number: int) -> Shape:
        """The edits of an item."""
        before = self.items[number - 1] if number else None
        return Shape.of(self.items[number].edits, before.edits if before is not None and not before.is_pause else None)

    def _source(self, number: int, start: int) -> list[object]:
        """What a sound's samples in a unit come from."""
        cut = self.cuts[number]
        item, place = self.items[number], self.score.places[number]
        used = [cut.start, cut.end, cut.rate] if cut else []
        return [self.sounds.digest(item), used, self.shape(number).key, place.start - start]

    def _part(self, number: int) -> Part:
        place = self.score.places[number]
        return Part(place.start, place.end, partial(self._rendered, number))

    def _rendered(self, number: int) -> Sound:
        cut = self.cuts[number]
        if cut is None:
            raise ValueError("a pause has no sound")
        sound = self.sounds.decoded(self.items[number])
        return render(sound, cut, self.shape(number), self.score.rate, self.channels)
