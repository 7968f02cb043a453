"""What the outputs' bytes come from besides clips: the project's audio files, and the tools' versions."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fishpipe.errors import AudioError, Problem
from fishpipe.graph.fingerprints import Digest
from fishpipe.snapshot import AssetInfo
from fishpipe.store.durable import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fishpipe.graph.steps import Graph
    from fishpipe.manifest.model import Manifest


# Part of every output's recipe: raise it when the stitcher makes other bytes of the same recipe.
STITCHER: Final = 2


def tools() -> str:
    """The versions that an output's bytes depend on."""
    versions = (f"{name} {version(name)}" for name in ("lameenc", "soxr", "av", "miniaudio", "mutagen"))
    return "; ".join([f"stitcher {STITCHER}", *versions])


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
