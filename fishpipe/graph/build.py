"""Manifest → Graph: which steps there are, and what each needs. Pure."""

from __future__ import annotations

from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from fishpipe.graph.fingerprints import Fingerprint, fingerprint, minted, voice_record
from fishpipe.graph.frames import Frame
from fishpipe.graph.pieces import pieces_as_paid
from fishpipe.graph.steps import (
    ClipStep,
    Graph,
    Item,
    Known,
    LaidBed,
    OutputStep,
    Realm,
    Speaker,
    Steps,
    Use,
    VoiceStep,
)
from fishpipe.manifest.alike import canonical_text
from fishpipe.manifest.cascade import SENTENCE_GAP
from fishpipe.manifest.model import (
    Asset,
    ChapterPart,
    CreatedVoice,
    ExistingVoice,
    Inclusion,
    Manifest,
    OneShotVoice,
    Pause,
    Script,
    Segment,
    Speech,
    Voice,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# A line with fewer characters was never spoken in pieces.
_SHORT: Final = 60


def build_graph(
    manifest: Manifest,
    realm: Realm,
    only: Iterable[str] | None = None,
    known: Known | None = None,
) -> Graph:
    """The steps for the scripts that have outputs, or for those named in `only` with or without them."""
    return _Builder(manifest, realm, known or Known()).graph(only)


class _Builder:
    def __init__(self, manifest: Manifest, realm: Realm, known: Known) -> None:
        self.manifest, self.realm, self.known = manifest, realm, known
        self.has_paid = len(known.paid) > 0
        self.existing: dict[str, Voice] = {v.id: v for v in manifest.voices.values() if isinstance(v, ExistingVoice)}
        self.created = {v.name: self._key(v) for v in manifest.voices.values() if isinstance(v, CreatedVoice)}
        self.voices: dict[Fingerprint, VoiceStep] = {}
        self.uses: dict[Fingerprint, tuple[Use, ...]] = {}
        self.calls: dict[Fingerprint, tuple[Frame, Speech, int, Fingerprint]] = {}
        self.by_address: dict[str, Fingerprint] = {}
        self.kept: dict[str, list[list[Segment]]] = {}
        self.words: dict[str, tuple[Frame, Fingerprint]] = {}
        # By the identities of settings and voices, which most lines share, and by their values.
        self.near: dict[tuple[int, int], tuple[Frame, Frame | None]] = {}
        self.frames: dict[tuple[object, ...], tuple[Frame, Frame | None]] = {}
        self.speakers: dict[int, tuple[Speaker, ...]] = {}

    def graph(self, only: Iterable[str] | None) -> Graph:
        scripts = self.manifest.scripts
        names = [name for name in scripts if scripts[name].files] if only is None else list(only)
        outputs: list[OutputStep] = []
        for name in names:
            items, beds = self._laid(scripts[name], "")
            tags, tone = _tags(self.manifest, scripts[name]), scripts[name].room_tone
            whole: dict[str, Any] = {
                "script": name,
                "items": tuple(items),
                "beds": tuple(beds),
                "tags": tags,
                "room_tone": tone,
            }
            for output in scripts[name].outputs:
                step = OutputStep(output=output, **whole)
                outputs.append(step if output.chapter is None else _of_chapter(step, output.chapter))
            outputs.extend(self._exports(scripts[name]))
        return Graph(
            realm=self.realm,
            manifest=self.manifest.path.name,
            voices=self.voices,
            clips=Steps(self.calls, self._step),
            outputs=tuple(outputs),
            existing=self.existing,
            created=self.created,
            lines=self._lines(),
        )

    def _step(self, key: Fingerprint) -> ClipStep:
        frame, speech, take, words = self.calls[key]
        return ClipStep(
            fingerprint=key,
            frame=frame,
            text=canonical_text(speech.text),
            take=take,
            speakers=self.speakers[id(frame)],
            uses=self.uses[key],
            words=words,
            places=speech.places,
            respelled=speech.respelled,
        )

    def _exports(self, script: Script) -> Iterator[OutputStep]:
        """Each line's own file: the line alone, with its edits."""
        if not any(segment.export for segment in script.segments):
            return
        for line, parts in groupby(self._segments(script), key=lambda segment: segment.line):
            pieces = list(parts)
            if (export := pieces[0].export) is not None:
                items = tuple(replace(self._item(piece, script), chapter=None, at=None) for piece in pieces)
                tags = {**_tags(self.manifest, script), "title": line}
                yield OutputStep(output=export, script=script.name, items=items, tags=tags)

    def _lines(self) -> Mapping[str, tuple[tuple[str, Fingerprint], ...]]:
        lines: dict[str, list[tuple[str, Fingerprint]]] = {}
        for script in self.manifest.scripts.values():
            for segment in self._segments(script):
                if segment.address in self.by_address:
                    lines.setdefault(script.name, []).append((segment.address, self.by_address[segment.address]))
        return {name: tuple(pairs) for name, pairs in lines.items()}

    def _laid(self, script: Script, scope: str) -> tuple[list[Item], list[LaidBed]]:
        """A script's items, and the beds under them; `scope` is what their times are counted in."""
        items: list[Item] = []
        beds: list[LaidBed] = []
        starts: list[int] = []
        for kept in self._lines_as_paid(script):
            starts.append(len(items))
            for segment in kept:
                if isinstance(segment.body, Inclusion):
                    more, below = self._included(segment, segment.body, scope)
                    beds += [bed.shifted(len(items)) for bed in below]
                    items += more
                else:
                    items.append(self._item(segment, script, scope))
        starts.append(len(items))
        for under in script.beds:
            first, last = starts[under.first], starts[under.last + 1] - 1
            if last >= first:
                beds.append(LaidBed(bed=under.bed, first=first, last=last))
        return items, beds

    def _segments(self, script: Script) -> Iterator[Segment]:
        return chain.from_iterable(self._lines_as_paid(script))

    def _lines_as_paid(self, script: Script) -> list[list[Segment]]:
        """For each segment what takes its place: itself, but for a line that was paid for whole, or in other pieces.

        So neither a text that grows too long for a new limit nor another release of the splitter is paid for again.
        """
        found = self.kept.get(script.name)
        if found is None:
            found = self.kept[script.name] = []
            for segment in script.segments:
                if segment.address == segment.line and self._is_as_paid(segment):
                    found.append([segment])
                else:
                    found.clear()
                    found += self._in_pieces(script)
                    break
        return found

    def _is_as_paid(self, segment: Segment) -> bool:
        """Whether a line of one piece stays that for certain."""
        speech = segment.body
        if not isinstance(speech, Speech) or len(speech.text) < _SHORT or not self.has_paid:
            return True
        spoken = self.words[segment.address] = self._spoken(speech)
        return spoken[1] in self.known.paid

    def _in_pieces(self, script: Script) -> Iterator[list[Segment]]:
        for _, group in groupby(script.segments, key=lambda segment: segment.line):
            pieces = list(group)
            if isinstance(pieces[0].body, Speech) and self.has_paid:
                yield self._as_paid(pieces)
                yield from ([] for _ in pieces[1:])
            else:
                yield from ([piece] for piece in pieces)

    def _as_paid(self, pieces: list[Segment]) -> list[Segment]:
        spoken = [piece.body for piece in pieces if isinstance(piece.body, Speech)]
        whole = pieces[0].whole or spoken[0]
        if len(spoken) < len(pieces) or (len(pieces) > 1 and pieces[0].whole is None) or len(whole.text) < _SHORT:
            return pieces
        is_paid = self._paid_texts(whole)
        if all(is_paid(speech.text) for speech in spoken):
            return pieces
        edits = replace(pieces[-1].edits, fade_in=pieces[0].edits.fade_in)
        if is_paid(whole.text):
            return [replace(pieces[0], address=pieces[0].line, body=whole, edits=edits, whole=None)]
        found = pieces_as_paid(whole, spoken, pieces[0].language, is_paid)
        if len(found) == 1:
            return pieces
        gap = pieces[0].edits.gap if len(pieces) > 1 else SENTENCE_GAP
        made = []
        for number, body in enumerate(found, 1):
            like = pieces[0] if number == 1 else replace(pieces[-1], chapter=None, caption=None, at=None, written="")
            own = edits.of_piece(number, len(found), gap)
            made.append(replace(like, address=f"{like.line}.{number}", body=body, edits=own, whole=None))
        return made

    def _paid_texts(self, speech: Speech) -> Callable[[str], bool]:
        """Whether a text, spoken as this one is, was ever paid for."""
        frames = [frame for frame in self._frames(speech) if frame is not None]
        paid = self.known.paid
        return lambda text: any(frame.key(text) in paid for frame in frames)

    def _item(self, segment: Segment, script: Script, scope: str = "") -> Item:
        match segment.body:
            case Speech() as speech:
                clip = self._clip(segment, speech, script.name)
                voices = speech.voices
                voice = voices[0].name if len(voices) == 1 else "+".join([voice.name for voice in voices])
                return Item(
                    address=segment.address,
                    span=segment.span,
                    edits=segment.edits,
                    clip=clip,
                    chapter=segment.chapter,
                    caption=segment.caption,
                    text=speech.shown,
                    at=segment.at,
                    scope=scope,
                    voice=voice,
                )
            case Asset() as asset:
                return _item(segment, scope, asset=asset.path, start=asset.start, end=asset.end)
            case Pause(duration=duration):
                return replace(_item(segment, scope), edits=replace(segment.edits, gap=duration))
            case _:
                raise TypeError(segment.body)

    def _included(self, segment: Segment, inclusion: Inclusion, scope: str) -> tuple[list[Item], list[LaidBed]]:
        items, beds = self._laid(self.manifest.scripts[inclusion.script], f"{scope}/{segment.address}")
        if segment.chapter and items:
            items[0] = replace(items[0], chapter=segment.chapter)
        if inclusion.gap is not None:
            last = next((n for n in reversed(range(len(items))) if not items[n].is_pause), None)
            if last is not None:
                items[last] = replace(items[last], edits=replace(items[last].edits, gap=inclusion.gap))
        return items, beds

    def _clip(self, segment: Segment, speech: Speech, script: str) -> Fingerprint:
        address = segment.address
        known = self.by_address.get(address)
        if known is not None:
            return known
        frame, words = self.words.get(address) or self._spoken(speech)
        take = speech.take or self.known.pins.get(words, 1)
        key = words if take == 1 else frame.at_take(speech.text, take)
        if id(frame) not in self.speakers:
            self.speakers[id(frame)] = tuple(self._speaker(voice) for voice in speech.voices)
        self.by_address[address] = key
        use = Use(address=address, span=segment.span, script=script)
        if key in self.calls:
            self.uses[key] = (*self.uses[key], use)
        else:
            self.uses[key] = (use,)
            self.calls[key] = (frame, speech, take, words)
        return key

    def _spoken(self, speech: Speech) -> tuple[Frame, Fingerprint]:
        """How a text is spoken, and its fingerprint without the take.

        A voice by id that was made here is that voice, unless the line was spoken before that was known.
        """
        frame, by_id = self._frames(speech)
        key = frame.key(speech.text)
        if by_id is None or key in self.known.paid:
            return frame, key
        other = by_id.key(speech.text)
        return (by_id, other) if other in self.known.paid else (frame, key)

    def _frames(self, speech: Speech) -> tuple[Frame, Frame | None]:
        """How a text is spoken; the other way is that by the ids of voices that were made here."""
        voices = speech.voices
        # The manifest's values live as long as this: each is itself alone.
        near = (id(speech.settings), id(voices))
        if (found := self.near.get(near)) is not None:
            return found
        # `true` and 1 are equal to Python, and two things to the service.
        how = (speech.settings, repr(speech.settings.extra_body), *(id(voice) for voice in voices))
        found = self.frames.get(how)
        if found is None:
            named = {voice.name: self.created[voice.name] for voice in voices if isinstance(voice, CreatedVoice)}
            made = {v.id: self.known.made[v.id] for v in _by_id(voices) if v.id in self.known.made}
            plain = Frame(settings=speech.settings, voices=voices, realm=self.realm, created=named)
            found = self.frames[how] = (replace(plain, made=made), plain) if made else (plain, None)
        self.near[near] = found
        return found

    def _speaker(self, voice: Voice) -> Speaker:
        match voice:
            case CreatedVoice():
                return Speaker(name=voice.name, created=self._voice(voice))
            case ExistingVoice():
                self.existing.setdefault(voice.id, voice)
                return Speaker(name=voice.name, id=voice.id)
            case OneShotVoice():
                return Speaker(name=voice.name, references=voice.references)

    def _voice(self, voice: CreatedVoice) -> Fingerprint:
        key = self.created[voice.name]
        if key not in self.voices:
            self.voices[key] = VoiceStep(fingerprint=key, voice=voice, record=self._record(voice))
        return key

    def _key(self, voice: CreatedVoice) -> Fingerprint:
        return fingerprint(self._record(voice))

    def _record(self, voice: CreatedVoice) -> Mapping[str, Any]:
        return minted(voice_record(voice, self.realm), self.known.samples.get(voice.sample_sha256 or ""))


def _by_id(voices: Iterable[Voice]) -> list[ExistingVoice]:
    return [voice for voice in voices if isinstance(voice, ExistingVoice)]


def _item(segment: Segment, scope: str, **what: object) -> Item:
    return Item(
        scope=scope,
        address=segment.address,
        span=segment.span,
        edits=segment.edits,
        chapter=segment.chapter,
        caption=segment.caption,
        at=segment.at,
        **what,  # type: ignore[arg-type]
    )


def _of_chapter(step: OutputStep, part: ChapterPart) -> OutputStep:
    """The step of one chapter's file; what is before the first chapter belongs to it."""
    marks = [number for number, item in enumerate(step.items) if item.chapter]
    first = 0 if part.number == 1 else marks[part.number - 1]
    last = (marks[part.number] if part.number < part.count else len(step.items)) - 1
    beds = (
        replace(laid, first=max(laid.first, first) - first, last=min(laid.last, last) - first)
        for laid in step.beds
        if laid.first <= last and laid.last >= first
    )
    album = step.tags.get("title") or step.tags.get("album")
    tags = {**step.tags, "title": part.title, "track": f"{part.number}/{part.count}"} | (
        {"album": album} if album else {}
    )
    return replace(step, items=step.items[first : last + 1], beds=tuple(beds), tags=tags)


def _tags(manifest: Manifest, script: Script) -> Mapping[str, str]:
    project = manifest.project
    tags = {
        "title": script.title or project.title,
        "artist": project.author,
        "album": project.album or project.title,
        "language": project.language,
    }
    return {name: value for name, value in tags.items() if value}
