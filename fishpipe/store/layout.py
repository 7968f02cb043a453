"""Where things lie in ``.fishpipe``, and the folder itself."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fishpipe.errors import StoreError
from fishpipe.store.durable import write_whole

if TYPE_CHECKING:
    from pathlib import Path

README: Final = """\
This folder is fishpipe's memory of the project beside it. It is not committed.

ledger.db  every paid call and what became of it: without it, calls in flight cannot be collected
clips/     the audio that was paid for; each name is the call's fingerprint and the bytes' sha256
parts/     downloads that are not whole yet
parsed/    large files of the manifest, as they were parsed
stamp      what the last build that had nothing to do looked at
units.db   pieces of outputs, as they were encoded: all can be made again
sandbox/   the state of the sandbox, if this project uses it
draft/     builds with another provider than the manifest's

Deleting clips/ or ledger.db means paying again. All else can go.
"""


class Layout(Struct, frozen=True):
    """Paths below `state`, the `.fishpipe` folder (or its `draft`)."""

    state: Path

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
        """The lock file."""
        return self.state / "busy"

    def create(self) -> None:
        """Make the folders, readable by their owner alone, with a README and a .gitignore inside.

        Raises StoreError where the disk refuses.
        """
        try:
            for folder in (self.state, self.clips, self.parts):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Whoever made it first: it holds what was paid for, and the secret of the callbacks.
            mode = self.state.stat().st_mode
            if mode & 0o007:
                with suppress(PermissionError):
                    self.state.chmod(mode & 0o770)
            for name, text in (("README", README), (".gitignore", "*\n")):
                if not (self.state / name).exists():
                    write_whole(self.state / name, text.encode())
        except OSError as error:
            raise StoreError(f"{error.filename or self.state} cannot be written: {error.strerror}") from error
