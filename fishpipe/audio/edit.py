"""Edits of one sound: trim, gain, fades, tempo, channels and rate; lengths are counted in samples.

All gains are one curve, applied once in float32 and quantised once, where the sound is written: pydub's own gain
and fades truncate to 16 bits at each step. Resampling is soxr's, the change of tempo ffmpeg's (`atempo`).
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import soxr
from msgspec import Struct

from fishpipe.audio.carrier import AudioSegment, Floats, Sound, floats, samples
from fishpipe.timeline import Samples, to_samples

if TYPE_CHECKING:
    from fishpipe.manifest.model import Edits, Micros, Trim

THRESHOLD_DBFS: Final = -50.0
KEPT_HEAD: Final = 40_000
KEPT_TAIL: Final = 120_000
EDGE_FADE: Final = 5_000
_WINDOW: Final = 5_000
# Windows that are looked at at once: mostly a sound begins and ends near its ends.
_WINDOWS: Final = 200

Fades = list[tuple[slice, np.ndarray[tuple[int], np.dtype[np.float32]]]]


class Cut(Struct, frozen=True):
    """The part of a sound that is used: frames `start` up to `end` at its own `rate`."""

    start: int
    end: int
    rate: int

    def length_at(self, rate: int, tempo: float = 1.0) -> Samples:
        """Frames after resampling to `rate`, rounded half up, played `tempo` times as fast."""
        frames = ((self.end - self.start) * rate * 2 + self.rate) // (self.rate * 2)
        return Samples(frames if tempo == 1 else max(1, round(frames / tempo)))

    def to_json(self) -> str:
        """For the cache of measurements."""
        return f'{{"start": {self.start}, "end": {self.end}, "rate": {self.rate}}}'

    @classmethod
    def from_json(cls, text: str) -> Cut:
        """From the cache of measurements."""
        return cls(**json.loads(text))


class Shape(Struct, frozen=True, kw_only=True):
    """What happens to the samples of a sound: gain in dB, times in microseconds; `cross_` are halves of a crossfade."""

    gain: float = 0.0
    fade_in: int = 0
    fade_out: int = 0
    cross_in: int = 0
    cross_out: int = 0
    tempo: float = 1.0

    @classmethod
    def of(cls, edits: Edits, crosses: tuple[int, int] = (0, 0), gain: float = 0.0) -> Shape:
        """Of an item's edits; `crosses` are the crossfades at its two ends, `gain` comes on top."""
        edge = EDGE_FADE if edits.trim != "off" else 0
        return cls(
            gain=edits.gain + gain,
            fade_in=max(edits.fade_in, edge),
            fade_out=max(edits.fade_out, edge),
            cross_in=crosses[0],
            cross_out=crosses[1],
            tempo=edits.tempo,
        )

    @property
    def is_plain(self) -> bool:
        """Whether no samples change but in fades at the ends."""
        return self.gain == 0 and self.tempo == 1 and not (self.cross_in or self.cross_out)

    @property
    def key(self) -> list[float]:
        """As part of the identity of what is made of it."""
        return [self.gain, self.fade_in, self.fade_out, self.cross_in, self.cross_out, self.tempo]


def find_cut(sound: AudioSegment, trim: Trim | float, start: Micros | None, end: Micros | None) -> Cut:
    """What `start`, `end` and `trim` leave of a sound; one that is silent throughout is left whole."""
    rate, frames = sound.frame_rate, int(sound.frame_count())
    first = min(to_samples(start, rate), frames) if start else 0
    last = min(to_samples(end, rate), frames) if end is not None else frames
    if trim == "off" or last <= first:
        return Cut(first, max(first, last), rate)
    threshold = THRESHOLD_DBFS if isinstance(trim, str) else trim
    heard = loud_part(samples(sound)[first:last], rate, threshold)
    if heard is None:
        return Cut(first, last, rate)
    return Cut(first + max(0, heard[0] - kept_head(rate)), min(last, first + heard[1] + kept_tail(rate)), rate)


def window_of(rate: int) -> int:
    """Samples over which a level is taken."""
    return max(1, rate * _WINDOW // 1_000_000)


def kept_head(rate: int) -> int:
    """Samples of silence that stay before a sound."""
    return rate * KEPT_HEAD // 1_000_000


def kept_tail(rate: int) -> int:
    """Samples of silence that stay behind a sound."""
    return rate * KEPT_TAIL // 1_000_000


def loud_part(values: Sound, rate: int, threshold: float) -> tuple[int, int] | None:
    """From the first up to the last window above a level (dBFS), in samples; None where there is none."""
    window = window_of(rate)
    count = -(-len(values) // window)

    def loud(first: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """The loud windows of some from `first` on."""
        part = floats(values[first * window : (first + _WINDOWS) * window])
        mixed = part.mean(axis=1) if part.shape[1] > 1 else part[:, 0]
        padded = np.pad(mixed, (0, -len(mixed) % window)) if len(mixed) % window else mixed
        level = np.sqrt(np.mean(np.square(padded.reshape(-1, window)), axis=1))
        return np.flatnonzero(level > 10 ** (threshold / 20)) + first

    starts = range(0, count, _WINDOWS)
    first = next((int(found[0]) for start in starts if len(found := loud(start))), None)
    if first is None:
        return None
    last = next(int(found[-1]) for start in reversed(starts) if len(found := loud(start)))
    return first * window, (last + 1) * window


def render(sound: AudioSegment, cut: Cut, shape: Shape, rate: int, channels: int) -> Sound:
    """The edited sound at the output's rate and channels: as it was decoded where nothing changes, else floats."""
    is_whole = (cut.start, cut.end) == (0, int(sound.frame_count()))
    part = sound if is_whole else sound.get_sample_slice(cut.start, cut.end)
    if part.channels < channels:
        part = part.set_channels(channels)
    length = cut.length_at(rate, shape.tempo)
    fades = _fades(shape, length, rate)
    # pydub would round a mean to 16 bits.
    whole = samples(part) if part.channels == channels else floats(samples(part)).mean(axis=1, keepdims=True)
    if part.frame_rate == rate and shape.is_plain and whole.dtype == np.int16:
        return _faded(whole, fades)
    values = floats(whole)
    if part.frame_rate != rate:
        values = np.asarray(soxr.resample(values, part.frame_rate, rate, quality="VHQ"))
    if shape.tempo != 1:
        from fishpipe.audio.stretch import stretch

        values = stretch(values, rate, shape.tempo)
    values = _fit(values, length)
    if shape.gain:
        values = values * np.float32(10 ** (shape.gain / 20))
    for place, curve in fades:
        values[place] *= curve[:, None]
    return values


def _faded(whole: Sound, fades: Fades) -> Sound:
    """Samples of 16 bits that change nowhere but in fades."""
    if fades:
        whole = whole.copy()
        for place, curve in fades:
            whole[place] = np.rint(whole[place] * curve[:, None])
    return whole


def _fit(values: Floats, length: int) -> Floats:
    if len(values) >= length:
        return values[:length]
    return np.pad(values, ((0, length - len(values)), (0, 0)))


@lru_cache(maxsize=64)
def _curve(count: int, *, is_cross: bool) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    rise = np.linspace(0, 1, count, endpoint=False, dtype=np.float32)
    return np.sin(rise * np.float32(np.pi / 2)) if is_cross else rise


def _fades(shape: Shape, length: int, rate: int) -> Fades:
    """Where a sound is faded, and by which curve: linear in amplitude, a crossfade of equal power."""
    found = []
    for time, at_end, is_cross in (
        (shape.fade_in, False, False), (shape.fade_out, True, False),
        (shape.cross_in, False, True), (shape.cross_out, True, True),
    ):  # fmt: skip
        count = min(to_samples(time, rate), length)
        if count:
            curve = _curve(count, is_cross=is_cross)
            found.append((slice(length - count, length), curve[::-1]) if at_end else (slice(0, count), curve))
    return found
