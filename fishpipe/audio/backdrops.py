"""What lies under the sounds: beds that give way to speech, and the tone of the room where no sound is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fishpipe.audio.carrier import Floats, Sound, floats
from fishpipe.audio.edit import Shape, find_cut, render
from fishpipe.errors import AudioError
from fishpipe.timeline import to_samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fishpipe.audio.sounds import Sounds
    from fishpipe.manifest.model import Bed

# In seconds: how a loop's end runs into its beginning, and how the room's tone comes and goes.
_SEAM: Final = 0.005
_TONE_RAMP: Final = 0.02

Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class Backdrop:
    """A sound from `start` up to `end`, in samples of the output; again and again where it has a `seam` (in samples).

    `points` are (samples, 0 to 1): how much it gives way, to `low` (a factor) at 1. Fades are in samples.
    """

    values: Sound
    start: int
    end: int
    seam: int
    gain: float
    low: float
    fade_in: int
    fade_out: int
    points: tuple[tuple[int, float], ...]

    def block(self, start: int, end: int) -> Floats | None:
        """From `start` up to `end`, in samples of the output; None where it is silent."""
        first, last = max(start, self.start), min(end, self.end)
        if first >= last:
            return None
        block = np.zeros((end - start, self.values.shape[1]), np.float32)
        block[first - start : last - start] = self._read(first - self.start, last - self.start)
        block[first - start : last - start] *= self._levels(first, last)[:, None]
        return block

    def _read(self, start: int, end: int) -> Floats:
        if not self.seam:
            return floats(self.values[start:end])
        period = len(self.values) - self.seam
        at = np.arange(start, end)
        found = floats(self.values[at % period])
        blend = np.flatnonzero((at >= period) & (at % period < self.seam))
        if len(blend):
            into = (at[blend] % period)[:, None]
            rise = (into / self.seam).astype(np.float32)
            found[blend] = found[blend] * rise + floats(self.values[period + into[:, 0]]) * (1 - rise)
        return found

    def _levels(self, first: int, last: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        at = np.arange(first, last)
        levels = np.full(last - first, self.gain)
        if self.points:
            way = np.interp(at, [point for point, _ in self.points], [value for _, value in self.points])
            levels *= 1 - way if self.low == 0 else self.low**way
        if self.fade_in:
            levels *= np.clip((at - self.start) / self.fade_in, 0, 1)
        if self.fade_out:
            levels *= np.clip((self.end - at) / self.fade_out, 0, 1)
        return levels.astype(np.float32)


def bed_backdrop(
    bed: Bed, sounds: Sounds, rate: int, channels: int, span: tuple[int, int], speech: Iterable[tuple[int, int]]
) -> Backdrop:
    """A bed under `span`, and what it gives way to; in samples. Raises AudioError."""
    values = _values(bed, sounds, rate, channels)
    seam = min(round(_SEAM * rate), len(values) // 2) if bed.loop else 0
    start, end = span
    attack, release = to_samples(bed.attack, rate), to_samples(bed.release, rate)
    points = ways(speech, attack, release) if bed.duck else []
    return Backdrop(
        values=values,
        start=start,
        end=end if bed.loop else min(end, start + len(values)),
        seam=seam,
        gain=10 ** (bed.gain / 20),
        low=10 ** (bed.duck / 20),
        fade_in=to_samples(bed.fade_in, rate),
        fade_out=to_samples(bed.fade_out, rate),
        points=tuple(points),
    )


def tone_backdrop(
    tone: Bed, sounds: Sounds, rate: int, channels: int, length: int, heard: Iterable[tuple[int, int]]
) -> Backdrop:
    """A room's tone wherever nothing is `heard`; in samples. Raises AudioError."""
    values = _values(tone, sounds, rate, channels)
    ramp = round(_TONE_RAMP * rate)
    inner = [(start + ramp, end - ramp) for start, end in joined(heard, 0) if end - start > 2 * ramp]
    return Backdrop(
        values=values,
        start=0,
        end=length,
        seam=min(ramp, len(values) // 2),
        gain=1.0,
        low=0.0,
        fade_in=0,
        fade_out=0,
        points=tuple(ways(inner, ramp, ramp)),
    )


def joined(spans: Iterable[tuple[int, int]], apart: int) -> Spans:
    """Spans as one where they are not further `apart`."""
    found: Spans = []
    for start, end in sorted(spans):
        if found and start - found[-1][1] <= apart:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def ways(spans: Iterable[tuple[int, int]], attack: int, release: int) -> list[tuple[int, float]]:
    """(samples, 0 to 1): 1 within spans, reached from `attack` before each, and left until `release` behind it."""
    points: list[tuple[int, float]] = []
    for start, end in joined(spans, attack + release):
        points += [(start - max(attack, 1), 0.0), (start, 1.0), (end, 1.0), (end + max(release, 1), 0.0)]
    return points


def key_of(backdrop: Backdrop, digest: str, start: int) -> list[object]:
    """What its samples in a unit that begins at `start` come from, by the digest of its file."""
    points: Sequence[tuple[int, float]] = [(at - start, value) for at, value in backdrop.points]
    level = [backdrop.gain, backdrop.low, backdrop.fade_in, backdrop.fade_out]
    return [digest, len(backdrop.values), backdrop.start - start, backdrop.end - start, backdrop.seam, level, points]


def _values(bed: Bed, sounds: Sounds, rate: int, channels: int) -> Sound:
    asset = bed.asset
    try:
        sound = sounds.asset(asset.path)
        cut = find_cut(sound, "off", asset.start, asset.end)
        if cut.end <= cut.start:
            raise AudioError("has no sound between its start and its end")
    except AudioError as error:
        raise AudioError(f"{asset.shown} ({bed.span}): {error}") from error
    values = render(sound, cut, Shape(), rate, channels)
    # One that begins again is long enough to run into itself.
    return np.tile(values, (-(-rate // len(values)), 1)) if bed.loop and len(values) < rate else values
