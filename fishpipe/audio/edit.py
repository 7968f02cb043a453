"""Edits of one sound: trim, gain, fades, channels and rate; lengths are counted in samples.

All gains are one curve, applied once in float32 and quantised once: pydub's own gain and fades truncate to
16 bits at each step. Resampling is soxr's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import soxr

from fishpipe.audio.carrier import AudioSegment, samples, segment
from fishpipe.timeline import Samples, to_samples

if TYPE_CHECKING:
    from fishpipe.manifest.model import Edits, Micros

THRESHOLD_DBFS: Final = -50.0
KEPT_HEAD: Final = 40_000
KEPT_TAIL: Final = 120_000
EDGE_FADE: Final = 5_000
_WINDOW: Final = 5_000

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a sound that is used: frames `start` up to `end` at its own `rate`."""

    start: int
    end: int
    rate: int

    def length_at(self, rate: int) -> Samples:
        """Frames after resampling to `rate`, rounded half up."""
        return Samples(((self.end - self.start) * rate * 2 + self.rate) // (self.rate * 2))

    def to_json(self) -> str:
        """For the cache of measurements."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Cut:
        """From the cache of measurements."""
        return cls(**json.loads(text))


def find_cut(sound: AudioSegment, trim: str, start: Micros | None, end: Micros | None) -> Cut:
    """What `start`, `end` and `trim` leave of a sound; one that is silent throughout is left whole."""
    rate, frames = sound.frame_rate, int(sound.frame_count())
    first = min(to_samples(start, rate), frames) if start else 0
    last = min(to_samples(end, rate), frames) if end is not None else frames
    if trim == "off" or last <= first:
        return Cut(first, max(first, last), rate)
    part = samples(sound)[first:last].astype(np.float32).mean(axis=1)
    window = max(1, rate * _WINDOW // 1_000_000)
    padded = np.pad(part, (0, -len(part) % window)).reshape(-1, window)
    level = np.sqrt(np.mean(np.square(padded), axis=1))
    loud = np.flatnonzero(level > 32768 * 10 ** (THRESHOLD_DBFS / 20))
    if not len(loud):
        return Cut(first, last, rate)
    head = int(loud[0]) * window - rate * KEPT_HEAD // 1_000_000
    tail = (int(loud[-1]) + 1) * window + rate * KEPT_TAIL // 1_000_000
    return Cut(first + max(0, head), min(last, first + tail), rate)


def render(sound: AudioSegment, cut: Cut, edits: Edits, rate: int, channels: int, dither: int | None) -> AudioSegment:
    """The edited sound at the output's rate and channels; `dither` seeds TPDF noise where samples were changed."""
    part = sound.get_sample_slice(cut.start, cut.end)
    if part.channels != channels:
        part = part.set_channels(channels)
    length = cut.length_at(rate)
    fades = _fades(edits, length, rate)
    if part.frame_rate == rate and edits.gain == 0 and fades is None:
        return part
    values: Floats = samples(part).astype(np.float32)
    changed = edits.gain != 0 or part.frame_rate != rate
    if part.frame_rate != rate:
        values = _fit(np.asarray(soxr.resample(values, part.frame_rate, rate, quality="VHQ")), length)
    if edits.gain:
        values *= np.float32(10 ** (edits.gain / 20))
    if fades is not None:
        values *= fades[:, None]
    if dither is not None and changed:
        noise = np.random.default_rng(dither)
        values += noise.random(values.shape, np.float32) - noise.random(values.shape, np.float32)
    whole = np.clip(np.rint(values), -32768, 32767).astype("<i2")
    return segment(whole.tobytes(), rate, channels)


def _fit(values: Floats, length: int) -> Floats:
    if len(values) >= length:
        return values[:length]
    return np.pad(values, ((0, length - len(values)), (0, 0)))


def _fades(edits: Edits, length: int, rate: int) -> Floats | None:
    """The fade curve (linear in amplitude), or None where there is none; a trimmed edge is faded by 5 ms."""
    edge = EDGE_FADE if edits.trim == "auto" else 0
    rise, fall = (min(to_samples(max(time, edge), rate), length) for time in (edits.fade_in, edits.fade_out))  # type: ignore[arg-type]
    if not rise and not fall:
        return None
    curve: Floats = np.ones(length, np.float32)
    if rise:
        curve[:rise] *= np.linspace(0, 1, rise, endpoint=False, dtype=np.float32)
    if fall:
        curve[length - fall :] *= np.linspace(0, 1, fall, endpoint=False, dtype=np.float32)[::-1]
    return curve
