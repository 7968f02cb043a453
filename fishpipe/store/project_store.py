"""The ledger, the clips and the outputs' files together: the runner's Store, and the plan's Snapshot.

The order of effects for a clip: row, request, row, ``parts/FINGERPRINT``, checks, fsync, row with the digest,
rename, fsync of the folder, row. Whatever step a kill falls on, the next build goes on from the row.
"""

from __future__ import annotations

import datetime
import json
import os
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from fishpipe.errors import StoreError
from fishpipe.graph.fingerprints import Digest, Fingerprint, description
from fishpipe.graph.steps import ClipStep, VoiceStep
from fishpipe.locking import voices_of
from fishpipe.snapshot import AssetInfo, CallRow, Calls, OutputRow, Snapshot
from fishpipe.store.adoption import adopt, by_name
from fishpipe.store.clips import Clip, clip_path, scan, sorted_out
from fishpipe.store.durable import digest_by_blocks, digest_of, flush, rename
from fishpipe.store.ledger import Ledger
from fishpipe.store.opening import ledger_beside, read_ledger
from fishpipe.store.origin import settle_in
from fishpipe.store.units import Units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from fishpipe.graph.steps import Graph, Realm
    from fishpipe.lock import Lock
    from fishpipe.ports import Made, Receipt, VoiceInfo
    from fishpipe.snapshot import Charged, State
    from fishpipe.store.layout import Layout
    from fishpipe.store.shared import SharedClips


class ProjectStore:
    """An open project; made by `opened`, or by `reading` where nothing is written.

    `shared` is the folder of clips beside ours; `unshared` why a clip did not come into it, if one did not; `gains` are
    those of outputs that were made, by name, for the lock. `beside` is the ledger of the project's drafts (or, for a
    draft, that of its own builds), where it has paid the same provider.
    """

    def __init__(
        self,
        layout: Layout,
        ledger: Ledger | None,
        now: Callable[[], float],
        shared: SharedClips | None = None,
        beside: Ledger | None = None,
    ) -> None:
        self.layout = layout
        self.shared = shared
        self._beside = beside
        self.unshared: str | None = None
        self.gains: dict[str, Mapping[str, Any]] = {}
        self.units = Units(layout.units, now)
        self._pieces: set[str] = set()
        self._are_noted = False
        self._ledger = ledger
        self._now = now

    @classmethod
    @contextmanager
    def opened(
        cls, layout: Layout, now: Callable[[], float], provider: str, shared: SharedClips | None = None
    ) -> Iterator[ProjectStore]:
        """Open for writing; the folders are there. A stamp ends with it. Raises StoreError."""
        layout.check()
        settle_in(layout, now())
        layout.stamp.unlink(missing_ok=True)
        with ExitStack() as stack:
            ledger = Ledger.open(layout.ledger, now)
            stack.callback(ledger.close)
            ledger.provider = provider
            store = cls(layout, ledger, now, shared, stack.enter_context(ledger_beside(layout, now, provider)))
            stack.callback(store.units.close)
            yield store

    @classmethod
    @contextmanager
    def reading(
        cls, layout: Layout, now: Callable[[], float], provider: str, shared: SharedClips | None = None
    ) -> Iterator[ProjectStore]:
        """Open without writing a byte. Raises StoreError."""
        layout.check()
        with read_ledger(layout, now) as ledger, ledger_beside(layout, now, provider) as beside:
            store = cls(layout, ledger, now, shared, beside)
            try:
                yield store
            finally:
                store.units.close()

    @property
    def ledger(self) -> Ledger:
        """The ledger, which is there where something is written."""
        if self._ledger is None:
            raise RuntimeError("the project is open for reading, and has no ledger")
        return self._ledger

    def calls(self, lock: Lock) -> Calls:
        """All calls that are known, by the ledger or (voices) by the lock alone."""
        calls = self._ledger.calls() if self._ledger else Calls()
        if self._beside is not None:
            calls.beside(self._beside.calls())
        for key, voice in voices_of(lock).items():
            # One that the lock knows is not made again because an earlier try of ours failed.
            if key not in calls or (calls[key].voice_id is None and calls[key].state != "forgotten"):
                calls.put(key, voice)
        return calls

    def snapshot(
        self,
        graph: Graph,
        assets: Mapping[str, AssetInfo],
        tools: str,
        lock: Lock,
        calls: Calls,
        *,
        sized: bool = True,
    ) -> Snapshot:
        """The world as a plan of `graph` sees it; `calls` are those of `calls()`, `sized` looks at the clips' sizes."""
        ledger = self._ledger
        theirs, pointers = self.shared.clips() if self.shared is not None else ([], [])
        draft = scan(self.layout.other.clips, sized=sized) if calls.taken else ()
        draft = (clip for clip in draft if clip.key in calls.taken)
        files = chain(scan(self.layout.clips, sized=sized), draft, theirs)
        clips, others = sorted_out(files, calls, lock)
        outputs = ledger.outputs() if ledger else {}
        paths = {str(step.output.path): step.output.path for step in graph.outputs}
        made = {key: outputs[name] for key, path in paths.items() if (name := self._name(path)) in outputs}
        today = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        month = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
        return Snapshot(
            calls=calls,
            checked=frozenset(ledger.checks()) if ledger else frozenset(),
            retried=sum((Counter(each.retried()) for each in self._ledgers), Counter[Fingerprint]()),
            clips=clips,
            others=others,
            lock=lock,
            pointers=frozenset(clip.key for clip in pointers),
            lines=ledger.lines(graph.manifest) if ledger else {},
            outputs={key: row for key, (row, _, _) in made.items()},
            files={key: _file_state(path, made.get(key)) for key, path in paths.items()},
            assets=assets,
            spent_month=self.spent(graph.realm, month),
            tools=tools,
        )

    def adopt(self, graph: Graph, snapshot: Snapshot) -> None:
        """Write rows for what is known from elsewhere: clips that lie here, what the lock has, consents, drafts."""
        adopt(self.ledger, self.layout, graph, snapshot, self.clip)

    def lacks(self, key: Fingerprint, digest: Digest, suffix: str) -> bool:
        """Whether the shared folder lacks one of our clips, and is there to take it."""
        if self.shared is None or self.shared.is_away:
            return False
        own = self._own(key, digest, suffix)
        return own is not None and not self.shared.has(own)

    def _own(self, key: Fingerprint, digest: Digest, suffix: str) -> Clip | None:
        path = clip_path(self.layout.clips, key, digest, suffix)
        return Clip(key, digest, suffix, str(path), path.stat().st_size) if path.exists() else None

    def share(self, key: Fingerprint, digest: Digest, suffix: str) -> bool:
        """Copy one of our clips into the shared folder; whether one was copied. Failing costs nothing, and is told."""
        own = self._own(key, digest, suffix) if self.shared is not None else None
        if self.shared is None or own is None:
            return False
        try:
            return self.shared.put(own)
        except StoreError as error:
            self.unshared = str(error)
            return False

    @property
    def _ledgers(self) -> list[Ledger]:
        """All that may have paid for what this project needs."""
        return list(filter(None, (self._ledger, self._beside)))

    def spent(self, realm: Realm, since: float = 0.0) -> float:
        """USD (estimated) of all receipts of a realm since a moment (Unix seconds), those of drafts included."""
        return sum(each.spent(realm, since) for each in self._ledgers)

    def uses(self) -> dict[Fingerprint, float]:
        """When each clip was last used (Unix seconds)."""
        return self._ledger.uses() if self._ledger else {}

    def receipts(self, key: Fingerprint | None = None) -> list[dict[str, Any]]:
        """What was paid for one call, or for all, oldest first."""
        return sorted((each for ledger in self._ledgers for each in ledger.receipts(key)), key=lambda each: each["at"])

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
        if self.shared is not None and state == "submitted" and changes.get("task_id"):
            with suppress(OSError):
                self.shared.claims.note(key, changes["task_id"])

    async def settled(self) -> None:
        """All rows that were written are on the disk. Raises StoreError."""
        await self.ledger.commits.settled()

    @property
    def is_shared(self) -> bool:
        """Whether others pay for the same words, and keep their clips where ours are."""
        return self.shared is not None

    def receipt(self, receipt: Receipt) -> None:
        """Add to the record of money."""
        self.ledger.receipt(receipt)

    def voice_ids(self) -> set[str]:
        """The ids of all voices that are known as ours."""
        return self.ledger.voice_ids()

    def note(self, key: Fingerprint, error: str, charged: Charged | None = None) -> None:
        """Write an error beside a call's state."""
        self.ledger.note(key, error, charged)

    def claim(self, key: Fingerprint) -> bool:
        """Whether this run may pay for a call; a folder that takes no claims forbids nothing."""
        if self.shared is None or self.shared.is_away:
            return True
        try:
            return self.shared.claim(key)
        except StoreError as error:
            self.unshared = str(error)
            return True

    def holds(self, key: Fingerprint) -> bool:
        """Whether this run may still pay for a call that it has claimed."""
        return self.shared is None or self.shared.claims.holds(key)

    def inherited(self, step: ClipStep) -> str | None:
        """The task of a call that its claim's dead holder had paid for; the call is known as submitted from now on."""
        task = self.shared.claims.inherited.pop(step.fingerprint, None) if self.shared is not None else None
        if task is not None:
            self.ledger.adopt(replace(by_name(step, None), state="submitted", task_id=task))
        return task

    def renew_claims(self) -> None:
        """Say that this run lives."""
        if self.shared is not None:
            self.shared.claims.renew()

    def release(self, key: Fingerprint) -> None:
        """The call is made, or given up."""
        if self.shared is not None:
            self.shared.claims.give(key)

    def arrived(self, step: ClipStep) -> Path | None:
        """The clip of a call that another project has paid for in the meantime, known as ours from now on."""
        clip = self.shared.any_of(step.fingerprint, step.format) if self.shared is not None else None
        if clip is None:
            return None
        self.ledger.adopt(by_name(step, clip.digest), clip.size)
        return clip.path

    def part(self, key: Fingerprint) -> Path:
        """Where a download may be written."""
        return self.layout.parts / key

    def digest(self, part: Path) -> Digest:
        """sha256 of a file's bytes."""
        return Digest(digest_of(part))

    def clip(self, key: Fingerprint, digest: Digest, suffix: str) -> Path:
        """The file of a clip: ours, or that of the shared folder where we have none."""
        own = clip_path(self.layout.clips, key, digest, suffix)
        if own.exists():
            return own
        if self._beside is not None and (draft := clip_path(self.layout.other.clips, key, digest, suffix)).exists():
            return draft
        return (self.shared.find(key, digest, suffix) if self.shared is not None else None) or own

    def keep(self, step: ClipStep, part: Path, seconds: float) -> Digest:
        """Take a checked part into the clips: fsync, row, rename, fsync of the folder, row; then share it."""
        key = step.fingerprint
        try:
            flush(part)
            digest, size = Digest(digest_of(part)), part.stat().st_size
            self.ledger.move(key, "fetched", digest=digest, size=size, seconds=seconds, error=None)
            target = clip_path(self.layout.clips, key, digest, step.format)
            if not target.parent.exists():
                target.parent.mkdir(mode=0o700)
                flush(target.parent.parent)
            rename(part, target)
        except OSError as error:
            raise StoreError(f"a clip cannot be kept: {error}") from error
        self.ledger.move(key, "stored")
        self.share(key, digest, step.format)
        return digest

    def recall(self, key: str) -> str | None:
        """A remembered measurement of a sound."""
        return self.ledger.sound(key)

    def cuts(self) -> dict[str, float]:
        """How long clips are in outputs, trimmed as by default, by digest; in seconds."""
        found = {}
        for key, sound in (self._ledger.sounds() if self._ledger else {}).items():
            digest, _, how = key.partition(" ")
            if how == "None None auto":
                with suppress(ValueError, LookupError, TypeError, ArithmeticError):
                    cut = json.loads(sound)
                    found[digest] = (cut["end"] - cut["start"]) / cut["rate"]
        return found

    def remember(self, values: Mapping[str, str]) -> None:
        """Keep measurements of sounds."""
        self.ledger.remember_sounds(values)

    def pin_gains(self, name: str, pin: Mapping[str, Any]) -> None:
        """The gains that an output was made with, for the lock."""
        if pin:
            self.gains[name] = pin

    def unit(self, key: str) -> tuple[bytes, float] | None:
        """An encoded unit, and when it was last known to be right (Unix seconds)."""
        found = self.units.read(key)
        if found is not None:
            self._use(key)
        return found

    def touch_unit(self, key: str) -> None:
        """What a unit was made of was looked at again."""
        self.units.touch(key)

    def _use(self, key: str) -> None:
        """Count a unit among those of the outputs that are made next."""
        if self._are_noted:
            self._pieces, self._are_noted = set(), False
        self._pieces.add(key)

    def keep_unit(self, key: str, data: bytes) -> None:
        """Keep an encoded unit."""
        self._use(key)
        self.units.keep(key, data)

    def unused_units(self) -> list[tuple[str, int, float]]:
        """(key, bytes, time) of the units that no output was made of which is there."""
        names = self._ledger.outputs() if self._ledger else {}
        return self.units.unused(name for name in names if (self.layout.state / name).exists())

    def stitched(self, path: Path, recipe: str, made: Made, clips: Iterable[Fingerprint]) -> None:
        """An output was made; its file's size and time are kept, so that an edit of it is seen."""
        digest = Digest(digest_by_blocks(path))
        row = OutputRow(
            recipe=recipe, digest=digest, rate=made.rate, length=made.length, packed=json.dumps(made.places)
        )
        stat = path.stat()
        self.units.note(self._name(path), self._pieces)
        self._are_noted = True
        self.ledger.stitched(self._name(path), row, stat.st_size, stat.st_mtime_ns)
        self.ledger.used(clips)

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
    return "intact" if stat.st_mtime_ns == mtime or digest_by_blocks(path) == row.digest else "edited"
