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
    from pathlib import Path


class SharedClips:
    """The folder that `store:` names. One in the project (`own` is its folder) is made where it is missing.

    A share must be there. What a repository can bring is not followed: a store of its own with a link in its path, or
    for a shelf, is written to nowhere.
    """

    def __init__(self, folder: Path, *, own: Path | None) -> None:
        self.folder, self._project = folder, own
        self.claims = Claims(folder / "claims")

    @property
    def own(self) -> bool:
        """Whether it is the project's, and not shared by several."""
        return self._project is not None

    @property
    def is_there(self) -> bool:
        """Whether clips can be read from it."""
        return self.folder.is_dir()

    @property
    def is_away(self) -> bool:
        """Whether it is somebody else's, and not there now."""
        return not (self.own or self.is_there)

    def clips(self) -> tuple[list[Clip], list[Clip]]:
        """The clips in it, and what git-lfs has not fetched yet. Raises StoreError where it cannot be read."""
        kinds: tuple[list[Clip], list[Clip]] = ([], [])
        try:
            for clip in scan(self.folder, links=True):
                kinds[clip.is_pointer].append(clip)
        except OSError as error:
            raise StoreError(f"the store {self.folder} cannot be read: {error.strerror}") from error
        return kinds

    def check_there(self) -> None:
        """Raise StoreError where it is away."""
        if self.is_away:
            raise StoreError(f"the store {self.folder} is not there; mount it, or make the folder")

    def _check_links(self, shelf: Path) -> None:
        """Raise StoreError where a link lies between the project and what is to be written."""
        for path in (shelf, *shelf.parents):
            if path == self._project or self._project is None:
                return
            if path.is_symlink():
                raise StoreError(
                    f"the store's {path} is a link, and is not written through. If it is yours, name the folder "
                    "that it leads to: FISHPIPE_STORE"
                )

    def claim(self, key: Fingerprint) -> bool:
        """Whether this run may pay for a call. Raises StoreError where the folder takes no claims."""
        self._check_links(self.folder / "claims")
        return self.claims.take(key)

    def has(self, clip: Clip) -> bool:
        """Whether a clip's file is here, as long as it is to be."""
        path = self.find(clip.key, clip.digest, clip.suffix)
        return path is not None and path.stat().st_size == clip.size

    def find(self, key: Fingerprint, digest: Digest, suffix: str) -> Path | None:
        """A clip's file, where it is here."""
        path = clip_path(self.folder, key, digest, suffix)
        return path if path.exists() else None

    def any_of(self, key: Fingerprint, suffix: str) -> Clip | None:
        """A clip of a call, whatever its digest: somebody else's, that came while we looked away."""
        with suppress(OSError):
            for path in sorted((self.folder / key[:2]).glob(f"{key}.*.{suffix}")):
                digest = path.name.split(".")[1]
                clip = Clip(key, Digest(digest), suffix, str(path), path.stat().st_size)
                if clip.size and not clip.is_pointer and digest_of(path) == digest:
                    return clip
        return None

    def put(self, clip: Clip) -> bool:
        """Keep a copy of a clip; False where it is here already. Raises StoreError, which costs nothing."""
        try:
            if self.has(clip):
                return False
            self.check_there()
            self._check_links(clip_path(self.folder, clip.key, clip.digest, clip.suffix).parent)
            if self.own and not self.folder.exists():
                self.folder.mkdir(parents=True)
                write_whole(self.folder / ".gitignore", b"claims/\n*.damaged\n*.part\n")
            copy_clip(clip, self.folder)
        except OSError as error:
            raise StoreError(f"the store {self.folder} cannot be written: {error.strerror}") from error
        return True
