"""Claims in a shared folder: who is paying for which words just now, so that no two do.

``claims/FINGERPRINT`` is created exclusively and says who holds it. Its time is renewed while the holder lives; one
that was not renewed for a lease, or whose process on this machine is gone, is taken over.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from fishpipe.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from fishpipe.graph.fingerprints import Fingerprint

# Seconds without a renewal after which a holder counts as dead.
LEASE: Final = 90.0


class Claims:
    """The claims of one run; `lease` in seconds. May be used from several threads."""

    def __init__(self, folder: Path, lease: float = LEASE) -> None:
        self._folder, self._lease = folder, lease
        self._held: dict[Fingerprint, str] = {}
        self._lock = threading.Lock()

    def take(self, key: Fingerprint) -> bool:
        """Claim a call; False while another holds it. Raises StoreError where the folder refuses."""
        with self._lock:
            if key in self._held:
                return True
            path = self._folder / key
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                if not self._create(path, key) and not (self._unseat(path) and self._create(path, key)):
                    return False
            except OSError as error:
                raise StoreError(f"{self._folder} cannot be written: {error.strerror}") from error
            return True

    def renew(self) -> None:
        """Say that the holder lives, for all that is held."""
        with self._lock:
            for key in self._held:
                with suppress(OSError):
                    os.utime(self._folder / key)

    def give(self, key: Fingerprint) -> None:
        """Give a claim back, if it still is ours."""
        with self._lock:
            sign = self._held.pop(key, None)
            path = self._folder / key
            if sign is not None and _read(path).get("sign") == sign:
                path.unlink(missing_ok=True)

    def _create(self, path: Path, key: Fingerprint) -> bool:
        sign = secrets.token_hex(8)
        holder = {"sign": sign, "host": socket.gethostname(), "pid": os.getpid()}
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(holder))
            file.flush()
            os.fsync(file.fileno())
        self._held[key] = sign
        return True

    def _unseat(self, path: Path) -> bool:
        """Take a dead holder's claim away. Of several that try, one succeeds; a live claim that came between stays."""
        holder = _read(path)
        if not self._is_dead(path, holder):
            return False
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return True
        try:
            if _read(aside) == holder:
                return True
            with suppress(FileExistsError):
                os.link(aside, path)
            return False
        finally:
            aside.unlink(missing_ok=True)

    def _is_dead(self, path: Path, holder: dict[str, Any]) -> bool:
        if holder.get("host") == socket.gethostname() and isinstance(holder.get("pid"), int):
            return not _runs(holder["pid"])
        try:
            return self._now() - path.stat().st_mtime > self._lease
        except FileNotFoundError:
            return True

    def _now(self) -> float:
        """The time as the folder's own machine has it, whose clock dates the claims."""
        probe = self._folder / f".now.{secrets.token_hex(4)}"
        try:
            probe.touch()
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
