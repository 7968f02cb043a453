"""How long and how loud a clip is: its speech, without the silence around it."""

from __future__ import annotations

from typing import Final

from fishpipe.audio.carrier import samples
from fishpipe.audio.decode import decode_clip
from fishpipe.audio.edit import find_cut
from fishpipe.audio.loudness import decibels, integrated, profile
from fishpipe.ports import Level

_SILENT: Final = -70.0


def measure(data: bytes, kind: str, sample_rate: int) -> Level:
    """A clip's bytes, as `decode_clip` takes them. Raises AudioError."""
    sound = decode_clip(data, kind, sample_rate)
    cut = find_cut(sound, "auto", None, None)
    found = profile([samples(sound)[cut.start : cut.end]], sound.frame_rate)
    lufs = max(integrated(found), _SILENT)
    return Level(seconds=float(sound.duration_seconds), lufs=lufs, peak=decibels(found.highest))
