"""Writes what makes the next build fast: large files as they were parsed, and the stamp.

The stamp has what a build that found nothing to do had looked at. That is marked before it is read, and again behind
it: only what was the same both times, and was not written just before, is stamped. Both are derived: where they cannot
be written, the next build thinks again.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fishpipe import stamp
from fishpipe.manifest.definitions import schema_path
from fishpipe.manifest.parsed import kept
from fishpipe.seal import seal
from fishpipe.store.durable import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fishpipe.project import Project
    from fishpipe.stamp import Request

# (kind, path) → mark, as fishpipe.stamp knows them.
Marks = dict[tuple[str, str], str]

# So many files that were parsed are kept, the latest.
_MOST_PARSED: Final = 2000
# A file that was written later than so long (ns) before it was looked at may change once more without its times
# showing it: what file systems count in, and what those count in that know whole seconds alone.
FINE: Final = 20_000_000
_COARSE: Final = 2_000_000_000
_SECOND: Final = 1_000_000_000


def look_around(project: Project) -> Marks:
    """The marks of all that a plan comes from, besides the manifest's files."""
    return {(kind, path): stamp.mark_of(kind, path) for kind, path in _looked_at(project)}


def _looked_at(project: Project) -> Iterable[tuple[str, str]]:
    layout = project.layout
    package = Path(__file__).parent
    yield "mark", str(project.manifest.root / ".env")
    yield "mark", str(project.lock_path.absolute())
    yield "mark", str(layout.ledger)
    yield "mark", str(layout.other.ledger)
    yield "rest", f"{layout.ledger}-wal"
    yield "rest", f"{layout.ledger}-journal"
    yield "clips" if project.looks_at_sizes else "shelves", str(layout.clips)
    if project.shared is not None:
        yield "clips", str(project.shared.folder)
    files = [project.placed(output).path for script in project.manifest.scripts.values() for output in script.files]
    assets = [asset.path for script in project.manifest.scripts.values() for asset, _ in script.assets]
    yield from (("mark", str(path.absolute())) for path in (*files, *assets))
    read = [Path(path) for _, path, _ in project.manifest.looked_at]
    folders = {str(path.absolute().parent) for path in (*files, *assets, *read)}
    yield from (("real", folder) for folder in sorted(folders))
    # The program: what is installed where, and its own files where it runs from a checkout.
    yield from (("mark", folder) for folder in sys.path if folder.endswith("-packages"))
    yield "mark", str(schema_path())
    if not package.parent.name.endswith("-packages"):
        yield "sources", str(package)


def keep_stamp(project: Project, request: Request, before: Marks, began: int, answers: Mapping[str, str]) -> None:
    """Remember that nothing is to do, and what that is answered with.

    `before` was marked before the plan was made, and nothing was read before `began` (ns).
    """
    after = look_around(project)
    is_away = project.shared is not None and project.shared.is_away
    marks = [mark for (kind, _), mark in after.items() if kind == "mark"]
    if is_away or after != before or not all(_is_settled(mark, began) for mark in marks):
        return
    lines = [("say", name, text.encode("unicode_escape").decode("latin-1")) for name, text in answers.items()]
    for kind, path, mark in project.manifest.looked_at:
        if kind == "file":
            stat, _, digest = mark.rpartition(" ")
            if stat != stamp.look(path):
                return
            # Where the times may not show another change, the digest is compared each time.
            lines.append((kind, mark if _is_settled(stat, began) else f"? {digest}", path))
        else:
            lines.append((kind, mark, path))
    lines += [(kind, mark, path) for (kind, path), mark in after.items()]
    record = [request.key, *("\t".join(line) for line in lines)]
    if not any("\n" in line for line in record):
        with suppress(OSError):
            _write(project.layout.stamp, record)


def _is_settled(mark: str, began: int) -> bool:
    """Whether a file's last change lies so far back that another one would show in its times."""
    if mark == stamp.ABSENT:
        return True
    _, modified, changed, _ = (int(part) for part in mark.split())
    granule = _COARSE if changed % _SECOND == 0 else FINE
    return began - max(modified, changed) > granule


def _write(path: Path, record: list[str]) -> None:
    others = [found for found in stamp.records(str(path)) if found[0] != record[0]]
    parts = ["\n".join(record), *("\n".join((key, *lines)) for key, lines in others[: stamp.MOST_RECORDS - 1])]
    body = ("\n\n".join(parts) + "\n.\n").encode("utf-8", "surrogateescape")
    mark = seal("stamp", body)
    if mark:
        write_whole(path, f"fishpipe stamp {stamp.FORMAT} {mark}\n".encode() + body)


def keep_parsed(project: Project) -> None:
    """Keep what was parsed of large files; the project is held. A disk that refuses costs nothing."""
    folder = project.manifest.root / ".fishpipe" / "parsed"
    if not project.manifest.parsed:
        return
    with suppress(OSError):
        for key, node in project.manifest.parsed.items():
            if (data := kept(key, node)) is not None:
                folder.mkdir(exist_ok=True, mode=0o700)
                write_whole(folder / key, data)
        there = sorted(folder.iterdir(), key=lambda path: path.lstat().st_mtime, reverse=True)
        for path in there[_MOST_PARSED:]:
            path.unlink()
