"""What can be done for an output while clips still come: each is measured, and its unit encoded, once it is here.

A unit is made as if its sound stood alone among silence. Where that turns out to be so, the stitch finds it made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from fishpipe.audio.lame import Encoding
from fishpipe.audio.leveller import Leveller
from fishpipe.audio.mastering import pinned_master
from fishpipe.audio.meter import Meter
from fishpipe.audio.renderer import Renderer
from fishpipe.audio.score import Score
from fishpipe.audio.sinks import Joined
from fishpipe.graph.steps import Item
from fishpipe.manifest.model import Micros

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.audio.sinks import SoundCache
    from fishpipe.audio.sounds import Sounds
    from fishpipe.ports import Job

# So much silence on either side parts a sound from its neighbours, in microseconds.
_APART: Final = 150_000
_SECOND: Final = Micros(1_000_000)


def rehearse(job: Job, number: int, sounds: Sounds, cache: SoundCache) -> None:
    """Do for an item what does not depend on the others. Raises as the stitch would."""
    step, output = job.step, job.step.output
    item = step.items[number]
    copies = output.mode == "copy"
    meter = Meter([item], sounds, cache.recall, copies=copies)
    cut, _ = meter.measured(0)
    cache.remember(meter.taken())
    if output.format != "mp3" or output.exact or copies or step.beds or step.room_tone:
        return
    if cut is None or not stands_alone(step.items, number):
        return
    encoding = Encoding(rate=output.sample_rate, channels=job.channels, bitrate=output.bitrate)
    before = [_pause(item)] if number or output.head else []
    score = Score([*before, item], output.sample_rate, encoding.grid)
    renderer = Renderer(score, sounds, job.channels)
    for each in (*(None for _ in before), cut):
        renderer.cuts.append(each)
        renderer.shells.append(None)
        score.add(each)
    units = score.finish()
    if output.loudness is not None:
        renderer.master = pinned_master(output.loudness, job.pin, job.channels)
        if not output.loudness.by_voice:
            Leveller(renderer, cache, 1, output.loudness, {}, 0.0).measure(units)
        if renderer.master is None:
            return
        renderer.voices = renderer.master.voices
    sink = Joined(renderer, encoding, cache, None)
    for unit in units:
        if sink.known(unit) is None:
            sink.made(unit)


def stands_alone(items: Sequence[Item], number: int) -> bool:
    """Whether silence surrounds an item, whatever the lengths of the others."""
    item = items[number]
    if item.at is not None or item.edits.overlap or item.edits.crossfade:
        return False
    after = items[number + 1] if number + 1 < len(items) else None
    gap_after = _SECOND if after is None else after.edits.gap if after.is_pause else item.edits.gap
    if number == 0:
        return gap_after >= _APART
    previous = items[number - 1]
    return min(gap_after, previous.edits.gap) >= _APART and not (previous.edits.overlap or previous.edits.crossfade)


def _pause(item: Item) -> Item:
    return Item(address=item.address, span=item.span, edits=replace(item.edits, gap=_SECOND))
