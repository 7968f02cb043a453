"""`mode: copy`: clips that are mp3 already go into an mp3 frame by frame, without a second lossy step.

One silent frame parts a clip from the next, so that it decodes to its own samples. The delay of its encoder and the
silence at its ends count towards the gaps; frames behind its last sound are left out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fishpipe.audio.carrier import samples
from fishpipe.audio.decode import decode_clip
from fishpipe.audio.edit import THRESHOLD_DBFS, Cut, kept_head, kept_tail, loud_part, window_of
from fishpipe.audio.lame import CARRIED
from fishpipe.audio.mp3 import DECODER_DELAY, frame_samples, gapless, is_info, spans, stands_alone, walk
from fishpipe.errors import AudioError
from fishpipe.timeline import Copied

if TYPE_CHECKING:
    from fishpipe.audio.lame import Encoding
    from fishpipe.graph.steps import Item
    from fishpipe.manifest.model import Trim

# Frames at either end in which the silence is looked for; if it is longer, in more.
_HEADS: Final = (18, 60)
_TAILS: Final = (26, 60)
# What a decoder needs before the last ones to settle: frames, and bytes of the bit reservoir.
_WARM: Final = 4
_RESERVOIR: Final = 511


class Shell(Struct, frozen=True):
    """What an mp3 is, beside its sound: where its `count` frames of sound lie in it, up to `end`.

    Decoders skip so many samples, and give `length`. One that `is_alone` needs nothing of what comes before it.
    """

    rate: int
    channels: int
    offset: int
    end: int
    count: int
    skipped: int
    length: int
    is_alone: bool

    def to_json(self) -> str:
        """For the cache of measurements."""
        return json.dumps({name: getattr(self, name) for name in self.__struct_fields__})

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


def frames_of(data: bytes) -> list[int]:
    """Where each frame of sound begins in an mp3, and where the last one ends. Raises AudioError for what is none."""
    first = next(walk(data), None)
    if first is None:
        raise AudioError("is no mp3")
    offset = first.offset + first.size if is_info(data, first) else first.offset
    return spans(data, offset, _end_of(data, offset))


def shell_of(data: bytes, starts: list[int]) -> Shell:
    """Of an mp3's bytes, whose frames begin there. Raises AudioError where they differ."""
    first, offset = next(walk(data)), starts[0]
    kinds = {data[at + 1] << 16 | (data[at + 2] & 0x0C) << 8 | (data[at + 3] >= 0xC0) for at in starts[:-1]}
    if len(kinds) != 1 or starts[-1] > len(data):
        raise AudioError("is an mp3 whose frames are not all alike, or whole")
    delays = gapless(data, first)
    count = len(starts) - 1
    return Shell(
        rate=first.rate,
        channels=first.channels,
        offset=offset,
        end=starts[-1],
        count=count,
        skipped=delays[0] + DECODER_DELAY if delays else 0,
        length=count * first.samples - (sum(delays) if delays else 0),
        is_alone=stands_alone(data, offset),
    )


def _end_of(data: bytes, offset: int) -> int:
    """Where the frames end: before an ID3v1 or APE tag, or zeros."""
    end = len(data.rstrip(b"\0"))
    for mark, reach in ((b"TAG", 128), (b"APETAGEX", 1 << 16)):
        at = data.rfind(mark, max(offset, len(data) - reach))
        if at >= 0 and (mark != b"TAG" or at == len(data) - 128):
            end = min(end, at)
    return end


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


def cut_of_ends(data: bytes, shell: Shell, starts: list[int], trim: Trim | float) -> Cut | None:
    """The cut that `find_cut` finds, of both ends alone; None where it needs all of it. Frames begin at `starts`.

    What is far from the ends is not decoded: only the first and the last sound decide.
    """
    if trim == "off":
        return Cut(0, shell.length, shell.rate)
    threshold = THRESHOLD_DBFS if isinstance(trim, str) else trim
    heads = (count for count in _HEADS if 3 * count < shell.count)
    first = next((at for count in heads if (at := _first(data, shell, starts[count], threshold)) is not None), None)
    warm = _WARM + _RESERVOIR * shell.count // (shell.end - shell.offset)
    tails = (count for count in _TAILS if 2 * count + warm < shell.count and first is not None)
    lasts = (_last(data, shell, starts[-1 - count - warm], count, threshold) for count in tails)
    last = next((at for at in lasts if at is not None), None)
    if first is None or last is None:
        return None
    return Cut(max(0, first - kept_head(shell.rate)), min(shell.length, last + kept_tail(shell.rate)), shell.rate)


def _first(data: bytes, shell: Shell, end: int, threshold: float) -> int | None:
    """Where the sound of the frames up to `end` begins to be heard."""
    values = samples(decode_clip(data[shell.offset : end], "mp3", shell.rate))[shell.skipped :]
    heard = loud_part(values, shell.rate, threshold)
    return heard[0] if heard is not None else None


def _last(data: bytes, shell: Shell, start: int, ends: int, threshold: float) -> int | None:
    """Where the sound of the last frames is heard to end; those from `start` on are decoded."""
    grid = frame_samples(shell.rate)
    values = samples(decode_clip(data[start : shell.end], "mp3", shell.rate))
    # A decoder may leave out the first frames, which lack what came before them.
    at = (shell.count - ends) * grid - shell.skipped
    values = values[-ends * grid :]
    window = window_of(shell.rate)
    into = -at % window
    heard = loud_part(values[into : shell.length - at], shell.rate, threshold)
    return at + into + heard[1] if heard is not None else None
