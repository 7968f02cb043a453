"""fishpipe lock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fishpipe.cli.common import Arguments, answer, common, err, open_project, options, with_manifest
from fishpipe.errors import UsageError
from fishpipe.lock import Lock, mended, merged
from fishpipe.locking import pins_of, reachable, voice_entries, would_change
from fishpipe.lockkeeper import clip_entries, save
from fishpipe.manifest.model import Speech
from fishpipe.report.prose import count
from fishpipe.store.clips import Clip
from fishpipe.store.lockfile import lock_text, read_lock, write_lock

if TYPE_CHECKING:
    from fishpipe.lock import Entry
    from fishpipe.project import Project


@options(
    click.option("--check", is_flag=True, help="Exit with 1 where a line's clip is not in the lock, or not here."),
    click.option("--from-ledger", is_flag=True, help="Write all that the ledger knows, as if the lock were lost."),
    click.option("--prune", is_flag=True, help="Remove what no script can reach (with the variables given here)."),
    click.option("--merge", is_flag=True, help="Mend a lock that git left in conflict; with BASE OURS THEIRS, merge."),
)
def lock(arguments: Arguments, *, check: bool, from_ledger: bool, prune: bool, merge: bool) -> int:
    r"""Show, check and mend the lock file: which clip each call is, which take is used, which voice was made.

    \b
      fishpipe lock                 what is in it
      fishpipe lock --check         is it complete, and is each clip here and whole?
      fishpipe lock --prune         after lines were removed for good
      fishpipe lock --merge         after git left a conflict in it

    As a merge driver, in the place of git's own union (.gitattributes: fishpipe.lock merge=fishpipe):
    git config merge.fishpipe.driver 'fishpipe lock --merge %O %A %B'
    """
    if sum((check, from_ledger, prune, merge)) > 1:
        raise UsageError("choose one of --check, --from-ledger, --prune and --merge")
    if merge:
        return _merge(arguments)
    arguments = with_manifest(arguments)
    if arguments.targets:
        raise UsageError(f"lock takes a manifest alone, no {arguments.targets[0]}")
    project = open_project(arguments)
    if check:
        return _check(project, arguments)
    if from_ledger:
        return _from_ledger(project, arguments)
    return _prune(project, arguments) if prune else _show(project, arguments)


def _merge(arguments: Arguments) -> int:
    names = arguments.targets
    if len(names) == 3:
        absent = [name for name in names if not Path(name).is_file()]
        if absent:
            raise UsageError(f"--merge: there is no file {absent[0]}")
        base, ours, theirs = (read_lock(Path(name), name) for name in names)
        write_lock(Path(names[1]), merged(base, ours, theirs))
        return 0
    if len(names) == 1 and names[0].endswith(".lock"):
        path = Path(names[0])
    elif len(names) <= 1:
        path = with_manifest(arguments).manifest.with_suffix(".lock")
    else:
        raise UsageError("--merge takes nothing (this project's lock), a lock file, or BASE OURS THEIRS")
    if not path.is_file():
        raise UsageError(f"there is no lock file {path}")
    text = lock_text(path, str(path))
    whole, dropped = mended(text, str(path))
    if whole.text != text:
        write_lock(path, whole)
    for line in dropped:
        err(f"{path}: dropped, it is no entry: {line[:100]}")
    answer(arguments, {"lock": str(path), "entries": len(whole.entries), "dropped": dropped}, f"{path} is whole")
    return 0


def _show(project: Project, arguments: Arguments) -> int:
    with project.session() as session:
        lock, more = session.snapshot.lock, would_change(session.graph, session.snapshot)
    data = _data(lock) | {"to_add": more}
    kinds = ", ".join(count(data[kind], kind[:-1]) for kind in ("clips", "voices", "pins") if data[kind])
    missing = f"; {count(len(more), 'entry')} to add: fishpipe build".replace("entrys", "entries") if more else ""
    answer(arguments, data, f"{lock.name}: {kinds or 'empty'}{missing}")
    return 0


def _check(project: Project, arguments: Arguments) -> int:
    """Every line of every script has its clip in the lock, and that clip is here and whole."""
    problems = []
    with project.session(list(project.manifest.scripts)) as session:
        lock, store, graph = session.snapshot.lock, session.store, session.graph
        for key, step in graph.clips.items():
            digest, place = lock.clips.get(key), f"{step.span}: {step.address}"
            if digest is None:
                here = "fishpipe build" if key in session.snapshot.clips else "it would be paid: fishpipe plan"
                problems.append(f"{place}: not in {lock.name} ({here})")
            elif not (path := store.clip(key, digest, step.format)).exists():
                problems.append(f"{place}: its clip is not here (fishpipe store pull)")
            elif Clip(key, digest, step.format, str(path), path.stat().st_size).is_pointer:
                problems.append(f"{place}: its clip is left with git-lfs: git lfs pull")
            elif store.digest(path) != digest:
                problems.append(f"{place}: its clip is damaged: {os.path.relpath(path)}")
        rows = ((step, session.snapshot.calls.get(key)) for key, step in graph.voices.items() if key not in lock.voices)
        problems += [
            f"{step.span}: voice {step.name}: not in {lock.name}"
            for step, row in rows
            if row and row.state == "trained"
        ]
    words = "\n".join(problems) or f"{lock.name} is complete: {count(len(graph.clips), 'clip')} here and whole"
    answer(arguments, _data(lock) | {"problems": problems}, words)
    return 1 if problems else 0


def _from_ledger(project: Project, arguments: Arguments) -> int:
    with project.hold(), project.session(writing=True) as session:
        store, before = session.store, session.snapshot.lock
        rows = store.calls(before)
        segments = [segment for script in project.manifest.scripts.values() for segment in script.segments]
        fixed = {s.address for s in segments if isinstance(s.body, Speech) and s.body.take is not None}
        ours = [key for key, row in rows.items() if row.record.get("realm") == project.realm]
        entries: list[Entry] = [
            *clip_entries(ours, before, store, rows, absent=True),
            *voice_entries(session.graph, rows),
        ]
        pins = [e for e in pins_of(session.snapshot.lines, rows, fixed) if (e.kind, e.key) not in before.entries]
        after = save(project.lock_path, before, [*entries, *pins])
    added = len(after.entries) - len(before.entries)
    answer(arguments, _data(after) | {"added": added}, f"{after.name}: {added} added, {len(after.entries)} in all")
    return 0


def _prune(project: Project, arguments: Arguments) -> int:
    with project.hold(), project.session(list(project.manifest.scripts), writing=True) as session:
        before = session.snapshot.lock
        after = reachable(session.graph, before)
        gone = [entry for key, entry in sorted(before.entries.items()) if key not in after.entries]
        if gone:
            write_lock(project.lock_path, after)
    if not arguments.json and not arguments.quiet:
        for entry in gone:
            err(f"removed {entry.text}")
    answer(
        arguments,
        _data(after) | {"removed": len(gone)},
        f"{after.name}: {len(gone)} removed, {len(after.entries)} left",
    )
    return 0


def _data(lock: Lock) -> dict[str, Any]:
    pins, voices = len(lock.pins), len(lock.voices)
    return {"lock": lock.name, "clips": len(lock.clips), "voices": voices, "pins": pins}


lock.is_plain = True  # type: ignore[attr-defined]
lock.metavar = "[MANIFEST]"  # type: ignore[attr-defined]
command = common(lock)
