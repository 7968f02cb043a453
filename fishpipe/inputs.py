"""What the outputs' bytes come from besides clips: the project's audio files, and the tools' versions."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fishpipe.errors import AudioError, Problem
from fishpipe.files import read_plain
from fishpipe.graph.fingerprints import Digest
from fishpipe.seal import cache_folder, is_sealed, seal
from fishpipe.snapshot import AssetInfo
from fishpipe.stamp import look
from fishpipe.store.durable import digest_of, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fishpipe.graph.steps import Graph
    from fishpipe.manifest.model import Manifest


# Part of every output's recipe: raise it when the stitcher makes other bytes of the same recipe.
STITCHER: Final = 2
_LONGEST: Final = 200


@cache
def tools() -> str:
    """The versions that an output's bytes depend on."""
    folders = [folder for folder in sys.path if folder.endswith("-packages") and Path(folder).is_dir()]
    names = [(entry.name, folder) for folder in folders for entry in os.scandir(folder)]
    versions = (f"{name} {_version(name, names)}" for name in ("lameenc", "soxr", "av", "miniaudio", "mutagen"))
    return "; ".join([f"stitcher {STITCHER}", *versions])


def _version(package: str, names: Iterable[tuple[str, str]]) -> str:
    """The version of a package, as its metadata says; `names` are those in the folders of packages.

    importlib.metadata says the same, and takes longer to import than a small plan takes.
    """
    for name, folder in names:
        if name.startswith(f"{package}-") and name.endswith(".dist-info"):
            text = (Path(folder) / name / "METADATA").read_text("utf-8", "replace")
            return next(line for line in text.splitlines() if line.startswith("Version:")).partition(":")[2].strip()
    from importlib.metadata import version

    return version(package)


def assets_of(graph: Graph) -> dict[str, AssetInfo]:
    """The audio files that the outputs use, by path. Raises AudioError."""
    found = {}
    for path, heard in _heard({path: None for step in graph.outputs for path in step.assets}).items():
        if isinstance(heard, AudioError):
            raise AudioError(f"{path} is {heard}")
        found[str(path)] = heard
    return found


def asset_problems(manifest: Manifest) -> Iterator[Problem]:
    """Audio files that are none, or whose sound cannot be decoded to its end: found before anything is paid."""
    assets = [pair for script in manifest.scripts.values() for pair in script.assets]
    heard = _heard({asset.path: None for asset, _ in assets})
    for asset, span in assets:
        found = heard[asset.path]
        if isinstance(found, AudioError):
            yield Problem(span, f"{asset.shown} is {found}")


# What was found of files, by their marks: one command asks for them more than once.
_known: dict[tuple[str, str], AssetInfo] = {}


def _heard(paths: Iterable[Path]) -> dict[Path, AssetInfo | AudioError]:
    """What each file sounds like: as it was heard before, by its bytes, or decoded now."""
    found: dict[Path, AssetInfo | AudioError] = {}
    fresh: dict[Path, tuple[tuple[str, str], Digest]] = {}
    for path in paths:
        mark = (str(path), look(str(path)))
        if mark not in _known:
            try:
                fresh[path] = mark, Digest(digest_of(path))
            except OSError as error:
                found[path] = AudioError(f"not an audio file that can be read: {error.strerror}")
                continue
            remembered = _remembered(fresh[path][1])
            if remembered is None:
                continue
            _known[mark] = remembered
            del fresh[path]
        found[path] = _known[mark]
    if fresh:
        from fishpipe.audio.judging import judged

        for (path, (mark, digest)), heard in zip(fresh.items(), judged(list(fresh)), strict=True):
            if isinstance(heard, AudioError):
                found[path] = heard
            else:
                found[path] = _known[mark] = _remember(digest, heard.channels, heard.sample_rate)
    return found


def _remembered(digest: Digest) -> AssetInfo | None:
    """What was heard of some bytes before, on this machine, with these tools."""
    try:
        words, found = read_plain(_kept_at(digest), _LONGEST, links=False).decode("ascii").split("\n")[:2]
        channels, rate = (int(word) for word in words.split())
    except (OSError, ValueError):
        return None
    known = is_sealed(f"sound {digest} {tools()}", words.encode(), found)
    return AssetInfo(digest=digest, channels=channels, sample_rate=rate) if known else None


def _remember(digest: Digest, channels: int, rate: int) -> AssetInfo:
    words = f"{channels} {rate}"
    path = Path(_kept_at(digest))
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, f"{words}\n{seal(f'sound {digest} {tools()}', words.encode())}\n".encode())
    return AssetInfo(digest=digest, channels=channels, sample_rate=rate)


def _kept_at(digest: Digest) -> str:
    return os.path.join(cache_folder(), "sounds", digest)  # noqa: PTH118  (as the folder is named)
