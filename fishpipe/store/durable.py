"""Writes that survive a kill and a power cut: aside, flushed, renamed, and the folder flushed.

What is written aside has a random name and is created there and then, in a folder that is held open: nothing that was
planted can be what is written to, nor where.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedRandom
    from pathlib import Path

_BLOCK: Final = 16 << 20
_LONGEST_NAME: Final = 200
# What was written aside longer ago than so many seconds was left by a build that was killed.
_STALE: Final = 3600.0
_ASIDE: Final = re.compile(r"\..+?(\.[0-9a-f]{16})?\.part")


def flush(path: Path) -> None:
    """Force a file's bytes, or a folder's names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(part: Path, target: Path) -> None:
    """Move a flushed file to its name, and flush the folder."""
    os.replace(part, target)
    flush(target.parent)


@contextmanager
def written(path: Path, *, new: bool = False) -> Iterator[BufferedRandom]:
    """A new file that has the name of `path` once the block has ended well: flushed, renamed, the folder flushed.

    Nothing is seen of one that did not, and what stood there is as it was; if it is to be `new`, FileExistsError is
    raised where something stands there. Raises OSError.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    name = f".{os.fsdecode(os.fsencode(path.name)[:_LONGEST_NAME])}.{secrets.token_hex(8)}.part"

    def create(_: str, flags: int) -> int:
        return os.open(name, flags | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=folder)

    try:
        with open(path.with_name(name), "x+b", opener=create) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if new:
                    _place_new(name, path, folder)
                else:
                    os.replace(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def _place_new(name: str, path: Path, folder: int) -> None:
    """Give a file that lies aside in an open folder its name. Raises FileExistsError where that is taken."""
    try:
        os.link(name, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)


def write_whole(path: Path, data: bytes, *, new: bool = False) -> None:
    """Write a file so that it is seen whole or not at all. Raises OSError, as `written` does."""
    with written(path, new=new) as file:
        file.write(data)


def sweep(folder: Path) -> None:
    """Remove what killed builds left aside in a folder, of which no other build makes use; best effort."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            names = [name for name in os.listdir(descriptor) if _ASIDE.fullmatch(name)]
            found = {name: os.stat(name, dir_fd=descriptor, follow_symlinks=False) for name in names}
            newest = os.fstat(descriptor).st_mtime
            for name, state in found.items():
                if stat.S_ISREG(state.st_mode) and newest - state.st_mtime > _STALE:
                    os.unlink(name, dir_fd=descriptor)
        finally:
            os.close(descriptor)


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
