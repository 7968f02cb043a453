"""The file of encoded units."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from fishpipe.store.units import Units

if TYPE_CHECKING:
    from pathlib import Path


def test_units_are_kept_touched_noted_and_dropped(tmp_path: Path) -> None:
    moment = [1.0]
    units = Units(tmp_path / "units.db", lambda: moment[0])
    for number in range(250):
        units.keep(f"k{number}", bytes([number]) * 100)
    assert units.read("k7") == (b"\x07" * 100, 1.0)
    assert units.read("nobody") is None
    moment[0] = 2.0
    units.touch("k7")
    assert units.read("k7") == (b"\x07" * 100, 2.0)
    units.note("a.mp3", ["k0", "k1"])
    units.note("b.mp3", ["k1", "k2"])
    assert len(units.unused(["a.mp3", "b.mp3"])) == 247
    assert {key for key, _, _ in units.unused(["a.mp3"])} >= {"k2", "k3"}
    units.drop(key for key, _, _ in units.unused(["a.mp3"]))
    assert units.read("k2") is None
    units.close()
    again = Units(tmp_path / "units.db", lambda: 3.0)
    assert again.read("k1") == (b"\x01" * 100, 1.0)
    again.close()


def test_what_comes_behind_the_end_keeps_nothing_and_holds_nothing(tmp_path: Path) -> None:
    first = Units(tmp_path / "units.db", lambda: 1.0)
    first.keep("a", b"one")
    first.close()
    first.keep("b", b"two")
    assert first.read("a") is None
    second = Units(tmp_path / "units.db", lambda: 1.0)
    second.keep("c", b"three")
    second.close()
    with closing(sqlite3.connect(tmp_path / "units.db")) as db:
        assert [row[0] for row in db.execute("SELECT key FROM units ORDER BY key")] == ["a", "c"]


def test_threads_share_it(tmp_path: Path) -> None:
    units = Units(tmp_path / "units.db", lambda: 1.0)

    def work(first: int) -> None:
        for number in range(first, first + 200):
            units.keep(f"k{number}", str(number).encode())
            assert units.read(f"k{number}") == (str(number).encode(), 1.0)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 800, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(units.unused([])) == 800
    units.close()
