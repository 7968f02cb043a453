"""Checked nodes → the model."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from fishpipe.errors import Problem, Span
from fishpipe.manifest import nodes
from fishpipe.manifest.cascade import Layer, edits, micros, settings
from fishpipe.manifest.cues import check_cues
from fishpipe.manifest.model import (
    Asset,
    Bed,
    Budget,
    ClipStore,
    Edits,
    FileFormat,
    Inclusion,
    Manifest,
    OneShotVoice,
    Output,
    Pause,
    Prices,
    ProjectInfo,
    Provider,
    Script,
    Segment,
    Speech,
    Usd,
    Voice,
)
from fishpipe.manifest.nodes import Listing, Scalar, to_data
from fishpipe.manifest.outputs import endings, output_settings
from fishpipe.manifest.speakers import Speakers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_SECONDS: Final = ("callback_timeout", "call_deadline", "stall_timeout")


class Builder:
    """Builds one manifest from its merged sections; problems and warnings go to its lists.

    `find` gives the place of some words (the n-th of their kind, from 0) inside of the value at a place,
    `is_accepted` says whether a line's comment takes its warnings as meant.
    """

    def __init__(
        self,
        path: Path,
        files: tuple[Path, ...],
        folders: Mapping[str, Path],
        sections: Mapping[str, nodes.Node | None],
        problems: list[Problem],
        find: Callable[[Span, str, int], Span],
        is_accepted: Callable[[Span], bool],
    ) -> None:
        self.path, self.files, self.folders, self.problems = path, files, folders, problems
        self.sections, self.find, self.is_accepted = sections, find, is_accepted
        self.warnings: list[Problem] = []
        self.project = ProjectInfo(**self._data("project"))
        self.defaults = Layer.of(sections["defaults"], self._say)
        self.speakers = Speakers(sections["voices"], self._say, consent=self.project.require_consent)

    def manifest(self) -> Manifest:
        """The model; parts with problems are missing from it."""
        self.speakers.check(self.defaults)
        scripts = {script.name: script for script in self._scripts()}
        return Manifest(
            path=self.path,
            root=self.path.parent.absolute(),
            files=self.files,
            project=self.project,
            provider=self._provider(),
            budget=self._budget(),
            voices=self.speakers.voices,
            scripts=scripts,
            store=self._store(),
            warnings=tuple(sorted(set(self.warnings))),
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
        if not isinstance(node, nodes.Mapping):
            return Provider()
        data = self._data("provider")
        prices = data.pop("prices", {})
        models = {name: _usd(value) for name, value in prices.pop("models", {}).items()}
        for name in _SECONDS:
            if name in data:
                data[name] = micros(node.get(name), self._say) / 1e6
        delivery = node.get("delivery")
        if data.get("delivery") == "callback" and "callback_url" not in data and "callback_url" not in node.dropped:
            span = delivery.span if delivery else node.span
            self._say(span, "delivery: callback has no callback_url", "add the public address of this machine")
        return Provider(**data, prices=Prices(**{name: _usd(value) for name, value in prices.items()}, models=models))

    def _store(self) -> ClipStore | None:
        node = self.sections["store"]
        return ClipStore(folder=str(node.value), span=node.span) if isinstance(node, Scalar) else None

    def _budget(self) -> Budget:
        node = self.sections["budget"]
        if node is None:
            return Budget()
        if isinstance(node, Scalar):
            return Budget(build=Usd(float(node.value or 0)), span=node.span)
        data = self._data("budget")
        limits = [(raw, value.span) for raw, _, value in node] if isinstance(node, nodes.Mapping) else []
        span = next((span for raw, span in limits if raw != "confirm"), None)
        return Budget(**{name: Usd(float(value)) for name, value in data.items()}, span=span)

    def _scripts(self) -> Iterable[Script]:
        node = self.sections["scripts"]
        for name, key, value in node if isinstance(node, nodes.Mapping) else ():
            if isinstance(value, nodes.Mapping):
                yield self._script(name, key.span, value)

    def _script(self, name: str, span: Span, node: nodes.Mapping) -> Script:
        defaults = Layer.of(node.get("defaults"), self._say)
        self.speakers.check(defaults)
        segments = node.get("segments")
        built: list[Segment] = []
        seen: dict[str, Span] = {}
        for number, item in enumerate(segments.items if isinstance(segments, Listing) else (), 1):
            if not isinstance(item, nodes.Mapping):
                continue
            label = self._segment_id(item, number, seen)
            segment = self._segment(f"{name}/{label}", item, defaults)
            if segment is not None:
                export = self._export(node.get("clips"), name, label, number, segment)
                built.append(replace(segment, export=export))
        title = node.get("title")
        outputs = tuple(self._outputs(node))
        shown = str(title.value) if isinstance(title, Scalar) else None
        return Script(
            name=name,
            span=span,
            title=shown,
            segments=tuple(built),
            outputs=outputs,
            bed=self._bed(node.get("bed")),
            room_tone=self._room_tone(node.get("room_tone")),
        )

    def _bed(self, node: nodes.Node | None) -> Bed | None:
        audio = node.get("audio") if isinstance(node, nodes.Mapping) else None
        if not isinstance(node, nodes.Mapping) or audio is None or (asset := self._asset(audio, node)) is None:
            return None
        plain = {name: value.value for name in ("gain", "loop", "duck") if isinstance(value := node.get(name), Scalar)}
        names = ("fade_in", "fade_out", "attack", "release")
        times = {name: micros(value, self._say) for name in names if (value := node.get(name)) is not None}
        return Bed(asset=asset, span=audio.span, **plain, **times)  # type: ignore[arg-type]

    def _room_tone(self, node: nodes.Node | None) -> Bed | None:
        if not isinstance(node, Scalar):
            return None
        asset = Asset(path=self.folders[node.span.file] / str(node.value), shown=str(node.value))
        return Bed(asset=asset, span=node.span, loop=True)

    def _export(self, node: nodes.Node | None, script: str, label: str, number: int, segment: Segment) -> Output | None:
        """The file of a spoken line alone."""
        if not isinstance(node, Scalar) or not isinstance(segment.body, Speech):
            return None
        pattern = str(node.value)
        voice = "+".join(voice.name for voice in segment.body.voices) or "default"
        names = {"id": label, "number": f"{number:04d}", "script": script, "voice": voice}
        unknown = [name for name in re.findall(r"\{(\w*)\}", pattern) if name not in names]
        if unknown or pattern.rpartition(".")[2].lower() not in get_args(FileFormat):
            what = f"{{{unknown[0]}}}" if unknown else pattern[:60]
            self._say(node.span, f"clips has {what}", f"in braces: id, number, script, voice; it ends in {endings()}")
            return None
        shown = re.sub(r"\{(\w+)\}", lambda match: names[match[1]], pattern)
        path = self.folders[node.span.file] / shown
        suffix = shown.rpartition(".")[2].lower()
        values = {**output_settings({}, suffix, self._say), "bitrate": 192, "format": suffix}
        return Output(path=path, shown=shown, name=self._name(path), span=segment.span, pattern=pattern, **values)

    def _segment_id(self, item: nodes.Mapping, number: int, seen: dict[str, Span]) -> str:
        given = item.get("id")
        label = str(given.value) if isinstance(given, Scalar) else f"{number:04d}"
        if label in seen:
            self._say(
                (given or item).span, f'id "{label}" is used twice in this script', f"the first is at {seen[label]}"
            )
        seen[label] = (given or item).span
        return label

    def _segment(self, address: str, item: nodes.Mapping, defaults: Layer) -> Segment | None:
        own = Layer.of(item, self._say)
        body: Speech | Pause | Asset | Inclusion | None
        layers = [own, defaults, self.defaults]
        at = item.span
        if (text := item.get("text")) is not None:
            self.speakers.check(own)
            voices, voice_layer = self.speakers.of(layers, at)
            speaker = next((layer.speaker for layer in layers if layer.speaker is not None), None)
            layers = [own, defaults, voice_layer, self.defaults]
            body = self._speech(text, item, voices, layers, speaker[1].span if speaker else text.span)
            at = text.span
        elif (pause := item.get("pause")) is not None:
            body = Pause(duration=micros(pause, self._say))
        elif (audio := item.get("audio")) is not None:
            body = self._asset(audio, item)
            at = audio.span
            layers = [own, *(layer.without("trim") for layer in layers[1:])]
        elif isinstance(script := item.get("script"), Scalar):
            gap = item.get("gap")
            body = Inclusion(script=str(script.value), gap=micros(gap, self._say) if gap else None)
            at = script.span
        else:
            return None
        if body is None:
            return None
        made = edits(layers, Edits(trim="off") if isinstance(body, Asset) else Edits(), self._say)
        words: dict[str, Any] = {
            name: str(node.value) for name in ("chapter", "caption") if isinstance(node := item.get(name), Scalar)
        }
        begins = micros(node, self._say) if (node := item.get("at")) is not None else None
        return Segment(address=address, span=at, body=body, edits=made, at=begins, **words)

    def _speech(
        self, node: nodes.Node, own: nodes.Mapping, voices: tuple[Voice, ...], layers: list[Layer], speaker: Span
    ) -> Speech | None:
        if not isinstance(node, Scalar):
            return None
        text = unicodedata.normalize("NFC", node.raw if not isinstance(node.value, str) else node.value).strip()
        if not text:
            self._say(node.span, "text renders to nothing", "give it words, or use pause:")
            return None
        muted = any(layer.mute for layer in layers)
        alone = muted or (len(voices) == 1 and not isinstance(voices[0], OneShotVoice))
        asked, places = settings(layers, node.span, self._say, takes_audios=alone)
        if asked.api == "tts" and not muted:
            self._check_cues(text, asked.model, len(voices), node.span)
        places |= dict.fromkeys(("voice", "voice_id", "reference_id", "references"), speaker) | {"text": node.span}
        take = int(str(item.value)) if isinstance(item := own.get("take"), Scalar) else None
        if isinstance(item, Scalar):
            places["take"] = item.span
        return Speech(text=text, voices=voices, settings=asked, places=places, take=take)

    def _check_cues(self, text: str, model: str, voices: int, at: Span) -> None:
        if not any(sign in text for sign in "([<]") and voices < 2:
            return
        for found in check_cues(text, model, voices):
            earlier = text[: found.start].count(found.words) if found.words else 0
            problem = Problem(self.find(at, found.words, earlier), found.message, found.hint)
            if found.fatal:
                self.problems.append(problem)
            elif not (self.is_accepted(at) or self.is_accepted(problem.span)):
                self.warnings.append(problem)

    def _asset(self, audio: nodes.Node, item: nodes.Mapping) -> Asset | None:
        if not isinstance(audio, Scalar):
            return None
        start, end = item.get("start"), item.get("end")
        asset = Asset(
            path=self.folders[audio.span.file] / str(audio.value),
            shown=str(audio.value),
            start=micros(start, self._say),
            end=micros(end, self._say) if end else None,
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
        if suffix not in get_args(FileFormat):
            self._say(path.span, f'path is "{shown[:60]}"; expected a path that ends in {endings()}')
            return None
        values = output_settings(parts, suffix, self._say)
        folder = self.folders[path.span.file]
        values |= {"format": suffix, "name": self._name(folder / shown)}
        return Output(path=folder / shown, shown=shown, span=path.span, **values)

    def _name(self, path: Path) -> str:
        """A path as the lock has it: from the manifest's folder."""
        return Path(os.path.relpath(path, self.path.parent)).as_posix()


def _usd(value: object) -> Usd | None:
    return None if value == "unknown" else Usd(float(value))  # type: ignore[arg-type]
