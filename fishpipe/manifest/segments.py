"""One script's checked nodes → its segments, and the beds under them."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.errors import Problem, Span, did_you_mean
from fishpipe.manifest import nodes
from fishpipe.manifest.alike import NOTHING, VOICES, WORDS_ALONE, Said, canonical_text, is_plain, own_places, signature
from fishpipe.manifest.cascade import Layer, edits, longest, micros, sentence_gap, settings
from fishpipe.manifest.cues import Finding, check_cues
from fishpipe.manifest.model import Asset, Edits, Inclusion, Micros, OneShotVoice, Pause, Segment, Speech, Under
from fishpipe.manifest.nodes import Listing, Scalar
from fishpipe.manifest.places import COMMENT
from fishpipe.manifest.sounds import read_asset, read_bed
from fishpipe.manifest.speaking import Asked, Piece, Silence, Spoken, speak

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from fishpipe.manifest.lexicon import Lexicon
    from fishpipe.manifest.markup import Style
    from fishpipe.manifest.model import Settings
    from fishpipe.manifest.places import Places
    from fishpipe.manifest.speakers import Speakers

# The end of a piece that is no end of a sentence.
# So much that is odd about one text is told.
_MOST_TOLD: Final = 100
_ENDLESS: Final = re.compile(r"[^.!?…。！？\"'”’»)\]]$")
_SPEEDS: Final = (0.5, 2.0)
_VOLUMES: Final = (-20.0, 20.0)


class Common(Struct, frozen=True, kw_only=True):
    """What all scripts share; `warn` takes a problem that does not stop a build."""

    defaults: Layer
    speakers: Speakers
    roles: dict[str, Layer]
    lexicon: Lexicon
    folders: Mapping[str, Path]
    places: Places
    problems: list[Problem]
    warnings: list[Problem]

    def say(self, span: Span, message: str, hint: str = "") -> None:
        """Report a problem."""
        self.problems.append(Problem(span, message, hint))


class SegmentBuilder(Struct):
    """Builds the segments of one script; groups become flat."""

    script: str
    defaults: Layer
    roles: Mapping[str, Layer]
    common: Common
    segments: list[Segment] = field(default_factory=list)
    beds: list[Under] = field(default_factory=list)
    _seen: dict[str, Span] = field(default_factory=dict)
    _occurred: dict[str, int] = field(default_factory=dict)
    _number: int = 0

    def add(self, node: nodes.Node | None, groups: tuple[Layer, ...], language: str) -> None:
        """Build the items of a list; `groups` are the defaults of those that it is in, the inner first."""
        alike: dict[tuple[Any, ...], Said] = {}
        for item in node.items if isinstance(node, Listing) else ():
            if not isinstance(item, nodes.Mapping):
                continue
            if (segment := self._alike(item, alike, language)) is not None:
                self.segments.append(segment)
                continue
            spoken = _word(item, "language") or language
            if item.get("segments") is not None:
                self._group(item, groups, spoken)
            else:
                told = len(self.common.problems), len(self.common.warnings)
                made = list(self._item(item, groups, spoken))
                self.segments += made
                if told == (len(self.common.problems), len(self.common.warnings)):
                    self._remember(item, made, alike, groups)

    def _alike(self, item: nodes.Mapping, alike: Mapping[tuple[Any, ...], Said], language: str) -> Segment | None:
        """A line of plain words that is spoken as one before it; None where that is not certain."""
        text = label = chapter = caption = None
        own: list[tuple[str, nodes.Node]] = []
        entries = item.entries
        if len(entries) == 1 and entries[0][0].raw == "text":
            text, entries = entries[0][1], ()
        for key, node in entries:
            match key.raw:
                case "text":
                    text = node
                case "id":
                    label = node
                case "chapter":
                    chapter = node
                case "caption":
                    caption = node
                case raw:
                    own.append((raw, node))
        said = alike.get(signature(own) if own else NOTHING)
        if said is None or not isinstance(text, Scalar) or self.common.lexicon.entries:
            return None
        words = canonical_text(text.value if isinstance(text.value, str) else text.raw)
        if not is_plain(words) or len(words) > (said.most or len(words)):
            return None
        self._number += 1
        name = str(label.value) if isinstance(label, Scalar) else f"{self._number:04d}"
        self._register(name, item.span if label is None else label.span)
        address = f"{self.script}/{name}"
        places = {**said.places, **own_places(own)} if own else said.places
        return Segment(
            address=address,
            line=address,
            span=text.span,
            body=Speech(text=words, shown=words, voices=said.voices, settings=said.settings, places=places),
            edits=said.edits,
            chapter=(_text(chapter) or None) if chapter is not None else None,
            caption=(_text(caption) or None) if caption is not None else None,
            language=language,
        )

    def _remember(
        self, item: nodes.Mapping, made: list[Segment], alike: dict[tuple[Any, ...], Said], groups: tuple[Layer, ...]
    ) -> None:
        """How a line is spoken, for others that say the same of it."""
        own = [(key.raw, node) for key, node in item.entries if key.raw not in WORDS_ALONE]
        key = signature(own)
        if not key or len(made) != 1 or not isinstance(speech := made[0].body, Speech) or speech.take is not None:
            return
        if len(speech.voices) > 1:
            # Each of their texts is looked at for who speaks.
            return
        layers = [Layer.of(item, self._say), *self._role(item), *groups, self.defaults, self.common.defaults]
        _, voice_layer = self.common.speakers.of(layers, item.span, made[0].language)
        model = speech.settings.model if speech.settings.api == "tts" else "fish-tts"
        most = longest([*layers[:-1], voice_layer, layers[-1]], model) if len(speech.voices) < 2 else 0
        alone = own_places(own)
        places = {name: span for name, span in speech.places.items() if name not in alone}
        alike[key] = Said(voices=speech.voices, settings=speech.settings, edits=made[0].edits, places=places, most=most)

    def _say(self, span: Span, message: str, hint: str = "") -> None:
        self.common.say(span, message, hint)

    def _group(self, item: nodes.Mapping, groups: tuple[Layer, ...], language: str) -> None:
        own = Layer.of(item.get("defaults"), self._say)
        self.common.speakers.check(own)
        first = len(self.segments)
        self.add(item.get("segments"), (own, *groups), language)
        title = _word(item, "chapter")
        if title and len(self.segments) > first:
            # A part whose first chapter begins with it: the mark of both.
            inner = self.segments[first].chapter
            self.segments[first] = replace(self.segments[first], chapter=f"{title}: {inner}" if inner else title)
        bed = read_bed(item.get("bed"), self.common.folders, self._say)
        if bed is not None and len(self.segments) > first:
            self.beds.append(Under(bed=bed, first=first, last=len(self.segments) - 1))

    def _label(self, item: nodes.Mapping) -> str:
        """A segment's id: its own, or its ordinal; the lines of a dialogue count behind it."""
        if not _word(item, "goes_on"):
            self._number += 1
        line = _word(item, "line")
        given = item.get("id")
        label = (str(given.value) if isinstance(given, Scalar) else f"{self._number:04d}") + (
            f".{line}" if line else ""
        )
        if _word(item, "named"):
            # The name of a paragraph follows from its words, which may occur again.
            first, label = label, self._free(label)
            self._occurred[first] = self._occurred.get(first, 1) + (label != first)
        self._register(label, (given or item).span)
        return label

    def _free(self, label: str) -> str:
        """A name that no segment has: this one, or numbered behind those that were called so before."""
        others = (f"{label}-{number}" for number in itertools.count(self._occurred.get(label, 1) + 1))
        return next(name for name in itertools.chain([label], others) if name not in self._seen)

    def _register(self, label: str, at: Span) -> None:
        if label in self._seen:
            self._say(at, f'id "{label}" is used twice in this script', f"the first is at {self._seen[label]}")
        self._seen.setdefault(label, at)

    def _item(self, item: nodes.Mapping, groups: tuple[Layer, ...], language: str) -> Iterable[Segment]:
        address = f"{self.script}/{self._label(item)}"
        own = Layer.of(item, self._say)
        outer = [*groups, self.defaults, self.common.defaults]
        if (text := item.get("text")) is not None:
            return self._spoken(address, item, text, [own, *self._role(item), *outer], language)
        body: Pause | Asset | Inclusion | None = None
        layers, at = [own, *outer], item.span
        if (pause := item.get("pause")) is not None:
            body = Pause(duration=micros(pause, self._say))
        elif (audio := item.get("audio")) is not None:
            body = read_asset(audio, item, self.common.folders, self._say)
            at = audio.span
            layers = [own, *(layer.without("trim") for layer in outer)]
        elif isinstance(script := item.get("script"), Scalar):
            gap = item.get("gap")
            body = Inclusion(script=str(script.value), gap=micros(gap, self._say) if gap else None)
            at = script.span
        if body is None:
            return ()
        made = edits(layers, Edits(trim="off") if isinstance(body, Asset) else Edits(), self._say)
        return (Segment(address=address, line=address, span=at, body=body, edits=made, **self._words(item, language)),)

    def _words(self, item: nodes.Mapping, language: str) -> dict[str, Any]:
        begins = micros(node, self._say) if (node := item.get("at")) is not None else None
        shown = {name: _word(item, name) or None for name in ("chapter", "caption")}
        return {"at": begins, "language": language, **shown}

    def _role(self, item: nodes.Mapping) -> list[Layer]:
        """The level of whom the cast gives a line to."""
        name = _word(item, "cast")
        role = self.roles.get(name) or self.common.roles.get(name)
        if name and role is None:
            hint = did_you_mean(name, [*self.roles, *self.common.roles]) or f"add it to cast: {{{name}: VOICE}}"
            self._say(item.span, f'"{name}" is in the cast of another script, not of this one', hint)
            return [Layer(mute=True)]
        return [role] if role else []

    def _spoken(
        self, address: str, item: nodes.Mapping, node: nodes.Node, layers: list[Layer], language: str
    ) -> Iterable[Segment]:
        speakers = self.common.speakers
        speakers.check(layers[0])
        voices, voice_layer = speakers.of(layers, item.span, language)
        speaker = next((layer.speaker for layer in layers if layer.speaker is not None), None)
        layers = [*layers[:-1], voice_layer, layers[-1]]
        if not isinstance(node, Scalar):
            return ()
        text = canonical_text(node.raw if not isinstance(node.value, str) else node.value)
        text = COMMENT.sub("", text).strip() if "fishpipe:" in text else text
        if not text:
            self._say(node.span, "text renders to nothing", "give it words, or use pause:")
            return ()
        muted = any(layer.mute for layer in layers)
        alone = muted or (len(voices) == 1 and not isinstance(voices[0], OneShotVoice))
        asked, places = settings(layers, node.span, self._say, takes_audios=alone)
        places |= dict.fromkeys(VOICES, speaker[1].span) if speaker else {}
        take = int(str(found.value)) if isinstance(found := item.get("take"), Scalar) else None
        if isinstance(found, Scalar):
            places["take"] = found.span
        speech = Speech(text=text, voices=voices, settings=asked, places=places, take=take)
        spoken = self._speak(text, node.span, speech, layers, language, check=not muted)
        made = edits(layers, Edits(), self._say)
        first = Segment(
            address=address, line=address, span=node.span, body=speech, edits=made, **self._words(item, language)
        )
        if spoken is not None and not spoken.pieces and not spoken.findings:
            self._say(node.span, "nothing of this text is spoken", "give it words, or use pause:")
        return self._in_pieces(first, speech, spoken, sentence_gap(layers, self._say)) if spoken else ()

    def _speak(
        self, text: str, at: Span, speech: Speech, layers: Sequence[Layer], language: str, *, check: bool
    ) -> Spoken | None:
        asked = speech.settings
        model = asked.model if asked.api == "tts" else "fish-tts"
        most = longest(layers, model) if len(speech.voices) < 2 else 0
        names = tuple(voice.name for voice in speech.voices)
        try:
            spoken = speak(text, Asked(model, language, names, most), self.common.lexicon)
        except TimeoutError as error:
            self._say(at, f"{error} does not come to an end in this text", "simplify it")
            return None
        findings = list(spoken.findings)
        if asked.api == "tts" and check and (len(speech.voices) > 1 or any(sign in text for sign in "([<]")):
            for piece in spoken.pieces:
                findings += check_cues(piece.sent, model, len(speech.voices)) if isinstance(piece, Piece) else ()
        findings += _too_long(spoken, len(speech.voices), longest(layers, model))
        findings.sort(key=lambda found: not found.fatal)
        for found in findings[:_MOST_TOLD]:
            self._tell(found, text, at)
        return spoken

    def _tell(self, found: Finding, text: str, at: Span) -> None:
        earlier = text[: found.start].count(found.words) if found.words else 0
        place = self.common.places.find(at, found.words, earlier)
        problem = Problem(place, found.message, found.hint, found.code)
        if found.fatal:
            self.common.problems.append(problem)
        elif not (self.common.places.ignores(at, found.code) or self.common.places.ignores(place, found.code)):
            self.common.warnings.append(problem)

    def _in_pieces(self, first: Segment, speech: Speech, spoken: Spoken, gap: Micros) -> Iterable[Segment]:
        """A line as the calls and pauses that it takes; most lines take one call."""
        pieces = spoken.pieces
        if len(pieces) == 1 and isinstance(pieces[0], Piece):
            part = self._part(speech, pieces[0], first.span)
            yield replace(first, body=part, written="" if part.text == speech.text == part.shown else speech.text)
            return
        whole = self._part(speech, spoken.whole, first.span) if spoken.whole else None
        for number, piece in enumerate(pieces, 1):
            address = f"{first.address}.{number}"
            self._register(address.partition("/")[2], first.span)
            body = (
                Pause(duration=Micros(piece.micros))
                if isinstance(piece, Silence)
                else self._part(speech, piece, first.span)
            )
            kept = (
                replace(first, whole=whole, written=speech.text)
                if number == 1
                else replace(first, chapter=None, caption=None, at=None)
            )
            own = first.edits.of_piece(number, len(pieces), gap)
            yield replace(kept, address=address, body=body, edits=own)

    def _part(self, speech: Speech, piece: Piece, at: Span) -> Speech:
        asked = speech.settings
        if piece.style != (1.0, 0.0):
            asked = self._styled(asked, piece.style, at)
        return replace(speech, text=piece.sent, shown=piece.shown, respelled=piece.respelled, settings=asked)

    def _styled(self, asked: Settings, style: Style, at: Span) -> Settings:
        speed, volume = round(asked.speed * style.speed, 4), round(asked.volume + style.volume, 4)
        if asked.api == "audios":
            self._say(at, "<prosody> does not go with api: audios, which takes a text and a voice only")
        for name, value, (least, most) in (("speed", speed, _SPEEDS), ("volume", volume, _VOLUMES)):
            if not least <= value <= most:
                self._say(at, f"<prosody> makes {name} {value:g}; it goes from {least:g} to {most:g}", "")
        return replace(asked, speed=speed, volume=volume)


def _too_long(spoken: Spoken, voices: int, most: int) -> Iterable[Finding]:
    """Texts that are cut within a sentence, or that cannot be cut."""
    pieces = [piece for piece in spoken.pieces if isinstance(piece, Piece)]
    if voices > 1 and any(len(piece.sent) > most for piece in pieces):
        message = f"a text of several voices is not cut, and has more than {most} characters"
        yield Finding("", 0, message, "make it two segments", code="too-long")
    elif spoken.whole is not None and any(_ENDLESS.search(piece.sent) for piece in pieces[:-1]):
        message = f"a sentence of this text is longer than {most} characters, and is cut within"
        yield Finding("", 0, message, "make it two sentences, or raise max_chars", code="too-long")


def _text(node: nodes.Node) -> str:
    return str(node.value) if isinstance(node, Scalar) and node.value not in (None, False) else ""


def _word(item: nodes.Mapping, name: str) -> str:
    found = item.get(name)
    return _text(found) if found is not None else ""
