"""What an output's bytes come from, as one digest: where it is as before, the output is up to date. Pure."""

from __future__ import annotations

from hashlib import sha256
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

from fishpipe.graph.fingerprints import canonical
from fishpipe.manifest.model import Edits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.graph.steps import Item, OutputStep
    from fishpipe.manifest.model import Bed
    from fishpipe.snapshot import Snapshot


# Stands for the items in the record of a recipe: they are written apart, since they are many and alike.
_ITEMS: Final = "\ue000"


def recipe(step: OutputStep, snapshot: Snapshot) -> str | None:
    """The identity of an output: sha256 of all that its bytes come from, or None while a clip is missing."""
    if any(item.clip is not None and item.clip not in snapshot.clips for item in step.items):
        return None
    by_voice = step.output.loudness is not None and step.output.loudness.by_voice
    items = _items(step.items, snapshot, by_voice=by_voice)
    if items is None:
        return None
    output = step.output
    channels = output_channels(step, snapshot)
    parameters = [output.format, output.bitrate, channels, output.sample_rate, output.bits, output.exact, output.mode]
    chapters = [[number, item.chapter] for number, item in enumerate(step.items) if item.chapter]
    recipe: dict[str, Any] = {"items": _ITEMS, "output": parameters, "tags": dict(step.tags), "tools": snapshot.tools}
    if output.loudness:
        wanted = output.loudness
        target = [wanted.target, wanted.mono, wanted.measure, wanted.true_peak, wanted.by_voice]
        recipe |= {"loudness": target, "pin": snapshot.lock.output(output.name), "ends": [output.head, output.tail]}
    beds = [[_bed(laid.bed, snapshot), laid.first, laid.last] for laid in step.beds]
    if beds or step.room_tone:
        recipe |= {"beds": beds, "room_tone": _bed(step.room_tone, snapshot) if step.room_tone else None}
    record = canonical({**recipe, "chapters": chapters} if chapters else recipe)
    return sha256(record.replace(f'"items":"{_ITEMS}"'.encode(), b'"items":' + items, 1)).hexdigest()


def _items(items: Sequence[Item], snapshot: Snapshot, *, by_voice: bool) -> bytes | None:
    """The items in canonical JSON, each its source and what happens to it; None while a clip is missing."""
    made: list[str] = []
    written: dict[Edits, tuple[str, str]] = {}
    for item in items:
        source = _source(item, snapshot)
        if source is None:
            return None
        edits = item.edits
        if edits not in written:
            own = [edits.gap, edits.gain, edits.fade_in, edits.fade_out, edits.trim, edits.tempo]
            written[edits] = _list(own), _list([edits.crossfade, edits.overlap])
        first, last = written[edits]
        at = "null" if item.at is None else item.at
        voice = f",{encode_basestring(item.voice)}" if by_voice else ""
        made.append(f"[{source},{first},{last},{at},{encode_basestring(item.scope)}{voice}]")
    return f"[{','.join(made)}]".encode()


def _list(values: Sequence[Any]) -> str:
    """A list in canonical JSON, without its brackets."""
    return canonical(values).decode()[1:-1]


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


def _source(item: Item, snapshot: Snapshot) -> str | None:
    if item.clip is not None:
        digest = snapshot.clips.get(item.clip)
        return None if digest is None else f'["{digest}"]'
    if item.asset is not None:
        info = snapshot.assets.get(str(item.asset))
        return None if info is None else f"[{_list([info.digest, item.start, item.end])}]"
    return "[]"
