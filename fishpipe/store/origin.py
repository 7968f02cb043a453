"""Whether this machine wrote a project's ledger; one that came from elsewhere is looked through, row by row.

``made-here`` beside the ledger has a seal over the ledger's inode and the random number in its header: a copy, a clone
and a file that git put there have another. What a repository commits is refused. A ledger that came in good faith (a
cache of CI, a copied folder, a new home) is written anew with the calls and receipts that fit; what can be made again
(outputs' marks, measurements, units, the stamp) is not taken over.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fishpipe.errors import StoreError, UsageError
from fishpipe.files import read_plain
from fishpipe.graph.fingerprints import fingerprint
from fishpipe.seal import is_sealed, seal
from fishpipe.snapshot import CallRow
from fishpipe.store.damage import damaged
from fishpipe.store.durable import flush, write_whole
from fishpipe.store.git import git, is_in_repository
from fishpipe.store.migrations import NEWEST, migrate, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fishpipe.store.layout import Layout

MARKER: Final = "made-here"
COMING: Final = "ledger.coming"
# A ledger of a million lines has some hundred megabytes.
MOST_BYTES: Final = 2 << 30
_MOST_MARKER: Final = 4096
_HEADER: Final = 72
# SQLite's virtual machine makes so many steps between two looks, and so many looks at the most.
_STEPS: Final = 100_000
_LOOKS: Final = 20_000
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_KINDS: Final = ("clip", "voice", "in doubt")
_BESIDE: Final = ("-wal", "-journal")
_DAY: Final = 86400.0
_LONGEST: Final = 100_000
_HIGHEST: Final = 1e6
_LINES: Final = tuple[tuple[str, str], ...]


class _Receipt(msgspec.Struct, forbid_unknown_fields=True):
    """A receipt's row, by its types."""

    at: float
    fingerprint: str
    kind: str
    address: str
    bytes: int
    task_id: str | None = None
    trace_id: str | None = None
    url: str | None = None
    usd: float | None = None
    realm: str = ""
    voice: str = ""
    model: str = ""
    provider: str = ""
    take: int = 1


def is_made_here(ledger: Path) -> bool:
    """Whether this machine wrote a ledger; a project that has none has nothing that came from elsewhere."""
    if not os.path.lexists(ledger):
        return True
    try:
        marks = read_plain(str(ledger.with_name(MARKER)), _MOST_MARKER, links=False).decode("ascii").split()
        what = _identity(ledger)
    except (OSError, ValueError):
        return False
    return any(is_sealed("ledger", what, found) for found in marks)


def put_mark(*ledgers: Path) -> None:
    """Say that this machine wrote them. Raises OSError."""
    marks = [seal("ledger", _identity(path)) for path in ledgers]
    write_whole(ledgers[0].with_name(MARKER), "\n".join([*marks, ""]).encode())


def _identity(ledger: Path) -> bytes:
    """A ledger's inode, and the number in its header (SQLite's file format, offset 68). Raises OSError."""
    with ledger.open("rb") as file:
        return b"%d %s" % (os.fstat(file.fileno()).st_ino, file.read(_HEADER)[68:72].hex().encode())


def number(db: sqlite3.Connection) -> None:
    """Give a new ledger its number."""
    db.execute(f"PRAGMA application_id = {int.from_bytes(os.urandom(4), 'big', signed=True) or 1}")


def check_ledger(ledger: Path) -> None:
    """Raise StoreError where a ledger is no file that can be one, or too large."""
    try:
        size = ledger.stat().st_size if ledger.is_file() else None
    except OSError as error:
        raise StoreError(f"{ledger} cannot be read: {error.strerror}") from error
    if size is None or size > MOST_BYTES:
        what = "is no plain file" if size is None else f"is larger than {MOST_BYTES >> 30} GiB"
        raise StoreError(f"{ledger} {what}: it is no ledger of fishpipe's")


def check_uncommitted(layout: Layout) -> None:
    """Raise StoreError where git has what lies in the project's state: it came with the repository."""
    if not (layout.top.is_dir() and is_in_repository(layout.top.parent)):
        return
    with suppress(UsageError):
        found = git(layout.top.parent, "ls-files", "-z", "--", f"./{layout.top.name}").split(b"\0")[0]
        if found:
            raise StoreError(
                f"{layout.top} is committed in this repository ({found.decode('utf-8', 'replace')}), and this machine "
                f"did not write it: it is not believed. Nothing was paid. Take it out of git, or away: "
                f"git rm -r --cached {layout.top.name}. Clips are committed by store: clips"
            )


def settle_in(layout: Layout, now: float) -> None:
    """Have a ledger of this machine's: a new one, or what came from elsewhere, which is kept beside it.

    The project is held. Where a kill falls, there is none yet, or one that is known as ours.

    Raises StoreError.
    """
    ledger, coming = layout.ledger, layout.state / COMING
    if coming.exists() and is_made_here(coming):
        _take_place(coming, ledger)
    is_new = not ledger.exists()
    if is_made_here(ledger) and not is_new:
        return
    check_uncommitted(layout)
    try:
        for path in _set_of(coming):
            path.unlink(missing_ok=True)
        if is_new:
            _write(coming, {})
            put_mark(coming)
        else:
            check_ledger(ledger)
            for path in (layout.stamp, *_set_of(layout.units)):
                path.unlink(missing_ok=True)
            kept = layout.state / "ledger.from-elsewhere"
            _copy(ledger, kept)
            look_through(kept, coming, now, ledger)
            put_mark(ledger, coming)
        _take_place(coming, ledger)
    except sqlite3.Error as error:
        raise StoreError(f"{ledger} cannot be written: {error}") from error
    except OSError as error:
        raise StoreError(f"{error.filename or ledger}: {error.strerror}") from error


@contextmanager
def as_it_fits(ledger: Path, now: float) -> Iterator[Path]:
    """A ledger that came from elsewhere as `settle_in` would take it over, in a file that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fishpipe-") as scratch:
        copy, fitting = Path(scratch) / "came.db", Path(scratch) / "ledger.db"
        _copy(ledger, copy)
        look_through(copy, fitting, now, ledger)
        yield fitting


def look_through(came: Path, target: Path, now: float, named: Path) -> None:
    """Write a ledger with what fits of another one, which is `named` in errors. Raises StoreError."""
    looks = iter(range(_LOOKS))
    try:
        with closing(sqlite3.connect(came, isolation_level=None)) as old:
            old.execute("PRAGMA trusted_schema = OFF")
            old.set_progress_handler(lambda: next(looks, None) is None, _STEPS)
            odd = old.execute("SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index')").fetchone()
            if odd is not None:
                raise StoreError(
                    f"{named} has a {str(odd[0])[:40]!r} that no ledger has: it is not believed; remove it"
                )
            if version_of(came) != NEWEST:
                migrate(old, named)
            found = {name: list(_fitting(old, name, fits)) for name, fits in _fits(now).items()}
    except sqlite3.Error as error:
        raise damaged(named, error) from error
    _write(target, found)


def _write(target: Path, found: Mapping[str, list[Mapping[str, Any] | None]]) -> None:
    """Write a new ledger of some rows, by table."""
    with closing(sqlite3.connect(target, isolation_level=None)) as new:
        number(new)
        new.execute("PRAGMA synchronous = FULL")
        migrate(new, target)
        new.execute("BEGIN")
        for name, rows in found.items():
            for row in filter(None, rows):
                marks = ", ".join("?" * len(row))
                new.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", list(row.values()))  # noqa: S608
        new.execute("COMMIT")
    flush(target)


def _fits(now: float) -> dict[str, Callable[[dict[str, Any]], bool]]:
    """What is taken over, and when a row of it fits."""
    return {
        "calls": lambda row: _is_call(row, now),
        "receipts": lambda row: _is_receipt(row, now),
        "lines": _is_lines,
        "forgotten": lambda row: _is_text(row["id"]),
    }


def _fitting(
    db: sqlite3.Connection, table: str, fits: Callable[[dict[str, Any]], bool]
) -> Iterator[Mapping[str, Any] | None]:
    """The rows of a table, None in the place of each that does not fit."""
    names = _columns()[table]
    for values in db.execute(f"SELECT {', '.join(names)} FROM {table}"):  # noqa: S608  (a ledger's own names)
        row = dict(zip(names, values, strict=True))
        try:
            yield row if fits(row) else None
        except (ValueError, RecursionError, msgspec.MsgspecError):
            yield None


@cache
def _columns() -> dict[str, list[str]]:
    """The columns of a ledger's tables, as ours has them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, Path(":memory:"))
        tables = ("calls", "receipts", "lines", "forgotten")
        return {
            table: [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "number"]
            for table in tables
        }


def _is_call(row: dict[str, Any], now: float) -> bool:
    record = msgspec.json.decode(row["record"])
    described = msgspec.json.decode(row["described"]) if row["described"] else {}
    rest = {name: value for name, value in row.items() if name not in ("size", "used", "record", "described")}
    call = msgspec.convert({**rest, "record": record, "described": described}, CallRow)
    digests = all(value is None or _HEX.fullmatch(value) for value in (call.digest, call.sample))
    size = row["size"] is None or (isinstance(row["size"], int) and 0 <= row["size"] <= MOST_BYTES)
    times = all(_is_time(value, now) for value in (call.intended, call.updated, row["used"] or 0.0))
    seconds = call.seconds is None or (math.isfinite(call.seconds) and 0 <= call.seconds <= _HIGHEST)
    texts = all(_is_text(value) for value in rest.values() if isinstance(value, str))
    is_whole = isinstance(record, dict) and fingerprint(record) == call.fingerprint
    return digests and size and times and seconds and texts and is_whole


def _is_receipt(row: dict[str, Any], now: float) -> bool:
    receipt = msgspec.convert(row, _Receipt)
    usd = receipt.usd is None or (math.isfinite(receipt.usd) and 0 <= receipt.usd <= _HIGHEST)
    counts = 0 <= receipt.bytes <= MOST_BYTES and 1 <= receipt.take <= _LONGEST
    texts = all(_is_text(value) for value in row.values() if isinstance(value, str))
    known = receipt.kind in _KINDS and _HEX.fullmatch(receipt.fingerprint) is not None
    return usd and counts and texts and known and _is_time(receipt.at, now)


def _is_lines(row: dict[str, Any]) -> bool:
    msgspec.json.decode(row["lines"], type=_LINES)
    return _is_text(row["manifest"]) and _is_text(row["script"])


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST and value == value.encode("utf-8", "replace").decode()


def _is_time(value: float, now: float) -> bool:
    # A clock that was ahead is no reason to forget what was paid.
    return math.isfinite(value) and 0 <= value <= now + 3650 * _DAY


def _set_of(database: Path) -> list[Path]:
    """A database, and what SQLite keeps beside it."""
    return [database, *(database.with_name(f"{database.name}{end}") for end in ("-shm", *_BESIDE))]


def _copy(ledger: Path, target: Path) -> None:
    """Copy a ledger with its journal or log, which belongs to it. Raises OSError, and StoreError for too much."""
    for path in _set_of(target):
        path.unlink(missing_ok=True)
    for end in ("", *_BESIDE):
        beside = ledger.with_name(f"{ledger.name}{end}")
        if end == "" or beside.exists():
            check_ledger(beside)
            shutil.copyfile(beside, target.with_name(f"{target.name}{end}"), follow_symlinks=False)
            flush(target.with_name(f"{target.name}{end}"))


def _take_place(coming: Path, ledger: Path) -> None:
    """Put a whole new ledger in another's place, whose log and journal go first: they would be taken for its own."""
    for path in _set_of(ledger)[1:]:
        path.unlink(missing_ok=True)
    os.replace(coming, ledger)  # noqa: PTH105  (Path.replace is the same call; os says which)
    flush(ledger.parent)
