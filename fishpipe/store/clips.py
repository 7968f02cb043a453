"""The clips: ``clips/ab/FINGERPRINT.DIGEST.mp3``, so that a file says what it is without the ledger."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from fishpipe.graph.fingerprints import Digest, Fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME: Final = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})\.(mp3|pcm)")


def clip_path(folder: Path, key: Fingerprint, digest: Digest, suffix: str) -> Path:
    """The file of a clip."""
    return folder / key[:2] / f"{key}.{digest}.{suffix}"


def scan(folder: Path) -> Iterator[tuple[Fingerprint, Digest, int]]:
    """Each clip in the folder, with its bytes, in the order of the names."""
    if not folder.is_dir():
        return
    for shelf in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not shelf.is_dir():
            continue
        for entry in sorted(os.scandir(shelf.path), key=lambda entry: entry.name):
            match = _NAME.fullmatch(entry.name)
            if match:
                yield Fingerprint(match[1]), Digest(match[2]), entry.stat().st_size
