"""The settings of an output: what goes with which kind of file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from fishpipe.manifest.model import FileFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fishpipe.errors import Span
    from fishpipe.manifest.nodes import Scalar

    Say = Callable[[Span, str, str], None]

_PLAIN: Final = ("channels", "sample_rate", "bits", "exact")
# kbit/s: those that an encoder takes, and the usual one.
_BITRATES: Final = {"mp3": (64, 320, 128), "opus": (16, 320, 64), "m4a": (32, 320, 128), "m4b": (32, 320, 64)}
_MP3_CEILING: Final = {16000: 160, 22050: 160, 24000: 160}
_LOSSLESS: Final = ("wav", "flac")
_OPUS_RATE: Final = 48000


def endings() -> str:
    """The suffixes that an output may have, for messages."""
    *most, last = (f".{suffix}" for suffix in get_args(FileFormat))
    return f"{', '.join(most)} or {last}"


def output_settings(parts: Mapping[str, Scalar], suffix: str, say: Say) -> dict[str, Any]:
    """The fields of an Output that its settings and its suffix decide; what does not go together is told."""
    values: dict[str, Any] = {name: parts[name].value for name in _PLAIN if name in parts}
    if suffix == "opus" and values.setdefault("sample_rate", _OPUS_RATE) != _OPUS_RATE:
        say(parts["sample_rate"].span, "opus knows one sample_rate, 48000", "remove it")
    if suffix not in _LOSSLESS and "bits" in parts:
        say(parts["bits"].span, f"bits goes with .wav and .flac; this output is .{suffix}", "remove it")
    if suffix != "mp3" and "exact" in parts:
        say(parts["exact"].span, f"exact goes with .mp3; a .{suffix} is exact to the sample as it is", "remove it")
    values["bitrate"] = _bitrate(parts.get("bitrate"), suffix, values.get("sample_rate", 44100), say)
    return values


def _bitrate(node: Scalar | None, suffix: str, rate: int, say: Say) -> int:
    if suffix in _LOSSLESS:
        if node is not None:
            say(node.span, f"bitrate goes with lossy formats; this output is .{suffix}", "remove it")
        return 0
    least, most, usual = _BITRATES[suffix]
    if node is None:
        return usual
    value = int(str(node.value).removesuffix("k"))
    ceiling = _MP3_CEILING.get(rate, most) if suffix == "mp3" else most
    if value > ceiling or (ceiling == 160 and value == 192):
        say(node.span, f"an {suffix} of {rate} Hz carries at most {ceiling}k", f"write {ceiling}k")
    elif value < least:
        say(node.span, f"bitrate is {value}k; a .{suffix} takes {least}k to {most}k", "")
    return value
