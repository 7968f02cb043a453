"""The clips: ``clips/ab/FINGERPRINT.DIGEST.mp3``, so that a file says what it is without the ledger."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fishpipe.errors import StoreError
from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.store.durable import rename

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME: Final = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})\.(mp3|pcm)")
_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_LONGEST_POINTER: Final = 1024
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip's file; `size` in bytes."""

    key: Fingerprint
    digest: Digest
    suffix: str
    path: Path
    size: int

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


def scan(folder: Path) -> Iterator[Clip]:
    """Each clip in the folder, in the order of the names."""
    if not folder.is_dir():
        return
    for shelf in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if len(shelf.name) != 2 or not shelf.is_dir():
            continue
        for entry in sorted(os.scandir(shelf.path), key=lambda entry: entry.name):
            match = _NAME.fullmatch(entry.name)
            if match and entry.is_file():
                path = folder / shelf.name / entry.name
                with suppress(FileNotFoundError):
                    yield Clip(Fingerprint(match[1]), Digest(match[2]), match[3], path, entry.stat().st_size)


def copy_clip(clip: Clip, folder: Path) -> Path:
    """Copy a clip into another folder of clips, whole or not at all; its bytes are those of its digest.

    Several may write at once: the name says what the bytes are. Raises StoreError where the clip is damaged, OSError.
    """
    target = clip_path(folder, clip.key, clip.digest, clip.suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with clip.path.open("rb") as source, part.open("xb") as file:
            found = hashlib.sha256()
            while block := source.read(_BLOCK):
                found.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if found.hexdigest() != clip.digest:
            raise StoreError(f"{clip.path} is damaged: its bytes have another digest than its name")
        rename(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target
