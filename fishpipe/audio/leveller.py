"""Finds the gains of an output: measures its units on all cores, each once, and solves through the limiter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fishpipe.audio.ahead import ahead
from fishpipe.audio.loudness import HOPS, Profile, integrated, joined, laid_out, profile
from fishpipe.audio.mastering import KEPT, Master, measured, pinned_master, solve, target_of, voice_gains
from fishpipe.audio.score import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from fishpipe.audio.renderer import Renderer
    from fishpipe.audio.sinks import SoundCache
    from fishpipe.manifest.model import Loudness


class Leveller:
    """Of one output, whose items are placed; `pin` are the gains that the lock keeps, `lower` takes off its ceiling."""

    def __init__(
        self,
        renderer: Renderer,
        cache: SoundCache,
        threads: int,
        wanted: Loudness,
        pin: Mapping[str, Any],
        lower: float,
    ) -> None:
        self._renderer, self._cache, self._threads, self._wanted, self._pin = renderer, cache, threads, wanted, pin
        self._ceiling = wanted.true_peak - lower

    def measure(self, units: Iterable[Unit]) -> dict[Unit, Profile]:
        """Of each unit, before any gain for all of it."""
        return self._profiles(units, self._renderer.mixed, ["level"])

    def master(self, units: Sequence[Unit], *, is_pinned: bool) -> Master:
        """The gains; a pinned one stays while the loudness stays near, or if `is_pinned`."""
        wanted, channels = self._wanted, self._renderer.channels
        voices = self._voices(is_pinned=is_pinned) if wanted.by_voice else {}
        self._renderer.voices = voices
        target = target_of(wanted, channels)
        if target is None:
            return Master(voices=voices, ceiling=self._ceiling)
        raw = self.measure(units)

        def loudness(gain: float) -> float:
            return measured(self._whole(units, raw, gain), wanted, channels)

        pinned = pinned_master(wanted, self._pin, channels)
        if pinned is not None and (is_pinned or abs(loudness(pinned.gain) - target) <= KEPT):
            gain = pinned.gain
        else:
            gain = solve(loudness, target)
        return Master(gain=gain, voices=voices, ceiling=self._ceiling)

    def _whole(self, units: Sequence[Unit], raw: Mapping[Unit, Profile], gain: float) -> Profile:
        """The whole at a gain: those units rendered that the limiter changes."""
        factor, ceiling = 10 ** (gain / 20), 10 ** (self._ceiling / 20)
        over = [unit for unit in units if raw[unit].highest * factor > ceiling]
        master = Master(gain=gain, ceiling=self._ceiling)
        changed = self._profiles(over, lambda unit: self._renderer.mastered(unit, master), ["level", *master.key])
        found = {unit: changed.get(unit) or raw[unit].scaled(factor) for unit in units}
        rate, length = self._renderer.score.rate, self._renderer.score.timeline.length
        places = ((round(unit.start * HOPS / rate), each) for unit, each in found.items())
        return laid_out(places, round(length * HOPS / rate))

    def _voices(self, *, is_pinned: bool) -> dict[str, float]:
        """A gain for each voice, by the loudness of all it says."""
        renderer = self._renderer
        spoken = [number for number, item in enumerate(renderer.items) if item.clip is not None]
        places = renderer.score.places
        alone = {Unit(places[number].start, places[number].end, (number,)): number for number in spoken}
        found = self._profiles(list(alone), renderer.alone, ["voice"])
        by_voice: dict[str, list[Profile]] = {}
        for unit, number in alone.items():
            by_voice.setdefault(renderer.items[number].voice, []).append(found[unit])
        levels = {name: integrated(joined(parts)) for name, parts in by_voice.items()}
        common = integrated(joined(found.values()))
        return voice_gains(levels, common, self._pin.get("voices") or {}, is_pinned=is_pinned)

    def _profiles(
        self, units: Iterable[Unit], blocks: Callable[[Unit], Iterable[Any]], kind: list[object]
    ) -> dict[Unit, Profile]:
        """Of units, each measured once and remembered."""

        def measure(unit: Unit) -> Profile:
            key = self._renderer.key(unit, *kind, self._renderer.sounds.wide)
            known = self._cache.unit(key)
            remembered = Profile.from_bytes(known[0]) if known is not None else None
            if remembered is not None:
                return remembered
            found = profile(blocks(unit), self._renderer.score.rate)
            self._cache.keep_unit(key, found.to_bytes())
            return found

        return dict(ahead(measure, units, self._threads))
