"""Encoded units on disk, in ``units/ab/KEY``: derived, so neither flushed nor missed; a broken one is none.

``units/of/`` has a list for each output: the units that it was made of.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def read_unit(folder: Path, key: str) -> tuple[bytes, float] | None:
    """A unit's bytes, before which their CRC-32 lies, and when they were last known to be right (Unix seconds).

    None where there are none that are whole.
    """
    try:
        # An output has thousands: os is several times as fast as pathlib here.
        descriptor = os.open(f"{folder}/{key[:2]}/{key}", os.O_RDONLY)
    except OSError:
        return None
    try:
        stat = os.fstat(descriptor)
        data = os.read(descriptor, stat.st_size)
        while len(data) < stat.st_size and (more := os.read(descriptor, stat.st_size)):
            data += more
    except OSError:
        return None
    finally:
        os.close(descriptor)
    whole = memoryview(data)[4:]
    if not whole or zlib.crc32(whole) != int.from_bytes(data[:4], "big"):
        return None
    return whole.tobytes(), stat.st_mtime


def touch_unit(folder: Path, key: str) -> None:
    """A unit is right now: what it was made of was looked at again."""
    with suppress(OSError):
        os.utime(folder / key[:2] / key)


def write_unit(folder: Path, key: str, data: bytes) -> None:
    """Keep a unit's bytes; a disk that refuses, or a kill, costs an encode next time."""
    path = folder / key[:2] / key
    with suppress(OSError):
        try:
            file = path.open("wb")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = path.open("wb")
        with file:
            file.write(zlib.crc32(data).to_bytes(4, "big"))
            file.write(data)


def note_units(folder: Path, output: str, keys: Iterable[str]) -> None:
    """Remember what an output was made of."""
    path = _list_of(folder, output)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text("\n".join(sorted(keys)))


def unused_units(folder: Path, outputs: Iterable[str]) -> Iterator[Path]:
    """The units that none of the outputs was made of, and the lists of others."""
    lists = {_list_of(folder, output) for output in outputs}
    used = {key for path in lists if path.exists() for key in path.read_text().split()}
    yield from (path for path in sorted(folder.glob("of/*")) if path not in lists)
    yield from (path for path in sorted(folder.glob("??/*")) if path.parent.name != "of" and path.name not in used)


def _list_of(folder: Path, output: str) -> Path:
    return folder / "of" / hashlib.sha256(output.encode()).hexdigest()
