"""Writes that survive a kill and a power cut: aside, flushed, renamed, and the folder flushed."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK: Final = 16 << 20


def flush(path: Path) -> None:
    """Force a file's bytes, or a folder's names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(part: Path, target: Path) -> None:
    """Move a flushed file to its name, and flush the folder."""
    os.replace(part, target)  # noqa: PTH105  (Path.replace is the same call; os says which)
    flush(target.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is seen whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    rename(part, path)


def digest_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_by_blocks(path: Path) -> str:
    """A digest of a file's bytes that all cores make: sha256 of the sha256 of each 16 MiB; of less, plain sha256."""
    size = path.stat().st_size
    if size <= _BLOCK:
        return digest_of(path)

    def of_block(start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return hashlib.sha256(file.read(_BLOCK)).digest()

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return hashlib.sha256(b"".join(pool.map(of_block, range(0, size, _BLOCK)))).hexdigest()
