"""Checked nodes → the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fishpipe.errors import Problem, Span
from fishpipe.manifest import nodes
from fishpipe.manifest.cascade import Layer, micros
from fishpipe.manifest.chapters import split_by_chapter
from fishpipe.manifest.lexicon import read_lexicon
from fishpipe.manifest.model import (
    Budget,
    ClipStore,
    Manifest,
    Prices,
    ProjectInfo,
    Provider,
    Script,
    Under,
    Usd,
)
from fishpipe.manifest.nodes import Scalar, to_data
from fishpipe.manifest.outputs import Files
from fishpipe.manifest.segments import Common, SegmentBuilder
from fishpipe.manifest.sounds import read_bed, read_room_tone
from fishpipe.manifest.speakers import Speakers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from fishpipe.manifest.places import Places

_SECONDS: Final = ("callback_timeout", "call_deadline", "stall_timeout")


class Builder:
    """Builds one manifest from its merged sections; problems and warnings go to its lists.

    `families` has the scripts as written behind those that were made of them.
    """

    def __init__(
        self,
        path: Path,
        files: tuple[Path, ...],
        folders: Mapping[str, Path],
        sections: Mapping[str, nodes.Node | None],
        problems: list[Problem],
        places: Places,
        families: Mapping[str, str],
    ) -> None:
        self.path, self.files, self.folders, self.problems = path, files, folders, problems
        self.sections, self.families = sections, families
        self.project = ProjectInfo(**self._data("project"))
        self.speakers = Speakers(sections["voices"], self._say, consent=self.project.require_consent)
        self.common = Common(
            defaults=Layer.of(sections["defaults"], self._say),
            speakers=self.speakers,
            roles={},
            lexicon=read_lexicon(sections["lexicon"], self.speakers.names, self._say),
            folders=folders,
            places=places,
            problems=problems,
            warnings=[],
        )

    def manifest(self) -> Manifest:
        """The model; parts with problems are missing from it."""
        cast = self.sections["cast"]
        self.speakers.cast = frozenset(raw for raw, _, _ in cast) if isinstance(cast, nodes.Mapping) else frozenset()
        self.speakers.check(self.common.defaults)
        self.common.roles.update(self._roles(self.sections["cast"]))
        built = {script.name: script for script in self._scripts()}
        scripts = split_by_chapter(built, Files(self.path.parent, self.folders, self._say))
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
            warnings=tuple(sorted(set(self.common.warnings))),
            lexicon={entry.word: entry.span for entry in self.common.lexicon.entries},
            respelled=frozenset(self.common.lexicon.used),
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
        declared, named = {name: _usd(value) for name, value in prices.items()}, node.get("prices")
        return Provider(**data, prices=Prices(**declared, models=models, span=named.span if named else None))

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
        language = node.get("language")
        builder = SegmentBuilder(name, defaults, self._roles(node.get("cast")), self.common)
        builder.add(node.get("segments"), (), str(language.value) if isinstance(language, Scalar) else "")
        files = Files(self.path.parent, self.folders, self._say)
        title, bed = node.get("title"), read_bed(node.get("bed"), self.folders, self._say)
        everywhere = [Under(bed=bed, first=0, last=len(builder.segments) - 1)] if bed and builder.segments else []
        return Script(
            name=name,
            span=span,
            title=str(title.value) if isinstance(title, Scalar) else None,
            segments=tuple(files.with_exports(node.get("clips"), name, builder.segments)),
            outputs=tuple(files.outputs(node)),
            beds=(*builder.beds, *everywhere),
            room_tone=read_room_tone(node.get("room_tone"), self.folders),
            family=self.families.get(name, name),
        )

    def _roles(self, section: nodes.Node | None) -> dict[str, Layer]:
        roles: dict[str, Layer] = {}
        for name, _, node in section if isinstance(section, nodes.Mapping) else ():
            roles[name] = Layer(speaker=("voice", node)) if isinstance(node, Scalar) else Layer.of(node, self._say)
            self.speakers.check(roles[name])
        return roles


def _usd(value: object) -> Usd | None:
    return None if value == "unknown" else Usd(float(value))  # type: ignore[arg-type]
