"""The settings of an output: what goes with which kind of file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from msgspec import Struct
from msgspec.structs import replace

from fishpipe.manifest import nodes
from fishpipe.manifest.model import Asset, ChapterPart, FileFormat, Inclusion, Loudness, Micros, Output, Segment, Speech
from fishpipe.manifest.nodes import Late, Listing, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fishpipe.manifest.cascade import Say

_PLAIN: Final = ("channels", "sample_rate", "bits", "exact", "mode")
# kbit/s: those that an encoder takes, and the usual one.
_BITRATES: Final = {"mp3": (64, 320, 128), "opus": (16, 320, 64), "m4a": (32, 320, 128), "m4b": (32, 320, 64)}
_MP3_CEILING: Final = {16000: 160, 22050: 160, 24000: 160}
_LOSSLESS: Final = ("wav", "flac")
# Apple's and Spotify's guidelines for podcasts, EBU R 128, and the ACX Audio Submission Requirements.
PRESETS: Final = {
    "podcast": Loudness(preset="podcast", target=-16.0, mono=-19.0),
    "spotify": Loudness(preset="spotify", target=-14.0),
    "ebu": Loudness(preset="ebu", target=-23.0),
    "acx": Loudness(preset="acx", target=-20.0, measure="rms", true_peak=-3.0),
}
_ACX_HEAD, _ACX_TAIL = Micros(750_000), Micros(2_000_000)
_OPUS_RATE: Final = 48000


def endings() -> str:
    """The suffixes that an output may have, for messages."""
    *most, last = (f".{suffix}" for suffix in get_args(FileFormat))
    return f"{', '.join(most)} or {last}"


class Files(Struct, frozen=True):
    """Reads the files to make; `root` is the manifest's folder, `folders` those of the files that name paths."""

    root: Path
    folders: Mapping[str, Path]
    say: Say

    def outputs(self, node: nodes.Mapping) -> Iterable[Output]:
        """The outputs of a script's node; one that is split has the template of its path until then."""
        one, many = node.get("output"), node.get("outputs")
        for item in [one] if one is not None else many.items if isinstance(many, Listing) else ():
            parts = {"path": item} if isinstance(item, Scalar) else {}
            if isinstance(item, nodes.Mapping):
                parts = {raw: value for raw, _, value in item if isinstance(value, Scalar)}
            if (path := parts.get("path")) is None:
                continue
            output = self.output(path, parts)
            if output is not None:
                yield output

    def output(self, path: Scalar, parts: Mapping[str, Scalar]) -> Output | None:
        """One file at a path, with its settings."""
        shown = str(path.value)
        late = path if isinstance(path, Late) else None
        suffix = shown.rpartition(".")[2].lower()
        if suffix not in get_args(FileFormat):
            self.say(path.span, f'path is "{shown[:60]}"; expected a path that ends in {endings()}', "")
            return None
        values = output_settings(parts, suffix, self.say)
        whole = self.folders[path.span.file] / shown
        values |= {"format": suffix, "name": self._name(whole), "late": late}
        return Output(path=whole, shown=shown, span=path.span, **values)

    def at(self, output: Output, shown: str, chapter: ChapterPart) -> Output:
        """An output that is split, as the file of one chapter."""
        path = self.folders[output.span.file] / shown
        return replace(output, path=path, shown=shown, name=self._name(path), chapter=chapter, late=None)

    def with_exports(self, node: nodes.Node | None, script: str, segments: Sequence[Segment]) -> Iterable[Segment]:
        """The segments of a script, each spoken line with a file of its own where `clips` asks for one."""
        if not isinstance(node, Scalar):
            return segments
        lines: dict[str, int] = {}
        made = []
        for segment in segments:
            number = lines.setdefault(segment.line, len(lines) + 1)
            is_first = segment.address in (segment.line, f"{segment.line}.1")
            wanted = is_first and not isinstance(segment.body, Inclusion | Asset)
            made.append(replace(segment, export=self._export(node, script, number, segment)) if wanted else segment)
        return made

    def _export(self, node: Scalar, script: str, number: int, segment: Segment) -> Output | None:
        """The file of a spoken line alone."""
        if not isinstance(segment.body, Speech):
            return None
        pattern, label = str(node.value), segment.line.partition("/")[2]
        voice = "+".join(voice.name for voice in segment.body.voices) or "default"
        names = {"id": label, "number": f"{number:04d}", "script": script, "voice": voice}
        unknown = [name for name in re.findall(r"\{(\w*)\}", pattern) if name not in names]
        suffix = pattern.rpartition(".")[2].lower()
        if unknown or suffix not in get_args(FileFormat):
            what = f"{{{unknown[0]}}}" if unknown else pattern[:60]
            self.say(node.span, f"clips has {what}", f"in braces: id, number, script, voice; it ends in {endings()}")
            return None
        shown = re.sub(r"\{(\w+)\}", lambda match: names[match[1]], pattern)
        path = self.folders[node.span.file] / shown
        values = {**output_settings({}, suffix, self.say), "bitrate": 192, "format": suffix}
        return Output(path=path, shown=shown, name=self._name(path), span=segment.span, pattern=pattern, **values)

    def _name(self, path: Path) -> str:
        """A path as the lock has it: from the manifest's folder."""
        return Path(os.path.relpath(path, self.root)).as_posix()


def output_settings(parts: Mapping[str, Scalar], suffix: str, say: Say) -> dict[str, Any]:
    """The fields of an Output that its settings and its suffix decide; what does not go together is told."""
    values: dict[str, Any] = {name: parts[name].value for name in _PLAIN if name in parts}
    if suffix == "opus" and values.setdefault("sample_rate", _OPUS_RATE) != _OPUS_RATE:
        say(parts["sample_rate"].span, "opus knows one sample_rate, 48000", "remove it")
    if suffix not in _LOSSLESS and "bits" in parts:
        say(parts["bits"].span, f"bits goes with .wav and .flac; this output is .{suffix}", "remove it")
    if suffix != "mp3" and "exact" in parts:
        say(parts["exact"].span, f"exact goes with .mp3; a .{suffix} is exact to the sample as it is", "remove it")
    copies = values.get("mode") == "copy"
    if copies and suffix != "mp3":
        say(parts["mode"].span, f"mode: copy goes with .mp3; this output is .{suffix}", "remove it")
    for name in ("loudness", "level", "exact") if copies else ():
        if name in parts:
            say(parts[name].span, f"{name} changes samples, and mode: copy leaves them alone", "keep one of them")
    values["bitrate"] = _bitrate(parts.get("bitrate"), suffix, values.get("sample_rate", 44100), say)
    if loudness := _loudness(parts, say):
        values["loudness"] = loudness
        if loudness.preset == "acx":
            values |= _acx(parts, values, suffix, say)
    return values


def _loudness(parts: Mapping[str, Scalar], say: Say) -> Loudness | None:
    wanted, peak = parts.get("loudness"), parts.get("true_peak")
    by_voice = "level" in parts
    if wanted is None:
        if peak is not None:
            say(peak.span, "true_peak goes with loudness", "add loudness: podcast, or a number in LUFS")
        return Loudness(by_voice=True) if by_voice else None
    value = wanted.value
    made = PRESETS[value] if isinstance(value, str) else Loudness(target=float(value or 0))
    if peak is not None:
        made = replace(made, true_peak=float(str(peak.value)))
    return replace(made, by_voice=by_voice)


def _acx(parts: Mapping[str, Scalar], values: Mapping[str, Any], suffix: str, say: Say) -> dict[str, Any]:
    """What ACX asks for beyond the level: the kind of file, and quiet at both ends."""
    if suffix != "mp3":
        say(parts["path"].span, f"loudness: acx makes an .mp3; this output is .{suffix}", "")
    for name, only in (("sample_rate", 44100), ("bitrate", 192)):
        if name in parts and values[name] != only:
            say(parts[name].span, f"ACX takes {name} {only}{'k' if name == 'bitrate' else ''} alone", "remove it")
    return {"bitrate": 192, "head": _ACX_HEAD, "tail": _ACX_TAIL}


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
    if value > ceiling:
        say(node.span, f"an {suffix} of {rate} Hz carries at most {ceiling}k", f"write {ceiling}k")
    elif value < least:
        say(node.span, f"bitrate is {value}k; a .{suffix} takes {least}k to {most}k", "")
    return value
