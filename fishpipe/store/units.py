"""Encoded units, all in one file (``units.db``): derived, so neither flushed nor missed; a broken one is none.

Each is sealed: what this machine did not encode itself is not joined into an output.

An output has thousands of them, and as many files would be what a folder, a backup and a `du` are slow with. SQLite is
the box: a kill loses the last few, and a power cut at the most all of them, which costs an encode.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from fishpipe.seal import is_sealed, seal
from fishpipe.store.network import is_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS units (key TEXT PRIMARY KEY, at REAL NOT NULL, seal TEXT NOT NULL, data BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS used (output TEXT, key TEXT, PRIMARY KEY (output, key)) WITHOUT ROWID;
"""
# So many changes have one commit.
_BATCH: Final = 100


class Units:
    """The units of a project, which is held; opened when it is first asked. All threads may use it.

    A disk that refuses, or a file that is none, costs an encode, and is not told.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path, self._now = path, now
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._is_over = False
        self._waiting = 0

    def read(self, key: str) -> tuple[bytes, float] | None:
        """A unit's bytes, and when they were last known to be right (Unix seconds); None where none are whole."""
        with self._lock, suppress(sqlite3.Error):
            found = self._opened().execute("SELECT data, at, seal FROM units WHERE key = ?", (key,)).fetchone()
            if found is not None and found[0] and is_sealed(f"unit {key}", found[0], found[2]):
                return found[0], found[1]
        return None

    def keep(self, key: str, data: bytes) -> None:
        """Keep a unit's bytes."""
        row = (key, self._now(), seal(f"unit {key}", data), data)
        self._change("INSERT OR REPLACE INTO units (key, at, seal, data) VALUES (?, ?, ?, ?)", [row])

    def touch(self, key: str) -> None:
        """A unit is right now: what it was made of was looked at again."""
        self._change("UPDATE units SET at = ? WHERE key = ?", [(self._now(), key)])

    def note(self, output: str, keys: Iterable[str]) -> None:
        """Remember what an output was made of."""
        self._change("DELETE FROM used WHERE output = ?", [(output,)])
        self._change("INSERT OR IGNORE INTO used VALUES (?, ?)", [(output, key) for key in keys])
        self._commit()

    def unused(self, outputs: Iterable[str]) -> list[tuple[str, int, float]]:
        """(key, bytes, time) of the units that none of the outputs was made of."""
        if not self._path.exists():
            return []
        there = set(outputs)
        with self._lock, suppress(sqlite3.Error):
            db = self._opened()
            used = {key for output, key in db.execute("SELECT output, key FROM used") if output in there}
            rows = db.execute("SELECT key, length(data), at FROM units ORDER BY key")
            return [row for row in rows if row[0] not in used]
        return []

    def drop(self, keys: Iterable[str]) -> None:
        """Delete units, and give their room back."""
        self._change("DELETE FROM units WHERE key = ?", [(key,) for key in keys])
        self._commit()
        with self._lock, suppress(sqlite3.Error):
            self._opened().execute("VACUUM")

    def close(self) -> None:
        """Write what waits, and close the file for good: a thread that comes later keeps nothing."""
        self._commit()
        with self._lock:
            self._is_over = True
            if self._db is not None:
                self._db.close()
                self._db = None

    def _change(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        with self._lock, suppress(sqlite3.Error):
            db = self._opened()
            if not db.in_transaction:
                db.execute("BEGIN IMMEDIATE")
            db.executemany(statement, rows)
            self._waiting += 1
        if self._waiting >= _BATCH:
            self._commit()

    def _commit(self) -> None:
        with self._lock:
            self._waiting = 0
            if self._db is not None and self._db.in_transaction:
                with suppress(sqlite3.Error):
                    self._db.execute("COMMIT")

    def _opened(self) -> sqlite3.Connection:
        """The open file; one that is broken is begun anew. Raises sqlite3.Error."""
        if self._is_over:
            raise sqlite3.ProgrammingError("the units are closed")
        if self._db is None:
            try:
                self._db = self._open()
            except sqlite3.DatabaseError:
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
                self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=1, check_same_thread=False)
        try:
            db.execute(f"PRAGMA journal_mode = {'DELETE' if is_network(self._path.parent) else 'WAL'}")
            db.execute("PRAGMA synchronous = OFF")
            if any(column[1] == "crc" for column in db.execute("PRAGMA table_info(units)")):
                # An earlier release told them from noise alone.
                db.execute("DROP TABLE units")
            db.executescript(_TABLES)
        except sqlite3.Error:
            db.close()
            raise
        return db
