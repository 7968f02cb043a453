"""WAV, streamed: a RIFF header that is filled in at the end, with the tags in a LIST INFO chunk."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO, Final

from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST: Final = 0xFFFF_FFFF
_INFO: Final = {"title": b"INAM", "artist": b"IART", "album": b"IPRD", "language": b"ILNG"}


class WavWriter:
    """Writes 16-bit PCM into `file`; `close` fills in the sizes."""

    def __init__(self, file: BinaryIO, rate: int, channels: int, tags: Mapping[str, str]) -> None:
        self._file = file
        self._size = 0
        frame = channels * 2
        body = b"WAVE" + _chunk(b"fmt ", struct.pack("<HHIIHH", 1, channels, rate, rate * frame, frame, 16))
        info = b"".join(_chunk(name, tags[key].encode() + b"\0") for key, name in _INFO.items() if key in tags)
        if info:
            body += _chunk(b"LIST", b"INFO" + info)
        self._header = len(body) + 8
        file.write(b"RIFF" + bytes(4) + body + b"data" + bytes(4))

    def write(self, data: bytes) -> None:
        """Append interleaved 16-bit samples. Raises AudioError past 4 GiB."""
        self._size += len(data)
        if self._size + self._header > _LARGEST:
            raise AudioError("a wav of more than 4 GiB cannot be written; make an mp3, or split the script")
        self._file.write(data)

    def close(self) -> None:
        """Fill in the sizes."""
        end = self._file.tell()
        self._file.seek(4)
        self._file.write(struct.pack("<I", self._header + self._size))
        self._file.seek(self._header + 4)
        self._file.write(struct.pack("<I", self._size))
        self._file.seek(end)


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
