"""The lock file on disk, and git's attribute that merges it line by line."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from fishpipe.errors import StoreError, UsageError
from fishpipe.files import read_plain
from fishpipe.lock import Lock, parse_lock
from fishpipe.store.durable import write_whole

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES: Final = 256 << 20
_MOST_ATTRIBUTES: Final = 1 << 20


def read_lock(path: Path, shown: str) -> Lock:
    """The lock at `path`; an empty one where there is none. Raises ManifestError with its problems, or StoreError."""
    return parse_lock(lock_text(path, shown), shown)


def lock_text(path: Path, shown: str) -> str:
    """What a lock file says; nothing where there is none. Raises StoreError."""
    try:
        return read_plain(str(path), MOST_BYTES).decode("utf-8", "replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreError(f"{shown} cannot be read: {error.strerror}") from error


def write_lock(path: Path, lock: Lock) -> None:
    """Write it whole. Raises StoreError."""
    try:
        write_whole(path, lock.text.encode())
    except OSError as error:
        raise StoreError(f"{lock.name} cannot be written: {error.strerror}; build again: nothing is lost") from error


def let_git_merge(path: Path) -> Path | None:
    """Have git merge a lock file by union; the ``.gitattributes`` that was written for it, None where none was.

    Nothing is written outside of a git work tree, for a file that git ignores, or where an attribute is set.
    """
    from fishpipe.store.git import git

    try:
        attribute = git(path.parent, "check-attr", "merge", "--", f"./{path.name}")
    except UsageError:
        return None
    if not attribute.strip().endswith(b": unspecified"):
        return None
    with suppress(UsageError):
        # It fails where nothing is ignored.
        git(path.parent, "check-ignore", "--quiet", "--", f"./{path.name}")
        return None
    return add_line(path.with_name(".gitattributes"), f"{path.name} merge=union")


def add_line(file: Path, line: str) -> Path | None:
    """Add a line to a file such as ``.gitattributes``; None where it is in it already. Raises StoreError."""
    try:
        before = read_plain(str(file), _MOST_ATTRIBUTES).decode() if file.exists() else ""
        if line in before.splitlines():
            return None
        glue = "\n" if before and not before.endswith("\n") else ""
        write_whole(file, f"{before}{glue}{line}\n".encode())
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be written: {error}") from error
    return file
