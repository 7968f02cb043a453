"""The steps of a build: voices, the clips that need them, the outputs that need those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from fishpipe.errors import Span
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.frames import Frame
    from fishpipe.manifest.model import Bed, CreatedVoice, Edits, Format, Micros, Output, Reference, Respelled, Voice

Realm = Literal["acedata", "loopback"]


class Known(Struct, frozen=True, kw_only=True):
    """What lock and ledger remember that decides which call a line is.

    `samples` has the records of voices that exist, by the sha256 of their samples: a sample that has only moved
    makes no other voice. `made` has the fingerprints of voices that were made here, by id, `pins` the takes that
    are used, by the words' fingerprint, and `paid` the calls that were ever made.
    """

    samples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    made: Mapping[str, Fingerprint] = field(default_factory=dict)
    pins: Mapping[Fingerprint, int] = field(default_factory=dict)
    paid: Collection[str] = frozenset()


class Use(Struct, frozen=True, kw_only=True, gc=False):
    """A segment that needs a clip."""

    address: str
    span: Span
    script: str


class VoiceStep(Struct, frozen=True, kw_only=True, gc=False):
    """A voice to create: one paid call."""

    fingerprint: Fingerprint
    voice: CreatedVoice
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The voice's name in the manifest."""
        return self.voice.name

    @property
    def span(self) -> Span:
        """The place of its declaration."""
        return self.voice.span

    @property
    def places(self) -> Mapping[str, Span]:
        """Where its fields were written."""
        return self.voice.places

    @property
    def address(self) -> str:
        """What this call is for, as messages and receipts name it."""
        return f"voices.{self.name}"


class Speaker(Struct, frozen=True, kw_only=True, gc=False):
    """Who speaks a clip: a voice to create, a voice by id, or references."""

    name: str
    created: Fingerprint | None = None
    id: str | None = None
    references: tuple[Reference, ...] = ()


class ClipStep(Struct, frozen=True, kw_only=True, gc=False):
    """A text to speak: one paid call, however many segments use it.

    `frame` is how it is spoken, but for the voice, which is one of `speakers` (without any, the service speaks with a
    voice of its own), `take` which rendering it is, from 1. `places` says where settings were made, `words` is the
    fingerprint without the take, and `respelled` what the lexicon put into the text.
    """

    fingerprint: Fingerprint
    frame: Frame
    text: str
    take: int = 1
    speakers: tuple[Speaker, ...] = ()
    uses: tuple[Use, ...]
    words: Fingerprint
    places: Mapping[str, Span] = field(default_factory=dict)
    respelled: tuple[Respelled, ...] = ()

    @property
    def api(self) -> Literal["tts", "audios"]:
        """Which call speaks it."""
        return self.frame.settings.api

    @property
    def record(self) -> Mapping[str, Any]:
        """What is heard of it: what its fingerprint is made of."""
        return self.frame.record(self.text, self.take)

    @property
    def body(self) -> Mapping[str, Any]:
        """What is sent as it stands."""
        return self.frame.body(self.text)

    @property
    def address(self) -> str:
        """What this call is for, as messages and receipts name it: the first segment that uses it."""
        return self.uses[0].address

    @property
    def span(self) -> Span:
        """The place of the first segment that uses it."""
        return self.uses[0].span

    def speaks_with(self, voice: str) -> bool:
        """Whether a voice, by its id or fingerprint, speaks here."""
        return any(voice in (speaker.created, speaker.id) for speaker in self.speakers)

    def at_take(self, take: int) -> ClipStep:
        """The same words, rendered for the `take`-th time."""
        return replace(self, take=take, fingerprint=self.frame.at_take(self.text, take))

    @property
    def model(self) -> str:
        """The model that speaks; a price is looked up by it."""
        return self.frame.settings.model if self.api == "tts" else "fish-tts"

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the text: what is billed."""
        return len(self.text.encode())

    @property
    def format(self) -> Format:
        """What the bytes of the clip are."""
        return "pcm" if self.api == "tts" and self.frame.settings.format == "pcm" else "mp3"

    @property
    def sample_rate(self) -> int:
        """Samples a second; a PCM clip does not say so itself."""
        return self.frame.settings.sample_rate if self.api == "tts" else 44100

    @property
    def speed(self) -> float:
        """The speed asked for; 1.0 is as is."""
        return self.frame.settings.speed if self.api == "tts" else 1.0


class Steps(Mapping["Fingerprint", ClipStep]):
    """The clips' steps, each made when it is asked for: most of a plan only needs to know which there are."""

    def __init__(self, calls: Mapping[Fingerprint, Any], make: Callable[[Fingerprint], ClipStep]) -> None:
        self._calls, self._make = calls, make
        self._made: dict[Fingerprint, ClipStep] = {}

    def __getitem__(self, key: Fingerprint) -> ClipStep:
        found = self._made.get(key)
        if found is None:
            if key not in self._calls:
                raise KeyError(key)
            found = self._made[key] = self._make(key)
        return found

    def __contains__(self, key: object) -> bool:
        return key in self._calls

    def __iter__(self) -> Iterator[Fingerprint]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)


class Item(Struct, frozen=True, kw_only=True, gc=False):
    """One thing on an output's way: a clip, a file, or (both None) a pause of `edits.gap`.

    `at` is when it begins in its `scope`: the output, or a script that is included there. `voice` names who speaks.
    """

    address: str
    span: Span
    edits: Edits
    clip: Fingerprint | None = None
    asset: Path | None = None
    start: Micros | None = None
    end: Micros | None = None
    chapter: str | None = None
    caption: str | None = None
    text: str | None = None
    at: Micros | None = None
    scope: str = ""
    voice: str = ""

    @property
    def is_pause(self) -> bool:
        """Whether this is silence alone."""
        return self.clip is None and self.asset is None


class LaidBed(Struct, frozen=True, kw_only=True, gc=False):
    """A bed under the items from `first` to `last`, both included."""

    bed: Bed
    first: int
    last: int

    def shifted(self, by: int) -> LaidBed:
        """The same under items that stand `by` further on."""
        return replace(self, first=self.first + by, last=self.last + by)


class OutputStep(Struct, frozen=True, kw_only=True, gc=False):
    """A file to make of a script's items, with its tags; `room_tone` is heard where no sound is."""

    output: Output
    script: str
    items: tuple[Item, ...]
    tags: Mapping[str, str]
    beds: tuple[LaidBed, ...] = ()
    room_tone: Bed | None = None

    @property
    def assets(self) -> list[Path]:
        """The audio files of the project that are heard in it."""
        beds = [laid.bed for laid in self.beds] + ([self.room_tone] if self.room_tone else [])
        return [item.asset for item in self.items if item.asset is not None] + [bed.asset.path for bed in beds]


class Graph(Struct, frozen=True, kw_only=True):
    """All steps, each kind in the order of the manifest.

    `manifest` is its file's name; `lines` are each script's spoken segments, in order; `created` has the
    fingerprints of all declared voices that are made from samples, by name.
    """

    realm: Realm
    manifest: str
    voices: Mapping[Fingerprint, VoiceStep]
    clips: Mapping[Fingerprint, ClipStep]
    outputs: tuple[OutputStep, ...]
    existing: Mapping[str, Voice] = field(default_factory=dict)
    created: Mapping[str, Fingerprint] = field(default_factory=dict)
    lines: Mapping[str, tuple[tuple[str, Fingerprint], ...]] = field(default_factory=dict)

    @property
    def spoken(self) -> dict[str, ClipStep]:
        """The step of each spoken segment, by address."""
        pairs = (pair for pairs in self.lines.values() for pair in pairs)
        return {address: self.clips[key] for address, key in pairs if key in self.clips}
