"""Claims in a shared folder: who is paying for which words just now, so that no two do.

``claims/FINGERPRINT.1`` is created exclusively and says who holds it. Its time is renewed while the holder lives. One
that was not renewed for a lease, or whose process on this machine is gone, is taken over by creating the next number:
there is no moment without a claim. Whoever finds another's beside his own gives way.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fishpipe.errors import StoreError
from fishpipe.files import read_plain
from fishpipe.store.durable import write_whole

if TYPE_CHECKING:
    from fishpipe.graph.fingerprints import Fingerprint

# Seconds without a renewal after which a holder counts as dead.
LEASE: Final = 90.0
_LONGEST: Final = 1 << 16


class Claims:
    """The claims of one run; `lease` in seconds. May be used from several threads.

    `inherited` are the tasks that dead holders had paid for.
    """

    def __init__(self, folder: Path, lease: float = LEASE) -> None:
        self._folder, self._lease = folder, lease
        self._held: dict[Fingerprint, tuple[Path, str]] = {}
        self.inherited: dict[Fingerprint, str] = {}
        self._lock = threading.Lock()

    def take(self, key: Fingerprint) -> bool:
        """Claim a call; False while another holds it. Raises StoreError where the folder refuses."""
        with self._lock:
            if key in self._held:
                return True
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                return self._take(key)
            except OSError as error:
                raise StoreError(f"{self._folder} cannot be written: {error.strerror}") from error

    def _take(self, key: Fingerprint) -> bool:
        others = self._of(key)
        if not all(self._is_dead(path) for path in others):
            return False
        number = max((int(path.suffix[1:]) for path in others), default=0) + 1
        path = self._folder / f"{key}.{number}"
        sign = _create(path)
        if sign is None:
            return False
        if set(self._of(key)) - {*others, path}:
            path.unlink()
            return False
        self._held[key] = (path, sign)
        for dead in others:
            task = _read(dead).get("task")
            if isinstance(task, str):
                self.inherited[key] = task
            dead.unlink(missing_ok=True)
        return True

    def _of(self, key: Fingerprint) -> list[Path]:
        return [path for path in self._folder.glob(f"{key}.*") if re.fullmatch(r"\.[0-9]{1,9}", path.suffix)]

    def holds(self, key: Fingerprint) -> bool:
        """Whether a claim was not lost to another: who was stopped for longer than its lease may have lost it."""
        with self._lock:
            path, sign = self._held.get(key, (None, ""))
            if path is None or _read(path).get("sign") == sign:
                return True
            del self._held[key]
            return False

    def note(self, key: Fingerprint, task: str) -> None:
        """The call is paid for: whoever takes the claim over may have its result. Raises OSError."""
        with self._lock:
            if key in self._held:
                path, _ = self._held[key]
                write_whole(path, json.dumps({**_read(path), "task": task}).encode())

    def renew(self) -> None:
        """Say that the holder lives, for all that is held."""
        with self._lock:
            for path, _ in self._held.values():
                with suppress(OSError):
                    os.utime(path)

    def give(self, key: Fingerprint) -> None:
        """Give a claim back, if it still is ours."""
        with self._lock:
            path, sign = self._held.pop(key, (None, ""))
            if path is not None and _read(path).get("sign") == sign:
                with suppress(OSError):
                    path.unlink()

    def _is_dead(self, path: Path) -> bool:
        holder = _read(path)
        if holder.get("machine") == _machine() and not _runs(holder.get("pid")):
            return True
        try:
            # One that is dated far ahead is of no holder whose clock could be the folder's.
            return abs(self._now() - path.stat().st_mtime) > self._lease
        except FileNotFoundError:
            return True

    def _now(self) -> float:
        """The time as the folder's own machine has it, whose clock dates the claims."""
        probe = self._folder / f".now.{secrets.token_hex(4)}"
        try:
            probe.touch(exist_ok=False)
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


def _create(path: Path) -> str | None:
    """Make a claim, whole from its first moment; its sign, None where another was first."""
    sign = secrets.token_hex(8)
    holder = {"sign": sign, "host": socket.gethostname(), "machine": _machine(), "pid": os.getpid()}
    part = path.with_name(f".{path.name}.{sign}")
    try:
        with part.open("x", encoding="utf-8") as file:
            file.write(json.dumps(holder))
        try:
            os.link(part, path)
        except FileExistsError:
            return None
        except OSError:
            # A file system without links: a kill in the middle leaves a claim that lasts for its lease.
            return _write_new(path, holder, sign)
    finally:
        part.unlink(missing_ok=True)
    return sign


def _write_new(path: Path, holder: dict[str, Any], sign: str) -> str | None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(holder))
    except FileExistsError:
        return None
    return sign


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_plain(str(path), _LONGEST, links=False))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


@cache
def _machine() -> str:
    """Where a process number means something: this boot of this machine, and this container of it."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return f"{socket.gethostname()} {uuid.getnode():x}"


def _runs(pid: object) -> bool:
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 1 << 31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
