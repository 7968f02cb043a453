"""What the lock says of the world, and the world of the lock: rows and clips → entries, and back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fishpipe.graph.fingerprints import Fingerprint, fingerprint, words_of
from fishpipe.graph.steps import Known
from fishpipe.lock import Entry, moment, seconds_of
from fishpipe.snapshot import CallRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fishpipe.graph.fingerprints import Digest
    from fishpipe.graph.steps import ClipStep, Graph, Realm
    from fishpipe.lock import Lock
    from fishpipe.snapshot import Snapshot

_MADE = ("created", "trained")


def voices_of(lock: Lock) -> dict[Fingerprint, CallRow]:
    """The voices that the lock knows, as rows; one whose record is not its fingerprint's is none."""
    rows = {}
    for key, data in lock.voices.items():
        if fingerprint(data["record"]) != key:
            continue
        rows[key] = CallRow(
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
    return rows


def known(calls: Mapping[Fingerprint, CallRow], lock: Lock, realm: Realm) -> Known:
    """What decides which call a line is, of the ledger's and the lock's memory together."""
    ours = [row for row in calls.values() if row.kind == "voice" and row.voice_id and row.record.get("realm") == realm]
    return Known(
        samples={row.sample: row.record for row in sorted(ours, key=lambda row: row.intended) if row.sample},
        made={row.voice_id: row.fingerprint for row in ours if row.voice_id and row.state in _MADE},
        pins=lock.pins,
        paid={*calls, *lock.clips, *lock.pins},
    )


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
    rows = ((step.name, calls.get(key)) for key, step in graph.voices.items())
    return [voice_entry(name, row) for name, row in rows if row is not None and row.state == "trained"]


def pins_of(
    lines: Mapping[str, Iterable[tuple[str, Fingerprint]]], calls: Mapping[Fingerprint, CallRow]
) -> list[Entry]:
    """The takes that were used in the last build, as pins; the first take needs none."""
    rows = [calls[key] for pairs in lines.values() for _, key in pairs if key in calls]
    return [pin_entry(words_of(row.record), row.record["take"], row.updated) for row in rows if "take" in row.record]


def unlocked(graph: Graph, snapshot: Snapshot) -> list[ClipStep]:
    """The steps whose clips are here, and that the lock does not have so."""
    clips, locked = snapshot.clips, snapshot.lock.clips
    return [step for key, step in graph.clips.items() if key in clips and locked.get(key) != clips[key]]


def would_change(graph: Graph, snapshot: Snapshot) -> list[str]:
    """What a build adds to the lock without a call: addresses of segments, and voices."""
    lock = snapshot.lock
    new = [e for e in voice_entries(graph, snapshot.calls) if not e.same(lock.entries.get((e.kind, e.key)))]
    return [step.address for step in unlocked(graph, snapshot)] + [f"voices.{entry.data['name']}" for entry in new]


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
    keys = {*graph.clips, *graph.voices, *graph.created.values(), *(step.output.shown for step in graph.outputs)}
    keys |= {key for key, data in lock.voices.items() if data["id"] in graph.existing}
    entries = lock.entries.items()
    return lock.keeping([at for at, entry in entries if {entry.key, entry.data.get("words")} & (keys | words)])
