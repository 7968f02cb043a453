"""What the lock says of the world, and the world of the lock: rows and clips → entries, and back. Pure."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from fishpipe.graph.fingerprints import Fingerprint, words_of
from fishpipe.graph.steps import Known
from fishpipe.lock import Entry, moment, seconds_of
from fishpipe.snapshot import CallRow

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from fishpipe.graph.fingerprints import Digest
    from fishpipe.graph.steps import ClipStep, Graph, OutputStep, Realm
    from fishpipe.lock import Lock
    from fishpipe.snapshot import Calls, Snapshot

_MADE = ("created", "trained")


def voices_of(lock: Lock) -> dict[Fingerprint, CallRow]:
    """The voices that the lock knows, as rows."""
    return {
        key: CallRow(
            fingerprint=key,
            kind="voice",
            state="trained",
            record=data["record"],
            voice_id=data["id"],
            sample=data.get("sample"),
            consent=data.get("consent"),
            address=f"voices.{data.get('name', '')}",
            intended=seconds_of(str(data.get("at", ""))),
        )
        for key, data in lock.voices.items()
    }


def known(calls: Calls, lock: Lock, realm: Realm) -> Known:
    """What decides which call a line is, of the ledger's and the lock's memory together."""
    ours = [row for row in calls.of(kind="voice") if row.voice_id and row.record.get("realm") == realm]
    return Known(
        samples={row.sample: row.record for row in sorted(ours, key=lambda row: row.intended) if row.sample},
        made={row.voice_id: row.fingerprint for row in ours if row.voice_id and row.state in _MADE},
        pins=lock.pins,
        paid=_Any(calls, lock.clips, lock.pins),
    )


class _Any(Collection[str]):
    """What is in any of several."""

    def __init__(self, *parts: Collection[str]) -> None:
        self._parts = [part for part in parts if len(part)]

    def __contains__(self, key: object) -> bool:
        for part in self._parts:  # noqa: SIM110  (asked of every line: a generator would cost more than the answer)
            if key in part:
                return True
        return False

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts)

    def __len__(self) -> int:
        return sum(map(len, self._parts))


def clip_entry(row: CallRow, digest: Digest, seconds: float) -> Entry:
    """What the lock keeps of a clip of `seconds`."""
    record = row.record
    kind = "pcm" if record.get("body", {}).get("format") == "pcm" else "mp3"
    data: dict[str, Any] = {"digest": digest, "format": kind, "seconds": round(seconds, 3)}
    if record.get("take", 1) != 1:
        data |= {"take": record["take"], "words": words_of(record)}
    if row.digest == digest and row.task_id:
        data["task"] = row.task_id
    return Entry("clip", row.fingerprint, data | {"at": moment(row.updated)})


def voice_entry(name: str, row: CallRow) -> Entry:
    """What the lock keeps of a created voice."""
    data = {"id": row.voice_id, "name": name, "record": row.record, "sample": row.sample, "consent": row.consent}
    kept = {field: value for field, value in data.items() if value is not None}
    return Entry("voice", row.fingerprint, kept | {"at": moment(row.updated)})


def voice_entries(graph: Graph, calls: Mapping[Fingerprint, CallRow]) -> list[Entry]:
    """Of all voices of a graph that can speak."""
    entries = []
    for key, step in graph.voices.items():
        row = calls.get(key)
        if row is not None and row.state == "trained":
            entries.append(voice_entry(step.name, replace(row, consent=step.voice.consent or row.consent)))
    return entries


def pins_of(
    lines: Mapping[str, Iterable[tuple[str, Fingerprint]]], calls: Mapping[Fingerprint, CallRow], fixed: Container[str]
) -> list[Entry]:
    """The takes that were used in the last build, as pins; those that the manifest sets (at `fixed`) need none."""
    used: dict[Fingerprint, set[tuple[int, float]]] = {}
    for address, key in (pair for pairs in lines.values() for pair in pairs):
        if key in calls and address not in fixed:
            row = calls[key]
            used.setdefault(words_of(row.record), set()).add((int(row.record.get("take", 1)), row.updated))
    single = {words: next(iter(takes)) for words, takes in used.items() if len(takes) == 1}
    return [pin_entry(words, take, at) for words, (take, at) in single.items() if take != 1]


def unlocked(graph: Graph, snapshot: Snapshot) -> list[ClipStep]:
    """The steps whose clips are here, and that the lock does not have so."""
    clips, calls, lock = snapshot.clips, snapshot.calls, snapshot.lock
    here = ((key, clips[key]) for key in graph.clips if key in clips)
    return [graph.clips[key] for key, digest in here if is_news(lock, key, digest, calls)]


def is_news(lock: Lock, key: Fingerprint, digest: Digest, calls: Mapping[Fingerprint, CallRow]) -> bool:
    """Whether a clip's entry would say more than the lock does: another digest, or a task where it has none."""
    entry = lock.clip(key)
    if entry.get("digest") != digest or "task" in entry:
        return entry.get("digest") != digest
    row = calls.get(key)
    return row is not None and row.digest == digest and row.task_id is not None


def output_entry(path: str, pin: Mapping[str, Any], at: float) -> Entry:
    """The gains that an output was made with, from `at` (Unix seconds) on."""
    return Entry("output", path, {**pin, "at": moment(at)})


def _has_gains(step: OutputStep, pin: Mapping[str, Any]) -> bool:
    """Whether the lock keeps all gains that an output needs, for the loudness that it is to have."""
    wanted = step.output.loudness
    if wanted is None:
        return True
    voices = {item.voice for item in step.items if item.clip is not None} if wanted.by_voice else set()
    if wanted.target is None:
        return voices <= (pin.get("voices") or {}).keys()
    same = pin.get("target") in (wanted.target, wanted.mono) and pin.get("true_peak") == wanted.true_peak
    return "gain" in pin and same and voices <= (pin.get("voices") or {}).keys()


def would_change(graph: Graph, snapshot: Snapshot) -> list[str]:
    """What a build adds to the lock without a call: addresses of segments, and voices."""
    lock = snapshot.lock
    new = [e for e in voice_entries(graph, snapshot.calls) if not e.same(lock.entries.get((e.kind, e.key)))]
    levelled = [step.output.shown for step in graph.outputs if not _has_gains(step, lock.output(step.output.name))]
    made = [step.address for step in unlocked(graph, snapshot)] + [f"voices.{entry.data['name']}" for entry in new]
    return made + levelled


def pin_entry(words: Fingerprint, take: int, at: float) -> Entry:
    """A choice of a take, made at `at` (Unix seconds)."""
    return Entry("pin", words, {"take": take, "at": moment(at)})


def locked_row(step: ClipStep, lock: Lock) -> CallRow:
    """A clip that the lock names and the ledger does not know, as a row; its task may give it again."""
    entry = lock.clip(step.fingerprint)
    return CallRow(
        fingerprint=step.fingerprint,
        kind="clip",
        state="stored",
        record=step.record,
        task_id=entry.get("task"),
        digest=lock.clips[step.fingerprint],
        seconds=entry.get("seconds"),
        charged="yes",
        address=step.address,
        intended=seconds_of(str(entry.get("at", ""))),
    )


def reachable(graph: Graph, lock: Lock) -> Lock:
    """The entries that a graph's scripts can use: their words' takes, their voices, their outputs."""
    words: set[str] = {step.words for step in graph.clips.values()}
    keys = {*graph.clips, *graph.voices, *graph.created.values(), *(step.output.name for step in graph.outputs)}
    keys |= {key for key, data in lock.voices.items() if data["id"] in graph.existing} | words
    entries = lock.entries.items()
    return lock.keeping([at for at, entry in entries if entry.key in keys or entry.data.get("words") in keys])
