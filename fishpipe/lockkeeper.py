"""Brings the lock up to date with what a run left: written once, whole, and only where something changed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fishpipe.errors import AudioError
from fishpipe.locking import clip_entry, is_news, output_entry, pin_entry, voice_entries
from fishpipe.store.lockfile import let_git_merge, write_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import Graph
    from fishpipe.lock import Entry, Lock
    from fishpipe.snapshot import CallRow
    from fishpipe.store.project_store import ProjectStore


def keep_lock(
    path: Path, lock: Lock, graph: Graph, store: ProjectStore, choosing: Iterable[Fingerprint], at: float
) -> Lock:
    """The lock with all clips of a graph that are here, its voices, and its outputs' gains; on disk. Raises StoreError.

    Of `choosing`, those that are stored become the takes that are used, from `at` (Unix seconds) on.
    """
    rows = store.calls(lock)
    made = [graph.clips[key] for key in choosing if key in rows and rows[key].state == "stored"]
    pins = [pin_entry(step.words, step.take, at) for step in made]
    gains = [output_entry(name, pin, at) for name, pin in store.gains.items()]
    entries = [*clip_entries(graph.clips, lock, store, rows), *voice_entries(graph, rows), *pins, *gains]
    return save(path, lock, entries)


def save(path: Path, lock: Lock, entries: Iterable[Entry]) -> Lock:
    """Write the lock with these entries, if they say anything new. Raises StoreError."""
    after = lock.adding(entries)
    if after.entries != lock.entries:
        if not path.exists():
            let_git_merge(path)
        write_lock(path, after)
    return after


def clip_entries(
    keys: Iterable[Fingerprint],
    lock: Lock,
    store: ProjectStore,
    rows: Mapping[Fingerprint, CallRow],
    *,
    absent: bool = False,
) -> list[Entry]:
    """What the lock does not say yet of stored clips that are here, or also of those that are `absent`."""
    found = []
    for key in keys:
        row = rows.get(key)
        digest = row.digest if row is not None and row.state == "stored" else None
        if row is None or digest is None or not is_news(lock, key, digest, rows):
            continue
        entry = clip_entry(row, digest, row.seconds or 0.0)
        path = store.clip(key, digest, entry.data["format"])
        if path.exists() and not row.seconds:
            entry = clip_entry(row, digest, _measured(row, path, entry.data["format"]))
        if absent or path.exists():
            found.append(entry)
    return found


def _measured(row: CallRow, path: Path, kind: str) -> float:
    """The length of a clip that nobody has noted, in seconds; 0 for one that is damaged."""
    from fishpipe.audio.decode import decode_clip

    with suppress(AudioError):
        sound = decode_clip(path.read_bytes(), kind, int(row.record.get("body", {}).get("sample_rate", 44100)))
        return float(sound.duration_seconds)
    return 0.0
