"""`mode: copy`: clips that are mp3 already go into an mp3 frame by frame, without a second lossy step.

One silent frame parts a clip from the next, so that it decodes to its own samples. The delay of its encoder and the
silence at its ends count towards the gaps; frames behind its last sound are left out.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fishpipe.audio.carrier import samples, segment
from fishpipe.audio.decode import decode_clip
from fishpipe.audio.edit import Cut, find_cut
from fishpipe.audio.lame import CARRIED
from fishpipe.audio.mp3 import DECODER_DELAY, gapless, is_info, walk
from fishpipe.errors import AudioError
from fishpipe.timeline import Copied

if TYPE_CHECKING:
    from fishpipe.audio.lame import Encoding
    from fishpipe.graph.steps import Item
    from fishpipe.manifest.model import Trim

# Frames at either end in which the silence is looked for, and those before the last that a decoder needs to settle.
_ENDS: Final = 60
_WARM: Final = 12


@dataclass(frozen=True, slots=True)
class Shell:
    """What an mp3 is, beside its sound: where its `count` frames of sound lie in it, up to `end`.

    Decoders skip so many samples, and give `length`.
    """

    rate: int
    channels: int
    offset: int
    end: int
    count: int
    skipped: int
    length: int

    def to_json(self) -> str:
        """For the cache of measurements."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Shell:
        """From the cache of measurements."""
        return cls(**json.loads(text))

    def needed(self, cut: Cut, grid: int) -> int:
        """How many of its frames have its sound."""
        return min(self.count, -(-(cut.end + self.skipped) // grid))

    def copied(self, cut: Cut, grid: int) -> Copied:
        """How many samples of its frames, and of the silent one after them, lie around its sound."""
        before = cut.start + self.skipped - CARRIED
        return Copied(before=before, behind=(self.needed(cut, grid) + 1) * grid - before - (cut.end - cut.start))


def shell_of(data: bytes) -> Shell:
    """Of an mp3's bytes. Raises AudioError for what is none, or whose frames differ."""
    frames = list(walk(data))
    if not frames:
        raise AudioError("is no mp3")
    first = frames[0]
    own = frames[1:] if is_info(data, first) else frames
    if not own or any((frame.rate, frame.channels) != (first.rate, first.channels) for frame in own):
        raise AudioError("is an mp3 whose frames are not all alike")
    delays = gapless(data, first)
    length = len(own) * first.samples - (sum(delays) if delays else 0)
    return Shell(
        rate=first.rate,
        channels=first.channels,
        offset=own[0].offset,
        end=own[-1].offset + own[-1].size,
        count=len(own),
        skipped=delays[0] + DECODER_DELAY if delays else 0,
        length=length,
    )


def check_shell(shell: Shell, encoding: Encoding, item: Item) -> None:
    """Whether an item's frames fit into an output. Raises AudioError with its address and the reason."""
    kinds, at = ["mono", "stereo"], f"{item.address} ({item.span})"
    if shell.rate != encoding.rate:
        raise AudioError(
            f"{at}: mode: copy joins frames of {encoding.rate} Hz, this clip has {shell.rate} Hz; "
            f"write sample_rate: {shell.rate} at the output, or leave mode: copy out"
        )
    if shell.channels != encoding.channels:
        own, theirs = kinds[shell.channels - 1], kinds[encoding.channels - 1]
        raise AudioError(
            f"{at}: mode: copy makes a {theirs} file, this clip is {own}; "
            f"write channels: {shell.channels} at the output, or leave mode: copy out"
        )


def kept_frames(data: bytes, shell: Shell, count: int) -> bytes:
    """The first frames of its sound."""
    if count >= shell.count:
        return data[shell.offset : shell.end]
    last = next(frame for number, frame in enumerate(walk(data[shell.offset :]), 1) if number == count)
    return data[shell.offset : shell.offset + last.offset + last.size]


def cut_of_ends(data: bytes, shell: Shell, trim: Trim | float) -> Cut | None:
    """The cut that `find_cut` finds, of both ends alone; None where it needs all of it.

    What is far from the ends is not decoded: only the first and the last sound decide.
    """
    if trim == "off":
        return Cut(0, shell.length, shell.rate)
    if shell.count < 3 * _ENDS:
        return None
    frames = list(walk(data[shell.offset : shell.end]))
    grid = frames[0].samples
    head_end, tail_start = shell.offset + frames[_ENDS].offset, shell.offset + frames[-_ENDS - _WARM].offset
    head = samples(decode_clip(data[shell.offset : head_end], "mp3", shell.rate))[shell.skipped :]
    tail = samples(decode_clip(data[tail_start : shell.end], "mp3", shell.rate))[_WARM * grid :]
    whole = np.zeros((shell.count * grid - shell.skipped, shell.channels), "<i2")
    whole[: len(head)] = head
    whole[len(whole) - len(tail) :] = tail
    cut = find_cut(segment(whole[: shell.length].tobytes(), shell.rate, shell.channels), trim, None, None)
    is_found = 0 < cut.start < len(head) // 2 and len(whole) - len(tail) // 2 < cut.end < shell.length
    return cut if is_found else None
