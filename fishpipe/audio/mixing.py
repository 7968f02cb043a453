"""Sounds at their places → blocks of samples, a few seconds at a time, however long the whole."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from msgspec import Struct

from fishpipe.audio.carrier import Floats, Sound, floats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Samples of a block.
BLOCK: Final = 1 << 17


class Part(Struct, frozen=True):
    """A sound from `start` up to `end`, in samples of the output; loaded when it is reached."""

    start: int
    end: int
    load: Callable[[], Sound]


class Backdrop(Protocol):
    """What lies under the sounds."""

    def block(self, start: int, end: int) -> Floats | None:
        """From `start` up to `end`, in samples of the output; None for silence."""


def mix(
    start: int, end: int, parts: Sequence[Part], channels: int, backdrops: Sequence[Backdrop] = ()
) -> Iterator[Sound]:
    """The samples from `start` up to `end`: as they were decoded where one sound is alone, else sums in float32."""
    waiting = deque(sorted(parts, key=lambda part: part.start))
    sounds: list[tuple[Part, Sound]] = []
    for first in range(start, end, BLOCK):
        last = min(first + BLOCK, end)
        while waiting and waiting[0].start < last:
            part = waiting.popleft()
            sounds.append((part, part.load()))
        under = [block for each in backdrops if (block := each.block(first, last)) is not None]
        yield _block(first, last, sounds, under, channels)
        sounds = [(part, sound) for part, sound in sounds if part.end > last]


def _block(
    first: int, last: int, sounds: Sequence[tuple[Part, Sound]], under: Sequence[Floats], channels: int
) -> Sound:
    is_plain = not under and all(sound.dtype == np.int16 for _, sound in sounds) and not _overlap(sounds)
    block: Sound = np.zeros((last - first, channels), "<i2" if is_plain else np.float32)
    for part, sound in sounds:
        low, high = max(first, part.start), min(last, part.end)
        piece = sound[low - part.start : high - part.start]
        block[low - first : high - first] += piece if is_plain else floats(piece)
    for each in under:
        block += each
    return block


def _overlap(sounds: Sequence[tuple[Part, Sound]]) -> bool:
    end = 0
    for part, _ in sounds:
        if part.start < end:
            return True
        end = max(end, part.end)
    return False


def silence(samples: int, channels: int, width: int = 2) -> Iterator[bytes]:
    """So many samples of silence, in blocks."""
    size, block = samples * channels * width, BLOCK * channels * width
    while size > 0:
        yield bytes(min(size, block))
        size -= block
