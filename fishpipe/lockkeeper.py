"""Brings the lock up to date with what a run left: written once, whole, and only where something changed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fishpipe.errors import AudioError
from fishpipe.locking import clip_entry, voice_entries
from fishpipe.store.lockfile import let_git_merge, write_lock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import Graph
    from fishpipe.lock import Entry, Lock
    from fishpipe.snapshot import CallRow
    from fishpipe.store.project_store import ProjectStore


def keep_lock(path: Path, lock: Lock, graph: Graph, store: ProjectStore) -> Lock:
    """The lock with all clips of a graph that are here, and its voices; on disk. Raises StoreError."""
    return save(path, lock, [*clip_entries(graph.clips, lock, store), *voice_entries(graph, store.calls(lock))])


def save(path: Path, lock: Lock, entries: Iterable[Entry]) -> Lock:
    """Write the lock with these entries, if they say anything new. Raises StoreError."""
    after = lock.adding(entries)
    if after.entries != lock.entries:
        first = not path.exists()
        write_lock(path, after)
        if first:
            let_git_merge(path)
    return after


def clip_entries(keys: Iterable[Fingerprint], lock: Lock, store: ProjectStore) -> list[Entry]:
    """The entries of stored clips that are here, and that the lock does not have so."""
    rows = store.calls(lock)
    found = []
    for key in keys:
        row, known = rows.get(key), lock.clip(key)
        digest = row.digest if row is not None and row.state == "stored" else None
        task_is_new = row is not None and row.task_id is not None and "task" not in known
        if row is None or digest is None or (known.get("digest") == digest and not task_is_new):
            continue
        entry = clip_entry(row, digest, row.seconds or 0.0)
        path = store.clip(key, digest, entry.data["format"])
        if path.exists():
            found.append(entry if row.seconds else clip_entry(row, digest, _measured(row, path, entry.data["format"])))
    return found


def _measured(row: CallRow, path: Path, kind: str) -> float:
    """The length of a clip that nobody has noted, in seconds; 0 for one that is damaged."""
    from fishpipe.audio.decode import decode_clip

    with suppress(AudioError):
        sound = decode_clip(path.read_bytes(), kind, int(row.record.get("body", {}).get("sample_rate", 44100)))
        return float(sound.duration_seconds)
    return 0.0
