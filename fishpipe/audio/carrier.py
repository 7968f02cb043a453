"""pydub's AudioSegment, which carries sound between the steps of the stitcher.

The one place that imports pydub: it warns on import of `audioop` (gone in Python 3.13, where audioop-lts
stands in) and of a missing ffmpeg, which is not used here.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*audioop.*")
    warnings.filterwarnings("ignore", message=".*ffmpeg.*")
    warnings.filterwarnings("ignore", message=".*invalid escape sequence.*")
    from pydub import AudioSegment

Floats = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Samples16 = np.ndarray[tuple[int, int], np.dtype[np.int16]]
# Sound between the steps: as it was decoded (16 bits), or changed (float, 1.0 is full scale).
Sound = np.ndarray[tuple[int, int], np.dtype[Any]]


def segment(data: bytes, rate: int, channels: int, width: int = 2) -> AudioSegment:
    """Interleaved signed little-endian samples of `width` bytes as an AudioSegment."""
    return AudioSegment(data=data, sample_width=width, frame_rate=rate, channels=channels)


def samples(sound: AudioSegment) -> Sound:
    """The samples of a sound of 16 or 32 bits, shaped (frames, channels)."""
    kind = "<i2" if sound.sample_width == 2 else "<i4"
    return np.frombuffer(sound.raw_data, dtype=kind).reshape(-1, sound.channels)


def floats(values: Sound) -> Floats:
    """Samples as floats, 1.0 is full scale."""
    if values.dtype == np.float32:
        return values
    scale = np.float32(1 / 32768 if values.dtype == np.int16 else 1 / 2147483648)
    return values.astype(np.float32) * scale


def quantised(values: Sound, bits: int = 16, noise: np.random.Generator | None = None) -> bytes:
    """Interleaved little-endian samples of 16 or 24 bits, or floats for 32; `noise` dithers floats at 16 bits.

    The dither is TPDF, of one step to either side, and leaves digital silence alone.
    """
    if values.dtype == np.int16 and bits == 16:
        return values.tobytes()
    if bits == 32:
        return floats(values).tobytes()
    full = 1 << (bits - 1)
    scaled = floats(values) * np.float32(full) if bits == 16 else floats(values).astype(np.float64) * full
    if noise is not None and bits == 16:
        scaled += (noise.random(scaled.shape, np.float32) - noise.random(scaled.shape, np.float32)) * (scaled != 0)
    whole = np.clip(np.rint(scaled), -full, full - 1)
    if bits == 16:
        return whole.astype("<i2").tobytes()
    return whole.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


__all__ = ["AudioSegment", "Floats", "Sound", "floats", "quantised", "samples", "segment"]
