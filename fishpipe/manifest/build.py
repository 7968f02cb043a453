"""Checked nodes → the model: the cascade is resolved here, and nowhere else.

Strongest first: segment, script `defaults`, voice, manifest `defaults`, the built-in ones.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from fishpipe.errors import Problem, Span, did_you_mean
from fishpipe.manifest import nodes
from fishpipe.manifest.model import (
    Asset,
    Budget,
    CreatedVoice,
    Edits,
    ExistingVoice,
    Inclusion,
    Manifest,
    Micros,
    OneShotVoice,
    Output,
    Pause,
    Prices,
    ProjectInfo,
    Provider,
    Reference,
    Script,
    Segment,
    Settings,
    Speech,
    Usd,
    Voice,
)
from fishpipe.manifest.nodes import Listing, Scalar, to_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_UNITS: Final = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000}
_LONGEST: Final = 24 * 3600 * 1_000_000
_SETTINGS: Final = tuple(field.name for field in fields(Settings) if field.name not in ("speed", "volume"))
_EDITS: Final = tuple(field.name for field in fields(Edits))
_TTS_ONLY: Final = frozenset(_SETTINGS) - {"api"} | {"speed", "volume"}
_BITRATE_CEILING: Final = {16000: 160, 22050: 160, 24000: 160}


@dataclass(frozen=True, slots=True)
class Layer:
    """One level of the cascade: each value with its place."""

    values: Mapping[str, tuple[Any, Span]]
    voice_dropped: bool = False

    @classmethod
    def of(cls, node: nodes.Node | None) -> Layer:
        """The settings, edits and voice that a map gives; prosody is spread, so that it merges key by key."""
        values: dict[str, tuple[Any, Span]] = {}
        for raw, _, value in node if isinstance(node, nodes.Mapping) else ():
            if raw == "prosody" and isinstance(value, nodes.Mapping):
                values |= {key: (to_data(item), item.span) for key, _, item in value}
            elif isinstance(value, Scalar) and (raw in _SETTINGS or raw in _EDITS or raw == "voice"):
                values[raw] = (value.value, value.span)
        return cls(values, isinstance(node, nodes.Mapping) and "voice" in node.dropped)


class Builder:
    """Builds one manifest from its merged sections; problems go to the list that it is given."""

    def __init__(
        self,
        path: Path,
        files: tuple[Path, ...],
        folders: Mapping[str, Path],
        sections: Mapping[str, nodes.Node | None],
        problems: list[Problem],
    ) -> None:
        self.path, self.files, self.folders, self.problems = path, files, folders, problems
        self.sections = sections
        self.defaults = Layer.of(sections["defaults"])
        self.voice_layers: dict[str, Layer] = {}
        self.voices_known = True
        declared = sections["voices"]
        self.voice_names = [raw for raw, _, _ in declared] if isinstance(declared, nodes.Mapping) else []

    def manifest(self) -> Manifest:
        """The model; parts with problems are missing from it."""
        voices = {voice.name: voice for voice in self._voices()}
        self._check_voice(self.defaults, voices)
        scripts = {script.name: script for script in self._scripts(voices)}
        return Manifest(
            path=self.path,
            root=self.path.parent.absolute(),
            files=self.files,
            project=ProjectInfo(**self._data("project")),
            provider=self._provider(),
            budget=self._budget(),
            voices=voices,
            scripts=scripts,
        )

    def _say(self, span: Span, message: str, hint: str = "") -> None:
        self.problems.append(Problem(span, message, hint))

    def _data(self, name: str) -> dict[str, Any]:
        node = self.sections[name]
        return dict(to_data(node)) if isinstance(node, nodes.Mapping) else {}

    def _provider(self) -> Provider:
        node = self.sections["provider"]
        if isinstance(node, Scalar):
            return Provider(name=node.value)  # type: ignore[arg-type]
        data = self._data("provider")
        prices = {name: Usd(float(value)) for name, value in data.pop("prices", {}).items()}
        return Provider(**data, prices=Prices(**prices))

    def _budget(self) -> Budget:
        node = self.sections["budget"]
        if node is None:
            return Budget()
        if isinstance(node, Scalar):
            return Budget(build=Usd(float(node.value or 0)), span=node.span)
        data = self._data("budget")
        span = next((value.span for _, _, value in node), node.span) if isinstance(node, nodes.Mapping) else node.span
        return Budget(**{name: Usd(float(value)) for name, value in data.items()}, span=span)

    def _voices(self) -> Iterable[Voice]:
        node = self.sections["voices"]
        for name, key, value in node if isinstance(node, nodes.Mapping) else ():
            if isinstance(value, nodes.Mapping):
                self.voice_layers[name] = Layer.of(value)
                voice = _voice(name, key.span, to_data(value))
                if voice is not None:
                    yield voice

    def _scripts(self, voices: Mapping[str, Voice]) -> Iterable[Script]:
        node = self.sections["scripts"]
        for name, key, value in node if isinstance(node, nodes.Mapping) else ():
            if isinstance(value, nodes.Mapping):
                yield self._script(name, key.span, value, voices)

    def _script(self, name: str, span: Span, node: nodes.Mapping, voices: Mapping[str, Voice]) -> Script:
        defaults = Layer.of(node.get("defaults"))
        self._check_voice(defaults, voices)
        segments = node.get("segments")
        built: list[Segment] = []
        seen: dict[str, Span] = {}
        for number, item in enumerate(segments.items if isinstance(segments, Listing) else (), 1):
            if not isinstance(item, nodes.Mapping):
                continue
            label = self._segment_id(item, number, seen)
            segment = self._segment(f"{name}/{label}", item, defaults, voices)
            if segment is not None:
                built.append(segment)
        title = node.get("title")
        outputs = tuple(self._outputs(node))
        shown = str(title.value) if isinstance(title, Scalar) else None
        return Script(name=name, span=span, title=shown, segments=tuple(built), outputs=outputs)

    def _segment_id(self, item: nodes.Mapping, number: int, seen: dict[str, Span]) -> str:
        given = item.get("id")
        label = str(given.value) if isinstance(given, Scalar) else f"{number:04d}"
        if label in seen:
            self._say(
                (given or item).span, f'id "{label}" is used twice in this script', f"the first is at {seen[label]}"
            )
        seen[label] = (given or item).span
        return label

    def _segment(
        self, address: str, item: nodes.Mapping, defaults: Layer, voices: Mapping[str, Voice]
    ) -> Segment | None:
        own = Layer.of(item)
        body: Speech | Pause | Asset | Inclusion | None
        layers = [own, defaults, self.defaults]
        at = item.span
        if (text := item.get("text")) is not None:
            voice = self._voice_name(own, defaults, voices, at)
            voice_layer = self.voice_layers.get(voice or "", Layer({}))
            layers = [own, defaults, voice_layer, self.defaults]
            body = self._speech(text, voice, layers, voices)
            at = text.span
        elif (pause := item.get("pause")) is not None:
            body = Pause(duration=self._micros(pause))
        elif (audio := item.get("audio")) is not None:
            body = self._asset(audio, item)
            at = audio.span
            layers = [own, *(Layer({k: v for k, v in layer.values.items() if k != "trim"}) for layer in layers[1:])]
        elif isinstance(script := item.get("script"), Scalar):
            gap = item.get("gap")
            body = Inclusion(script=str(script.value), gap=self._micros(gap) if gap else None)
            at = script.span
        else:
            return None
        if body is None:
            return None
        edits = self._edits(layers, Edits(trim="off") if isinstance(body, Asset) else Edits())
        words = {name: str(node.value) for name in ("chapter", "caption") if isinstance(node := item.get(name), Scalar)}
        return Segment(address=address, span=at, body=body, edits=edits, **words)

    def _voice_name(self, own: Layer, script: Layer, voices: Mapping[str, Voice], at: Span) -> str | None:
        self._check_voice(own, voices)
        for layer in (own, script, self.defaults):
            if "voice" in layer.values:
                return str(layer.values["voice"][0])
            if layer.voice_dropped:
                return None
        if self.voice_names:
            hint = "set voice here, or defaults: {voice: " + self.voice_names[0] + "}"
            self._say(at, "this text has no voice", hint)
        return None

    def _check_voice(self, layer: Layer, voices: Mapping[str, Voice]) -> None:
        """Report a voice that is named and not declared."""
        if "voice" not in layer.values or not self.voices_known:
            return
        value, span = layer.values["voice"]
        name = str(value)
        if name not in voices and name not in self.voice_names:
            near = did_you_mean(name, self.voice_names)
            place = next((f" ({voice.span})" for voice in voices.values() if f'"{voice.name}"' in near), "")
            self._say(span, f'no voice "{name}"', near.replace("?", f"{place}?") or "declare it under voices")

    def _speech(
        self, node: nodes.Node, voice: str | None, layers: list[Layer], voices: Mapping[str, Voice]
    ) -> Speech | None:
        if not isinstance(node, Scalar):
            return None
        text = unicodedata.normalize("NFC", node.raw if not isinstance(node.value, str) else node.value).strip()
        if not text:
            self._say(node.span, "text renders to nothing", "give it words, or use pause:")
            return None
        return Speech(text=text, voice=voice, settings=self._settings(layers, voices.get(voice or ""), node.span))

    def _settings(self, layers: list[Layer], voice: Voice | None, at: Span) -> Settings:
        found: dict[str, tuple[Any, Span, int]] = {}
        for level, layer in enumerate(layers):
            for name, (value, span) in layer.values.items():
                if name in _SETTINGS or name in ("speed", "volume"):
                    found.setdefault(name, (value, span, level))
        settings = Settings(**{name: value for name, (value, _, _) in found.items()})
        nearest = len(layers)
        if settings.api == "audios":
            self._check_audios(found, voice, at)
        elif settings.format != "mp3" and found.get("mp3_bitrate", (0, at, nearest))[2] <= found["format"][2]:
            span = found["mp3_bitrate"][1]
            self._say(span, f"mp3_bitrate goes with format: mp3; the format here is {settings.format}", "remove one")
        return settings

    def _check_audios(self, found: Mapping[str, tuple[Any, Span, int]], voice: Voice | None, at: Span) -> None:
        level = found["api"][2]
        for name in sorted(_TTS_ONLY & found.keys()):
            if found[name][2] <= level:
                self._say(found[name][1], f"{name} does not go with api: audios, which takes a text and a voice only")
        if voice is None or isinstance(voice, OneShotVoice):
            self._say(at, "api: audios needs a voice with a sample_url or an id")

    def _edits(self, layers: list[Layer], builtin: Edits) -> Edits:
        found: dict[str, Any] = {}
        for layer in layers:
            for name, (value, span) in layer.values.items():
                if name in _EDITS and name not in found:
                    time = name in ("gap", "fade_in", "fade_out")
                    found[name] = self._micros(Scalar(span, value, str(value))) if time else value
        return replace(builtin, **found)

    def _micros(self, node: nodes.Node) -> Micros:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            return Micros(0)
        digits = node.value.rstrip("ms")
        length = int(Decimal(digits) * _UNITS[node.value[len(digits) :]])
        if length > _LONGEST:
            self._say(node.span, f"{node.value} is longer than a day")
            return Micros(0)
        return Micros(length)

    def _asset(self, audio: nodes.Node, item: nodes.Mapping) -> Asset | None:
        if not isinstance(audio, Scalar):
            return None
        start, end = item.get("start"), item.get("end")
        asset = Asset(
            path=self.folders[audio.span.file] / str(audio.value),
            shown=str(audio.value),
            start=self._micros(start) if start else Micros(0),
            end=self._micros(end) if end else None,
        )
        if end and asset.end is not None and asset.end <= asset.start:
            self._say(end.span, "end is not after start")
        return asset

    def _outputs(self, node: nodes.Mapping) -> Iterable[Output]:
        one, many = node.get("output"), node.get("outputs")
        for item in [one] if one is not None else many.items if isinstance(many, Listing) else ():
            output = self._output(item)
            if output is not None:
                yield output

    def _output(self, item: nodes.Node) -> Output | None:
        parts = {"path": item} if isinstance(item, Scalar) else {}
        if isinstance(item, nodes.Mapping):
            parts = {raw: value for raw, _, value in item if isinstance(value, Scalar)}
        path = parts.get("path")
        if path is None:
            return None
        shown = str(path.value)
        suffix = shown.rpartition(".")[2].lower()
        if suffix not in ("mp3", "wav"):
            self._say(path.span, f'path is "{shown[:60]}"; expected a path that ends in .mp3 or .wav')
            return None
        values: dict[str, Any] = {key: parts[key].value for key in ("channels", "sample_rate") if key in parts}
        if "bitrate" in parts:
            values["bitrate"] = int(str(parts["bitrate"].value).removesuffix("k"))
            self._check_bitrate(parts["bitrate"].span, suffix, values)
        folder = self.folders[path.span.file]
        return Output(path=folder / shown, shown=shown, span=path.span, format=suffix, **values)  # type: ignore[arg-type]

    def _check_bitrate(self, span: Span, suffix: str, values: Mapping[str, Any]) -> None:
        if suffix != "mp3":
            self._say(span, f"bitrate goes with .mp3; this output is .{suffix}", "remove it")
        ceiling = _BITRATE_CEILING.get(values.get("sample_rate", 44100), 320)
        if values["bitrate"] > ceiling or (ceiling < 320 and values["bitrate"] == 192):
            self._say(span, f"an mp3 of {values['sample_rate']} Hz carries at most {ceiling}k", f"write {ceiling}k")


def _voice(name: str, span: Span, data: dict[str, Any]) -> Voice | None:
    consent = data.get("consent")
    if "sample_url" in data:
        return CreatedVoice(
            name=name,
            span=span,
            sample_url=data["sample_url"],
            revision=data.get("revision", 1),
            title=data.get("title", name),
            description=data.get("description"),
            image_urls=tuple(data.get("image_urls", ())),
            consent=consent,
        )
    if "id" in data:
        return ExistingVoice(name=name, span=span, id=data["id"], consent=consent)
    pairs = [item for item in data.get("references", ()) if item.keys() >= {"audio", "text"}]
    references = tuple(Reference(audio=item["audio"], text=str(item["text"])) for item in pairs)
    return OneShotVoice(name=name, span=span, references=references, consent=consent) if references else None
