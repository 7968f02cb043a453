"""A gain, and a limiter that keeps true peaks under a ceiling.

It looks 10 ms ahead, and gives way as smoothly as it comes back (a raised cosine). The gain at a moment depends on
what is within 20 ms of it alone, so that blocks and units can be limited each by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fishpipe.audio.carrier import Floats, Sound, floats
from fishpipe.audio.loudness import true_peaks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Samples for which one peak is looked for, and over how many of such cells the gain moves, at 44100 Hz.
_CELL: Final = 32
_CELLS: Final = 14


def limited(blocks: Iterable[Sound], gain: float, ceiling: float, rate: int) -> Iterator[Floats]:
    """Samples `gain` times as loud, true peaks at most `ceiling` (both are factors)."""
    reach = _reach(rate)
    before: Floats | None = None
    waiting: Floats | None = None
    for block in blocks:
        values = floats(block) * np.float32(gain)
        if waiting is not None:
            yield _limited(before, waiting, values[:reach], ceiling, rate)
            before = waiting[-reach:]
        waiting = values
    if waiting is not None:
        yield _limited(before, waiting, waiting[:0], ceiling, rate)


def _reach(rate: int) -> int:
    cells = round(_CELLS * rate / 44100) + 2
    return 2 * cells * _CELL + 256


def _limited(before: Floats | None, values: Floats, after: Floats, ceiling: float, rate: int) -> Floats:
    loudest = max(float(np.abs(part).max(initial=0.0)) for part in (before, values, after) if part is not None)
    # Between samples it cannot be twice as loud as at any of them (BS.1770-4, annex 2: 3 dB at the worst).
    if loudest < ceiling / 2:
        return values
    # Cells lie where they lie in the unit, whatever the block.
    head = 0 if before is None else len(before) // _CELL * _CELL
    whole = np.concatenate([*((before[len(before) - head :],) if before is not None and head else ()), values, after])
    gains = _gains(whole, ceiling, rate)
    return np.asarray(values * gains[head : head + len(values), None]) if gains is not None else values


def _gains(values: Floats, ceiling: float, rate: int) -> np.ndarray[tuple[int], np.dtype[np.float32]] | None:
    """The factor for each sample, or None where all are 1."""
    peaks = true_peaks(values, rate)
    padded = np.pad(peaks, (0, -len(peaks) % _CELL)).reshape(-1, _CELL).max(axis=1)
    if float(padded.max(initial=0.0)) <= ceiling:
        return None
    wanted = np.minimum(1.0, ceiling / np.maximum(padded, 1e-9))
    cells = round(_CELLS * rate / 44100)
    least = np.lib.stride_tricks.sliding_window_view(np.pad(wanted, cells + 1, constant_values=1.0), 2 * cells + 3)
    window = np.hanning(2 * cells + 3)[1:-1]
    around = np.pad(least.min(axis=1), cells, mode="edge")
    smooth = np.convolve(around, window / window.sum(), "valid")
    at = np.arange(len(values))
    return np.interp(at, np.arange(len(smooth)) * _CELL + _CELL / 2, smooth).astype(np.float32)
