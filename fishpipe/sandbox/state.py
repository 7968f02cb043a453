"""The sandbox's memory: tasks, voices, what was billed; committed before each answer, so a kill loses nothing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import uuid
from typing import TYPE_CHECKING, Any, Final

from fishpipe.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY, number INTEGER UNIQUE NOT NULL, type TEXT NOT NULL, request TEXT NOT NULL,
    digest TEXT NOT NULL,
    take INTEGER NOT NULL, link TEXT NOT NULL, response TEXT, bytes INTEGER NOT NULL, trace_id TEXT NOT NULL,
    created REAL NOT NULL, finished REAL, heard INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS by_digest ON tasks (digest);
CREATE INDEX IF NOT EXISTS by_link ON tasks (link);
CREATE TABLE IF NOT EXISTS voices (
    id TEXT PRIMARY KEY, number INTEGER UNIQUE NOT NULL, sample TEXT NOT NULL, model TEXT NOT NULL,
    created REAL NOT NULL
) STRICT;
"""


class State:
    """Open at `path`; `now` gives Unix seconds."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_SCHEMA}")
        except (sqlite3.Error, OSError) as error:
            what = f"the sandbox's memory ({error}), where nothing was really paid"
            raise StoreError(f"{path} cannot be used: it is {what}. Delete it: rm -r {path.parent}") from error
        self._lock = threading.RLock()
        self._now = now

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def bill(self, kind: str, request: dict[str, Any], size: int) -> sqlite3.Row:
        """A call is taken, and charged: its task.

        `take` counts the earlier calls of the same request whose audio was fetched: a retake of what was heard
        differs; a call that is made again because its first answer never arrived sounds the same.
        """
        heard = {name: value for name, value in request.items() if name not in ("async", "callback_url")}
        digest = hashlib.sha256(json.dumps([kind, heard], sort_keys=True).encode()).hexdigest()
        with self._lock:
            query = "SELECT count(*) FROM tasks WHERE digest = ? AND heard"
            take = self._db.execute(query, (digest,)).fetchone()[0]
            number = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM tasks").fetchone()[0]
            task, link = str(uuid.uuid4()), uuid.uuid4().hex
            self._db.execute(
                "INSERT INTO tasks (id, number, type, request, digest, take, link, bytes, trace_id, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (task, number, kind, json.dumps(request), digest, take, link, size, str(uuid.uuid4()), self._now()),
            )
            return self.task(task) or self._missing()

    @staticmethod
    def _missing() -> sqlite3.Row:
        raise RuntimeError("a row that was just written is gone")

    def task(self, task_id: str) -> sqlite3.Row | None:
        """A task."""
        with self._lock:
            row: sqlite3.Row | None = self._db.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone()
            return row

    def finish(self, task_id: str, response: dict[str, Any]) -> None:
        """A task has its answer."""
        with self._lock:
            self._db.execute(
                "UPDATE tasks SET response = ?, finished = ? WHERE id = ? AND response IS NULL",
                (json.dumps(response), self._now(), task_id),
            )

    def relink(self, task_id: str, response: dict[str, Any], link: str) -> None:
        """A task's audio is behind another link from now on."""
        with self._lock:
            query = "UPDATE tasks SET link = ?, response = ?, finished = ? WHERE id = ?"
            self._db.execute(query, (link, json.dumps(response), self._now(), task_id))

    def by_link(self, link: str) -> sqlite3.Row | None:
        """The task whose audio a link names."""
        with self._lock:
            row: sqlite3.Row | None = self._db.execute("SELECT * FROM tasks WHERE link = ?", (link,)).fetchone()
            return row

    def heard(self, task_id: str) -> None:
        """The audio of a task was fetched."""
        with self._lock:
            self._db.execute("UPDATE tasks SET heard = 1 WHERE id = ? AND NOT heard", (task_id,))

    def usage(self) -> list[dict[str, Any]]:
        """Each billed call, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT number, id, type, request, bytes, created FROM tasks ORDER BY number")
            return [{**dict(row), "request": json.loads(row["request"])} for row in rows]

    def create_voice(self, sample: str, model: dict[str, Any]) -> dict[str, Any]:
        """A new voice; its id is the same for the same sample and the same count of voices made of it."""
        with self._lock:
            earlier = self._db.execute("SELECT count(*) FROM voices WHERE sample = ?", (sample,)).fetchone()[0]
            number = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM voices").fetchone()[0]
            voice = hashlib.sha256(f"{sample}#{earlier}".encode()).hexdigest()[:32]
            whole = {**model, "_id": voice}
            self._db.execute(
                "INSERT INTO voices (id, number, sample, model, created) VALUES (?, ?, ?, ?, ?)",
                (voice, number, sample, json.dumps(whole), self._now()),
            )
            return whole

    def voice(self, voice_id: str) -> tuple[dict[str, Any], str, float] | None:
        """(model, sample, when made) of a voice."""
        with self._lock:
            query = "SELECT model, sample, created FROM voices WHERE id = ?"
            row = self._db.execute(query, (voice_id,)).fetchone()
            return (json.loads(row[0]), row[1], row[2]) if row else None

    def voices(self) -> list[str]:
        """Ids, newest first."""
        with self._lock:
            return [row[0] for row in self._db.execute("SELECT id FROM voices ORDER BY number DESC")]
