"""The world as a plan sees it: the ledger, the clips that are here, the outputs' files. Frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from fishpipe.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fishpipe.graph.fingerprints import Digest, Fingerprint


State = Literal[
    "intended",
    "refused",
    "submitted",
    "answered",
    "fetched",
    "stored",
    "failed",
    "created",
    "trained",
    "lost",
    "forgotten",
]


# Paid for, and not here yet: what a build collects.
IN_FLIGHT: Final = ("submitted", "answered", "fetched")

Charged = Literal["no", "yes", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """What the ledger knows of one call. Times are Unix seconds; `nonce` names the call in its callback's path.

    `described` is what the service was told of a voice that is not heard, `sample` the sha256 of its sample,
    `seconds` a clip's length.
    """

    fingerprint: Fingerprint
    kind: Literal["clip", "voice"]
    state: State
    record: Mapping[str, Any]
    task_id: str | None = None
    trace_id: str | None = None
    url: str | None = None
    voice_id: str | None = None
    nonce: str | None = None
    consent: str | None = None
    described: Mapping[str, Any] = field(default_factory=dict)
    digest: Digest | None = None
    sample: str | None = None
    seconds: float | None = None
    charged: Charged = "no"
    error: str | None = None
    address: str | None = None
    intended: float = 0.0
    updated: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRow:
    """An output as it was last made: its recipe, and the places of its items in samples."""

    recipe: str
    digest: Digest
    rate: int
    length: int
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetInfo:
    """An audio file of the project: its digest, and what its header says."""

    digest: Digest
    channels: int
    sample_rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The world as a plan sees it: the ledger, the clips that are here, and the outputs' files.

    `checked` are the ids of voices that were found at the service, and can speak; `retried` says how often each
    call in doubt was made again. `others` are clips that are here in the place of those that `lock` names, with
    their digests, `pointers` those that git-lfs has not fetched yet.
    """

    calls: Mapping[Fingerprint, CallRow] = field(default_factory=dict)
    clips: Mapping[Fingerprint, Digest] = field(default_factory=dict)
    lines: Mapping[str, tuple[tuple[str, Fingerprint], ...]] = field(default_factory=dict)
    outputs: Mapping[str, OutputRow] = field(default_factory=dict)
    files: Mapping[str, Literal["absent", "intact", "edited"]] = field(default_factory=dict)
    assets: Mapping[str, AssetInfo] = field(default_factory=dict)
    checked: frozenset[str] = frozenset()
    retried: Mapping[Fingerprint, int] = field(default_factory=dict)
    others: Mapping[Fingerprint, Digest] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    pointers: frozenset[Fingerprint] = frozenset()
    spent_month: float = 0.0
    tools: str = ""
