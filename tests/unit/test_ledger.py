"""Commits that calls share, and the promise that no effect goes before its row."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from fishpipe.errors import StoreError
from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.store.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / "ledger.db", lambda: 1.0)


def intend(ledger: Ledger, number: int) -> None:
    ledger.intend(Fingerprint(f"{number:064x}"), "clip", {"n": "x" * 200}, f"one/{number}", {}, None, None)


def seen(path: Path) -> int:
    """How many calls somebody else sees."""
    with closing(sqlite3.connect(path)) as db:
        count: int = db.execute("SELECT count(*) FROM calls").fetchone()[0]
    return count


def commits_of(ledger: Ledger) -> list[str]:
    told: list[str] = []
    ledger._db.set_trace_callback(lambda words: told.append(words) if words == "COMMIT" else None)
    return told


def test_calls_of_one_turn_share_a_commit_and_wait_for_it(ledger: Ledger, tmp_path: Path) -> None:
    commits = commits_of(ledger)

    async def call(number: int) -> None:
        intend(ledger, number)
        await ledger.commits.settled()
        assert seen(tmp_path / "ledger.db") == 100, "the row is on the disk before the request leaves"

    async def run() -> None:
        with ledger.commits.in_turns():
            await asyncio.gather(*(call(number) for number in range(100)))
            intend(ledger, 100)
        assert seen(tmp_path / "ledger.db") == 101, "what nobody waited for is there at the end"

    asyncio.run(run())
    assert len(commits) == 2
    ledger.close()


def test_threads_commit_for_themselves_and_for_the_turn(ledger: Ledger, tmp_path: Path) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 25):
            intend(ledger, number)
            assert seen(tmp_path / "ledger.db") > 0

    async def run() -> None:
        with ledger.commits.in_turns():
            intend(ledger, 999)
            threads = [threading.Thread(target=work, args=(first,)) for first in (0, 25, 50, 75)]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            assert seen(tmp_path / "ledger.db") == 101

    asyncio.run(run())
    ledger.close()


def test_a_disk_that_is_full_fails_each_call_that_shared_the_commit(ledger: Ledger, tmp_path: Path) -> None:
    intend(ledger, 0)
    ledger._db.execute(f"PRAGMA max_page_count = {ledger._db.execute('PRAGMA page_count').fetchone()[0] + 2}")

    kept: list[str] = []

    async def call(number: int) -> None:
        with suppress(StoreError):
            intend(ledger, number)
            await ledger.commits.settled()
            kept.append(f"one/{number}")

    async def run() -> None:
        with ledger.commits.in_turns():
            for first in range(1, 200, 20):
                await asyncio.gather(*(call(number) for number in range(first, first + 20)))

    asyncio.run(run())
    assert len(kept) < 199
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        there = {row[0] for row in db.execute("SELECT address FROM calls")}
    assert there >= set(kept), "who was told that it is kept, is"
    ledger.close()


def test_a_commit_that_fails_takes_back_what_waited_for_it(ledger: Ledger, tmp_path: Path) -> None:
    """A constraint that is looked at when it is committed stands for a disk that fails at the flush."""
    ledger._db.execute("PRAGMA foreign_keys = ON")
    ledger._db.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    ledger._db.execute("CREATE TABLE c (id REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)")

    async def call(number: int) -> bool:
        intend(ledger, number)
        if number == 3:
            ledger._db.execute("INSERT INTO c VALUES (7)")
        try:
            await ledger.commits.settled()
        except StoreError:
            return False
        return True

    async def run() -> None:
        with ledger.commits.in_turns():
            assert not any(await asyncio.gather(*(call(number) for number in range(5))))
            assert seen(tmp_path / "ledger.db") == 0
            assert all(await asyncio.gather(*(call(number) for number in range(10, 15))))

    asyncio.run(run())
    assert seen(tmp_path / "ledger.db") == 5
    ledger.close()


def test_what_belongs_together_has_one_commit(ledger: Ledger, tmp_path: Path) -> None:
    commits = commits_of(ledger)
    with ledger.commits.together():
        for number in range(50):
            intend(ledger, number)
    assert len(commits) == 1
    assert seen(tmp_path / "ledger.db") == 50
    ledger.close()


def test_whatever_ends_a_commit_ends_the_waiting_for_it(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    async def run() -> None:
        with ledger.commits.in_turns():
            intend(ledger, 1)
            with monkeypatch.context() as patch:
                patch.setattr(ledger.commits, "_commit", die)
                with pytest.raises(Killed):
                    await ledger.commits.settled()

    asyncio.run(run())
    ledger.close()
