"""fishpipe store."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from fishpipe.cli.common import Arguments, answer, common, err, open_project, options, out, with_manifest
from fishpipe.errors import UsageError, did_you_mean
from fishpipe.report.prose import count, megabytes
from fishpipe.shelving import Moved, Shelves, pull, push, shelves, verify
from fishpipe.store.lockfile import add_line

if TYPE_CHECKING:
    from fishpipe.project import Project

_VERBS = ("status", "pull", "push", "verify")


@options(click.option("--lfs", is_flag=True, help="Have git-lfs keep the clips: writes .gitattributes."))
def store(arguments: Arguments, *, lfs: bool) -> int:
    r"""Clips that travel: status, pull, push and verify the folder that the manifest's `store:` names.

    \b
      fishpipe store status     what is where (the default)
      fishpipe store pull       copy the project's clips from the store into .fishpipe
      fishpipe store push       copy them there (a build does so by itself)
      fishpipe store verify     read every clip; what is damaged is put aside
      fishpipe store --lfs      have git-lfs keep them
    """
    names = arguments.targets
    verb = names[0] if names and names[0] in _VERBS else "status"
    rest = names[1:] if names[:1] == (verb,) else names
    if rest and not rest[0].endswith((".yaml", ".yml")) and not os.path.isdir(rest[0]):  # noqa: PTH112
        hint = did_you_mean(rest[0], _VERBS) or f"expected {', '.join(_VERBS)}"
        raise UsageError(f'store knows no "{rest[0]}"; {hint}')
    project = open_project(with_manifest(replace(arguments, targets=rest)))
    if lfs:
        return _lfs(project)
    scripts = list(project.manifest.scripts)
    if verb == "pull":
        with project.hold(), project.session(scripts) as session:
            found = shelves(project, session)
            moved = pull(project, found)
        with project.session(scripts) as session:
            return _tell_moved(arguments, "pulled", moved, shelves(project, session))
    with project.session(scripts) as session:
        found = shelves(project, session, moving=verb != "status")
    if verb == "push":
        return _tell_moved(arguments, "pushed", push(found), None)
    if verb == "verify":
        damaged = verify(found)
        number = len(found.ours) + len(found.theirs)
        words = damaged or [f"{count(number, 'file')} read: all are whole"]
        answer(arguments, {"read": number, "damaged": damaged}, "\n".join(words))
        return 1 if damaged else 0
    return _status(arguments, found)


def _status(arguments: Arguments, found: Shelves) -> int:
    shared = found.shared
    kind = "in the project" if shared.own else "a shared folder"
    there = "" if shared.is_there or shared.own else "; it is not there: mount it, or make it"
    words = [f"store {os.path.relpath(shared.folder) if shared.own else shared.folder}: {kind}{there}"]
    words.append(f"in .fishpipe: {_sum(found.ours)}; in the store: {_sum(found.theirs)}")
    if found.to_push:
        words.append(f"to push: {_sum(found.to_push)} (fishpipe store push)")
    if found.to_pull:
        words.append(f"in the store alone: {_sum(found.to_pull)} (read from there; fishpipe store pull copies them)")
    words += _absent(found)
    data: dict[str, Any] = {
        "store": str(shared.folder), "own": shared.own, "there": shared.is_there, "ours": len(found.ours),
        "theirs": len(found.theirs), "to_push": len(found.to_push), "to_pull": len(found.to_pull),
        "pointers": len(found.pointers), "nowhere": list(found.nowhere),
    }  # fmt: skip
    answer(arguments, data, "\n".join(words))
    return 0


def _absent(found: Shelves) -> list[str]:
    words = [f"{count(len(found.pointers), 'clip')} left with git-lfs: git lfs pull"] if found.pointers else []
    return words + [f"{place}: its clip is in the lock file, and neither here nor there" for place in found.nowhere]


def _tell_moved(arguments: Arguments, verb: str, moved: Moved, after: Shelves | None) -> int:
    absent = _absent(after) if after is not None else []
    for failure in [*moved.failed, *absent]:
        err(failure)
    data = {verb: moved.count, "bytes": moved.bytes, "failed": moved.failed, "absent": absent}
    answer(arguments, data, f"{count(moved.count, 'clip')} {verb}, {megabytes(moved.bytes)}")
    return 1 if moved.failed or absent else 0


def _lfs(project: Project) -> int:
    shared = project.shared
    if shared is None or not shared.own:
        raise UsageError("--lfs is for a store of the project; add to its manifest: store: clips")
    root = project.manifest.root
    line = f"{shared.folder.relative_to(root).as_posix()}/** filter=lfs diff=lfs merge=lfs -text"
    written = add_line(root / ".gitattributes", line)
    out(f".gitattributes {'has' if written is None else 'now says'}: {line}")
    if shutil.which("git-lfs") is None:
        err("git-lfs is not installed here: without it, git commits the clips plainly (https://git-lfs.com)")
    if written is not None:
        err("next: git lfs install; git add .gitattributes; clips that are committed already: git lfs migrate import")
    return 0


def _sum(clips: tuple[Any, ...] | list[Any]) -> str:
    return f"{count(len(clips), 'clip')}, {megabytes(sum(clip.size for clip in clips))}" if clips else "none"


store.is_plain = True  # type: ignore[attr-defined]
store.metavar = "[status|pull|push|verify] [MANIFEST]"  # type: ignore[attr-defined]
command = common(store)
