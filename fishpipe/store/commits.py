"""Commits of the ledger, which calls that are in flight at one time share.

What one turn of the event loop writes is flushed once, and whoever needs it to be on the disk before going on waits for
that (`settled`); threads that come while another one commits go with the next commit. No effect is let out before its
row, whatever the number of calls.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fishpipe.errors import StoreError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator


class Turns:
    """Made on the thread of a running loop."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: asyncio.Future[None] | None = None

    @property
    def is_here(self) -> bool:
        """Whether this is the loop's own thread."""
        return threading.get_ident() == self._thread

    def soon(self, commit: Callable[[], None]) -> None:
        """Have what was written committed in the next turn."""
        if self._waiting is None:
            self._waiting = self._loop.create_future()
            self._loop.call_soon(self._end, commit)

    async def settled(self) -> None:
        """Wait until all that was written before is committed. Raises StoreError."""
        import asyncio

        if self._waiting is not None:
            await asyncio.shield(self._waiting)

    def _end(self, commit: Callable[[], None]) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        try:
            commit()
        except BaseException as error:  # noqa: BLE001  (whoever waits hears of it, whatever it is, and nobody for ever)
            waiting.set_exception(error)
            # Where nobody waits for a change, its call's next one will fail as well.
            waiting.exception()
        else:
            waiting.set_result(None)


class Commits:
    """Of one connection, whose statements all threads make under `lock`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.lock = threading.RLock()
        self._committing = threading.Lock()
        # Changes that were written, how many of them are on the disk, and how often some were lost, and why.
        self._written = self._durable = self._lost = 0
        self._why = ""
        self._turns: Turns | None = None
        self._together = False

    def end(self) -> None:
        """Commit what is written, and close the connection; a thread that is writing ends its change first."""
        try:
            self._commit(self._written, self._lost)
        finally:
            with self.lock:
                self._db.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One change, whole or not at all: on the disk behind it, or, where commits are shared, with the next one."""
        with self.lock:
            try:
                if not self._db.in_transaction:
                    self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("SAVEPOINT change")
                yield self._db
                self._db.execute("RELEASE change")
            except sqlite3.Error as error:
                self._take_back(str(error))
                raise StoreError(f"the ledger cannot be written: {error}") from error
            except BaseException as error:
                self._take_back(str(error))
                raise
            self._written += 1
            number, lost = self._written, self._lost
        if self._turns is not None and self._turns.is_here:
            self._turns.soon(lambda: self._commit(self._written, lost))
        elif not self._together:
            self._commit(number, lost)

    def _commit(self, number: int, lost: int) -> None:
        """Have the first `number` changes on the disk: one commit carries all that were written until it begins.

        Raises StoreError, also where the change was `lost` with another one's commit.
        """
        with self._committing, self.lock:
            if self._lost == lost and self._durable < number:
                try:
                    self._db.execute("COMMIT")
                except sqlite3.Error as error:
                    with suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                    self._lose(str(error))
                self._durable = self._written
            if self._lost != lost:
                raise StoreError(f"the ledger cannot be written: {self._why}")

    def _take_back(self, why: str) -> None:
        """Undo one change; those before it wait for their commit, unless SQLite took all of them back (a full disk)."""
        if not self._db.in_transaction:
            self._lose(why)
            return
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK TO change")
            self._db.execute("RELEASE change")
            if self._written == self._durable:
                self._db.execute("ROLLBACK")

    def _lose(self, why: str) -> None:
        """What was written and is not on the disk is gone: whoever waits for it is told."""
        if self._written != self._durable:
            self._lost, self._why, self._durable = self._lost + 1, why, self._written

    @contextmanager
    def together(self) -> Iterator[None]:
        """Changes that depend on nothing that happens between them: one commit for all."""
        self._together = True
        try:
            yield
        finally:
            self._together = False
            self._commit(self._written, self._lost)

    @contextmanager
    def in_turns(self) -> Iterator[None]:
        """While a run goes on: the changes of one turn of the event loop have one commit (see `settled`)."""
        self._turns = Turns()
        try:
            yield
        finally:
            self._turns = None
            self._commit(self._written, self._lost)

    async def settled(self) -> None:
        """All that was written is on the disk. Raises StoreError."""
        if self._turns is not None:
            await self._turns.settled()
