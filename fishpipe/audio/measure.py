"""How long and how loud a clip is: its speech, without the silence around it."""

from __future__ import annotations

import numpy as np

from fishpipe.audio.carrier import samples
from fishpipe.audio.decode import decode_clip
from fishpipe.audio.edit import find_cut
from fishpipe.ports import Level


def measure(data: bytes, kind: str, sample_rate: int) -> Level:
    """A clip's bytes, as `decode_clip` takes them. Raises AudioError."""
    sound = decode_clip(data, kind, sample_rate)
    cut = find_cut(sound, "auto", None, None)
    values = samples(sound)[cut.start : cut.end].astype(np.float64) / 32768
    rms, peak = float(np.sqrt(np.mean(np.square(values)))), float(np.abs(values).max(initial=0.0))
    return Level(seconds=float(sound.duration_seconds), rms=_decibels(rms), peak=_decibels(peak))


def _decibels(amplitude: float) -> float:
    return 20 * float(np.log10(max(amplitude, 1e-6)))
