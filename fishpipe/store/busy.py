"""One run at a time: a lock that the kernel frees when its holder dies."""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from fishpipe.errors import ProjectBusy, StoreError
from fishpipe.files import read_plain
from fishpipe.store.durable import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def hold(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the project; raises ProjectBusy with who holds it, or waits."""
    lock = FileLock(path)
    holder = path.with_name("busy.json")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise ProjectBusy(f"{_describe(holder)} holds this project; wait for it: --wait") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with suppress(OSError):
            write_whole(holder, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe(holder: Path) -> str:
    try:
        data = json.loads(read_plain(str(holder), 1 << 16))
        return f"another fishpipe (process {int(data['pid'])} on {data['host']})"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another fishpipe"
