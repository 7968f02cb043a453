"""What may go: clips that nothing refers to, and outputs that can be made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fishpipe.errors import StoreError
from fishpipe.graph.fingerprints import Fingerprint, words_of
from fishpipe.lock import Lock, mended
from fishpipe.revisions import blobs_of
from fishpipe.snapshot import IN_FLIGHT
from fishpipe.store.clips import scan
from fishpipe.store.lockfile import lock_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fishpipe.manifest.model import Output
    from fishpipe.project import Project, Session
    from fishpipe.snapshot import CallRow

_UNFINISHED = ("intended", *IN_FLIGHT)


class Garbage(Struct, frozen=True, kw_only=True):
    """A file that nothing refers to: its size, when it was last used (Unix seconds), and what it was.

    Those of one `group` are shown as one; a `unit` lies with others in its file.
    """

    path: Path
    size: int
    used: float
    what: str
    group: str = ""
    unit: str = ""


def garbage(project: Project, session: Session, history: int, *, store: bool) -> list[Garbage]:
    """Files of clips that may go, the longest unused first; those of the shared folder only if `store` says so.

    `session` is one of all the project's scripts. A clip stays that a line uses, that is a take of a line, that a lock
    beside the manifest names, or one of the last `history` commits of any branch. Raises ManifestError.
    """
    rows = session.snapshot.calls
    spared = _spared(session, rows)
    named = {pair for lock in _locks(project, session, history) for pair in lock.clips.items()}
    uses = session.store.uses()
    found = []
    for folder in _folders(project, session, store=store):
        for clip in scan(folder, links=folder != session.store.layout.clips):
            if clip.key in spared or (clip.key, clip.digest) in named:
                continue
            row = rows.get(clip.key)
            what = f"{row.address}: {_text(row)}" if row is not None else "known to nobody here"
            used = uses.get(clip.key, clip.path.stat().st_mtime)
            found.append(Garbage(path=clip.path, size=clip.size, used=used, what=what))
        for path in _plain(folder.glob("??/*.damaged")):
            stat = path.stat()
            found.append(Garbage(path=path, size=stat.st_size, used=stat.st_mtime, what="damaged, and put aside"))
    found.sort(key=lambda each: (each.used, str(each.path)))
    return [*found, *_parts(session, rows), *_units(session)]


def remove(session: Session, found: Sequence[Garbage]) -> None:
    """Delete files, and units. Raises StoreError."""
    session.store.units.drop(each.unit for each in found if each.unit)
    for each in found:
        if each.unit:
            continue
        try:
            each.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{each.path} cannot be deleted: {error.strerror}") from error


def built(session: Session, *, edited: bool) -> tuple[list[Output], list[Output]]:
    """The outputs that are there and may be removed, and those that somebody edited, which stay unless `edited`."""
    files = session.snapshot.files
    there = [step.output for step in session.graph.outputs if files.get(str(step.output.path)) != "absent"]
    kept = [output for output in there if files.get(str(output.path)) == "edited" and not edited]
    return [output for output in there if output not in kept], kept


def _folders(project: Project, session: Session, *, store: bool) -> Iterator[Path]:
    yield session.store.layout.clips
    if store and project.shared is not None:
        yield project.shared.folder


def _spared(session: Session, rows: Mapping[Fingerprint, CallRow]) -> set[Fingerprint]:
    """What lines use, the takes of their words, and calls that are not over."""
    spared = set(session.graph.clips)
    words = {step.words for step in session.graph.clips.values()}
    for key, row in rows.items():
        if key in spared or row.kind != "clip":
            continue
        if row.state in _UNFINISHED or words_of(row.record) in words:
            spared.add(key)
    return spared


def _locks(project: Project, session: Session, history: int) -> Iterator[Lock]:
    """The project's lock, those beside it (siblings share ``.fishpipe``), and those of the last commits."""
    yield session.snapshot.lock
    for path in sorted(project.lock_path.parent.glob("*.lock")):
        yield mended(lock_text(path, path.name), path.name)[0]
    if history:
        for text in blobs_of(project.manifest.root, ".lock", history):
            yield mended(text, "a lock in git's history")[0]


def _parts(session: Session, rows: Mapping[Fingerprint, CallRow]) -> Iterator[Garbage]:
    folder = session.store.layout.parts
    for path in _plain(sorted(folder.iterdir()) if folder.is_dir() else ()):
        row = rows.get(Fingerprint(path.name))
        if row is None or row.state not in _UNFINISHED:
            stat = path.stat()
            yield Garbage(path=path, size=stat.st_size, used=stat.st_mtime, what="a download that was given up")


def _units(session: Session) -> Iterator[Garbage]:
    """Encoded pieces of outputs as they were once: all can be made again."""
    layout, group = session.store.layout, "pieces of earlier outputs"
    what = "a piece of an earlier output"
    for key, size, used in session.store.unused_units():
        yield Garbage(path=layout.units, size=size, used=used, what=what, group=group, unit=key)
    # Where fishpipe 0.1 kept them, each in a file of its own.
    for path in _plain(sorted(layout.units.with_suffix("").glob("??/*"))):
        stat = path.stat()
        yield Garbage(path=path, size=stat.st_size, used=stat.st_mtime, what=what, group=group)


def _plain(paths: Iterable[Path]) -> Iterator[Path]:
    """Those that lie where they seem to lie: no links, and in no folder that is one."""
    return (path for path in paths if not (path.is_symlink() or path.parent.is_symlink()))


def _text(row: CallRow) -> str:
    body = row.record.get("body", {})
    return f'"{body.get("text", body.get("prompt", ""))}"'
