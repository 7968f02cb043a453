"""Clips between ``.fishpipe`` and the folder that `store:` names: pushed, pulled, verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fishpipe.errors import StoreError, UsageError
from fishpipe.store.clips import copy_clip, scan
from fishpipe.store.durable import digest_of

if TYPE_CHECKING:
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.project import Project, Session
    from fishpipe.store.clips import Clip
    from fishpipe.store.shared import SharedClips


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelves:
    """A project's clips: `ours` in ``.fishpipe``, `theirs` in the store, and those that are `nowhere` (addresses)."""

    shared: SharedClips
    ours: tuple[Clip, ...]
    theirs: tuple[Clip, ...]
    pointers: tuple[Clip, ...]
    nowhere: tuple[str, ...]

    @property
    def to_push(self) -> list[Clip]:
        """Ours that the store lacks."""
        there = {(clip.key, clip.digest) for clip in self.theirs}
        return [clip for clip in self.ours if (clip.key, clip.digest) not in there]

    @property
    def to_pull(self) -> list[Clip]:
        """The store's that we lack."""
        here = {(clip.key, clip.digest) for clip in self.ours}
        return [clip for clip in self.theirs if (clip.key, clip.digest) not in here]


@dataclass
class Moved:
    """What a push or a pull did; `failed` says why some did not move."""

    count: int = 0
    bytes: int = 0
    failed: list[str] = field(default_factory=list)


def shelves(project: Project, session: Session, *, moving: bool = True) -> Shelves:
    """What this project's lock and scripts name, and where it lies.

    Raises UsageError without a store, and StoreError where clips are to be read from one that is not there.
    """
    shared = project.shared
    if shared is None:
        raise UsageError("this project has no store; add to its manifest: store: clips (or a shared folder's path)")
    if moving:
        shared.check_there()
    lock, graph = session.snapshot.lock, session.graph
    named: set[Fingerprint] = {*lock.clips, *graph.clips}
    ours = tuple(clip for clip in scan(session.store.layout.clips) if clip.key in named)
    theirs, pointers = (tuple(clip for clip in kind if clip.key in named) for kind in shared.clips())
    here = {(clip.key, clip.digest) for clip in (*ours, *theirs)}
    absent = {key for key, digest in lock.clips.items() if key in graph.clips and (key, digest) not in here}
    return Shelves(
        shared=shared,
        ours=ours,
        theirs=theirs,
        pointers=pointers,
        nowhere=tuple(f"{graph.clips[key].span}: {graph.clips[key].address}" for key in graph.clips if key in absent),
    )


def push(found: Shelves) -> Moved:
    """Copy what the store lacks into it."""
    moved = Moved()
    for clip in found.to_push:
        try:
            moved.count += found.shared.put(clip)
            moved.bytes += clip.size
        except StoreError as error:
            if str(error) not in moved.failed:
                moved.failed.append(str(error))
    return moved


def pull(project: Project, found: Shelves) -> Moved:
    """Copy what we lack out of it; the project is held."""
    moved = Moved()
    for clip in found.to_pull:
        try:
            copy_clip(clip, project.layout.clips)
            moved.count += 1
            moved.bytes += clip.size
        except (StoreError, OSError) as error:
            moved.failed.append(str(error))
    return moved


def verify(found: Shelves) -> list[str]:
    """Read every clip; the damaged ones are put aside, to be fetched or pushed again."""
    damaged = []
    for clip in (*found.ours, *found.theirs):
        if digest_of(clip.path) == clip.digest:
            continue
        whole = next((c for c in (*found.ours, *found.theirs) if c is not clip and _is_copy(c, clip)), None)
        put_aside = _put_aside(clip)
        there = f"a whole copy is {whole.path}" if whole else "the next build fetches it from its task, if it can"
        cure = f"{there}; copy it there: fishpipe store push" if whole in found.ours else there
        damaged.append(f"{clip.path} is damaged{', and put aside' if put_aside else ''}; {cure}")
    return damaged


def _put_aside(clip: Clip) -> bool:
    try:
        clip.path.replace(clip.path.with_suffix(".damaged"))
    except OSError:
        return False
    return True


def _is_copy(clip: Clip, of: Clip) -> bool:
    return (clip.key, clip.digest) == (of.key, of.digest) and clip.path.exists() and digest_of(clip.path) == of.digest
