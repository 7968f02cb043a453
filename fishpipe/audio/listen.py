"""A finished file, as players decode it (by PyAV), a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fishpipe.audio.carrier import Sound

_ENOUGH = 1 << 16


def listen(path: Path, rate: int, channels: int) -> Iterator[Sound]:
    """Its samples as floats, shaped (frames, channels)."""
    waiting: list[Sound] = []
    with av.open(str(path)) as container:
        layout = "stereo" if channels == 2 else "mono"
        resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
        for frame in container.decode(audio=0):
            waiting += [each.to_ndarray().reshape(-1, channels) for each in resampler.resample(frame)]
            if sum(len(each) for each in waiting) >= _ENOUGH:
                yield np.concatenate(waiting)
                waiting = []
        waiting += [each.to_ndarray().reshape(-1, channels) for each in resampler.resample(None)]
    if waiting:
        yield np.concatenate(waiting)
