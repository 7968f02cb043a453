"""Manifest → Graph: which steps there are, and what each needs. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from fishpipe.graph.fingerprints import (
    Fingerprint,
    canonical,
    canonical_text,
    clip_record,
    fingerprint,
    minted,
    voice_record,
    with_take,
)
from fishpipe.graph.pieces import pieces_as_paid
from fishpipe.graph.steps import ClipStep, Graph, Item, Known, LaidBed, OutputStep, Realm, Speaker, Use, VoiceStep
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
    Settings,
    Speech,
    Voice,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# Stands for any text in a record.
_ANY: Final = "\ue000"
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


@dataclass
class _Builder:
    manifest: Manifest
    realm: Realm
    known: Known
    voices: dict[Fingerprint, VoiceStep] = field(default_factory=dict)
    clips: dict[Fingerprint, ClipStep] = field(default_factory=dict)
    uses: dict[Fingerprint, list[Use]] = field(default_factory=dict)
    by_address: dict[str, Fingerprint] = field(default_factory=dict)
    created: dict[str, Fingerprint] = field(default_factory=dict)
    existing: dict[str, Voice] = field(default_factory=dict)
    frames: dict[tuple[Settings, tuple[Voice, ...]], list[list[bytes]]] = field(default_factory=dict)

    def graph(self, only: Iterable[str] | None) -> Graph:
        scripts = self.manifest.scripts
        names = [name for name in scripts if scripts[name].files] if only is None else list(only)
        outputs: list[OutputStep] = []
        self.existing = {v.id: v for v in self.manifest.voices.values() if isinstance(v, ExistingVoice)}
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
        clips = {key: replace(step, uses=tuple(self.uses[key])) for key, step in self.clips.items()}
        return Graph(
            realm=self.realm,
            manifest=self.manifest.path.name,
            voices=self.voices,
            clips=clips,
            outputs=tuple(outputs),
            existing=self.existing,
            created={v.name: self._key(v)[0] for v in self.manifest.voices.values() if isinstance(v, CreatedVoice)},
            lines=self._lines(),
        )

    def _exports(self, script: Script) -> Iterator[OutputStep]:
        """Each line's own file: the line alone, with its edits."""
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
                    items.append(replace(self._item(segment, script), scope=scope))
        starts.append(len(items))
        for under in script.beds:
            first, last = starts[under.first], starts[under.last + 1] - 1
            if last >= first:
                beds.append(LaidBed(bed=under.bed, first=first, last=last))
        return items, beds

    def _segments(self, script: Script) -> Iterator[Segment]:
        return (segment for kept in self._lines_as_paid(script) for segment in kept)

    def _lines_as_paid(self, script: Script) -> Iterator[list[Segment]]:
        """For each segment what takes its place: itself, but for a line that was paid for whole, or in other pieces.

        So neither a text that grows too long for a new limit nor another release of the splitter is paid for again.
        """
        for _, group in groupby(script.segments, key=lambda segment: segment.line):
            pieces = list(group)
            if isinstance(pieces[0].body, Speech) and self.known.paid:
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
        """Whether a text, spoken as this one is, was ever paid for: its fingerprint, without the rest made anew."""
        how = (speech.settings, speech.voices)
        if how not in self.frames:
            created = {voice.name: self._key(voice)[0] for voice in speech.voices if isinstance(voice, CreatedVoice)}
            made = clip_record(_ANY, *how, self.realm, created, self.known.made)
            plain = clip_record(_ANY, *how, self.realm, created)
            records = [made] if made == plain else [made, plain]
            self.frames[how] = [canonical(record).split(_ANY.encode()) for record in records]
        frames = self.frames[how]
        paid = self.known.paid

        def is_paid(text: str) -> bool:
            words = json.dumps(canonical_text(text), ensure_ascii=False)[1:-1].encode()
            return any(sha256(words.join(frame)).hexdigest() in paid for frame in frames)

        return is_paid

    def _item(self, segment: Segment, script: Script) -> Item:
        match segment.body:
            case Speech() as speech:
                clip = self._clip(segment, speech, script.name)
                voice = "+".join(voice.name for voice in speech.voices)
                return _item(segment, clip=clip, text=speech.shown, voice=voice)
            case Asset() as asset:
                return _item(segment, asset=asset.path, start=asset.start, end=asset.end)
            case Pause(duration=duration):
                return replace(_item(segment), edits=replace(segment.edits, gap=duration))
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
        use = Use(address=segment.address, span=segment.span, script=script)
        known = self.by_address.get(segment.address)
        if known is not None:
            return known
        speakers = tuple(self._speaker(voice) for voice in speech.voices)
        record, words = self._record(speech)
        take = speech.take or self.known.pins.get(words, 1)
        record = with_take(record, take)
        key = words if take == 1 else fingerprint(record)
        self.by_address[segment.address] = key
        self.uses.setdefault(key, []).append(use)
        if key not in self.clips:
            self.clips[key] = ClipStep(
                fingerprint=key,
                api=speech.settings.api,
                body=record["body"],
                speakers=speakers,
                record=record,
                uses=(),
                places=speech.places,
                words=words,
                respelled=speech.respelled,
            )
        return key

    def _record(self, speech: Speech) -> tuple[Mapping[str, Any], Fingerprint]:
        """What is heard, without the take, and its fingerprint.

        A voice by id that was made here is that voice, unless the line was spoken before that was known.
        """
        text, settings, voices = speech.text, speech.settings, speech.voices
        record = clip_record(text, settings, voices, self.realm, self.created, self.known.made)
        words = fingerprint(record)
        if words in self.known.paid or not any(
            isinstance(v, ExistingVoice) and v.id in self.known.made for v in voices
        ):
            return record, words
        plain = clip_record(text, settings, voices, self.realm, self.created)
        by_id = fingerprint(plain)
        return (plain, by_id) if by_id in self.known.paid else (record, words)

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
        if voice.name not in self.created:
            key, record = self._key(voice)
            self.created[voice.name] = key
            self.voices.setdefault(key, VoiceStep(fingerprint=key, voice=voice, record=record))
        return self.created[voice.name]

    def _key(self, voice: CreatedVoice) -> tuple[Fingerprint, Mapping[str, Any]]:
        record = minted(voice_record(voice, self.realm), self.known.samples.get(voice.sample_sha256 or ""))
        return fingerprint(record), record


def _item(segment: Segment, **what: object) -> Item:
    return Item(
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
