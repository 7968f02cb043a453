"""The ledger: each paid call and what became of it, in SQLite.

A row is committed before and after each effect, with `synchronous=FULL`, so that a kill or a power cut at
any moment leaves a state that the next build continues from. Receipts stand apart and are only ever added.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.snapshot import Brief, CallRow, Calls, OutputRow, State
from fishpipe.store.commits import Commits
from fishpipe.store.damage import damaged, telling_damage
from fishpipe.store.migrations import NEWEST, migrate, version_of
from fishpipe.store.network import is_network
from fishpipe.store.origin import check_ledger, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from fishpipe.graph.steps import Realm
    from fishpipe.ports import Receipt
    from fishpipe.snapshot import Charged

_COLUMNS: Final = (
    "fingerprint, kind, state, record, task_id, trace_id, url, voice_id, digest, charged, error, address,"
    " intended, updated, nonce, described, consent, sample, seconds"
)
_NAMES: Final = _COLUMNS.split(", ")
_HEX: Final = 64
_KINDS_AND_STATES: Final = {(kind, state) for kind in ("clip", "voice") for state in get_args(State)}
_RECEIPT: Final = (
    "at", "fingerprint", "kind", "realm", "address", "voice", "model", "bytes", "usd", "task_id", "trace_id", "url",
    "take",
)  # fmt: skip
_ADOPTED: Final = (
    "fingerprint, kind, state, record, address, task_id, voice_id, digest, size, sample, seconds, consent,"
    " intended, updated"
)
# A call that was made before its provider was kept is the platform's where its realm is.
_PAID_TO: Final = "(provider = ? OR (provider = '' AND json_extract(record, '$.realm') = ?))"
_RECEIPT_TO: Final = "(? = '' OR provider = ? OR (provider = '' AND realm = ?))"
_CHANGEABLE: Final = frozenset(
    {"task_id", "trace_id", "url", "voice_id", "digest", "size", "charged", "error", "sample", "seconds"}
)


@telling_damage
class Ledger:
    """An open ledger, of the file at `path`. `now` gives Unix seconds."""

    def __init__(
        self, connection: sqlite3.Connection, now: Callable[[], float], path: Path = Path("ledger.db")
    ) -> None:
        # Who is paid by the calls that are written; and whose are told, where those of one provider alone are.
        self.provider = ""
        self.only = ""
        self._db = connection
        self.path = path
        self._now = now
        self.commits = Commits(connection)
        self._lock = self.commits.lock

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return self.commits.change()

    @classmethod
    def open(cls, path: Path, now: Callable[[], float]) -> Ledger:
        """Open for writing, creating or migrating it. Raises StoreError."""
        is_new = not path.exists()
        if not is_new:
            check_ledger(path)
        try:
            db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
            if is_new:
                number(db)
            db.execute(f"PRAGMA journal_mode = {'DELETE' if is_network(path.parent) else 'WAL'}")
            db.execute("PRAGMA synchronous = FULL")
            migrate(db, path)
        except sqlite3.Error as error:
            raise damaged(path, error) from error
        return cls(db, now, path)

    @classmethod
    @contextmanager
    def reading(cls, path: Path, now: Callable[[], float]) -> Iterator[Ledger | None]:
        """Open for reading only, writing nothing beside it; None where there is no ledger."""
        if not path.exists():
            yield None
            return
        check_ledger(path)
        with ExitStack() as stack:
            try:
                where, mode = path, "immutable=1"
                if _leftover(path) or version_of(path) != NEWEST:
                    import tempfile

                    # A killed build's log is folded in, and an older ledger migrated, as it opens: on a copy.
                    where, mode = _copied(path, Path(stack.enter_context(tempfile.TemporaryDirectory()))), "mode=rw"
                url = f"{where.absolute().as_uri()}?{mode}"
                db = stack.enter_context(closing(sqlite3.connect(url, uri=True, timeout=30)))
                known = db.execute("PRAGMA user_version").fetchone()[0] > 0
                if known:
                    migrate(db, path)
            except (sqlite3.Error, OSError) as error:
                raise damaged(path, error) from error
            yield cls(db, now, path) if known else None

    def close(self) -> None:
        """Close it, folding the log into the file; a thread that is writing ends its transaction first."""
        self.commits.end()

    def calls(self) -> Calls:
        """All calls."""
        plain = "kind = 'clip' AND state = 'stored' AND digest IS NOT NULL"
        told, whose = (_PAID_TO, (self.only, self.only)) if self.only else ("true", ())
        with self._lock:
            query = f"SELECT fingerprint, digest, size FROM calls WHERE {plain} AND {told}"  # noqa: S608  (constants)
            stored = self._db.execute(query, whose).fetchall()
            query = f"SELECT fingerprint, kind, state, digest, size FROM calls WHERE NOT ({plain}) AND {told}"  # noqa: S608
            others = self._db.execute(query, whose).fetchall()
        briefs = {key: Brief(*rest) for key, *rest in others}
        if not all(len(key) == len(digest) == _HEX for key, digest, _ in stored):
            raise ValueError("a clip without a name")
        if not {(brief.kind, brief.state) for brief in briefs.values()} <= _KINDS_AND_STATES:
            raise ValueError("a call of no kind, or in no state")
        return Calls({key: (digest, size) for key, digest, size in stored}, briefs, self._rows)

    def _rows(self, keys: Iterable[Fingerprint] | None) -> list[CallRow]:
        """The rows of some calls, or of all."""
        if keys is not None:
            return [row for key in keys if (row := self.row(key)) is not None]
        with self._lock:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM calls").fetchall()  # noqa: S608  (a constant)
        return [_row(row) for row in rows]

    def row(self, key: Fingerprint) -> CallRow | None:
        """One call."""
        query = f"SELECT {_COLUMNS} FROM calls WHERE fingerprint = ?"  # noqa: S608  (a constant)
        with self._lock:
            found = self._db.execute(query, (key,)).fetchone()
        return _row(found) if found else None

    def intend(
        self,
        key: Fingerprint,
        kind: str,
        record: Mapping[str, Any],
        address: str,
        described: Mapping[str, Any],
        consent: str | None,
        nonce: str | None,
    ) -> None:
        """A request is about to leave; from here until its answer is read it is in doubt."""
        now = self._now()
        with self._transaction() as db:
            db.execute(
                "INSERT INTO calls"
                " (fingerprint, kind, state, record, address, consent, described, nonce, charged, intended, updated,"
                " provider) VALUES (?, ?, 'intended', ?, ?, ?, ?, ?, 'unknown', ?, ?, ?)"
                " ON CONFLICT (fingerprint) DO UPDATE SET provider = excluded.provider,"
                " state = 'intended', address = excluded.address, nonce = excluded.nonce, charged = 'unknown',"
                " consent = excluded.consent, described = excluded.described,"
                " error = NULL, task_id = NULL, trace_id = NULL, url = NULL, voice_id = NULL, digest = NULL,"
                " size = NULL, intended = excluded.intended, updated = excluded.updated",
                (
                    key, kind, json.dumps(record, ensure_ascii=False), address, consent,
                    json.dumps(described, ensure_ascii=False), nonce, now, now, self.provider,
                ),
            )  # fmt: skip

    def move(self, key: Fingerprint, state: State, *, receipt: Receipt | None = None, **changes: Any) -> None:  # noqa: ANN401
        """Change a call's state, and add its receipt, in one transaction."""
        if not changes.keys() <= _CHANGEABLE:
            raise ValueError(f"unknown columns: {sorted(changes.keys() - _CHANGEABLE)}")
        columns = "".join(f", {name} = ?" for name in changes)
        with self._transaction() as db:
            db.execute(
                f"UPDATE calls SET state = ?, updated = ?{columns} WHERE fingerprint = ?",  # noqa: S608  (names checked)
                (state, self._now(), *changes.values(), key),
            )
            if receipt is not None:
                self._add(receipt)

    def note(self, key: Fingerprint, error: str, charged: Charged | None = None) -> None:
        """Write an error beside a call, its state unchanged."""
        with self._transaction() as db:
            db.execute(
                "UPDATE calls SET error = ?, charged = coalesce(?, charged), updated = ? WHERE fingerprint = ?",
                (error, charged, self._now(), key),
            )

    def adopt(self, row: CallRow, size: int | None = None) -> None:
        """A clip or a voice that is known from elsewhere: the folder of clips, or the lock.

        A task or a sample that the ledger knows better stays.
        """
        with self._transaction() as db:
            db.execute(
                f"INSERT INTO calls ({_ADOPTED}) VALUES ({', '.join('?' * 14)})"  # noqa: S608  (constants)
                " ON CONFLICT (fingerprint) DO UPDATE SET state = excluded.state, error = NULL,"
                " task_id = CASE WHEN digest IS excluded.digest THEN coalesce(task_id, excluded.task_id)"
                " ELSE coalesce(excluded.task_id, CASE WHEN digest IS NULL THEN task_id END) END,"
                " url = CASE WHEN digest IS excluded.digest THEN url END, nonce = NULL,"
                " digest = excluded.digest, size = excluded.size, updated = excluded.updated,"
                " voice_id = excluded.voice_id, seconds = coalesce(excluded.seconds, seconds),"
                " sample = coalesce(sample, excluded.sample)",
                (
                    row.fingerprint, row.kind, row.state, json.dumps(row.record, ensure_ascii=False), row.address,
                    row.task_id, row.voice_id, row.digest, size, row.sample, row.seconds, row.consent,
                    row.intended or self._now(), self._now(),
                ),
            )  # fmt: skip

    def take_over(self, row: CallRow, size: int | None = None) -> None:
        """A call as another ledger of the project has it, which has come further with it."""
        values = {name: getattr(row, name) for name in _NAMES} | {"size": size, "provider": self.provider}
        values |= {name: json.dumps(values[name], ensure_ascii=False) for name in ("record", "described")}
        marks = ", ".join("?" * len(values))
        with self._transaction() as db:
            db.execute(f"INSERT OR REPLACE INTO calls ({', '.join(values)}) VALUES ({marks})", [*values.values()])  # noqa: S608

    def has(self, provider: str) -> bool:
        """Whether a call to a provider was ever made."""
        query = f"SELECT 1 FROM calls WHERE {_PAID_TO} LIMIT 1"  # noqa: S608  (a constant)
        with self._lock:
            return self._db.execute(query, (provider, provider)).fetchone() is not None

    def used(self, keys: Iterable[Fingerprint]) -> None:
        """These clips are in an output that was made just now."""
        now = self._now()
        with self._transaction() as db:
            db.executemany("UPDATE calls SET used = ? WHERE fingerprint = ?", [(now, key) for key in keys])

    def uses(self) -> dict[Fingerprint, float]:
        """When each clip was last used, or else stored (Unix seconds)."""
        rows = self._db.execute("SELECT fingerprint, coalesce(used, updated) FROM calls WHERE kind = 'clip'")
        return {Fingerprint(key): moment for key, moment in rows}

    def _add(self, receipt: Receipt) -> None:
        values = (self._now(), *(getattr(receipt, name) for name in _RECEIPT[1:]), self.provider)
        marks = ", ".join("?" * len(values))
        self._db.execute(f"INSERT INTO receipts ({', '.join(_RECEIPT)}, provider) VALUES ({marks})", values)  # noqa: S608

    def receipt(self, receipt: Receipt) -> None:
        """Add a receipt alone."""
        with self._transaction():
            self._add(receipt)

    def voice_ids(self) -> set[str]:
        """The ids of all voices that were created, adopted or forgotten."""
        query = "SELECT voice_id FROM calls WHERE voice_id IS NOT NULL UNION SELECT id FROM forgotten"
        return {row[0] for row in self._db.execute(query)}

    def agree(self, key: Fingerprint, consent: str) -> None:
        """How a voice's speaker agreed, said after it was created."""
        with self._transaction() as db:
            db.execute("UPDATE calls SET consent = ? WHERE fingerprint = ?", (consent, key))

    def checked(self, voice_id: str, title: str, state: str, consent: str | None) -> None:
        """A voice by id was found at the service."""
        with self._transaction() as db:
            row = (voice_id, title, state, consent, self._now())
            db.execute("INSERT OR REPLACE INTO voices (id, title, state, consent, checked) VALUES (?, ?, ?, ?, ?)", row)

    def unchecked(self, voice_id: str) -> None:
        """A voice by id is to be looked up again."""
        with self._transaction() as db:
            db.execute("DELETE FROM voices WHERE id = ?", (voice_id,))

    def checks(self) -> dict[str, dict[str, Any]]:
        """The voices by id that were found at the service."""
        names = ("title", "state", "consent", "checked")
        rows = self._db.execute(f"SELECT id, {', '.join(names)} FROM voices")  # noqa: S608  (constants)
        return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}

    def forget(self, key: Fingerprint) -> bool:
        """A created voice is to be created again where it is needed; what was paid stays on record."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO forgotten SELECT voice_id FROM calls"
                " WHERE fingerprint = ? AND voice_id IS NOT NULL",
                (key,),
            )
            query = "UPDATE calls SET state = 'forgotten', updated = ? WHERE fingerprint = ? AND kind = 'voice'"
            return db.execute(query, (self._now(), key)).rowcount > 0

    def secret(self, name: str) -> str:
        """A random word that is made once and kept."""
        import secrets

        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO secrets (name, value) VALUES (?, ?)", (name, secrets.token_urlsafe(24)))
            value: str = db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()[0]
            return value

    def retried(self) -> dict[Fingerprint, int]:
        """How often each call in doubt was made again."""
        told = "SELECT fingerprint, count(*) FROM receipts WHERE kind = 'in doubt' AND (? = '' OR provider = ?)"
        rows = self._db.execute(f"{told} GROUP BY fingerprint", (self.only, self.only))
        return {Fingerprint(key): count for key, count in rows}

    def receipts(self, key: Fingerprint | None = None) -> list[dict[str, Any]]:
        """What was paid, oldest first; of one call, or of all."""
        where = f"{_RECEIPT_TO} AND (? IS NULL OR fingerprint = ?)"
        query = f"SELECT {', '.join(_RECEIPT)} FROM receipts WHERE {where} ORDER BY number"  # noqa: S608  (constants)
        rows = self._db.execute(query, (self.only, self.only, self.only, key, key))
        return [dict(zip(_RECEIPT, row, strict=True)) for row in rows]

    def spent(self, realm: Realm, since: float = 0.0) -> float:
        """USD (estimated) of a realm's receipts since a moment, in Unix seconds; what was in doubt counts as paid."""
        query = f"SELECT total(usd) FROM receipts WHERE {_RECEIPT_TO} AND at >= ? AND realm = ?"  # noqa: S608  (constants)
        return float(self._db.execute(query, (self.only, self.only, self.only, since, realm)).fetchone()[0])

    def lines(self, manifest: str) -> dict[str, tuple[tuple[str, Fingerprint], ...]]:
        """The spoken segments of each script of a manifest (by its file's name) as last built."""
        rows = self._db.execute("SELECT script, lines FROM lines WHERE manifest = ?", (manifest,))
        kind = tuple[tuple[str, str], ...]
        return {script: msgspec.json.decode(lines, type=kind) for script, lines in rows}

    def built(self, manifest: str, lines: Mapping[str, tuple[tuple[str, Fingerprint], ...]]) -> None:
        """Remember the spoken segments of scripts that are whole."""
        rows = [(manifest, script, json.dumps(pairs)) for script, pairs in lines.items()]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO lines (manifest, script, lines) VALUES (?, ?, ?)", rows)

    def outputs(self) -> dict[str, tuple[OutputRow, int, int]]:
        """Each output as last made, with its file's size and mtime (ns)."""
        rows = self._db.execute("SELECT path, recipe, digest, rate, length, places, size, mtime FROM outputs")
        return {row[0]: (_output(row), row[6], row[7]) for row in rows}

    def stitched(self, path: str, row: OutputRow, size: int, mtime: int) -> None:
        """An output was made."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO outputs (path, recipe, digest, size, mtime, rate, length, places, made)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (path, row.recipe, row.digest, size, mtime, row.rate, row.length, row.packed, self._now()),
            )

    def sound(self, key: str) -> str | None:
        """A cached measurement of a sound."""
        with self._lock:
            found = self._db.execute("SELECT sound FROM sounds WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def sounds(self) -> dict[str, str]:
        """All cached measurements."""
        return dict(self._db.execute("SELECT key, sound FROM sounds"))

    def remember_sounds(self, sounds: Mapping[str, str]) -> None:
        """Cache measurements."""
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO sounds (key, sound) VALUES (?, ?)", list(sounds.items()))


def _leftover(path: Path) -> list[Path]:
    """The log or the journal that a killed build left beside the ledger."""
    beside = (path.with_name(f"{path.name}-{name}") for name in ("wal", "journal"))
    return [file for file in beside if file.exists() and file.stat().st_size]


def _copied(path: Path, folder: Path) -> Path:
    """A copy of the ledger with what lies beside it; a build that runs may take that away in between."""
    import shutil

    for _ in range(5):
        with suppress(FileNotFoundError):
            for file in (path, *_leftover(path)):
                shutil.copyfile(file, folder / file.name)
            break
    return folder / path.name


def _row(row: tuple[Any, ...]) -> CallRow:
    values = dict(zip(_NAMES, row, strict=True))
    values["record"] = msgspec.json.decode(values["record"])
    values["described"] = msgspec.json.decode(values["described"]) if values["described"] else {}
    return msgspec.convert(values, CallRow)


def _output(row: tuple[Any, ...]) -> OutputRow:
    return OutputRow(recipe=row[1], digest=Digest(row[2]), rate=row[3], length=row[4], packed=row[5])
