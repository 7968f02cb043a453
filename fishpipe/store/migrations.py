"""The ledger's tables, version by version (`user_version`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fishpipe.errors import StoreError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_MIGRATIONS: Final = (
    """
    CREATE TABLE calls (
        fingerprint TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL,
        address TEXT, task_id TEXT, trace_id TEXT, url TEXT, voice_id TEXT, digest TEXT, size INTEGER,
        charged TEXT NOT NULL DEFAULT 'no', error TEXT, consent TEXT, intended REAL NOT NULL, updated REAL NOT NULL
    ) STRICT;
    CREATE TABLE receipts (
        number INTEGER PRIMARY KEY, at REAL NOT NULL, fingerprint TEXT NOT NULL, kind TEXT NOT NULL,
        address TEXT NOT NULL, task_id TEXT, trace_id TEXT, url TEXT, bytes INTEGER NOT NULL, usd REAL
    ) STRICT;
    CREATE TABLE lines (
        manifest TEXT NOT NULL, script TEXT NOT NULL, lines TEXT NOT NULL, PRIMARY KEY (manifest, script)
    ) STRICT;
    CREATE TABLE outputs (
        path TEXT PRIMARY KEY, recipe TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
        mtime INTEGER NOT NULL, rate INTEGER NOT NULL, length INTEGER NOT NULL, places TEXT NOT NULL, made REAL NOT NULL
    ) STRICT;
    CREATE TABLE sounds (key TEXT PRIMARY KEY, sound TEXT NOT NULL) STRICT;
    """,
    """
    ALTER TABLE calls ADD COLUMN nonce TEXT;
    ALTER TABLE calls ADD COLUMN sample TEXT;
    ALTER TABLE calls ADD COLUMN described TEXT;
    ALTER TABLE receipts ADD COLUMN realm TEXT NOT NULL DEFAULT '';
    ALTER TABLE receipts ADD COLUMN voice TEXT NOT NULL DEFAULT '';
    ALTER TABLE receipts ADD COLUMN model TEXT NOT NULL DEFAULT '';
    UPDATE receipts SET (realm, model) = (
        SELECT json_extract(record, '$.realm'), coalesce(json_extract(record, '$.model'), '')
        FROM calls WHERE calls.fingerprint = receipts.fingerprint
    ) WHERE fingerprint IN (SELECT fingerprint FROM calls);
    CREATE TABLE voices (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, state TEXT NOT NULL, consent TEXT, checked REAL NOT NULL
    ) STRICT;
    CREATE TABLE forgotten (id TEXT PRIMARY KEY) STRICT;
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    """,
    """
    ALTER TABLE calls ADD COLUMN seconds REAL;
    ALTER TABLE calls ADD COLUMN used REAL;
    ALTER TABLE receipts ADD COLUMN take INTEGER NOT NULL DEFAULT 1;
    """,
    """
    ALTER TABLE calls ADD COLUMN provider TEXT NOT NULL DEFAULT '';
    ALTER TABLE receipts ADD COLUMN provider TEXT NOT NULL DEFAULT '';
    """,
)
NEWEST: Final = len(_MIGRATIONS)


def version_of(path: Path) -> int:
    """The ledger's version by its header (SQLite's file format, offset 60), without opening it."""
    with path.open("rb") as file:
        header = file.read(64)
    return int.from_bytes(header[60:64], "big")


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring an open ledger to the newest version. Raises StoreError where it is of a newer fishpipe."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(_MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer fishpipe (version {version}); upgrade: pip install -U fishpipe"
        )
    for number, script in enumerate(_MIGRATIONS[version:], version + 1):
        db.executescript(f"BEGIN; {_needed(db, script)}; PRAGMA user_version = {number}; COMMIT")


def _needed(db: sqlite3.Connection, script: str) -> str:
    """A migration without the columns that are there already: a ledger may have been taken back by hand."""

    def statement(found: re.Match[str]) -> str:
        names = {row[1] for row in db.execute(f"PRAGMA table_info({found[1]})")}
        return "" if found[2] in names else found[0]

    return re.sub(r"ALTER TABLE (\w+) ADD COLUMN (\w+)[^;]*;", statement, script)
