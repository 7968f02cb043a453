"""Where things lie in ``.fishpipe``, and the folder itself."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fishpipe.errors import StoreError
from fishpipe.store.durable import sweep, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME: Final = ".fishpipe"
README: Final = """\
This folder is fishpipe's memory of the project beside it. It is not committed.

ledger.db  every paid call and what became of it: without it, calls in flight cannot be collected
clips/     the audio that was paid for; each name is the call's fingerprint and the bytes' sha256
parts/     downloads that are not whole yet
parsed/    large files of the manifest, as they were parsed
stamp      what the last build that had nothing to do looked at
made-here  the seal by which this machine knows that it wrote the ledger
ledger.from-elsewhere   a ledger as it came, before it was looked through: it can go
units.db   pieces of outputs, as they were encoded: all can be made again
sandbox/   the state of the sandbox, if this project uses it
draft/     builds with another provider than the manifest's

Deleting clips/ or ledger.db means paying again. All else can go.
"""


_SHELF: Final = re.compile(r"/clips/[^/]{2}$")


class Layout(Struct, frozen=True):
    """Paths below `state`: the project's `.fishpipe` folder, `top`, or the `draft` in it."""

    top: Path
    is_draft: bool = False

    @property
    def state(self) -> Path:
        """The folder of all that follows."""
        return self.top / "draft" if self.is_draft else self.top

    @property
    def other(self) -> Layout:
        """That of the drafts, or for a draft that of the project's own builds."""
        return Layout(self.top, not self.is_draft)

    @property
    def ledger(self) -> Path:
        """The database of calls."""
        return self.state / "ledger.db"

    @property
    def clips(self) -> Path:
        """The audio that was paid for."""
        return self.state / "clips"

    @property
    def parts(self) -> Path:
        """Downloads that are not whole yet."""
        return self.state / "parts"

    @property
    def units(self) -> Path:
        """Encoded pieces of outputs."""
        return self.state / "units.db"

    @property
    def stamp(self) -> Path:
        """What a build that had nothing to do looked at."""
        return self.state / "stamp"

    @property
    def busy(self) -> Path:
        """The lock file: one for the project, since its drafts may have what it needs."""
        return self.top / "busy"

    def check(self) -> None:
        """Raise StoreError where the folder, or something in it, is a link, or is not the user's own."""
        try:
            for name in _strangers(self.top, _owners()):
                raise StoreError(
                    f"{name}: fishpipe writes there, and does not follow what others planted. "
                    "Have a plain folder of your own there: what was paid for is in its clips/ and ledger.db"
                )
        except OSError as error:
            raise StoreError(f"{error.filename or self.top} cannot be read: {error.strerror}") from error

    def create(self) -> None:
        """Make the folders, readable by their owner alone, with a README and a .gitignore inside.

        Raises StoreError where the disk refuses, or the folder is not ours.
        """
        self.check()
        try:
            for folder in (self.top, self.state, self.clips, self.parts):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Whoever made it first: it holds what was paid for, and the secret of the callbacks.
            mode = self.state.stat().st_mode
            if mode & 0o007:
                with suppress(PermissionError):
                    self.state.chmod(mode & 0o770)
            for name, text in (("README", README), (".gitignore", "*\n")):
                if not (self.state / name).exists():
                    write_whole(self.state / name, text.encode())
            sweep(self.state)
        except OSError as error:
            raise StoreError(f"{error.filename or self.state} cannot be written: {error.strerror}") from error


def _owners() -> frozenset[int]:
    """Whose files may lie there: the user's, and under sudo those of the user behind it."""
    named = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    return frozenset({os.geteuid(), *([int(named)] if named.isdecimal() and len(named) < 10 else [])})


def _strangers(top: Path, owners: frozenset[int]) -> Iterator[str]:
    """What is a link, no plain file or folder, or somebody else's; the clips themselves are looked at by `scan`."""
    waiting = [str(top)]
    while waiting:
        path = waiting.pop()
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
            yield f"{path} {_what(found.st_mode)}"
        elif found.st_uid not in owners:
            yield f"{path} belongs to another user (uid {found.st_uid}); if it is yours: chown -R $(id -u) {top}"
        elif stat.S_ISDIR(found.st_mode) and not _SHELF.search(path):
            waiting += [entry.path for entry in os.scandir(path)]


def _what(mode: int) -> str:
    return "is a link" if stat.S_ISLNK(mode) else "is no plain file or folder"
