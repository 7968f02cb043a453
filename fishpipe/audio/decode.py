"""Files → AudioSegments at their own rate and channels, in process (miniaudio); raw PCM by the rate it was asked at."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import miniaudio
import numpy as np

from fishpipe.audio.carrier import AudioSegment, quantised, segment
from fishpipe.audio.listen import listen
from fishpipe.audio.mp3 import walk
from fishpipe.audio.reading import check_length, check_shape, kind_of_sound, opened
from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What a decoder says to bytes that are none of its own, and to sizes and lengths that are none.
_REFUSALS: Final = (
    *(miniaudio.MiniaudioError, ValueError, ArithmeticError, LookupError, TypeError, MemoryError, RuntimeError),
)
# Seconds of a clip: the longest text that any call takes is over before.
LONGEST_CLIP: Final = 4 * 3600.0
# Fewer bytes than these do not decode to more than some hundred megabytes, whatever they say.
_LARGE: Final = 16 << 20


def decode_clip(data: bytes, kind: str, sample_rate: int, *, wide: bool = False) -> AudioSegment:
    """A clip's bytes: `kind` mp3, or pcm (signed 16-bit little-endian mono at `sample_rate`). Raises AudioError.

    `wide` decodes an mp3 to 32 bits.
    """
    if kind == "pcm":
        if not data or len(data) % 2:
            raise AudioError(f"{len(data)} bytes are not whole 16-bit samples")
        return segment(data, sample_rate, 1)
    _check_size(data)
    try:
        sound = miniaudio.mp3_read_f32(data) if wide else miniaudio.mp3_read_s16(data)
    except _REFUSALS as error:
        raise AudioError(f"not an mp3: {error}") from error
    if not sound.num_frames:
        raise AudioError("an mp3 without a single frame")
    if wide:
        return segment(_wide(sound.samples), sound.sample_rate, sound.nchannels, 4)
    return segment(sound.samples.tobytes(), sound.sample_rate, sound.nchannels)


def _wide(samples: Iterable[float]) -> bytes:
    whole = np.rint(np.asarray(samples, np.float64) * 2147483648)
    return np.clip(whole, -2147483648, 2147483647).astype("<i4").tobytes()


def decode_file(path: Path, data: bytes | None = None, *, wide: bool = False) -> AudioSegment:
    """An audio file of the project (its bytes, where they are known); more than two channels are mixed to two.

    What miniaudio does not read (m4a, opus, aiff …) is read by ffmpeg. Raises AudioError.
    """
    kind = miniaudio.SampleFormat.SIGNED32 if wide else miniaudio.SampleFormat.SIGNED16
    try:
        shape = _shape(path)
        if shape is None:
            channels, rate = _probed(path)
            return _by_ffmpeg(path, rate, min(channels, 2), 4 if wide else 2)
        channels, rate = shape
        whole = path.read_bytes() if data is None else data
        sound = miniaudio.decode(whole, kind, nchannels=min(channels, 2), sample_rate=rate)
    except (*_REFUSALS, OSError) as error:
        raise AudioError(f"{path}: {error}") from error
    if not sound.num_frames:
        raise AudioError(f"{path} holds no sound")
    return segment(sound.samples.tobytes(), sound.sample_rate, sound.nchannels, 4 if wide else 2)


def duration(path: Path) -> float:
    """Seconds of an audio file, by its header. Raises AudioError."""
    if _shape(path) is not None:
        with suppress(*_REFUSALS):
            return float(miniaudio.get_file_info(str(path)).duration)
    import av

    with opened(path) as (container, _):
        return float((container.duration or 0) / av.time_base)


def frames_of_file(path: Path) -> tuple[int, int, int]:
    """(channels, samples a second, frames) of an audio file, which is decoded from end to end. Raises AudioError."""
    shape = _shape(path)
    channels, rate = shape or _probed(path)
    frames, heard = 0, min(channels, 2)
    blocks: Iterable[int]
    if shape is None:
        blocks = (len(block) for block in listen(path, rate, heard))
    else:
        kind = miniaudio.SampleFormat.SIGNED16
        stream = miniaudio.stream_file(str(path), kind, nchannels=heard, sample_rate=rate, frames_to_read=1 << 16)
        blocks = (len(block) // heard for block in stream)
    try:
        for count in blocks:
            frames += count
            check_length(frames, channels, rate)
    except _REFUSALS as error:
        raise AudioError(f"not an audio file that can be read: {error}") from error
    if not frames:
        raise AudioError("a file without any sound")
    return channels, rate, frames


def _shape(path: Path) -> tuple[int, int] | None:
    """(channels, samples a second) of a file that miniaudio reads; None for any other. Raises AudioError."""
    kind_of_sound(path)
    try:
        info = miniaudio.get_file_info(str(path))
        shape = int(info.nchannels), int(info.sample_rate)
    except (*_REFUSALS, OSError):
        return None
    if not all(shape):
        return None
    check_shape(*shape)
    return shape


def _check_size(data: bytes) -> None:
    """Raise AudioError for an mp3 whose sound would be too long to hold."""
    seconds = 0.0
    for frame in walk(data) if len(data) > _LARGE else ():
        seconds += frame.samples / frame.rate
        if seconds > LONGEST_CLIP:
            raise AudioError(f"an mp3 of more than {LONGEST_CLIP / 3600:g} hours")


def _by_ffmpeg(path: Path, rate: int, channels: int, width: int) -> AudioSegment:
    blocks = list(listen(path, rate, channels))
    if not blocks:
        raise AudioError(f"{path} holds no sound")
    whole = np.concatenate(blocks)
    if width == 4:
        return segment(_wide(whole.reshape(-1)), rate, channels, 4)
    return segment(quantised(whole), rate, channels)


def header(path: Path) -> tuple[int, int]:
    """(channels, samples a second) of an audio file. Raises AudioError."""
    return _shape(path) or _probed(path)


def _probed(path: Path) -> tuple[int, int]:
    """The same, by ffmpeg."""
    with opened(path) as (_, stream):
        return stream.channels, stream.rate
