"""Audio files of the project: as segments, as beds, as room tone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fishpipe.manifest import nodes
from fishpipe.manifest.cascade import micros
from fishpipe.manifest.model import Asset, Bed
from fishpipe.manifest.nodes import Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fishpipe.manifest.cascade import Say

    Folders = Mapping[str, Path]


def read_asset(audio: nodes.Node, item: nodes.Mapping, folders: Folders, say: Say) -> Asset | None:
    """The file that `audio` names, or the part of it that `item` says."""
    if not isinstance(audio, Scalar):
        return None
    start, end = item.get("start"), item.get("end")
    asset = Asset(
        path=folders[audio.span.file] / str(audio.value),
        shown=str(audio.value),
        start=micros(start, say),
        end=micros(end, say) if end else None,
    )
    if end and asset.end is not None and asset.end <= asset.start:
        say(end.span, "end is not after start", "")
    return asset


def read_bed(node: nodes.Node | None, folders: Folders, say: Say) -> Bed | None:
    """A bed, or None where there is none."""
    audio = node.get("audio") if isinstance(node, nodes.Mapping) else None
    if not isinstance(node, nodes.Mapping) or audio is None or (asset := read_asset(audio, node, folders, say)) is None:
        return None
    plain = {name: value.value for name in ("gain", "loop", "duck") if isinstance(value := node.get(name), Scalar)}
    names = ("fade_in", "fade_out", "attack", "release")
    times = {name: micros(value, say) for name in names if (value := node.get(name)) is not None}
    return Bed(asset=asset, span=audio.span, **plain, **times)  # type: ignore[arg-type]


def read_room_tone(node: nodes.Node | None, folders: Folders) -> Bed | None:
    """A room tone, or None where there is none."""
    if not isinstance(node, Scalar):
        return None
    asset = Asset(path=folders[node.span.file] / str(node.value), shown=str(node.value))
    return Bed(asset=asset, span=node.span, loop=True)
