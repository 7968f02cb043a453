"""The manifest as frozen values: what the rest of the house reads.

Durations are whole microseconds, gains decibels. A value that a user can still be blamed for keeps its Span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NewType

from msgspec import Struct, field
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from fishpipe.errors import Problem, Span
    from fishpipe.manifest.nodes import Late, Node

Micros = NewType("Micros", int)
Usd = NewType("Usd", float)

# Where the lexicon changed a text: start, end, the entry's word, what is written.
Respelled = tuple[int, int, str, str]

Api = Literal["tts", "audios"]
Format = Literal["mp3", "pcm"]
Delivery = Literal["poll", "wait", "callback"]
Creation = Literal["voices", "model"]
ProviderName = Literal["acedata", "sandbox"]
Trim = Literal["auto", "off"]
FileFormat = Literal["mp3", "wav", "flac", "opus", "m4a", "m4b"]


class Settings(Struct, frozen=True, kw_only=True, gc=False):
    """What is asked of the service for one text, after the cascade; None is left to the service."""

    api: Api = "tts"
    model: str = "s2-pro"
    format: Format = "mp3"
    mp3_bitrate: int = 192
    sample_rate: int = 44100
    speed: float = 1.0
    volume: float = 0.0
    chunk_length: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    latency: str = "normal"
    normalize: bool | None = None
    min_chunk_length: int | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        own = (self.api, self.model, self.format, self.mp3_bitrate, self.sample_rate, self.speed, self.volume)
        return hash((*own, self.temperature, self.top_p, *self.extra_body))


class Edits(Struct, frozen=True, kw_only=True, gc=False):
    """What happens to a sound on its way into an output; costs nothing.

    `trim` is auto, off, or the level in dBFS below which its ends are cut; `overlap` and `crossfade` take the place
    of the gap.
    """

    gap: Micros = Micros(300_000)
    gain: float = 0.0
    fade_in: Micros = Micros(0)
    fade_out: Micros = Micros(0)
    trim: Trim | float = "auto"
    tempo: float = 1.0
    crossfade: Micros = Micros(0)
    overlap: Micros = Micros(0)

    def of_piece(self, number: int, count: int, gap: Micros) -> Edits:
        """Those of one piece (from 1) of a line: what ends it belongs to the last, and `gap` is between them."""
        none = Micros(0)
        own = self if number == count else replace(self, gap=gap, fade_out=none, crossfade=none, overlap=none)
        return own if number == 1 else replace(own, fade_in=none)


class Reference(Struct, frozen=True, kw_only=True, gc=False):
    """A sample of speech and its exact transcript."""

    audio: str
    text: str


class CreatedVoice(Struct, frozen=True, kw_only=True, gc=False):
    """A voice that the service makes from a sample, once. `create: model` alone knows the fields from `texts` on."""

    name: str
    span: Span
    sample_url: str
    sample_sha256: str | None = None
    revision: int = 1
    create: Creation = "voices"
    title: str
    description: str | None = None
    image_urls: tuple[str, ...] = ()
    consent: str | None = None
    texts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    visibility: str = "private"
    cover_image: str | None = None
    enhance_audio_quality: bool | None = None
    generate_sample: bool | None = None
    places: Mapping[str, Span] = field(default_factory=dict)


class ExistingVoice(Struct, frozen=True, kw_only=True, gc=False):
    """A voice that the service has already."""

    name: str
    span: Span
    id: str
    consent: str | None = None


class OneShotVoice(Struct, frozen=True, kw_only=True, gc=False):
    """A voice copied from references in each call."""

    name: str
    span: Span
    references: tuple[Reference, ...]
    consent: str | None = None


Voice = CreatedVoice | ExistingVoice | OneShotVoice


class Speech(Struct, frozen=True, kw_only=True, gc=False):
    """A text as it is sent, and the voices that speak it (none: the service's own).

    `places` are those of its settings, where these do not stand with the text itself.

    `take` is set where the manifest says which rendering it wants. `shown` is the text as captions have it, and
    `respelled` are (start, end, word, written) of what the lexicon put into the text.
    """

    text: str
    shown: str = ""
    respelled: tuple[Respelled, ...] = ()
    voices: tuple[Voice, ...]
    settings: Settings
    places: Mapping[str, Span] = field(default_factory=dict)
    take: int | None = None


class Pause(Struct, frozen=True, kw_only=True, gc=False):
    """Silence in place of a gap."""

    duration: Micros


class Asset(Struct, frozen=True, kw_only=True, gc=False):
    """An audio file of the project, or a part of it."""

    path: Path
    shown: str
    start: Micros = Micros(0)
    end: Micros | None = None


class Bed(Struct, frozen=True, kw_only=True, gc=False):
    """A sound under others: `duck` dB softer under speech, from `attack` before it to `release` behind it."""

    asset: Asset
    span: Span
    gain: float = 0.0
    fade_in: Micros = Micros(0)
    fade_out: Micros = Micros(0)
    loop: bool = False
    duck: float = 0.0
    attack: Micros = Micros(200_000)
    release: Micros = Micros(500_000)


class Inclusion(Struct, frozen=True, kw_only=True, gc=False):
    """Another script's segments in place; `gap` replaces the one after its last sound."""

    script: str
    gap: Micros | None = None


class Segment(Struct, frozen=True, kw_only=True, gc=False):
    """One item of a script; `address` is SCRIPT/ID or SCRIPT/ORDINAL, `export` the file of a line alone.

    `at` is when it begins, from the start of the script. Where a text is spoken in pieces, `line` is the address of
    them all, and `whole` (with the first) is the text uncut. `language` is what is spoken, "" where nobody says.
    `written` (with the first piece) is the text as the author has it, "" where it is sent so.
    """

    address: str
    span: Span
    body: Speech | Pause | Asset | Inclusion
    edits: Edits
    chapter: str | None = None
    caption: str | None = None
    export: Output | None = None
    at: Micros | None = None
    line: str = ""
    whole: Speech | None = None
    language: str = ""
    written: str = ""


class Under(Struct, frozen=True, kw_only=True, gc=False):
    """A bed under the segments from `first` to `last`, both included, of a script."""

    bed: Bed
    first: int
    last: int


class ChapterPart(Struct, frozen=True, kw_only=True, gc=False):
    """One chapter of several: its number from 1, its title, and how many there are."""

    number: int
    title: str
    count: int


class Loudness(Struct, frozen=True, kw_only=True, gc=False):
    """How loud an output is to be: `target` in LUFS, or dB of `rms`; `mono` is another one for mono.

    True peaks stay under `true_peak` (dBFS); `by_voice` evens the voices out.
    """

    preset: str = ""
    target: float | None = None
    mono: float | None = None
    measure: Literal["lufs", "rms"] = "lufs"
    true_peak: float = -1.0
    by_voice: bool = False


class Output(Struct, frozen=True, kw_only=True, gc=False):
    """A file to make, with its `name` in the lock; `channels` is None until assets are known.

    `bitrate` is in kbit/s where it is lossy, `bits` are a sample's where not; `exact` asks for gaps that are exact to
    the sample in an mp3, too, and with `mode` copy the frames of mp3 clips are joined. `head` and `tail` are silence,
    or room tone, at both ends. `pattern` is what a line's own file was named by, `chapter` is set where it is a
    file of one chapter alone; until it is split, `late` is the template of its path.
    """

    path: Path
    shown: str
    span: Span
    format: FileFormat
    name: str = ""
    bitrate: int = 128
    bits: int = 16
    exact: bool = False
    mode: Literal["encode", "copy"] = "encode"
    loudness: Loudness | None = None
    head: Micros = Micros(0)
    tail: Micros = Micros(0)
    channels: int | None = None
    sample_rate: int = 44100
    pattern: str = ""
    chapter: ChapterPart | None = None
    late: Late | None = None


class Script(Struct, frozen=True, kw_only=True, gc=False):
    """An ordered list of segments, built when it has outputs, or writes its lines to files of their own.

    `beds` lie under them, `room_tone` where no sound is. `family` is its name in the manifest, which is another than
    `name` where several are made of one.
    """

    name: str
    span: Span
    title: str | None
    segments: tuple[Segment, ...]
    outputs: tuple[Output, ...] = ()
    beds: tuple[Under, ...] = ()
    room_tone: Bed | None = None
    family: str = ""

    @property
    def assets(self) -> list[tuple[Asset, Span]]:
        """The audio files of the project that it uses itself, each with where it is named."""
        own = [(segment.body, segment.span) for segment in self.segments if isinstance(segment.body, Asset)]
        beds = [under.bed for under in self.beds] + ([self.room_tone] if self.room_tone else [])
        return own + [(bed.asset, bed.span) for bed in beds]

    @property
    def files(self) -> tuple[Output, ...]:
        """All that is made of it: its outputs, and its lines' own files."""
        exports = (segment.export for segment in self.segments)
        return (*self.outputs, *(export for export in exports if export is not None))


class ProjectInfo(Struct, frozen=True, kw_only=True):
    """What the whole is called."""

    title: str | None = None
    author: str | None = None
    album: str | None = None
    language: str | None = None
    require_consent: bool = False


class Prices(Struct, frozen=True, kw_only=True):
    """Estimates in USD: `speech` per million UTF-8 bytes of text, `voice` per created voice; None is unknown.

    `models` has the models whose price is not that of `speech`; `fish-tts` is that of `api: audios`. `span` is where
    the manifest says so.
    """

    speech: Usd | None = Usd(15.0)
    voice: Usd | None = None
    models: Mapping[str, Usd | None] = field(default_factory=dict)
    span: Span | None = None

    def of(self, model: str) -> Usd | None:
        """USD per million bytes of text."""
        return self.models.get(model, self.speech)

    @property
    def are_free(self) -> bool:
        """Whether something is said to cost nothing."""
        return any(price is not None and not price for price in (self.speech, self.voice, *self.models.values()))

    def believed(self, given: Collection[str]) -> Prices:
        """As a budget is measured that is not the project's own: by the prices that the user has `given`, by name.

        What the project says of others counts where it is more than the built-in price; a voice has no such price.
        """
        usual = Prices()
        speech = self.speech if "speech" in given else _higher(self.speech, usual.speech)
        models = {name: price if name in given else _higher(price, speech) for name, price in self.models.items()}
        return Prices(speech=speech, voice=self.voice if "voice" in given else usual.voice, models=models)


def _higher(one: Usd | None, other: Usd | None) -> Usd | None:
    """The higher price; unknown where one of them is."""
    return None if one is None or other is None else max(one, other)


class Provider(Struct, frozen=True, kw_only=True):
    """Who speaks, and how the answers come. Times in seconds."""

    name: ProviderName = "acedata"
    base_url: str | None = None
    concurrency: int = 5
    delivery: Delivery = "poll"
    callback_url: str | None = None
    callback_listen: str = "127.0.0.1:8787"
    callback_timeout: float = 120.0
    call_deadline: float = 1800.0
    stall_timeout: float = 30.0
    prices: Prices = field(default_factory=Prices)


class Budget(Struct, frozen=True, kw_only=True):
    """The most that may be spent in USD, and where the manifest says so; above `confirm` a person is asked."""

    build: Usd | None = None
    month: Usd | None = None
    confirm: Usd = Usd(1.0)
    span: Span | None = None


class ClipStore(Struct, frozen=True, kw_only=True):
    """A folder that keeps clips, as it was written."""

    folder: str
    span: Span


class Manifest(Struct, frozen=True, kw_only=True):
    """A whole project. `root` is the folder of the manifest, `files` all that was read for it.

    `store` is a folder for clips beside `.fishpipe`, `warnings` are what may be meant, and probably is not.
    `own_provider` is what it names without a profile, `texts` are those of the files by name, and `looked_at` are
    (kind, path, mark) of all that was read, as :mod:`fishpipe.stamp` has them; `parsed` are files by the keys that they
    may be kept under, as nodes.
    """

    path: Path
    root: Path
    files: tuple[Path, ...]
    project: ProjectInfo
    provider: Provider
    budget: Budget
    voices: Mapping[str, Voice]
    scripts: Mapping[str, Script]
    store: ClipStore | None = None
    warnings: tuple[Problem, ...] = ()
    own_provider: ProviderName = "acedata"
    lexicon: Mapping[str, Span] = field(default_factory=dict)
    respelled: frozenset[str] = frozenset()
    texts: Mapping[str, str] = field(default_factory=dict)
    looked_at: tuple[tuple[str, str, str], ...] = ()
    parsed: Mapping[str, Node] = field(default_factory=dict)
