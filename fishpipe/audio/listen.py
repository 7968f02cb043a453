"""A file as players decode it (by PyAV), a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from fishpipe.audio.reading import check_length, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fishpipe.audio.carrier import Sound

_ENOUGH = 1 << 16


def listen(path: Path, rate: int, channels: int) -> Iterator[Sound]:
    """Its samples as floats, shaped (frames, channels). Raises AudioError."""
    waiting: list[Sound] = []
    heard = 0
    with opened(path) as (container, stream):
        layout = "stereo" if channels == 2 else "mono"
        resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
        for frame in container.decode(stream):
            waiting += [each.to_ndarray().reshape(-1, channels) for each in resampler.resample(frame)]
            if sum(len(each) for each in waiting) >= _ENOUGH:
                heard += sum(len(each) for each in waiting)
                check_length(heard, channels, rate)
                yield np.concatenate(waiting)
                waiting = []
        waiting += [each.to_ndarray().reshape(-1, channels) for each in resampler.resample(None)]
    if waiting:
        yield np.concatenate(waiting)
