"""What happens in a run, as values: told by the runner, shown by reporters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from fishpipe.errors import ServiceError
    from fishpipe.plan import Plan
    from fishpipe.snapshot import Charged


class Event(Struct, frozen=True, kw_only=True):
    """Something happened."""


class RunStarted(Event, frozen=True, kw_only=True):
    """The plan is about to be carried out."""

    plan: Plan
    free: bool


class CallSubmitted(Event, frozen=True, kw_only=True):
    """A paid request left."""

    address: str
    bytes: int
    usd: float | None


class CallClaimed(Event, frozen=True, kw_only=True):
    """Another project that shares its clips pays for the same words just now; its clip is waited for."""

    address: str
    message: str


class CallRetried(Event, frozen=True, kw_only=True):
    """A call was not charged and is tried again in `delay` seconds."""

    address: str
    error: ServiceError
    delay: float
    attempt: int


class DoubtRetried(Event, frozen=True, kw_only=True):
    """A call that may have been charged is paid for again, once a run."""

    address: str
    error: str
    usd: float | None
    trace_id: str = ""


class ClipStored(Event, frozen=True, kw_only=True):
    """A clip is on disk."""

    address: str
    seconds: float
    paid: bool
    usd: float | None = 0.0


class ClipDamaged(Event, frozen=True, kw_only=True):
    """A clip's file holds other bytes than its name says, or no sound; it is put aside."""

    address: str
    message: str


class VoiceReady(Event, frozen=True, kw_only=True):
    """A voice can speak."""

    name: str
    voice_id: str
    paid: bool
    adopted: bool = False


class CallProblem(Event, frozen=True, kw_only=True):
    """A call, or an output, ended without its result; `charged` is None where nothing was to be paid."""

    address: str
    place: str
    message: str
    hint: str = ""
    in_doubt: bool = False
    charged: Charged | None = None
    trace_id: str = ""


class OutputStarted(Event, frozen=True, kw_only=True):
    """An output is being stitched."""

    path: str


class Sounding(Struct, frozen=True, kw_only=True):
    """How a finished file sounds: `lufs` and `lra` (EBU R 128), `true_peak`, `rms` and noise `floor` in dBFS.

    `measure` is what its target was in (lufs or rms), `missed` are the targets that it missed, and why.
    """

    lufs: float
    lra: float
    true_peak: float
    rms: float
    floor: float
    measure: str = "lufs"
    missed: tuple[str, ...] = ()


class OutputWritten(Event, frozen=True, kw_only=True):
    """An output is on disk; `pattern` is what a line's own file was named by, `sounding` how loud it is."""

    path: str
    seconds: float
    segments: int
    pattern: str = ""
    sounding: Sounding | None = None


class Stopping(Event, frozen=True, kw_only=True):
    """No new calls; what is paid for is still collected."""

    why: str


class RunFinished(Event, frozen=True, kw_only=True):
    """The end, in numbers. `usd` is an estimate of what was paid, `unpriced` how many calls have no known price.

    `damaged` are clips that were put aside: another plan has them fetched again.
    """

    exit_code: int
    calls: int = 0
    bytes: int = 0
    usd: float = 0.0
    unpriced: int = 0
    stored: int = 0
    in_doubt: int = 0
    failed: int = 0
    outputs: tuple[OutputWritten, ...] = ()
    free: bool = False
    collectable: int = 0
    damaged: int = 0
