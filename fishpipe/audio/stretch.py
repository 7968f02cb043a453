"""A sound's tempo, its pitch kept (ffmpeg's `atempo`, by PyAV)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from fishpipe.audio.carrier import Floats


def stretch(values: Floats, rate: int, tempo: float) -> Floats:
    """Samples, shaped (frames, channels), played `tempo` times as fast."""
    channels = values.shape[1]
    layout = "stereo" if channels == 2 else "mono"
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="flt", layout=layout, time_base=None)
    graph.link_nodes(source, graph.add("atempo", f"{tempo:g}"), graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values).reshape(1, -1), format="flt", layout=layout)
    frame.sample_rate = rate
    graph.push(frame)
    graph.push(None)
    pieces = []
    while True:
        try:
            pieces.append(graph.pull().to_ndarray().reshape(-1, channels))
        except (av.error.BlockingIOError, av.error.EOFError):
            return np.concatenate(pieces) if pieces else values[:0]
