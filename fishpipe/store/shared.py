"""A folder of clips beside ``.fishpipe``, committed with the project or shared: read and written through."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fishpipe.errors import StoreError
from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.store.claims import Claims
from fishpipe.store.clips import Clip, clip_path, copy_clip, scan
from fishpipe.store.durable import digest_of, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SharedClips:
    """The folder that `store:` names. One of the `own` project is made where it is missing; a share must be there."""

    def __init__(self, folder: Path, *, own: bool) -> None:
        self.folder, self.own = folder, own
        self.claims = Claims(folder / "claims")

    @property
    def is_there(self) -> bool:
        """Whether clips can be read from it."""
        return self.folder.is_dir()

    @property
    def is_away(self) -> bool:
        """Whether it is somebody else's, and not there now."""
        return not (self.own or self.is_there)

    def clips(self) -> Iterator[Clip]:
        """The clips in it; git-lfs's pointers are none. Raises StoreError where it cannot be read."""
        try:
            yield from (clip for clip in scan(self.folder) if not clip.is_pointer)
        except OSError as error:
            raise StoreError(f"the store {self.folder} cannot be read: {error.strerror}") from error

    def pointers(self) -> list[Clip]:
        """What git-lfs has not fetched yet."""
        return [clip for clip in scan(self.folder) if clip.is_pointer]

    def find(self, key: Fingerprint, digest: Digest, suffix: str) -> Path | None:
        """A clip's file, where it is here."""
        path = clip_path(self.folder, key, digest, suffix)
        return path if path.exists() else None

    def any_of(self, key: Fingerprint, suffix: str) -> Clip | None:
        """A clip of a call, whatever its digest: somebody else's, that came while we looked away."""
        with suppress(OSError):
            for path in sorted((self.folder / key[:2]).glob(f"{key}.*.{suffix}")):
                digest = path.name.split(".")[1]
                clip = Clip(key, Digest(digest), suffix, path, path.stat().st_size)
                if clip.size and not clip.is_pointer and digest_of(path) == digest:
                    return clip
        return None

    def put(self, clip: Clip) -> bool:
        """Keep a copy of a clip; False where it is here already. Raises StoreError, which costs nothing."""
        try:
            there = clip_path(self.folder, clip.key, clip.digest, clip.suffix)
            if there.exists() and there.stat().st_size == clip.size:
                return False
            if not self.own and not self.folder.is_dir():
                raise StoreError(f"the store {self.folder} is not there; mount it, or make the folder")
            if self.own and not self.folder.exists():
                self.folder.mkdir(parents=True)
                write_whole(self.folder / ".gitignore", b"claims/\n*.damaged\n*.part\n")
            copy_clip(clip, self.folder)
        except OSError as error:
            raise StoreError(f"the store {self.folder} cannot be written: {error.strerror}") from error
        return True
