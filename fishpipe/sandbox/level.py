"""Integrated loudness (ITU-R BS.1770-4) of a mono sound, and its gain to a target."""

from __future__ import annotations

from typing import Final

import numpy as np

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

# BS.1770-4, tables 1 and 2: the K-weighting filter's stages at 48 kHz.
_STAGES: Final = (
    ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)


def loudness(sound: Floats, rate: int) -> float:
    """LUFS of a mono sound, gated; -inf for silence."""
    spectrum = np.fft.rfft(sound)
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(len(sound), 1 / rate) / 48000)
    for top, bottom in _STAGES:
        spectrum = spectrum * np.polyval(top[::-1], z) / np.polyval(bottom[::-1], z)
    weighted = np.fft.irfft(spectrum, len(sound))
    block, hop = min(len(sound), int(0.4 * rate)), int(0.1 * rate)
    starts = range(0, len(sound) - block + 1, hop)
    power = np.array([np.mean(np.square(weighted[start : start + block])) for start in starts])
    loud = power[power > 10 ** ((-70 + 0.691) / 10)]
    if not len(loud):
        return float("-inf")
    gated = loud[loud > loud.mean() / 10]
    return float(-0.691 + 10 * np.log10(gated.mean()))


def level(sound: Floats, rate: int, target: float) -> Floats:
    """The sound at `target` LUFS, its peaks rounded off below full scale."""
    now = loudness(sound, rate)
    return soften(sound * np.float32(10 ** ((target - now) / 20))) if np.isfinite(now) else sound


def soften(sound: Floats, knee: float = 0.7) -> Floats:
    """Peaks above `knee` bent towards 1.0 instead of cut."""
    over = np.abs(sound) - knee
    bent = np.sign(sound) * (knee + (1 - knee) * np.tanh(over / (1 - knee)))
    return np.asarray(np.where(over > 0, bent, sound), np.float32)
