"""Files → AudioSegments at their own rate and channels, in process (miniaudio); raw PCM by the rate it was asked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import miniaudio
import numpy as np

from fishpipe.audio.carrier import AudioSegment, quantised, segment
from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_READ: Final = "mp3, wav, flac, ogg, opus, m4a"


def decode_clip(data: bytes, kind: str, sample_rate: int, *, wide: bool = False) -> AudioSegment:
    """A clip's bytes: `kind` mp3, or pcm (signed 16-bit little-endian mono at `sample_rate`). Raises AudioError.

    `wide` decodes an mp3 to 32 bits.
    """
    if kind == "pcm":
        if not data or len(data) % 2:
            raise AudioError(f"{len(data)} bytes are not whole 16-bit samples")
        return segment(data, sample_rate, 1)
    try:
        sound = miniaudio.mp3_read_f32(data) if wide else miniaudio.mp3_read_s16(data)
    except miniaudio.DecodeError as error:
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
        info = _info(path)
        channels, rate = (info.nchannels, info.sample_rate) if info else _probed(path)
        if info is None:
            return _by_ffmpeg(path, rate, min(channels, 2), 4 if wide else 2)
        whole = path.read_bytes() if data is None else data
        sound = miniaudio.decode(whole, kind, nchannels=min(channels, 2), sample_rate=rate)
    except (miniaudio.MiniaudioError, OSError) as error:
        raise AudioError(f"{path}: {error}") from error
    if not sound.num_frames:
        raise AudioError(f"{path} holds no sound")
    return segment(sound.samples.tobytes(), sound.sample_rate, sound.nchannels, 4 if wide else 2)


def duration(path: Path) -> float:
    """Seconds of an audio file, by its header. Raises AudioError."""
    info = _info(path)
    if info is not None:
        return float(info.duration)
    import av

    try:
        with av.open(str(path)) as container:
            return float((container.duration or 0) / av.time_base)
    except av.error.FFmpegError as error:
        raise AudioError(f"not an audio file that can be read: {error.strerror}") from error


def _info(path: Path) -> miniaudio.SoundFileInfo | None:
    """What miniaudio says of a file; None where it does not read it."""
    try:
        info = miniaudio.get_file_info(str(path))
    except (miniaudio.MiniaudioError, OSError, ValueError):
        return None
    return info if info.sample_rate and info.nchannels else None


def _by_ffmpeg(path: Path, rate: int, channels: int, width: int) -> AudioSegment:
    from fishpipe.audio.listen import listen

    blocks = list(listen(path, rate, channels))
    if not blocks:
        raise AudioError(f"{path} holds no sound")
    whole = np.concatenate(blocks)
    if width == 4:
        return segment(_wide(whole.reshape(-1)), rate, channels, 4)
    return segment(quantised(whole), rate, channels)


def header(path: Path) -> tuple[int, int]:
    """(channels, samples a second) of an audio file. Raises AudioError."""
    info = _info(path)
    return (info.nchannels, info.sample_rate) if info else _probed(path)


def _probed(path: Path) -> tuple[int, int]:
    """The same, by ffmpeg."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            return stream.channels, stream.rate
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise AudioError(f"not an audio file that can be read ({_READ})") from error
