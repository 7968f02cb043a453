"""fishpipe gc."""

from __future__ import annotations

import datetime
import json
import os
from typing import TYPE_CHECKING

import click

from fishpipe.cli.common import Arguments, common, err, is_terminal, open_project, options, out
from fishpipe.errors import UsageError
from fishpipe.housekeeping import garbage, remove
from fishpipe.locking import reachable
from fishpipe.report.prose import count, megabytes, short

if TYPE_CHECKING:
    from fishpipe.housekeeping import Garbage


@options(
    click.option("--keep-history", type=click.IntRange(0), default=50, show_default=True, metavar="N",
                 help="Keep what the locks of the last N commits of every branch name."),
    click.option("--dry-run/--delete", default=None, help="Only show, or delete (default: show on a terminal)."),
    click.option("--store", is_flag=True, help="Also in the folder that store: names; others may use it."),
)  # fmt: skip
def gc(arguments: Arguments, *, keep_history: int, dry_run: bool | None, store: bool) -> int:
    r"""Delete clips that nothing refers to: no line, no take of a line, no lock, none of git's last N commits.

    \b
      fishpipe gc               shows them (on a terminal), the longest unused first
      fishpipe gc --delete      deletes them
    """
    if arguments.targets:
        raise UsageError("gc takes no targets: it looks at all scripts")
    project = open_project(arguments)
    # Others may use the clips of a shared folder: there, only a plain word deletes.
    shared = store and project.shared is not None and not project.shared.own
    only_show = (is_terminal() or shared) if dry_run is None else dry_run
    with project.hold(), project.session(list(project.manifest.scripts)) as session:
        found = garbage(project, session, keep_history, store=store)
        dead = len(session.snapshot.lock.clips) - len(reachable(session.graph, session.snapshot.lock).clips)
        if not only_show:
            remove(session, found)
    total = sum(each.size for each in found)
    if arguments.json:
        data = {"deleted": not only_show, "bytes": total, "files": [_data(each) for each in found]}
        out(json.dumps(data, ensure_ascii=False, indent=2))
        return 0
    if not arguments.quiet:
        _show(found)
    pieces = sum(1 for each in found if each.group)
    parts = [count(n, kind) for n, kind in ((len(found) - pieces, "file"), (pieces, "piece")) if n]
    what = f"{' and '.join(parts)}, {megabytes(total)}"
    again = f"fishpipe gc --delete{' --store' if store else ''}"
    out("nothing to delete" if not found else f"{what}: {again if only_show else 'deleted'}")
    if dead and not arguments.quiet:
        err(f"the lock file keeps {count(dead, 'clip')} that no line uses now: fishpipe lock --prune")
    return 0


def _show(found: list[Garbage]) -> None:
    for each in found:
        if not each.group:
            err(f"{_path(each)}  {megabytes(each.size)}  last used {_day(each)[:10]}  {short(each.what, 80)}")
    for group in sorted({each.group for each in found if each.group}):
        sizes = [each.size for each in found if each.group == group]
        err(f"{group}: {len(sizes):,}, {megabytes(sum(sizes))}")


def _data(each: Garbage) -> dict[str, object]:
    return {"path": _path(each), "bytes": each.size, "used": _day(each), "what": each.what}


def _path(each: Garbage) -> str:
    return os.path.relpath(each.path)


def _day(each: Garbage) -> str:
    return datetime.datetime.fromtimestamp(each.used, datetime.UTC).isoformat(timespec="seconds")


gc.metavar = "[MANIFEST]"  # type: ignore[attr-defined]
command = common(gc)
