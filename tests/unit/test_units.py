"""Units: an mp3 of pieces that were encoded each by itself decodes like one encode, exact to the sample."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sounds import Memory, clip, decoded, lay_out, output, voice

from fishpipe.audio.assemble import Stitcher
from fishpipe.audio.lame import Encoding, FrameWriter, Mp3Writer
from fishpipe.audio.mp3 import frame_samples, walk
from fishpipe.audio.score import Unit
from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.manifest.model import Micros
from fishpipe.ports import ClipFile, Job, Made
from fishpipe.store.durable import written
from fishpipe.timeline import QUIET, Place, Samples, Silence, Sound, to_samples

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fishpipe.graph.steps import OutputStep

    Array = np.ndarray[Any, Any]


def frames(data: bytes) -> int:
    return sum(1 for _ in walk(data))


def units_of(places: Iterable[Place], grid: int) -> list[Unit]:
    """The units that a timeline falls into, by the places that begin one."""
    units: list[Unit] = []
    for number, place in enumerate(places):
        end = -(-(place.end + (QUIET if grid > 1 else 0)) // grid) * grid
        if place.unit is not None:
            units.append(Unit(place.unit, end, (number,)))
        elif place.end > place.start and units:
            last = units[-1]
            units[-1] = Unit(last.start, max(end, last.end), (*last.sounds, number))
    return units


@pytest.mark.parametrize(
    ("rate", "bitrate"), [(44100, 128), (48000, 320), (32000, 64), (24000, 64), (22050, 96), (16000, 64)]
)
def test_joined_units_decode_like_one_encode(rate: int, bitrate: int) -> None:
    grid = frame_samples(rate)
    sounds = [voice(9000 + 1234 * n, n) for n in range(8)]
    line = lay_out([Sound(Samples(len(sound)), Micros(300_000)) for sound in sounds], rate, grid)
    whole = np.zeros(line.length, "<i2")
    for sound, place in zip(sounds, line.places, strict=True):
        whole[place.start : place.end] = sound
    units = units_of(line.places, grid)
    assert len(units) == 8
    encoding = Encoding(rate=rate, channels=1, bitrate=bitrate)
    whole = np.concatenate([whole, np.zeros(4000, "<i2")])
    file = io.BytesIO()
    joiner = FrameWriter(file, encoding)
    for unit in units:
        joiner.add(unit, encoding.frames(unit.length, [whole[unit.start : unit.end].tobytes()]))
    joiner.close(line.length)
    whole = whole[: line.length]
    joined = decoded(file.getvalue())
    once = io.BytesIO()
    writer = Mp3Writer(once, rate, 1, bitrate)
    writer.write(whole.tobytes())
    writer.close()
    plain = decoded(once.getvalue())
    assert len(joined) == len(plain) == line.length
    wrong = [float(np.sqrt(np.mean((other - whole) ** 2))) for other in (joined, plain)]
    assert wrong[0] < wrong[1] * 1.1 + 5, "no worse than one encode"
    for unit in units[1:]:
        around = slice(unit.start - QUIET // 2, unit.start)
        assert np.abs(joined[around]).max() <= np.abs(plain[around]).max() + 400, (
            "no click in the silence before a join"
        )


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 60_000), st.integers(0, 500_000)), min_size=1, max_size=30),
    st.sampled_from([(44100, 1152), (22050, 576), (8000, 1)]),
)
def test_the_grid_moves_gaps_by_half_a_step_and_never_adds_up(
    parts: list[tuple[bool, int, int]], rate_and_grid: tuple[int, int]
) -> None:
    rate, grid = rate_and_grid
    items = [Silence(Micros(gap)) if pause else Sound(Samples(length), Micros(gap)) for pause, length, gap in parts]
    plain, snapped = lay_out(items, rate), lay_out(items, rate, grid)
    end = 0
    for item, one, other in zip(items, plain.places, snapped.places, strict=True):
        assert abs(one.start - other.start) <= grid // 2
        if isinstance(item, Sound):
            assert other.end - other.start == item.length
            assert other.start >= end
            end = other.end
    units = units_of([p for p, i in zip(snapped.places, items, strict=True) if isinstance(i, Sound)], grid)
    assert all(after.start >= before.end for before, after in pairwise(units))
    assert all(unit.start % grid == unit.end % grid == 0 for unit in units)
    assert len([n for unit in units for n in unit.sounds]) == sum(isinstance(item, Sound) for item in items)


def make(memory: Memory, clips: dict[Fingerprint, ClipFile], step: OutputStep, threads: int | None = None) -> Made:
    return Stitcher(memory, {}, written, threads).assemble([Job(step=step, channels=1)], clips)[0]


def test_an_edit_encodes_one_unit_and_gives_the_bytes_of_a_whole_stitch(tmp_path: Path) -> None:
    clips = {Fingerprint(str(n)): clip(tmp_path, n) for n in range(9)}
    memory = Memory()
    make(memory, clips, output(tmp_path / "a.mp3", range(8)))
    assert memory.encoded == 8
    edited = [0, 1, 8, 3, 4, 5, 6, 7]
    make(memory, clips, output(tmp_path / "a.mp3", edited))
    assert memory.encoded == 9
    make(memory, clips, output(tmp_path / "a.mp3", [0, *edited[:0:-1]]))
    make(memory, clips, output(tmp_path / "a.mp3", edited[:5], 777_000))
    assert memory.encoded == 9, "another order and other gaps encode nothing"
    make(memory, clips, output(tmp_path / "a.mp3", edited))
    for threads in (1, 3):
        make(Memory(), clips, output(tmp_path / f"by-{threads}.mp3", edited), threads)
        assert (tmp_path / f"by-{threads}.mp3").read_bytes() == (tmp_path / "a.mp3").read_bytes()


@pytest.mark.parametrize("gap", [0, 20_000, 100_000])
def test_sounds_without_silence_between_them_are_one_unit(tmp_path: Path, gap: int) -> None:
    clips = {Fingerprint(str(n)): clip(tmp_path, n) for n in range(4)}
    memory = Memory()
    row = make(memory, clips, output(tmp_path / "a.mp3", range(4), gap))
    data = (tmp_path / "a.mp3").read_bytes()
    assert len(decoded(data)) == row.length
    assert memory.encoded == (4 if to_samples(Micros(gap), 44100) > QUIET + 1728 else 1)
    if gap == 0:
        starts = [start for start, _ in row.places]
        assert [start for start, _ in row.places[1:]] == [end for _, end in row.places[:-1]], starts
