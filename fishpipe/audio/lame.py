"""MP3 by LAME: one encode of a whole output, or of a unit that is joined with others by its bytes.

A fresh encoder needs nothing of what came before (its bit reservoir is empty), and what it carries over at the end
of a unit is silence: the first frames of each unit one after the other, with silent frames between, decode like one
encode.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, BinaryIO, Final

import lameenc
from msgspec import Struct

from fishpipe.audio.mixing import silence
from fishpipe.audio.mp3 import DECODER_DELAY, ENCODER_DELAY, frame_samples, info_frame, read_frame, seek_table
from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fishpipe.audio.carrier import Kind
    from fishpipe.audio.score import Unit

# LAME's own choice for a constant bitrate: half the time of 2, and no less like the original.
_QUALITY: Final = 3
_LAMEENC: Final = version("lameenc")
# Samples by which a decoder's output comes late (the LAME tag specification).
CARRIED: Final = ENCODER_DELAY + DECODER_DELAY
# LAME makes all softer at a constant bitrate, by a factor that falls with it (measured, lame 3.100).
_SCALES: Final = ((160, 0.95), (192, 0.97), (224, 0.98))


class Encoding(Struct, frozen=True, kw_only=True):
    """How an output is encoded: samples a second, channels, kbit/s, and LAME's quality (0 the slowest, to 9)."""

    rate: int
    channels: int
    bitrate: int
    quality: int = _QUALITY

    @property
    def grid(self) -> int:
        """Samples of a frame."""
        return frame_samples(self.rate)

    @property
    def scale(self) -> float:
        """The factor by which the encoder makes all softer."""
        return next((scale for most, scale in _SCALES if self.bitrate <= most), 1.0)

    @property
    def key(self) -> list[object]:
        """As part of the identity of what is encoded by it."""
        return ["lameenc", _LAMEENC, self.quality, self.rate, self.channels, self.bitrate]

    @property
    def frame_bytes(self) -> int:
        """Of a frame without padding."""
        return (144 if self.grid == 1152 else 72) * self.bitrate * 1000 // self.rate

    def encoder(self) -> lameenc.Encoder:
        """A fresh one."""
        encoder = lameenc.Encoder()
        encoder.silence()
        encoder.set_bit_rate(self.bitrate)
        encoder.set_in_sample_rate(self.rate)
        encoder.set_out_sample_rate(self.rate)
        encoder.set_channels(self.channels)
        encoder.set_quality(self.quality)
        return encoder

    def frames(self, samples: int, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The frames of so many 16-bit samples, a whole number of frames; the last ones of them are silent."""
        held, wanted, size = b"", samples // self.grid, self.frame_bytes
        for data in self._encoded(self.encoder(), blocks):
            held += data
            offset, length = 0, len(held)
            # All headers are alike but for the padding bit.
            while wanted and offset + size <= length:
                end = offset + size + (held[offset + 2] >> 1 & 1)
                if end > length:
                    break
                offset, wanted = end, wanted - 1
            yield held[:offset]
            held = held[offset:]
        if wanted:
            raise AudioError("the mp3 encoder made too few frames")

    @staticmethod
    def _encoded(encoder: lameenc.Encoder, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            if block:
                yield bytes(encoder.encode(block))
        yield bytes(encoder.flush())

    def silent_frame(self) -> bytes:
        """A frame of silence that depends on no other."""
        return b"".join(self.frames(self.grid, silence(4 * self.grid, self.channels)))


class FrameWriter:
    """Joins units by their frames in `file`, at its end, behind an Info frame of our own; `silent` is a frame.

    With frames of other encoders the bitrate is not `is_constant`.
    """

    def __init__(self, file: BinaryIO, encoding: Encoding, *, is_constant: bool = True) -> None:
        self._file, self._encoding, self._is_constant = file, encoding, is_constant
        self._info_at = file.tell()
        self.silent = encoding.silent_frame()
        self._marks: list[tuple[int, int]] = []
        self._frames = self._bytes = 0
        file.write(bytes(encoding.frame_bytes))

    def add(self, unit: Unit, pieces: Iterable[bytes]) -> None:
        """A unit's frames at its place, and silence before it."""
        grid = self._encoding.grid
        self._silence(unit.start // grid)
        for piece in pieces:
            self._bytes += self._file.write(piece)
        self._frames = unit.end // grid
        self._marks.append((self._frames, self._bytes))

    def close(self, length: int) -> None:
        """Silence up to the end, so that `length` samples are decoded, and the Info frame."""
        grid = self._encoding.grid
        self._silence(-(-max(self._frames * grid, length + CARRIED) // grid))
        first = read_frame(self.silent, 0)
        if first is None:
            raise AudioError("the mp3 encoder made no frame")
        padding = self._frames * grid - ENCODER_DELAY - length
        table = seek_table([*self._marks, (self._frames, self._bytes)])
        self._file.seek(self._info_at)
        size = self._encoding.frame_bytes
        bitrate, constant = self._encoding.bitrate, self._is_constant
        whole = (self._frames, self._bytes, padding, bitrate, table)
        self._file.write(info_frame(self.silent, first, size, *whole, is_constant=constant))
        self._file.seek(0, 2)

    def _silence(self, frames: int) -> None:
        missing = frames - self._frames
        while missing > 0:
            self._bytes += self._file.write(self.silent * min(missing, 4096))
            missing -= 4096
        self._frames = max(self._frames, frames)


class Mp3Writer:
    """Encodes 16-bit samples in one go into `file`, at its end; `close` fills the Info frame in."""

    kind: Kind = "s16"

    def __init__(self, file: BinaryIO, rate: int, channels: int, bitrate: int, quality: int = _QUALITY) -> None:
        self._file = file
        self._encoding = Encoding(rate=rate, channels=channels, bitrate=bitrate, quality=quality)
        self._encoder = self._encoding.encoder()
        self._info_at = file.tell()
        self._head = b""
        self._samples = self._bytes = 0
        file.write(bytes(self._encoding.frame_bytes))

    def write(self, data: bytes) -> None:
        """Encode interleaved 16-bit samples."""
        if data:
            self._samples += len(data) // (2 * self._encoding.channels)
            self._put(bytes(self._encoder.encode(data)))

    def close(self) -> None:
        """Flush the encoder and fill in the Info frame; at least one sample was written."""
        self._put(bytes(self._encoder.flush()))
        end = self._file.tell()
        self._file.seek(self._info_at)
        self._file.write(self._info())
        self._file.seek(end)

    def _put(self, data: bytes) -> None:
        if len(self._head) < 4:
            self._head += data[:4]
        self._bytes += len(data)
        self._file.write(data)

    def _info(self) -> bytes:
        first = read_frame(self._head, 0)
        if first is None:
            raise AudioError("the mp3 encoder made no frame")
        encoding = self._encoding
        # Padding bytes make the average exact.
        count = round(self._bytes * encoding.rate / ((144 if encoding.grid == 1152 else 72) * encoding.bitrate * 1000))
        padding = min(count * encoding.grid - ENCODER_DELAY - self._samples, 4095)
        size = encoding.frame_bytes
        return info_frame(self._head, first, size, count, self._bytes, padding, encoding.bitrate)
