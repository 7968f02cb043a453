"""What this machine made, and what came from elsewhere: seals by a secret in the user's own cache folder.

Derived state in ``.fishpipe`` (the stamp, files as they were parsed, encoded units) is believed where its seal is
right: BLAKE2b (RFC 7693) keyed by 32 random bytes that no repository can know. Where no secret can be kept nothing
is sealed, so nothing is believed, and all of it is made anew. Imported with the stamp, and so imports next to nothing.
"""

import os
import sys
from _blake2 import blake2b  # hashlib has the same, and takes longer to import than a stamped build takes
from contextlib import suppress

from fishpipe.files import read_plain

_BYTES = 32
_known: dict[str, bytes] = {}


def cache_folder() -> str:
    """The user's own folder for what can be made again: ``$XDG_CACHE_HOME/fishpipe``, or as the system has it."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(named):
        named = os.path.expanduser("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    return os.path.join(named, "fishpipe")


def seal(what: str, data: bytes, *, making: bool = True) -> str:
    """The seal of `data` as `what` it is, in hex; "" where there is no secret, and none can be made."""
    key = _secret(making=making)
    return blake2b(what.encode() + b"\0" + data, key=key, digest_size=20).hexdigest() if key else ""


def is_sealed(what: str, data: bytes, found: str) -> bool:
    """Whether `found` is the seal that this machine gave to `data`."""
    return found != "" and found == seal(what, data, making=False)


def _secret(*, making: bool) -> bytes | None:
    path = os.path.join(cache_folder(), "secret")
    if path not in _known:
        key = _read(path)
        if key is None and making:
            with suppress(OSError):
                _make(path)
            key = _read(path)
        if key is None:
            return None
        _known[path] = key
    return _known[path]


def _read(path: str) -> bytes | None:
    """The secret, if it is the user's own, and nobody else could have read or written it."""
    try:
        found = os.lstat(path)
        key = read_plain(path, _BYTES, links=False)
    except OSError:
        return None
    return key if found.st_uid == os.geteuid() and not found.st_mode & 0o077 and len(key) == _BYTES else None


def _make(path: str) -> None:
    """Write a new secret, whole from its first moment; one that is there, and is none, gives way. Raises OSError."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    part = f"{path}.{os.urandom(8).hex()}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, os.urandom(_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        try:
            os.link(part, path)
        except FileExistsError:
            if _read(path) is None:
                os.replace(part, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
