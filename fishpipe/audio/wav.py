"""WAV, streamed: a header that is filled in at the end, with the tags in a LIST INFO chunk.

Above 4 GiB it becomes RF64 (EBU Tech 3306): a JUNK chunk keeps the place of the sizes of 64 bits.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO, Final

from fishpipe.audio.carrier import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fishpipe.audio.carrier import Kind

_LARGEST: Final = 0xFFFF_FFFF
_INFO: Final = {"title": b"INAM", "artist": b"IART", "album": b"IPRD", "language": b"ILNG"}


class WavWriter:
    """Writes PCM of 16 or 24 bits into `file`; `close` fills in the sizes. `largest` is what a plain WAV may hold."""

    def __init__(
        self, file: BinaryIO, rate: int, channels: int, tags: Mapping[str, str], bits: int = 16, largest: int = _LARGEST
    ) -> None:
        self._file, self._largest = file, largest
        self.kind: Kind = "s16" if bits == 16 else "s24"
        self._size = 0
        self._frame = channels * WIDTHS[self.kind]
        shape = struct.pack("<HHIIHH", 1, channels, rate, rate * self._frame, self._frame, bits)
        body = b"WAVE" + _chunk(b"JUNK", bytes(28)) + _chunk(b"fmt ", shape)
        info = b"".join(_chunk(name, tags[key].encode() + b"\0") for key, name in _INFO.items() if key in tags)
        if info:
            body += _chunk(b"LIST", b"INFO" + info)
        self._header = len(body) + 8
        file.write(b"RIFF" + bytes(4) + body + b"data" + bytes(4))

    def write(self, data: bytes) -> None:
        """Append interleaved samples."""
        self._size += len(data)
        self._file.write(data)

    def close(self) -> None:
        """Fill in the sizes."""
        self._file.write(bytes(self._size % 2))
        whole = self._header + self._size + self._size % 2
        if whole > self._largest:
            sizes = struct.pack("<QQQI", whole, self._size, self._size // self._frame, 0)
            self._patch(0, b"RF64" + struct.pack("<I", _LARGEST))
            self._patch(12, b"ds64" + struct.pack("<I", len(sizes)) + sizes)
            self._patch(self._header + 4, struct.pack("<I", _LARGEST))
        else:
            self._patch(4, struct.pack("<I", whole))
            self._patch(self._header + 4, struct.pack("<I", self._size))
        self._file.seek(0, 2)

    def _patch(self, offset: int, data: bytes) -> None:
        self._file.seek(offset)
        self._file.write(data)


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
