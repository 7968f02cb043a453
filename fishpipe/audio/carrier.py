"""pydub's AudioSegment, which carries sound between the steps of the stitcher.

The one place that imports pydub: it warns on import of `audioop` (gone in Python 3.13, where audioop-lts
stands in) and of a missing ffmpeg, which is not used here.
"""

from __future__ import annotations

import warnings

import numpy as np

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*audioop.*")
    warnings.filterwarnings("ignore", message=".*ffmpeg.*")
    warnings.filterwarnings("ignore", message=".*invalid escape sequence.*")
    from pydub import AudioSegment


def segment(data: bytes, rate: int, channels: int) -> AudioSegment:
    """Interleaved signed 16-bit little-endian samples as an AudioSegment."""
    return AudioSegment(data=data, sample_width=2, frame_rate=rate, channels=channels)


def samples(sound: AudioSegment) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """The samples of a 16-bit sound, shaped (frames, channels)."""
    return np.frombuffer(sound.raw_data, dtype="<i2").reshape(-1, sound.channels)


__all__ = ["AudioSegment", "samples", "segment"]
