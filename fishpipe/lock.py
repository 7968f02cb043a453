"""The lock file as values: which bytes each call's clip is, which take is used, which voice was made. Pure.

``fishpipe.lock`` is JSON Lines, an entry a line, sorted. The first key of an entry says what it is:

- ``clip``: a fingerprint → the digest, format and length of its clip, its take, its task
- ``pin``: the words' fingerprint (a clip's without its take) → the take that is used
- ``voice``: a created voice's fingerprint → its id, record, sample, consent
- ``output``: an output's path → settings that are kept for it

Each says when it was written (``at``, UTC), so that git may merge line by line (union): of two entries for one
key, the later counts.
"""

from __future__ import annotations

import datetime
import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.errors import ManifestError, Problem, Span
from fishpipe.graph.fingerprints import Digest, Fingerprint, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind = Literal["clip", "output", "pin", "voice"]
KINDS: Final[tuple[Kind, ...]] = ("clip", "output", "pin", "voice")
VERSION: Final = 1
_HEAD: Final = {"lock": VERSION, "about": "which clip each call is (fishpipe writes it; commit it)"}
_HEX: Final = re.compile(r"[0-9a-f]{64}")
# A clip's line as `Entry.text` has it, of a first take.
_CLIP: Final = re.compile(
    r'\{"clip": "([0-9a-f]{64})", "at": "[^"\\\x00-\x1f]*", "digest": "([0-9a-f]{64})", "format": "(?:mp3|pcm)",'
    r' "seconds": (?:0|[1-9]\d{0,8})(?:\.\d{0,8}[1-9]|\.0)?(?:, "task": "[^"\\\x00-\x1f]*")?\}'
)
_MARKS: Final = ("<<<<<<< ", "=======", ">>>>>>> ", "||||||| ")
_NEWER: Final = "this lock is of another version"
MOST_TAKES: Final = 999
MOST_GAIN: Final = 60.0


class Entry(Struct, frozen=True, eq=False, gc=False):
    """One line: what kind it is, its key, and the rest of it: `given`, or as it is `written` (with a clip's digest)."""

    kind: Kind
    key: str
    given: Mapping[str, Any] | None = None
    written: str = ""
    digest: str = ""

    @property
    def data(self) -> Mapping[str, Any]:
        """What it says of its key."""
        if self.given is not None:
            return self.given
        data: dict[str, Any] = msgspec.json.decode(self.written)
        return {name: value for name, value in data.items() if name != self.kind}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and (self.kind, self.key, self.data) == (other.kind, other.key, other.data)

    def __hash__(self) -> int:
        return hash((self.kind, self.key))

    @property
    def at(self) -> str:
        """When it was written, in ISO 8601, UTC."""
        return str(self.data.get("at", ""))

    @property
    def text(self) -> str:
        """Its line: the kind first, then the rest by name."""
        if self.written:
            return self.written
        rest = dict(sorted(self.data.items()))
        return json.dumps({self.kind: self.key, **rest}, ensure_ascii=False, separators=(", ", ": "))

    def same(self, other: Entry | None) -> bool:
        """Whether both say the same, whenever they were written."""
        return other is not None and {**self.data, "at": ""} == {**other.data, "at": ""}


class Lock(Struct, frozen=True, kw_only=True, dict=True):
    """A lock file's entries, by kind and key; `name` is its file's, as messages say it."""

    entries: Mapping[tuple[Kind, str], Entry] = field(default_factory=dict)
    name: str = "fishpipe.lock"

    @cached_property
    def clips(self) -> Mapping[Fingerprint, Digest]:
        """The digest of each clip."""
        return {Fingerprint(e.key): Digest(e.digest or e.data["digest"]) for e in self._all("clip")}

    @cached_property
    def pins(self) -> Mapping[Fingerprint, int]:
        """The take that is used, by the words' fingerprint."""
        return {Fingerprint(e.key): int(e.data["take"]) for e in self._all("pin")}

    @cached_property
    def voices(self) -> Mapping[Fingerprint, Mapping[str, Any]]:
        """What is known of each created voice."""
        return {Fingerprint(e.key): e.data for e in self._all("voice")}

    def output(self, path: str) -> Mapping[str, Any]:
        """The gains of an output, as it was written; empty where none are kept."""
        found = self.entries.get(("output", path))
        return {name: value for name, value in found.data.items() if name != "at"} if found else {}

    def clip(self, key: Fingerprint) -> Mapping[str, Any]:
        """The entry of a clip; empty where there is none."""
        found = self.entries.get(("clip", key))
        return found.data if found else {}

    def _all(self, kind: Kind) -> Iterable[Entry]:
        return (entry for entry in self.entries.values() if entry.kind == kind)

    def adding(self, entries: Iterable[Entry]) -> Lock:
        """With these entries in the place of older ones; one that says nothing new changes nothing."""
        found = dict(self.entries)
        for entry in entries:
            if not entry.same(found.get((entry.kind, entry.key))):
                found[entry.kind, entry.key] = entry
        return replace(self, entries=found)

    def keeping(self, keys: Iterable[tuple[Kind, str]]) -> Lock:
        """With these entries alone."""
        return replace(self, entries={key: self.entries[key] for key in keys if key in self.entries})

    @property
    def text(self) -> str:
        """The whole file, in canonical form."""
        lines = [entry.text for _, entry in sorted(self.entries.items())]
        return "\n".join([json.dumps(_HEAD), *lines, ""])


def moment(seconds: float) -> str:
    """Unix seconds as the lock writes them."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(at: str) -> float:
    """The lock's time as Unix seconds; 0 where it is none."""
    try:
        return datetime.datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


def parse_lock(text: str, name: str) -> Lock:
    """A lock file's text → its entries. Raises ManifestError with all that is wrong in it, line by line."""
    problems: list[Problem] = []
    found: dict[tuple[Kind, str], Entry] = {}
    for number, line in enumerate(text.split("\n"), 1):
        wrong = "" if _take_in_clip(line, found) else _take_in(line.strip(), found)
        if wrong:
            hint = "" if wrong.startswith(_NEWER) else f"mend it: fishpipe lock --merge {name}"
            problems.append(Problem(Span(name, number), wrong, hint))
    if problems:
        raise ManifestError(problems[:20], {name: text})
    return Lock(entries=found, name=name)


def mended(text: str, name: str) -> tuple[Lock, list[str]]:
    """A lock file that git left in conflict, or that was edited: its entries, and the lines that are none.

    Raises ManifestError for one of a newer fishpipe.
    """
    found: dict[tuple[Kind, str], Entry] = {}
    lines = [line for line in text.split("\n") if not line.startswith(_MARKS)]
    wrong = [(number, line, _take_in(line.strip(), found)) for number, line in enumerate(lines, 1)]
    newer = [Problem(Span(name, number), words) for number, _, words in wrong if words.startswith(_NEWER)]
    if newer:
        raise ManifestError(newer, {name: text})
    dropped = [line for _, line, words in wrong if words]
    return Lock(entries=found, name=name), dropped


def merged(base: Lock, ours: Lock, theirs: Lock) -> Lock:
    """Both sides' entries: what one side removed since `base` and the other left alone is gone.

    Of two that differ the later counts.
    """
    found = {}
    for key in {**ours.entries, **theirs.entries}:
        mine, other, before = (side.entries.get(key) for side in (ours, theirs, base))
        if mine is not None and other is not None:
            found[key] = max(mine, other, key=_order)
        elif (kept := mine or other) is not None and not kept.same(before):
            found[key] = kept
    return replace(ours, entries=found)


def _order(entry: Entry) -> tuple[str, str]:
    return entry.at, entry.text


def _take_in_clip(line: str, found: dict[tuple[Kind, str], Entry]) -> bool:
    """Add the entry of a clip as fishpipe writes most: nothing can be wrong with it. False for any other line."""
    match = _CLIP.fullmatch(line)
    if match is None or ("clip", match[1]) in found:
        return False
    found["clip", match[1]] = Entry("clip", match[1], written=line, digest=match[2])
    return True


def _take_in(line: str, found: dict[tuple[Kind, str], Entry]) -> str:
    """Add one line's entry, where it is later than a known one; what is wrong with it, or ""."""
    line = line.removeprefix("\ufeff")
    if not line:
        return ""
    if line.startswith(_MARKS):
        return "git left a conflict here"
    try:
        data = json.loads(line, parse_constant=_no_number)
        line.encode() if "\\u" not in line else json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return f"expected an entry in JSON, found {line[:40]!r}"
    if not isinstance(data, dict) or not data:
        return 'expected an entry such as {"clip": …}'
    if "lock" in data:
        return "" if data["lock"] == VERSION else f"{_NEWER} ({data['lock']}); upgrade: pip install -U fishpipe"
    kind = next((kind for kind in KINDS if kind in data), None)
    if kind is None:
        return f"expected clip, output, pin or voice, found {next(iter(data))!r}"
    entry = Entry(kind, data.pop(kind), data)
    wrong = _wrong(entry)
    if not wrong:
        known = found.get((kind, entry.key))
        found[kind, entry.key] = entry if known is None else max(known, entry, key=_order)
    return wrong


def _wrong(entry: Entry) -> str:
    """What an entry lacks; its key and its digest become names of files."""
    data = entry.data
    key: object = entry.key
    if not isinstance(key, str) or not (entry.kind == "output" or _HEX.fullmatch(key)):
        return f"{entry.kind} is no fingerprint"
    if not isinstance(data.get("at", ""), str):
        return "at is no time"
    match entry.kind:
        case "clip":
            seconds, words = data.get("seconds", 0.0), data.get("words")
            if not _HEX.fullmatch(str(data.get("digest"))) or data.get("format") not in ("mp3", "pcm"):
                return "a clip needs digest (sha256) and format (mp3 or pcm)"
            if not isinstance(seconds, int | float) or not isinstance(data.get("task", ""), str):
                return "a clip's seconds is a number, its task a text"
            if words is not None and not _HEX.fullmatch(str(words)):
                return "words is no fingerprint"
            return "" if _is_take(data.get("take", 1)) else "take is no number from 1 on"
        case "pin":
            return "" if _is_take(data.get("take")) else "take is no number from 1 on"
        case "voice":
            texts = all(isinstance(data.get(name, ""), str) for name in ("id", "name", "sample", "consent"))
            whole = "id" in data and texts and _is_voice(key, data.get("record"))
            return "" if whole else "a voice needs id (a text), and the record that its key is the fingerprint of"
        case "output":
            voices = data.get("voices", {})
            gains = [
                data.get("gain", 0),
                data.get("lower", 0),
                *(voices.values() if isinstance(voices, dict) else ("",)),
            ]
            return "" if all(_is_gain(gain) for gain in gains) else "an output's gains are numbers of dB"


def _is_voice(key: str, record: object) -> bool:
    """Whether a record is a voice's, and that of its fingerprint."""
    if not isinstance(record, dict) or not isinstance(record.get("voice"), dict) or "realm" not in record:
        return False
    try:
        return fingerprint(record) == key
    except (ValueError, RecursionError):
        return False


def _no_number(text: str) -> float:
    raise ValueError(text)


def _is_gain(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST_GAIN


def _is_take(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_TAKES
