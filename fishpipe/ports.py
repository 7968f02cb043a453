"""What the runner needs of the world, as Protocols, and the values that pass through them.

The answers of the service come as values; what goes wrong comes as the errors of :mod:`fishpipe.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from fishpipe.events import Event, Sounding
    from fishpipe.graph.fingerprints import Digest, Fingerprint
    from fishpipe.graph.steps import ClipStep, OutputStep, VoiceStep
    from fishpipe.snapshot import CallRow, Charged, Snapshot, State


class Submitted(Struct, frozen=True, kw_only=True):
    """The service took the call and will have its answer under `task_id`."""

    task_id: str
    trace_id: str | None = None


class Answered(Struct, frozen=True, kw_only=True):
    """The audio is ready at `url`, for about an hour."""

    url: str
    task_id: str | None = None
    trace_id: str | None = None


class Running(Struct, frozen=True, kw_only=True):
    """The task is not finished, or the service does not know it (yet)."""

    known: bool = True


class TaskFailed(Struct, frozen=True, kw_only=True):
    """The task ended with an error, in the service's words."""

    message: str
    trace_id: str | None = None


class VoiceInfo(Struct, frozen=True, kw_only=True):
    """A voice as the service describes it; `created` in Unix seconds, None where it does not say."""

    id: str
    state: str
    type: str = "tts"
    title: str = ""
    created: float | None = None
    task_id: str | None = None
    trace_id: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    visibility: str = ""


Outcome = Answered | VoiceInfo | TaskFailed
TaskState = Running | Outcome


class Receipt(Struct, frozen=True, kw_only=True):
    """What was paid for: append-only, the record of money. `usd` is an estimate.

    `kind` is clip, voice, or in doubt: a call that may have been charged and was made again. `voice` are the
    names of who speaks.
    """

    fingerprint: Fingerprint
    address: str
    kind: str
    realm: str = ""
    voice: str = ""
    model: str = ""
    task_id: str | None = None
    trace_id: str | None = None
    url: str | None = None
    bytes: int = 0
    usd: float | None = None
    take: int = 1


class ClipFile(Struct, frozen=True, kw_only=True):
    """A clip on disk, and what its bytes are."""

    path: Path
    digest: Digest
    format: str
    sample_rate: int


class Level(Struct, frozen=True, kw_only=True):
    """`seconds` of a whole clip; the loudness of its speech in LUFS, and its true peak in dBFS."""

    seconds: float
    lufs: float
    peak: float


class Speech(Protocol):
    """The service. With a `callback` its answer goes there, and the call returns at once."""

    async def speak(self, step: ClipStep, voice_ids: Sequence[str], callback: str | None) -> Submitted | Answered:
        """Pay for a clip."""

    async def create_voice(self, step: VoiceStep, callback: str | None) -> Submitted | VoiceInfo:
        """Pay for a voice; held open until the service answers, unless there is a callback."""

    async def voice(self, voice_id: str) -> VoiceInfo:
        """Look a voice up; free."""

    async def find_voices(self, title: str) -> Sequence[VoiceInfo]:
        """The account's own voices of that title; free."""

    async def tasks(self, ids: Sequence[str]) -> Mapping[str, TaskState]:
        """What became of tasks; free."""


class Downloads(Protocol):
    """Audio over HTTP."""

    async def fetch(self, url: str, part: Path) -> int:
        """Stream `url` into `part`, whole and flushed to disk; returns its bytes."""

    async def digest(self, url: str) -> Digest:
        """sha256 of what `url` gives, of a bounded size."""


class Callbacks(Protocol):
    """Where the service sends its answers, if it is asked to."""

    def address(self, nonce: str) -> str:
        """The public address for the answer of one call."""

    def listen(self, deliver: Callable[[str, str | None, Outcome], None]) -> None:
        """Give each answer that comes to `deliver(nonce, task id, outcome)`; those that came before, too."""


class Inspector(Protocol):
    """Judges a download."""

    def inspect(self, part: Path, step: ClipStep) -> float:
        """Seconds of sound. Raises AudioError where the bytes are not the clip that was asked for."""


class Store(Protocol):
    """The ledger and the clips: each change is on disk when `settled` returns, and those of threads at once."""

    @property
    def is_shared(self) -> bool:
        """Whether others pay for the same words, and keep their clips where ours are."""

    async def settled(self) -> None:
        """All changes that were made are on disk: what follows from them may happen. Raises StoreError."""

    def row(self, key: Fingerprint) -> CallRow | None:
        """What is known of a call."""

    def intend(self, step: ClipStep | VoiceStep, nonce: str | None = None) -> None:
        """A request is about to leave; its answer may come under `nonce`."""

    def move(self, key: Fingerprint, state: State, *, receipt: Receipt | None = None, **changes: Any) -> None:  # noqa: ANN401
        """The call is in another state."""

    def receipt(self, receipt: Receipt) -> None:
        """Add to the record of money."""

    def voice_ids(self) -> set[str]:
        """The ids of all voices that are known as ours."""

    def checked(self, info: VoiceInfo, consent: str | None) -> None:
        """A voice by id was found at the service, and can speak."""

    def unchecked(self, voice_id: str) -> None:
        """A voice by id is to be looked up again."""

    def note(self, key: Fingerprint, error: str, charged: Charged | None = None) -> None:
        """Write an error beside a call's state."""

    def claim(self, key: Fingerprint) -> bool:
        """Whether this run may pay for a call: False while another project does, that shares its clips."""

    def holds(self, key: Fingerprint) -> bool:
        """Whether a claim was not lost to another project in the meantime."""

    def inherited(self, step: ClipStep) -> str | None:
        """The task of a call that its claim's dead holder had paid for; the call is known as submitted from now on."""

    def renew_claims(self) -> None:
        """Say that this run lives."""

    def release(self, key: Fingerprint) -> None:
        """The call is made, or given up."""

    def arrived(self, step: ClipStep) -> Path | None:
        """The clip of a call that another project has paid for in the meantime, known as ours from now on."""

    def part(self, key: Fingerprint) -> Path:
        """Where a download may be written."""

    def keep(self, step: ClipStep, part: Path, seconds: float) -> Digest:
        """Take a checked part into the clips."""

    def digest(self, part: Path) -> Digest:
        """sha256 of a file's bytes."""

    def clip(self, key: Fingerprint, digest: Digest, suffix: str) -> Path:
        """The file of a clip."""

    def pin_gains(self, name: str, pin: Mapping[str, Any]) -> None:
        """The gains that an output was made with, for the lock."""

    def stitched(self, path: Path, recipe: str, made: Made, clips: Iterable[Fingerprint]) -> None:
        """An output was made of these clips, by a recipe."""


class Job(Struct, frozen=True, kw_only=True):
    """An output to make; `pin` are the gains that the lock keeps for it, and `is_pinned` that no others may be used.

    `lower` is by how many dB the ceiling of its peaks is lower than asked for.
    """

    step: OutputStep
    channels: int
    pin: Mapping[str, Any] = field(default_factory=dict)
    is_pinned: bool = False
    lower: float = 0.0


class Made(Struct, frozen=True, kw_only=True):
    """An output that was made: `rate` in samples a second, `length` and its items' `places` in samples.

    `pin` are the gains that it was made with, for the lock.
    """

    rate: int
    length: int
    places: tuple[tuple[int, int], ...]
    pin: Mapping[str, Any] = field(default_factory=dict)
    sounding: Sounding | None = None


class Assembler(Protocol):
    """Makes outputs."""

    def assemble(self, jobs: Sequence[Job], clips: Mapping[Fingerprint, ClipFile]) -> list[Made]:
        """Write the files of one script's outputs, aside and renamed. Raises Interrupted after `stop`."""

    def prepare(self, job: Job, number: int, clips: Mapping[Fingerprint, ClipFile]) -> None:
        """Do for an item of an output what can be done before the others are here."""

    def stop(self) -> None:
        """Give up the outputs in the making; may be called from another thread."""


class Clock(Protocol):
    """Time and chance."""

    def now(self) -> float:
        """Unix seconds: for the record. It may jump."""

    def monotonic(self) -> float:
        """Seconds since some moment: for waiting. It never jumps."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""

    def jitter(self) -> float:
        """Between 0 and 1."""


class Reporter(Protocol):
    """Shows events."""

    def tell(self, event: Event) -> None:
        """Something happened."""

    def close(self) -> None:
        """Nothing more will: leave the terminal as it was."""


class RunLimits(Struct, frozen=True, kw_only=True):
    """How hard to try. Times in seconds.

    `call_deadline` is how long one run waits for one answer, `doubt_after` how long after it was asked for a
    task without an answer is in doubt.
    """

    concurrency: int = 5
    attempts: int = 6
    first_delay: float = 0.5
    longest_delay: float = 30.0
    longest_wait: float = 600.0
    rate_limits: int = 60
    poll_first: float = 0.5
    poll_longest: float = 5.0
    poll_batch: int = 50
    polls: int = 4
    callback_timeout: float = 120.0
    call_deadline: float = 1800.0
    doubt_after: float = 24 * 3600.0
    unknown_task_grace: float = 120.0
    training_deadline: float = 1800.0
    voice_grace: float = 180.0
    downloads: int = 8


class RunContext(Struct, frozen=True, kw_only=True):
    """All that a run is given."""

    speech: Speech
    downloads: Downloads
    inspector: Inspector
    store: Store
    assembler: Assembler
    reporter: Reporter
    clock: Clock
    snapshot: Snapshot
    callbacks: Callbacks | None = None
    limits: RunLimits = field(default_factory=RunLimits)
