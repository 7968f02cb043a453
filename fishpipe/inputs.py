"""What the outputs' bytes come from besides clips: the project's audio files, and the tools' versions."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fishpipe.errors import AudioError, Problem
from fishpipe.graph.fingerprints import Digest
from fishpipe.snapshot import AssetInfo
from fishpipe.store.durable import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fishpipe.graph.steps import Graph
    from fishpipe.manifest.model import Manifest


# Part of every output's recipe: raise it when the stitcher makes other bytes of the same recipe.
STITCHER: Final = 2


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
    """The audio files that the outputs use, by path."""
    paths = {path for step in graph.outputs for path in step.assets}
    if not paths:
        return {}
    from fishpipe.audio.decode import header

    found = {}
    for path in paths:
        channels, rate = header(path)
        found[str(path)] = AssetInfo(digest=Digest(digest_of(path)), channels=channels, sample_rate=rate)
    return found


def asset_problems(manifest: Manifest) -> Iterator[Problem]:
    """Audio files that are none: found before anything is paid."""
    assets = [pair for script in manifest.scripts.values() for pair in script.assets]
    if not assets:
        return
    from fishpipe.audio.decode import header

    for asset, span in assets:
        try:
            header(asset.path)
        except AudioError as error:
            yield Problem(span, f"{asset.shown} is {error}")
