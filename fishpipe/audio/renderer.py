"""Units of one output → samples: the sounds with their edits, at their places."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fishpipe.audio.backdrops import Backdrop, Spans, bed_backdrop, key_of, tone_backdrop
from fishpipe.audio.edit import Cut, Shape, render
from fishpipe.audio.limiter import limited
from fishpipe.audio.mixing import Part, mix
from fishpipe.timeline import to_samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fishpipe.audio.carrier import Sound
    from fishpipe.audio.copying import Shell
    from fishpipe.audio.mastering import Master
    from fishpipe.audio.score import Score, Unit
    from fishpipe.audio.sounds import Sounds
    from fishpipe.graph.fingerprints import Digest
    from fishpipe.graph.steps import Item, LaidBed
    from fishpipe.manifest.model import Bed

# Raise it where the same sounds and edits give other samples.
_VERSION: Final = 2
_TOOLS: Final = [version(name) for name in ("av", "miniaudio", "soxr")]


class Renderer:
    """Renders units of the items in a score; `cuts` grows with the score's places (None for a pause).

    So do `shells`, those of sounds whose frames are copied.
    """

    def __init__(self, score: Score, sounds: Sounds, channels: int) -> None:
        self.score, self.sounds, self.channels = score, sounds, channels
        self.cuts: list[Cut | None] = []
        self.shells: list[Shell | None] = []
        self.backdrops: list[tuple[Backdrop, Digest]] = []
        self.voices: Mapping[str, float] = {}
        self.master: Master | None = None

    @property
    def items(self) -> Sequence[Item]:
        """Those of the output."""
        return self.score.items

    def blocks(self, unit: Unit) -> Iterator[Sound]:
        """The samples of a unit."""
        return self.mixed(unit) if self.master is None else self.mastered(unit, self.master)

    def mastered(self, unit: Unit, master: Master) -> Iterator[Sound]:
        """The samples of a unit at its loudness, under the ceiling."""
        gain, ceiling = 10 ** (master.gain / 20), 10 ** (master.ceiling / 20)
        return limited(self.mixed(unit), gain, ceiling, self.score.rate)

    def alone(self, unit: Unit) -> Iterator[Sound]:
        """The samples of the sounds of a unit, and of nothing under them."""
        return self._mix(unit, [])

    def mixed(self, unit: Unit) -> Iterator[Sound]:
        """The samples of a unit before any gain for all of it."""
        return self._mix(unit, [backdrop for backdrop, _ in self.backdrops])

    def _mix(self, unit: Unit, backdrops: Sequence[Backdrop]) -> Iterator[Sound]:
        parts = [self._part(number) for number in unit.sounds]
        return mix(unit.start, unit.end, parts, self.channels, backdrops)

    def key(self, unit: Unit, *more: object) -> str:
        """The identity of a unit's samples and of what is made of them by `more`: sha256 of all they come from."""
        sounds = [self._source(number, unit.start) for number in unit.sounds]
        under = [key_of(each, digest, unit.start) for each, digest in self.backdrops if self._is_under(each, unit)]
        whole = [_VERSION, _TOOLS, self.score.rate, self.channels, unit.length, sounds, under, *more]
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()

    def lay(self, beds: Iterable[LaidBed], room_tone: Bed | None) -> Spans:
        """Put what lies under the sounds in its place, once all of them have theirs: where it is heard."""
        rate, places, sounds = self.score.rate, self.score.places, self.sounds
        spoken = [(p.start, p.end) for p, item in zip(places, self.items, strict=True) if item.clip is not None]
        for laid in beds:
            under = places[laid.first : laid.last + 1]
            # A bed begins with its script, also where the first line waits for its time.
            waited = to_samples(self.items[laid.first].at or 0, rate)
            span = (max(0, under[0].start - waited), max(place.end for place in under))
            reach = to_samples(laid.bed.attack + laid.bed.release, rate)
            speech = [each for each in spoken if each[0] < span[1] + reach and each[1] > span[0] - reach]
            backdrop = bed_backdrop(laid.bed, sounds, rate, self.channels, span, speech)
            self.backdrops.append((backdrop, sounds.asset_digest(laid.bed.asset.path)))
        if room_tone is not None:
            heard = [(p.start, p.end) for p, item in zip(places, self.items, strict=True) if not item.is_pause]
            length = self.score.timeline.length
            backdrop = tone_backdrop(room_tone, sounds, rate, self.channels, length, heard)
            self.backdrops.append((backdrop, sounds.asset_digest(room_tone.asset.path)))
        return [(backdrop.start, backdrop.end) for backdrop, _ in self.backdrops]

    @staticmethod
    def _is_under(backdrop: Backdrop, unit: Unit) -> bool:
        return backdrop.start < unit.end and backdrop.end > unit.start

    def seconds(self, unit: Unit) -> float:
        """How long a unit lasts."""
        return unit.length / self.score.rate

    def shape(self, number: int) -> Shape:
        """The edits of an item."""
        item = self.items[number]
        crosses = (self._crossfade(number - 1), self._crossfade(number))
        return Shape.of(item.edits, crosses, self.voices.get(item.voice, 0.0))

    def _crossfade(self, number: int) -> int:
        """How long an item is crossfaded with the next, in microseconds; not with silence, or one that waits."""
        after = self.items[number + 1] if 0 <= number < len(self.items) - 1 else None
        if after is None or after.is_pause or after.at is not None:
            return 0
        return self.items[number].edits.crossfade

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
