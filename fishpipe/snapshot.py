"""The world as a plan sees it: the ledger, the clips that are here, the outputs' files. Frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from msgspec import Struct, field, json

from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

# Whoever asks for so many rows one by one will ask for more.
_MOST_ASKED: Final = 64


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

# How far a call has come, where two ledgers know it; one that was forgotten here is to be made anew here.
_RANK: Final[Mapping[State, int]] = {
    "refused": 0,
    "failed": 1,
    "lost": 2,
    "intended": 3,
    "submitted": 4,
    "created": 5,
    "answered": 5,
    "fetched": 6,
    "stored": 7,
    "trained": 7,
    "forgotten": 8,
}


class CallRow(Struct, frozen=True, kw_only=True, gc=False):
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


class Brief(NamedTuple):
    """What most is asked of a call."""

    kind: Literal["clip", "voice"]
    state: State
    digest: Digest | None
    size: int | None = None


class Calls(Mapping[Fingerprint, CallRow]):
    """All calls that are known, of which most are never looked at: a row is read when it is asked for.

    `stored` has the digests and sizes of the clips that are stored, `briefs` what is known of each other call at once;
    `read` gives the rows of the keys it is given (all for none), and `known` are rows that come from elsewhere, which
    count before the others.
    """

    def __init__(
        self,
        stored: Mapping[Fingerprint, tuple[Digest, int | None]] | None = None,
        briefs: Mapping[Fingerprint, Brief] | None = None,
        read: Callable[[Iterable[Fingerprint] | None], Iterable[CallRow]] | None = None,
        known: Mapping[Fingerprint, CallRow] | None = None,
    ) -> None:
        self.stored = dict(stored or {})
        self._briefs = dict(briefs or {})
        self._read = read
        self._rows: dict[Fingerprint, CallRow] = {}
        self._asked = 0
        # Those that another ledger knows better.
        self.taken: dict[Fingerprint, Calls] = {}
        for key, row in (known or {}).items():
            self.put(key, row)

    def put(self, key: Fingerprint, row: CallRow) -> None:
        """Have a row count in the place of what was known."""
        self._rows[key] = row
        self.taken.pop(key, None)
        self.stored.pop(key, None)
        if row.kind == "clip" and row.state == "stored" and row.digest is not None:
            self.stored[key] = (row.digest, None)
            self._briefs.pop(key, None)
        else:
            self._briefs[key] = Brief(row.kind, row.state, row.digest)

    def beside(self, others: Calls) -> None:
        """Know the calls of another ledger, too, where it has come further with them than ours."""
        for key in others:
            ours, theirs = self.brief(key), others.brief(key)
            if theirs is None or theirs.state == "forgotten":
                continue
            if _RANK[theirs.state] > (_RANK[ours.state] if ours is not None else -1):
                self.taken[key] = others
                self._rows.pop(key, None)
                if theirs.state == "stored" and theirs.kind == "clip" and theirs.digest is not None:
                    self.stored[key] = (theirs.digest, theirs.size)
                    self._briefs.pop(key, None)
                else:
                    self._briefs[key] = theirs

    def brief(self, key: Fingerprint) -> Brief | None:
        """What most is asked of a call, without its row; None for one that is unknown."""
        found = self.stored.get(key)
        return self._briefs.get(key) if found is None else Brief("clip", "stored", *found)

    def of(self, *, kind: Literal["voice", ""] = "", states: Container[State] = ()) -> list[CallRow]:
        """The rows of voices, or of calls in some states other than `stored`."""
        return self._some([k for k, found in self._briefs.items() if found.kind == kind or found.state in states])

    def _some(self, keys: list[Fingerprint]) -> list[CallRow]:
        self._rows |= {key: self.taken[key][key] for key in keys if key in self.taken and key not in self._rows}
        missing = [key for key in keys if key not in self._rows]
        if missing and self._read is not None:
            self._rows |= {row.fingerprint: row for row in self._read(missing)}
        return [self._rows[key] for key in keys]

    def __getitem__(self, key: Fingerprint) -> CallRow:
        if key not in self._rows:
            if key in self.taken:
                self._rows[key] = self.taken[key][key]
                return self._rows[key]
            if key not in self or self._read is None:
                raise KeyError(key)
            self._asked += 1
            if self._asked == _MOST_ASKED:
                read = {row.fingerprint: row for row in self._read(None) if row.fingerprint not in self.taken}
                self._rows = {**read, **self._rows}
            else:
                self._some([key])
        return self._rows[key]

    def __contains__(self, key: object) -> bool:
        return key in self.stored or key in self._briefs

    def __iter__(self) -> Iterator[Fingerprint]:
        return chain(self.stored, self._briefs)

    def __len__(self) -> int:
        return len(self.stored) + len(self._briefs)


class OutputRow(Struct, frozen=True, kw_only=True, gc=False):
    """An output as it was last made: its recipe, and the places of its items in samples, as JSON (`packed`)."""

    recipe: str
    digest: Digest
    rate: int
    length: int
    packed: str

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Where each item starts and ends."""
        return json.decode(self.packed, type=tuple[tuple[int, int], ...])


class AssetInfo(Struct, frozen=True, kw_only=True, gc=False):
    """An audio file of the project: its digest, and what its header says."""

    digest: Digest
    channels: int
    sample_rate: int


class Snapshot(Struct, frozen=True, kw_only=True):
    """The world as a plan sees it: the ledger, the clips that are here, and the outputs' files.

    `checked` are the ids of voices that were found at the service, and can speak; `retried` says how often each
    call in doubt was made again. `others` are clips that are here in the place of those that `lock` names, with
    their digests, `pointers` those that git-lfs has not fetched yet.
    """

    calls: Calls = field(default_factory=Calls)
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
