"""MP3 frames: walked to check a file, and the Info frame of our own that stands before them.

The Info frame (LAME's extension of Xing's header) carries the count of frames, the encoder's delay and the
padding, so that decoders cut both and the decoded length is exact to the sample. Sources: ISO 11172-3 2.4.1.3
(frame header), the LAME tag specification, rev. 1 (http://gabriel.mp3-tech.org/mp3infotag.html).
"""

from __future__ import annotations

import struct
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBPS: Final = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# LAME's delay and the decoder's own, in samples; a decoder cuts both.
ENCODER_DELAY: Final = 576
DECODER_DELAY: Final = 529


class Frame(NamedTuple):
    """A frame: its place and bytes in the file, the samples it decodes to, and its rate and channels."""

    offset: int
    size: int
    samples: int
    rate: int
    channels: int
    side: int


def read_frame(data: bytes, offset: int) -> Frame | None:
    """The layer III frame at `offset`, whole or not, or None where there is none."""
    header = data[offset : offset + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, kbps, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or kbps in (0, 15) or rate == 3:
        return None
    first = version == 3
    hertz = _RATES[version][rate]
    size = (144 if first else 72) * _KBPS[first][kbps] * 1000 // hertz + (header[2] >> 1 & 1)
    mono = header[3] >> 6 == 3
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return Frame(offset, size, 1152 if first else 576, hertz, 1 if mono else 2, side)


@cache
def _size(version_and_rate: int) -> int:
    """Bytes of the frame whose header has these second and third bytes; 0 for what is no header."""
    frame = read_frame(bytes((0xFF, version_and_rate >> 8, version_and_rate & 0xFF, 0)), 0)
    return frame.size if frame is not None else 0


def spans(data: bytes, start: int, end: int) -> list[int]:
    """Where each frame begins, and where the last one ends; from a frame at `start` on. Raises AudioError.

    Less than a header at the end is no frame.
    """
    offsets, offset = [start], start
    while offset + 4 <= end:
        size = _size(data[offset + 1] << 8 | data[offset + 2])
        if not size or data[offset] != 0xFF:
            raise AudioError(f"no mp3 frame at byte {offset}")
        offset += size
        offsets.append(offset)
    return offsets


def synchsafe(data: bytes) -> int:
    """A number of 7 bits a byte, as ID3v2.4 writes sizes."""
    number = 0
    for byte in data:
        number = number << 7 | byte
    return number


def walk(data: bytes) -> Iterator[Frame]:
    """All frames behind an ID3v2 tag, up to the end or an ID3v1 or APE tag. Raises AudioError where they break off."""
    offset = 0
    if data[:3] == b"ID3" and len(data) > 10:
        offset = 10 + synchsafe(data[6:10]) + (10 if data[5] & 0x10 else 0)
    while offset < len(data) and data[offset : offset + 3] != b"TAG" and data[offset : offset + 8] != b"APETAGEX":
        frame = read_frame(data, offset)
        if frame is None:
            if not data[offset:].strip(b"\0"):
                return
            raise AudioError(f"no mp3 frame at byte {offset}")
        if offset + frame.size > len(data):
            raise AudioError(f"the last mp3 frame is cut: {len(data) - offset} of {frame.size} bytes")
        yield frame
        offset += frame.size


def stands_alone(data: bytes, offset: int) -> bool:
    """Whether the frame at `offset` needs no bits of those before it (main_data_begin, ISO 11172-3 2.4.1.7)."""
    has_crc = not data[offset + 1] & 1
    at = offset + 4 + 2 * has_crc
    is_first = data[offset + 1] >> 3 & 3 == 3
    return data[at] == 0 and not (is_first and data[at + 1] & 0x80)


def is_info(data: bytes, first: Frame) -> bool:
    """Whether the first frame holds a Xing or Info header, and no sound."""
    return data[first.offset + 4 + first.side :][:4] in (b"Xing", b"Info")


def gapless(data: bytes, first: Frame) -> tuple[int, int] | None:
    """(delay, padding) in samples, as the LAME tag in the first frame says it; None where there is none."""
    at = first.offset + 4 + first.side
    if not is_info(data, first):
        return None
    flags = int.from_bytes(data[at + 4 : at + 8], "big")
    tag = at + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    if not data[tag : tag + 1].isalpha():
        return None
    both = int.from_bytes(data[tag + 21 : tag + 24], "big")
    return both >> 12, both & 0xFFF


def declared_frames(data: bytes, first: Frame) -> int | None:
    """How many frames a Xing or Info header in the first frame promises behind itself, or None."""
    at = first.offset + 4 + first.side
    if data[at : at + 4] not in (b"Xing", b"Info"):
        return None
    flags, frames = struct.unpack(">II", data[at + 4 : at + 12])
    return frames if flags & 1 else None


def frame_samples(rate: int) -> int:
    """Samples of a layer III frame: 1152, or 576 at the low rates of MPEG-2."""
    return 1152 if rate >= 32000 else 576


def seek_table(marks: Sequence[tuple[int, int]]) -> bytes:
    """Where in the file each hundredth of its time is, in 256ths; `marks` are (frames, bytes) up to the whole."""
    frames, size = (max(value, 1) for value in marks[-1])
    table, step = bytearray(), 0
    for (before, start), (after, end) in pairwise([(0, 0), *marks]):
        while step < 100 and step * frames < after * 100:
            place = start + (end - start) * (step * frames / 100 - before) / max(after - before, 1)
            table.append(min(255, int(place * 256 / size)))
            step += 1
    return bytes(table).ljust(100, b"\xff")


def info_frame(
    head: bytes, first: Frame, size: int, frames: int, data: int, padding: int, bitrate: int,
    table: bytes | None = None,
    *, is_constant: bool = True,
) -> bytes:  # fmt: skip
    """An Info frame of `size` bytes for `frames` frames of `data` bytes, the last padded by `padding` samples.

    `table` is a seek table, which a bitrate that is not constant needs; the frame is called Xing then.
    """
    header = bytes((head[0], head[1], head[2] & 0xFD, head[3]))
    places = table or bytes(step * 256 // 100 for step in range(100))
    tag = (
        (b"Info" if is_constant else b"Xing")
        + struct.pack(">III", 0xF, frames, data + size)
        + places
        + struct.pack(">I", 50)
    )
    lame = (
        b"LAME3.100" + bytes((int(is_constant), 0)) + bytes(4) + bytes(4)  # CBR, lowpass and gains not said
        + bytes((0, min(bitrate, 255)))
        + (ENCODER_DELAY << 12 | padding).to_bytes(3, "big")
        + bytes(4) + struct.pack(">I", data + size) + bytes(2)
    )  # fmt: skip
    whole = header + bytes(first.side) + tag + lame
    return (whole + struct.pack(">H", _crc16(whole))).ljust(size, b"\0")


def _crc16(data: bytes) -> int:
    """CRC-16 as the LAME tag uses it (polynomial 0x8005, reflected, from 0)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
