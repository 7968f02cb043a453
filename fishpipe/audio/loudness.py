"""Loudness of programmes (ITU-R BS.1770-4, EBU R 128, EBU Tech 3342), from energies that are measured piece by piece.

A profile has, for each hop of 20 ms, the K-weighted and the plain power (summed over channels, full scale is 1) and
the true peak. Profiles of pieces put at their places are the profile of the whole.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import soxr

from fishpipe.audio.carrier import Floats, Sound, floats

if TYPE_CHECKING:
    from collections.abc import Iterable

Hops = np.ndarray[tuple[int], np.dtype[np.float32]]

# Hops a second; of a gating block (400 ms) and its step (100 ms); of a short-term block (3 s).
HOPS: Final = 50
_BLOCK: Final = 20
_STEP: Final = 5
_SHORT: Final = 150
_ABSOLUTE: Final = -70.0
_OVERSAMPLING: Final = 4
# Samples after which the K-weighting's response is over, and around which the oversampling filter reaches.
_RING: Final = 8192
_REACH: Final = 256


@dataclass(frozen=True)
class Profile:
    """`weighted` and `plain` power and true `peak` of each hop."""

    weighted: Hops
    plain: Hops
    peak: Hops

    @property
    def highest(self) -> float:
        """The true peak, full scale is 1."""
        return float(self.peak.max(initial=0.0))

    def scaled(self, factor: float) -> Profile:
        """The same, so many times as loud in amplitude."""
        power = np.float32(factor * factor)
        return Profile(self.weighted * power, self.plain * power, self.peak * np.float32(factor))

    def to_bytes(self) -> bytes:
        """For a cache."""
        file = io.BytesIO()
        np.save(file, np.stack([self.weighted, self.plain, self.peak]))
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Profile | None:
        """From a cache; None for what is no profile."""
        try:
            weighted, plain, peak = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError, OSError):
            return None
        return cls(weighted, plain, peak)


def profile(blocks: Iterable[Sound], rate: int) -> Profile:
    """Of samples, block by block; `rate` in samples a second, a multiple of 50."""
    hop = rate // HOPS
    meter = _Meter(rate, hop)
    rest: Floats | None = None
    parts: list[Profile] = []
    for block in blocks:
        whole = floats(block) if rest is None else np.concatenate([rest, floats(block)])
        used = max(0, (len(whole) - _REACH) // hop * hop)
        if used:
            parts.append(meter.feed(whole[:used], whole[used : used + _REACH]))
        rest = whole[used:]
    if rest is not None and len(rest):
        padded = np.pad(rest, ((0, -len(rest) % hop), (0, 0)))
        parts.append(meter.feed(padded, padded[:0]))
    return joined(parts)


def joined(parts: Iterable[Profile]) -> Profile:
    """One after the other."""
    rows = [(part.weighted, part.plain, part.peak) for part in parts] or [(_NONE, _NONE, _NONE)]
    weighted, plain, peak = (np.concatenate(row) for row in zip(*rows, strict=True))
    return Profile(weighted, plain, peak)


_NONE: Final = np.zeros(0, np.float32)


def laid_out(parts: Iterable[tuple[int, Profile]], hops: int) -> Profile:
    """Profiles, each at its hop, with silence between; `hops` long at least."""
    placed = list(parts)
    length = max([hops, *(at + len(part.weighted) for at, part in placed)])
    whole = Profile(*(np.zeros(length, np.float32) for _ in range(3)))
    for at, part in placed:
        end = at + len(part.weighted)
        whole.weighted[at:end] += part.weighted
        whole.plain[at:end] += part.plain
        whole.peak[at:end] = np.maximum(whole.peak[at:end], part.peak)
    return whole


def integrated(whole: Profile) -> float:
    """LUFS with both gates (BS.1770-4); -inf where all of it is below -70."""
    powers = _windows(whole.weighted, _BLOCK)
    powers = powers[_lufs(powers) > _ABSOLUTE]
    if not len(powers):
        return float("-inf")
    gated = powers[_lufs(powers) > _lufs(powers.mean()) - 10]
    return float(_lufs(gated.mean()))


def loudness_range(whole: Profile) -> float:
    """LRA in LU (EBU Tech 3342)."""
    powers = _windows(whole.weighted, _SHORT)
    powers = powers[_lufs(powers) > _ABSOLUTE]
    if not len(powers):
        return 0.0
    levels = _lufs(powers[_lufs(powers) > _lufs(powers.mean()) - 20])
    low, high = np.percentile(levels, [10, 95])
    return float(high - low)


def rms(whole: Profile, channels: int) -> float:
    """DBFS of all of it, silence included."""
    return decibels(float(np.sqrt(whole.plain.mean(dtype=np.float64) / channels))) if len(whole.plain) else -120.0


def noise_floor(whole: Profile, channels: int) -> float:
    """DBFS (RMS) of its quietest half second."""
    quiet = _windows(whole.plain, HOPS // 2)
    return decibels(float(np.sqrt(max(quiet.min(), 0.0) / channels))) if len(quiet) else -120.0


def decibels(amplitude: float) -> float:
    """Of a factor; -120 at least."""
    return 20 * float(np.log10(max(amplitude, 1e-6)))


def true_peaks(values: Floats, rate: int) -> Floats:
    """The largest amplitude around each sample between it and the next, 4 times oversampled; of all channels."""
    over = np.abs(np.asarray(soxr.resample(values, rate, rate * _OVERSAMPLING, quality="VHQ")))
    whole = np.zeros((len(values) * _OVERSAMPLING, values.shape[1]), np.float32)
    whole[: len(over)] = over[: len(whole)]
    peaks = whole.reshape(len(values), -1).max(axis=1)
    return np.asarray(np.maximum(peaks, np.abs(values).max(axis=1)))


class _Meter:
    """Measures hop by hop, with the filters' memory from block to block."""

    def __init__(self, rate: int, hop: int) -> None:
        self._rate, self._hop = rate, hop
        self._tail: Floats | None = None
        self._before: Floats | None = None

    def feed(self, values: Floats, after: Floats) -> Profile:
        """Whole hops, and a little of what comes after them."""
        count, channels = values.shape
        shape = (count // self._hop, self._hop * channels)
        before = np.zeros((0, channels), np.float32) if self._before is None else self._before
        around = np.concatenate([before, values, after])
        peaks = true_peaks(around, self._rate)[len(before) : len(before) + count]
        self._before = values[-_REACH:]
        return Profile(
            np.square(self._weighted(values)).reshape(shape).sum(axis=1) / self._hop,
            np.square(values).reshape(shape).sum(axis=1) / self._hop,
            peaks.reshape(-1, self._hop).max(axis=1),
        )

    def _weighted(self, values: Floats) -> Floats:
        count = len(values)
        size = _fast(count + _RING)
        spectrum = np.fft.rfft(values, size, axis=0) * _response(self._rate, size)[:, None]
        filtered = np.fft.irfft(spectrum, size, axis=0).astype(np.float32)
        if self._tail is not None:
            overlap = min(_RING, size)
            filtered[:overlap] += self._tail[:overlap]
        self._tail = filtered[count : count + _RING].copy()
        return filtered[:count]


@lru_cache(maxsize=64)
def _response(rate: int, size: int) -> np.ndarray[tuple[int], np.dtype[np.complex64]]:
    """The K-weighting's, at the frequencies of a transform: BS.1770-4's two filters, for any rate."""
    turn = np.exp(-1j * np.linspace(0, np.pi, size // 2 + 1))
    shelf = np.tan(np.pi * 1681.974450955533 / rate)
    high, quality = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    middle = high**0.4996667741545416
    head = [
        high + middle * shelf / quality + shelf**2,
        2 * (shelf**2 - high),
        high - middle * shelf / quality + shelf**2,
    ]
    below = [1 + shelf / quality + shelf**2, 2 * (shelf**2 - 1), 1 - shelf / quality + shelf**2]
    cut, quality = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    low = [1 + cut / quality + cut**2, 2 * (cut**2 - 1), 1 - cut / quality + cut**2]
    pass_high = [low[0], -2 * low[0], low[0]]
    first, second = _ratio(head, below, turn), _ratio(pass_high, low, turn)
    return np.asarray((first * second).astype(np.complex64))


def _ratio(
    above: list[float], below: list[float], turn: np.ndarray[tuple[int], np.dtype[np.complex128]]
) -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
    top, bottom = (parts[0] + parts[1] * turn + parts[2] * turn**2 for parts in (above, below))
    return np.asarray(top / bottom)


def _fast(size: int) -> int:
    """The next size that a transform is fast at."""
    power = 1 << (size - 1).bit_length()
    return next(fast for fast in (power * 9 // 16, power * 5 // 8, power * 3 // 4, power) if fast >= size)


def _windows(powers: Hops, width: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Means of windows of so many hops, each 100 ms after the one before."""
    if len(powers) < width:
        return np.asarray([powers.mean(dtype=np.float64)]) if len(powers) else np.zeros(0)
    sums = np.concatenate([[0.0], np.cumsum(powers, dtype=np.float64)])
    return np.asarray((sums[width:] - sums[:-width])[::_STEP] / width)


def _lufs(powers: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(powers, 1e-12)))
