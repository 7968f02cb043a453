"""The clips: ``clips/ab/FINGERPRINT.DIGEST.mp3``, so that a file says what it is without the ledger."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fishpipe.errors import StoreError
from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.store.durable import written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fishpipe.lock import Lock
    from fishpipe.snapshot import Calls

_NAME: Final = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})\.(mp3|pcm)")
_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_LONGEST_POINTER: Final = 1024
_BLOCK: Final = 1 << 20
UNKNOWN: Final = -1
# Of more clips than these the sizes are not looked at: one that was cut on the disk is seen when it is used.
MOST_SIZES: Final = 2000


class Clip(Struct, frozen=True, gc=False):
    """A clip's file, and its `size` in bytes."""

    key: Fingerprint
    digest: Digest
    suffix: str
    file: str
    size: int

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.file)

    @property
    def is_pointer(self) -> bool:
        """Whether git-lfs left its pointer here in place of the audio."""
        if self.size > _LONGEST_POINTER:
            return False
        with self.path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER


def clip_path(folder: Path, key: Fingerprint, digest: Digest, suffix: str) -> Path:
    """The file of a clip."""
    return folder / key[:2] / f"{key}.{digest}.{suffix}"


def scan(folder: Path, *, sized: bool = True, links: bool = False) -> Iterator[Clip]:
    """Each clip in the folder, in the order of the names; where they are not `sized`, their sizes are not looked at.

    A clip that is a link may lie in a shared folder (`links`). Raises StoreError where one lies in ours, and OSError.
    """
    if not folder.is_dir():
        return
    for shelf in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if len(shelf.name) != 2 or not shelf.is_dir(follow_symlinks=False):
            continue
        for entry in sorted(os.scandir(shelf.path), key=lambda entry: entry.name):
            name = entry.name
            if not links and entry.is_symlink():
                raise StoreError(f"{entry.path} is a link; clips are plain files: remove it")
            if _NAME.fullmatch(name) and entry.is_file():
                try:
                    size = entry.stat().st_size if sized else UNKNOWN
                except FileNotFoundError:
                    continue
                yield Clip(Fingerprint(name[:64]), Digest(name[65:129]), name[130:], entry.path, size)


def copy_clip(clip: Clip, folder: Path) -> Path:
    """Copy a clip into another folder of clips, whole or not at all; its bytes are those of its digest.

    Several may write at once: the name says what the bytes are. Raises StoreError where the clip is damaged, OSError.
    """
    target = clip_path(folder, clip.key, clip.digest, clip.suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    with clip.path.open("rb") as source, written(target) as file:
        found = hashlib.sha256()
        while block := source.read(_BLOCK):
            found.update(block)
            file.write(block)
        if found.hexdigest() != clip.digest:
            raise StoreError(f"{clip.path} is damaged: its bytes have another digest than its name")
    return target


def sorted_out(
    files: Iterable[Clip], calls: Calls, lock: Lock
) -> tuple[dict[Fingerprint, Digest], dict[Fingerprint, Digest]]:
    """The clips that are here and whole, and those that are here in the place of the lock's.

    The lock's digest wins, then the ledger's; a clip that neither knows counts by its name.
    """
    found: dict[Fingerprint, Digest] = {}
    others: dict[Fingerprint, Digest] = {}
    locks, stored = lock.clips, calls.stored
    for clip in files:
        key, digest = clip.key, clip.digest
        known, locked = stored.get(key), locks.get(key)
        recorded, size = known if known is not None else _recorded(calls, key)
        if clip.size == 0 or (recorded == digest and size is not None and clip.size not in (size, UNKNOWN)):
            continue
        if (locked or recorded) in (None, digest):
            found.setdefault(key, digest)
        elif locked is not None:
            others.setdefault(key, digest)
    return found, {key: digest for key, digest in others.items() if key not in found}


def _recorded(calls: Calls, key: Fingerprint) -> tuple[Digest | None, int | None]:
    """The digest and size that the ledger has of a clip, whatever its state."""
    found = calls.brief(key)
    return (found.digest, found.size) if found is not None else (None, None)
