"""What an output's bytes come from, as one digest: where it is as before, the output is up to date. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fishpipe.graph.fingerprints import fingerprint
from fishpipe.manifest.model import Edits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.graph.steps import Item, OutputStep
    from fishpipe.manifest.model import Bed
    from fishpipe.snapshot import Snapshot


def recipe(step: OutputStep, snapshot: Snapshot) -> str | None:
    """The identity of an output: sha256 of all that its bytes come from, or None while a clip is missing."""
    items = []
    for item in step.items:
        source = _source(item, snapshot)
        if source is None:
            return None
        edits = item.edits
        items.append([source, edits.gap, edits.gain, edits.fade_in, edits.fade_out, edits.trim, edits.tempo])
        items[-1] += [edits.crossfade, edits.overlap, item.at, item.scope]
        if step.output.loudness and step.output.loudness.by_voice:
            items[-1].append(item.voice)
    output = step.output
    channels = output_channels(step, snapshot)
    parameters = [output.format, output.bitrate, channels, output.sample_rate, output.bits, output.exact, output.mode]
    chapters = [[number, item.chapter] for number, item in enumerate(step.items) if item.chapter]
    recipe = {"items": items, "output": parameters, "tags": dict(step.tags), "tools": snapshot.tools}
    if output.loudness:
        wanted = output.loudness
        target = [wanted.target, wanted.mono, wanted.measure, wanted.true_peak, wanted.by_voice]
        recipe |= {"loudness": target, "pin": snapshot.lock.output(output.name), "ends": [output.head, output.tail]}
    beds = [[_bed(laid.bed, snapshot), laid.first, laid.last] for laid in step.beds]
    if beds or step.room_tone:
        recipe |= {"beds": beds, "room_tone": _bed(step.room_tone, snapshot) if step.room_tone else None}
    return fingerprint({**recipe, "chapters": chapters} if chapters else recipe)


def output_channels(step: OutputStep, snapshot: Snapshot) -> int:
    """As declared; otherwise stereo where an asset is, else mono."""
    assets = (snapshot.assets.get(str(path)) for path in step.assets)
    stereo = any(info is not None and info.channels > 1 for info in assets)
    return step.output.channels or (2 if stereo else 1)


def encoded_because(items: Sequence[Item], number: int, kind: str) -> str:
    """Why a sound goes into an output of `mode: copy` by a new encode; empty where its frames are copied.

    `kind` is what its file is.
    """
    item = items[number]
    before = items[number - 1].edits if number and not items[number - 1].is_pause else Edits()
    if kind != "mp3":
        return f"it is {kind}, not mp3"
    if item.start or item.end is not None:
        return "a part of it is used"
    own = item.edits
    names = [name for name in ("gain", "fade_in", "fade_out", "crossfade", "overlap") if getattr(own, name)]
    names += ["tempo"] if own.tempo != 1 else []
    names += [f"{name} of the one before" for name in ("crossfade", "overlap") if getattr(before, name)]
    return ", ".join(names)


def _bed(bed: Bed, snapshot: Snapshot) -> list[Any]:
    info = snapshot.assets.get(str(bed.asset.path))
    what = [info.digest if info else None, bed.asset.start, bed.asset.end, bed.gain, bed.fade_in, bed.fade_out]
    return [*what, bed.loop, bed.duck, bed.attack, bed.release]


def _source(item: Item, snapshot: Snapshot) -> list[Any] | None:
    if item.clip is not None:
        digest = snapshot.clips.get(item.clip)
        return None if digest is None else [digest]
    if item.asset is not None:
        info = snapshot.assets.get(str(item.asset))
        return None if info is None else [info.digest, item.start, item.end]
    return []
