"""The ledger, the clips and the outputs' files together: the runner's Store, and the plan's Snapshot.

The order of effects for a clip: row, request, row, ``parts/FINGERPRINT``, checks, fsync, row with the digest,
rename, fsync of the folder, row. Whatever step a kill falls on, the next build goes on from the row.
"""

from __future__ import annotations

import datetime
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from fishpipe.errors import StoreError
from fishpipe.graph.fingerprints import Digest, Fingerprint, description
from fishpipe.graph.steps import ClipStep, VoiceStep
from fishpipe.snapshot import AssetInfo, CallRow, Snapshot
from fishpipe.store.clips import clip_path, scan
from fishpipe.store.durable import digest_of, flush, rename
from fishpipe.store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from fishpipe.graph.steps import Graph, Realm
    from fishpipe.ports import Receipt, VoiceInfo
    from fishpipe.snapshot import Charged, OutputRow, State
    from fishpipe.store.layout import Layout


class ProjectStore:
    """An open project; made with `opened`, or `reading` for verbs that write nothing."""

    def __init__(self, layout: Layout, ledger: Ledger | None, now: Callable[[], float]) -> None:
        self.layout = layout
        self._ledger = ledger
        self._now = now

    @classmethod
    @contextmanager
    def opened(cls, layout: Layout, now: Callable[[], float]) -> Iterator[ProjectStore]:
        """Open for writing; the folders are there. Raises StoreError."""
        ledger = Ledger.open(layout.ledger, now)
        try:
            yield cls(layout, ledger, now)
        finally:
            ledger.close()

    @classmethod
    @contextmanager
    def reading(cls, layout: Layout, now: Callable[[], float]) -> Iterator[ProjectStore]:
        """Open without writing a byte. Raises StoreError."""
        with Ledger.reading(layout.ledger, now) as ledger:
            yield cls(layout, ledger, now)

    @property
    def ledger(self) -> Ledger:
        """The ledger, which is there where something is written."""
        if self._ledger is None:
            raise RuntimeError("the project is open for reading, and has no ledger")
        return self._ledger

    def snapshot(self, graph: Graph, assets: Mapping[str, AssetInfo], tools: str) -> Snapshot:
        """The world as a plan of `graph` sees it."""
        ledger = self._ledger
        calls = ledger.calls() if ledger else {}
        outputs = ledger.outputs() if ledger else {}
        paths = {str(step.output.path): step.output.path for step in graph.outputs}
        made = {key: outputs[name] for key, path in paths.items() if (name := self._name(path)) in outputs}
        today = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        month = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
        return Snapshot(
            calls=calls,
            checked=frozenset(ledger.checks()) if ledger else frozenset(),
            retried=ledger.retried() if ledger else {},
            clips=self._clips(calls, ledger.sizes() if ledger else {}),
            lines=ledger.lines(graph.manifest) if ledger else {},
            outputs={key: row for key, (row, _, _) in made.items()},
            files={key: _file_state(path, made.get(key)) for key, path in paths.items()},
            assets=assets,
            spent_month=ledger.spent(graph.realm, month) if ledger else 0.0,
            tools=tools,
        )

    def _clips(
        self, calls: Mapping[Fingerprint, CallRow], sizes: Mapping[Fingerprint, int]
    ) -> dict[Fingerprint, Digest]:
        """The clips that are here and whole; the ledger's digest wins, a file without a row counts by its name."""
        found: dict[Fingerprint, Digest] = {}
        for key, digest, size in scan(self.layout.clips):
            row = calls.get(key)
            recorded = row.digest if row else None
            damaged = size == 0 or (recorded == digest and sizes.get(key, size) != size)
            if not damaged and recorded in (None, digest):
                found.setdefault(key, digest)
        return found

    def adopt(self, graph: Graph, snapshot: Snapshot) -> int:
        """Write rows for clips that lie in the folder and are not known as stored; returns how many.

        Consents that were added to voices go with them.
        """
        count = 0
        for key, voice in graph.voices.items():
            row = snapshot.calls.get(key)
            if row is not None and voice.voice.consent not in (None, row.consent):
                self.ledger.agree(key, voice.voice.consent or "")
        for key, step in graph.clips.items():
            row = snapshot.calls.get(key)
            if key in snapshot.clips and (row is None or row.state != "stored"):
                digest = snapshot.clips[key]
                size = clip_path(self.layout.clips, key, digest, step.format).stat().st_size
                self.ledger.adopt(key, step.record, step.address, digest, size)
                count += 1
        return count

    def spent(self, realm: Realm) -> float:
        """USD (estimated) of all receipts of a realm."""
        return self._ledger.spent(realm) if self._ledger else 0.0

    def samples(self, realm: Realm) -> dict[str, Mapping[str, Any]]:
        """The records of the realm's voices that were created, by the sha256 of their samples."""
        return self._ledger.samples(realm) if self._ledger else {}

    def receipts(self, key: Fingerprint | None = None) -> list[dict[str, Any]]:
        """What was paid for one call, or for all."""
        return self._ledger.receipts(key) if self._ledger else []

    def row(self, key: Fingerprint) -> CallRow | None:
        """What is known of a call."""
        return self.ledger.row(key)

    def intend(self, step: ClipStep | VoiceStep, nonce: str | None = None) -> None:
        """A request is about to leave; its answer may come under `nonce`."""
        kind = "voice" if isinstance(step, VoiceStep) else "clip"
        described = description(step.voice) if isinstance(step, VoiceStep) else {}
        consent = step.voice.consent if isinstance(step, VoiceStep) else None
        self.ledger.intend(step.fingerprint, kind, step.record, step.address, described, consent, nonce)

    def checked(self, info: VoiceInfo, consent: str | None) -> None:
        """A voice by id was found at the service, and can speak."""
        self.ledger.checked(info.id, info.title, info.state, consent)

    def unchecked(self, voice_id: str) -> None:
        """A voice by id is to be looked up again."""
        self.ledger.unchecked(voice_id)

    def move(self, key: Fingerprint, state: State, *, receipt: Receipt | None = None, **changes: Any) -> None:  # noqa: ANN401
        """The call is in another state."""
        self.ledger.move(key, state, receipt=receipt, **changes)

    def receipt(self, receipt: Receipt) -> None:
        """Add to the record of money."""
        self.ledger.receipt(receipt)

    def voice_ids(self) -> set[str]:
        """The ids of all voices that are known as ours."""
        return self.ledger.voice_ids()

    def note(self, key: Fingerprint, error: str, charged: Charged | None = None) -> None:
        """Write an error beside a call's state."""
        self.ledger.note(key, error, charged)

    def part(self, key: Fingerprint) -> Path:
        """Where a download may be written."""
        return self.layout.parts / key

    def digest(self, part: Path) -> Digest:
        """sha256 of a file's bytes."""
        return Digest(digest_of(part))

    def clip(self, key: Fingerprint, digest: Digest, suffix: str) -> Path:
        """The file of a clip."""
        return clip_path(self.layout.clips, key, digest, suffix)

    def keep(self, step: ClipStep, part: Path) -> Digest:
        """Take a checked part into the clips: fsync, row, rename, fsync of the folder, row."""
        key = step.fingerprint
        try:
            flush(part)
            digest, size = Digest(digest_of(part)), part.stat().st_size
            self.ledger.move(key, "fetched", digest=digest, size=size, error=None)
            target = self.clip(key, digest, step.format)
            if not target.parent.exists():
                target.parent.mkdir(mode=0o700)
                flush(target.parent.parent)
            rename(part, target)
        except OSError as error:
            raise StoreError(f"a clip cannot be kept: {error}") from error
        self.ledger.move(key, "stored")
        return digest

    def recall(self, key: str) -> str | None:
        """A remembered measurement of a sound."""
        return self.ledger.sound(key)

    def remember(self, values: Mapping[str, str]) -> None:
        """Keep measurements of sounds."""
        self.ledger.remember_sounds(values)

    def stitched(self, path: Path, row: OutputRow) -> None:
        """An output was made; its file's size and time are kept, so that an edit of it is seen."""
        stat = path.stat()
        self.ledger.stitched(self._name(path), row, stat.st_size, stat.st_mtime_ns)

    def _name(self, path: Path) -> str:
        """An output in the ledger: relative to the state's folder, so that a project may move."""
        return os.path.relpath(path, self.layout.state)


def _file_state(path: Path, made: tuple[OutputRow, int, int] | None) -> Literal["absent", "intact", "edited"]:
    try:
        stat = path.stat()
    except OSError:
        return "absent"
    if made is None:
        return "edited"
    row, size, mtime = made
    if stat.st_size != size:
        return "edited"
    return "intact" if stat.st_mtime_ns == mtime or digest_of(path) == row.digest else "edited"
