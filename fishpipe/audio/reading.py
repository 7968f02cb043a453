"""Audio files of others, opened: containers and codecs of a list, told by their first bytes and never by their names.

ffmpeg reads playlists, devices and addresses as readily as sound, and a file says itself which it is. So it is told
what a file is, is given its bytes alone, and its own guess is never asked for.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fishpipe.audio.mp3 import read_frame
from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import InputContainer

READ: Final = "mp3, wav, flac, ogg, opus, m4a"
# What a file's first bytes are, and ffmpeg's name of the container.
_KINDS: Final = (
    (re.compile(rb"(RIFF|RF64)....WAVE", re.DOTALL), "wav"),
    (re.compile(rb"fLaC"), "flac"),
    (re.compile(rb"OggS"), "ogg"),
    (re.compile(rb"FORM....AIF[FC]", re.DOTALL), "aiff"),
    (re.compile(rb"caff\x00\x01"), "caf"),
    (re.compile(rb"....ftyp", re.DOTALL), "mov"),
    (re.compile(rb"ID3|\xff[\xe2-\xe7\xea-\xef\xf2-\xf7\xfa-\xff]"), "mp3"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), "aac"),
)
_CODECS: Final = frozenset({"aac", "alac", "flac", "mp3", "mp3float", "opus", "libopus", "vorbis", "libvorbis"})
_PCM: Final = re.compile(r"pcm_\w+|adpcm_(ima_qt|ima_wav|ms)")
_HEAD: Final = 16
_SEARCHED: Final = 1 << 18
MOST_CHANNELS: Final = 16
RATES: Final = range(4_000, 384_001)
MOST_SECONDS: Final = 12 * 3600.0
# Bytes of a file, and of its sound as 16-bit samples of two channels at most.
MOST_BYTES: Final = 2 << 30
MOST_DECODED: Final = 4 << 30


def kind_of_sound(path: Path) -> str:
    """What an audio file is by its first bytes: wav, flac, ogg, aiff, caf, mov, mp3 or aac. Raises AudioError."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if path.stat().st_size > MOST_BYTES:
                raise AudioError(f"larger than {MOST_BYTES >> 30} GiB")
    except OSError as error:
        raise AudioError(f"not an audio file that can be read ({READ}): {error.strerror}") from error
    kind = next((name for pattern, name in _KINDS if pattern.match(head)), None) or _late_mp3(path)
    if kind is None:
        raise AudioError(f"not an audio file that can be read ({READ})")
    return kind


def _late_mp3(path: Path) -> str | None:
    """`mp3` for one that was cut anywhere, as recorders of streams do: its first frames stand behind something else."""
    if path.suffix.lower() != ".mp3":
        return None
    with path.open("rb") as file:
        data = file.read(_SEARCHED)
    at = data.find(0xFF)
    while at >= 0:
        first = read_frame(data, at)
        second = read_frame(data, at + first.size) if first is not None else None
        if second is not None and read_frame(data, second.offset + second.size) is not None:
            return "mp3"
        at = data.find(0xFF, at + 1)
    return None


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    """A file, and the sound in it, by ffmpeg. Raises AudioError, whatever goes wrong within the block."""
    import av

    kind = kind_of_sound(path)
    try:
        with path.open("rb") as file, av.open(file, "r", format=kind) as container:
            streams = container.streams.audio
            name = streams[0].codec_context.name if streams else ""
            if name not in _CODECS and not _PCM.fullmatch(name):
                raise AudioError(f"a file of {name or 'no sound'} in {kind}; what is read: {READ}")
            check_shape(streams[0].channels, streams[0].rate or 0)
            yield container, streams[0]
    except AudioError:
        raise
    except av.error.FFmpegError as error:
        raise AudioError(f"not an audio file that can be read: {error.strerror}") from error
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, MemoryError) as error:
        raise AudioError("not an audio file that can be read: its header makes no sense") from error


def check_shape(channels: int, rate: int) -> None:
    """Raise AudioError for a number of channels or samples a second that no sound has."""
    if not 1 <= channels <= MOST_CHANNELS:
        raise AudioError(f"a sound of {channels} channels; expected 1 to {MOST_CHANNELS}")
    if rate not in RATES:
        raise AudioError(f"a sound of {rate} Hz; expected {RATES.start} to {RATES.stop - 1}")


def check_length(frames: int, channels: int, rate: int) -> None:
    """Raise AudioError for a sound that is too long."""
    if frames > MOST_SECONDS * rate:
        raise AudioError(f"longer than {MOST_SECONDS / 3600:g} hours")
    if frames * min(channels, 2) * 2 > MOST_DECODED:
        raise AudioError(f"more than {MOST_DECODED >> 30} GiB of sound")
