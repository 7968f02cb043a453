"""Is a download the clip that was asked for? Whole, of its format, sounding, and of a plausible length."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from fishpipe.audio.carrier import samples
from fishpipe.audio.decode import decode_clip
from fishpipe.audio.mp3 import declared_frames, read_frame, walk
from fishpipe.errors import AudioError, ImplausibleAudio

if TYPE_CHECKING:
    from pathlib import Path

    from fishpipe.graph.steps import ClipStep

SILENCE_DBFS: Final = -60.0
# Seconds a character: the fastest and the slowest speech believed, at speed 1; and seconds always allowed.
FASTEST: Final = 0.015
SLOWEST: Final = 0.8
ALWAYS: Final = 4.0
_CUES: Final = re.compile(r"\[[^\]]*\]|\([^)]*\)|<\|[^|]*\|>")
_FOREIGN: Final = (b"RIFF", b"ID3", b"OggS", b"fLaC")


class ClipInspector:
    """The runner's Inspector."""

    def inspect(self, part: Path, step: ClipStep) -> float:
        """Seconds of sound. Raises AudioError, or ImplausibleAudio where only the length is wrong."""
        data = part.read_bytes()
        if step.format == "pcm" and _is_foreign(data):
            raise AudioError(f"expected pcm, found bytes that begin with {data[:8]!r}")
        if step.format == "mp3":
            _check_frames(data)
        sound = decode_clip(data, step.format, step.sample_rate)
        peak = int(np.abs(samples(sound).astype(np.int32)).max())
        if peak <= 32768 * 10 ** (SILENCE_DBFS / 20):
            raise AudioError("the audio is silent")
        seconds: float = sound.duration_seconds
        _check_length(seconds, step)
        return seconds


def _is_foreign(data: bytes) -> bool:
    """Whether bytes are another format's, or a text's, and so no PCM."""
    first = read_frame(data, 0)
    if first is not None and read_frame(data, first.size) is not None:
        return True
    head = data[:200].lstrip()
    words = head.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return data.startswith(_FOREIGN) or (head[:1] in (b"<", b"{", b"[") and words)


def _check_frames(data: bytes) -> None:
    frames = list(walk(data))
    if not frames:
        raise AudioError(f"expected an mp3, found bytes that begin with {data[:8]!r}")
    kinds = {(frame.rate, frame.channels) for frame in frames}
    if len(kinds) > 1:
        shown = " and ".join(f"{rate} Hz {'stereo' if channels == 2 else 'mono'}" for rate, channels in sorted(kinds))
        raise AudioError(f"the mp3 changes within itself: {shown}")
    promised = declared_frames(data, frames[0])
    if promised is not None and promised != len(frames) - 1:
        raise AudioError(f"the mp3 promises {promised} frames and has {len(frames) - 1}")


def _check_length(seconds: float, step: ClipStep) -> None:
    characters = len(_CUES.sub("", step.text).strip())
    least, most = characters * FASTEST / step.speed, ALWAYS + characters * SLOWEST / step.speed
    if not least <= seconds <= max(most, 60.0):
        raise ImplausibleAudio(f"{seconds:.2f} s for {characters} characters is not plausible", seconds)
