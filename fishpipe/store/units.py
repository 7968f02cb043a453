"""Encoded units on disk, in ``units/ab/KEY``: derived, so neither flushed nor missed; a broken one is none."""

from __future__ import annotations

import os
import secrets
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_unit(folder: Path, key: str) -> tuple[bytes, float] | None:
    """A unit's bytes, which lie behind their CRC-32, and when they were last used (Unix seconds): now, from here on.

    None where there are none that are whole.
    """
    path = folder / key[:2] / key
    try:
        with path.open("rb") as file:
            used = os.fstat(file.fileno()).st_mtime
            check, data = file.read(4), file.read()
            if zlib.crc32(data) != int.from_bytes(check, "big"):
                return None
            with suppress(OSError):
                os.utime(file.fileno())
    except OSError:
        return None
    return data, used


def write_unit(folder: Path, key: str, data: bytes) -> None:
    """Keep a unit's bytes; a disk that refuses costs an encode next time."""
    path = folder / key[:2] / key
    part = path.with_name(f".{key}.{secrets.token_hex(4)}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.write_bytes(zlib.crc32(data).to_bytes(4, "big") + data)
        part.replace(path)
