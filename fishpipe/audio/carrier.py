"""pydub's AudioSegment, which carries sound between the steps of the stitcher.

The one place that imports pydub: it warns on import of `audioop` (gone in Python 3.13, where audioop-lts
stands in) and of a missing ffmpeg, which is not used here.
"""

from __future__ import annotations

import warnings
from typing import Any, Final, Literal

import numpy as np

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*audioop.*")
    warnings.filterwarnings("ignore", message=".*ffmpeg.*")
    warnings.filterwarnings("ignore", message=".*invalid escape sequence.*")
    from pydub import AudioSegment

Floats = np.ndarray[tuple[int, int], np.dtype[np.float32]]
# Sound between the steps: as it was decoded (16 bits), or changed (float, 1.0 is full scale).
Sound = np.ndarray[tuple[int, int], np.dtype[Any]]

# Samples as they are written: of 16 or 24 bits (packed, or on top of 32), or floats.
Kind = Literal["s16", "s24", "s24in32", "f32"]
WIDTHS: Final = {"s16": 2, "s24": 3, "s24in32": 4, "f32": 4}


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


def quantised(values: Sound, kind: Kind = "s16", noise: np.random.Generator | None = None) -> bytes:
    """Interleaved little-endian samples; `noise` dithers what comes as floats to 16 bits.

    The dither is TPDF, of one step to either side, and leaves digital silence alone.
    """
    if kind == "f32":
        return bytes(floats(values).tobytes())
    if kind == "s16":
        return _as_16(values, noise)
    whole = np.clip(np.rint(floats(values).astype(np.float64) * (1 << 23)), -(1 << 23), (1 << 23) - 1).astype("<i4")
    if kind == "s24in32":
        return bytes((whole << 8).tobytes())
    return bytes(whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())


def _as_16(values: Sound, noise: np.random.Generator | None) -> bytes:
    if values.dtype == np.int16:
        return bytes(values.tobytes())
    scaled = floats(values) * np.float32(32768)
    if noise is not None:
        scaled += (noise.random(scaled.shape, np.float32) - noise.random(scaled.shape, np.float32)) * (scaled != 0)
    return bytes(np.clip(np.rint(scaled), -32768, 32767).astype("<i2").tobytes())


__all__ = ["WIDTHS", "AudioSegment", "Floats", "Kind", "Sound", "floats", "quantised", "samples", "segment"]
