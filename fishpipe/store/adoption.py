"""What is known from elsewhere, written into the ledger: clips that lie here, the lock's, those of drafts."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fishpipe.errors import StoreError
from fishpipe.locking import locked_row, voices_of
from fishpipe.snapshot import CallRow
from fishpipe.store.clips import Clip, clip_path, copy_clip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fishpipe.graph.fingerprints import Digest, Fingerprint
    from fishpipe.graph.steps import ClipStep, Graph
    from fishpipe.snapshot import Snapshot
    from fishpipe.store.layout import Layout
    from fishpipe.store.ledger import Ledger

    # Where the clip of a call lies, by its digest and suffix.
    Find = Callable[[Fingerprint, Digest, str], Path]


def adopt(ledger: Ledger, layout: Layout, graph: Graph, snapshot: Snapshot, find: Find) -> None:
    """Write rows for all that a graph needs, and that the ledger does not have as it is."""
    with ledger.commits.together():
        for row in voices_of(snapshot.lock).values():
            if snapshot.calls.get(row.fingerprint) == row:
                ledger.adopt(row)
        _agree(ledger, graph, snapshot)
        for key in (*graph.voices, *graph.clips):
            if key in snapshot.calls.taken:
                _take_over(ledger, layout, snapshot.calls[key])
        for key in graph.clips:
            known, digest = snapshot.calls.brief(key), snapshot.clips.get(key)
            stale = known is None or known.state != "stored" or known.digest != digest
            if digest is not None and stale:
                row = _known(graph.clips[key], snapshot, digest)
                ledger.adopt(row, find(key, digest, graph.clips[key].format).stat().st_size)
            elif digest is None and key in snapshot.lock.clips and (known is None or known.state == "stored"):
                ledger.adopt(locked_row(graph.clips[key], snapshot.lock))


def _agree(ledger: Ledger, graph: Graph, snapshot: Snapshot) -> None:
    for key, voice in graph.voices.items():
        known = snapshot.calls.get(key)
        if known is not None and voice.voice.consent not in (None, known.consent):
            ledger.agree(key, voice.voice.consent or "")


def _known(step: ClipStep, snapshot: Snapshot, digest: Digest) -> CallRow:
    is_locked = snapshot.lock.clips.get(step.fingerprint) == digest
    return locked_row(step, snapshot.lock) if is_locked else by_name(step, digest)


def _take_over(ledger: Ledger, layout: Layout, row: CallRow) -> None:
    """A call that was paid for in a draft (or, in a draft, by a build) is ours from now on, and so is its clip."""
    if row.state != "stored" or row.digest is None:
        ledger.take_over(row)
        return
    suffix = str(row.record.get("body", {}).get("format") or "mp3")
    theirs, ours = (clip_path(each.clips, row.fingerprint, row.digest, suffix) for each in (layout.other, layout))
    size = None
    # One that is gone or damaged there is fetched from its task, as if it were gone here.
    with suppress(OSError, StoreError):
        size = theirs.stat().st_size
        if not ours.exists():
            copy_clip(Clip(row.fingerprint, row.digest, suffix, str(theirs), size), layout.clips)
    ledger.take_over(row, size)


def by_name(step: ClipStep, digest: Digest | None) -> CallRow:
    """A clip that is known by its file's name alone."""
    return CallRow(
        fingerprint=step.fingerprint, kind="clip", state="stored", record=step.record, digest=digest,
        address=step.address, charged="yes",
    )  # fmt: skip
