"""Edits that lay sounds over each other, measured in what comes out."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import miniaudio
import numpy as np
import pytest
from msgspec.structs import replace
from sounds import Memory, clip, decoded, output, voice

from fishpipe.audio.assemble import Stitcher
from fishpipe.audio.lame import Mp3Writer
from fishpipe.audio.wav import WavWriter
from fishpipe.errors import AudioError, DamagedClip, Span
from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.graph.steps import Item, LaidBed
from fishpipe.machine import SystemClock
from fishpipe.manifest.model import Asset, Bed, Edits, Micros
from fishpipe.ports import ClipFile, Job
from fishpipe.store.durable import written
from fishpipe.store.units import Units

if TYPE_CHECKING:
    from pathlib import Path

    from fishpipe.ports import Made

    Array = np.ndarray[Any, Any]

RATE = 44100
SPAN = Span("fishpipe.yaml", 7, 3)


def write(path: Path, data: Array) -> Asset:
    with path.open("w+b") as file:
        writer = WavWriter(file, RATE, 1, {})
        writer.write(data.astype("<i2").tobytes())
        writer.close()
    return Asset(path=path, shown=path.name)


def tone(seconds: float, hertz: float = 440, level: float = 0.3) -> Array:
    return np.rint(np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE) * level * 32767)


def digest_of(path: Path) -> Digest:
    return Digest(hashlib.sha256(path.read_bytes()).hexdigest())


def item(asset: Asset, number: int = 0, *, at: float | None = None, **edits: Any) -> Item:
    made = Edits(**{"trim": "off", "gap": Micros(0), **edits})
    when = None if at is None else Micros(round(at * 1e6))
    return Item(address=f"one/{number}", span=SPAN, edits=made, asset=asset.path, at=when)


def stitch(path: Path, items: list[Item], memory: Memory | None = None, **more: Any) -> tuple[Made, Array]:
    base = output(path, ())
    made = replace(base.output, format=path.suffix[1:])
    step = replace(base, output=made, items=tuple(items), **more)
    digests = {str(p): digest_of(p) for p in step.assets}
    row = Stitcher(memory or Memory(), digests, written).assemble([Job(step=step, channels=1)], {})[0]
    heard = miniaudio.decode_file(str(path), nchannels=1, sample_rate=RATE)
    return row, np.asarray(heard.samples, dtype=float)


def level(values: Array) -> float:
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(values))) / 32768, 1e-6)))


def test_a_crossfade_keeps_the_power_and_both_sounds(tmp_path: Path) -> None:
    noise = [np.random.default_rng(n).normal(0, 3000, RATE) for n in range(2)]
    one, two = write(tmp_path / "1.wav", noise[0]), write(tmp_path / "2.wav", noise[1])
    made, heard = stitch(tmp_path / "o.wav", [item(one, crossfade=Micros(400_000)), item(two, 1)])
    assert made.places == ((0, RATE), (RATE - round(0.4 * RATE), 2 * RATE - round(0.4 * RATE)))
    steady = level(heard[:20000])
    for start in range(RATE - round(0.4 * RATE), RATE, 2000):
        assert level(heard[start : start + 2000]) == pytest.approx(steady, abs=0.8)


def test_an_overlap_lets_the_first_sound_go_on(tmp_path: Path) -> None:
    music, words = write(tmp_path / "1.wav", tone(3, 440)), write(tmp_path / "2.wav", tone(0.5, 1500))
    made, heard = stitch(tmp_path / "o.wav", [item(music, overlap=Micros(2_000_000)), item(words, 1), item(words, 2)])
    assert [start for start, _ in made.places] == [0, RATE, RATE + RATE // 2]
    assert made.length == 3 * RATE
    expected = tone(3, 440)
    expected[RATE : RATE + len(tone(0.5))] += tone(0.5, 1500)
    expected[RATE + RATE // 2 : 2 * RATE] += tone(0.5, 1500)
    assert np.abs(heard - expected).max() <= 2.5, "the sum, dithered"


def test_an_overlap_longer_than_the_sound_is_an_error_with_its_place(tmp_path: Path) -> None:
    short = write(tmp_path / "1.wav", tone(1))
    with pytest.raises(AudioError, match=r"one/0 \(fishpipe.yaml:7:3\): overlaps by 2 s .* lasts 1.00 s only"):
        stitch(tmp_path / "o.wav", [item(short, overlap=Micros(2_000_000)), item(short, 1)])
    assert not list(tmp_path.glob("*o.wav*")), "nothing is left of it"


def test_at_is_exact_and_late_is_an_error_that_names_the_excess(tmp_path: Path) -> None:
    short = write(tmp_path / "1.wav", tone(1))
    made, _ = stitch(tmp_path / "o.wav", [item(short, at=0.5), item(short, 1, at=12)])
    assert made.places == ((RATE // 2, RATE // 2 + RATE), (12 * RATE, 13 * RATE))
    with pytest.raises(AudioError, match=r"one/1 .* begins 0.25 s too late for at: 0.75s"):
        stitch(tmp_path / "o.wav", [item(short), item(short, 1, at=0.75)])


def test_at_counts_from_the_start_of_an_included_script(tmp_path: Path) -> None:
    short = write(tmp_path / "1.wav", tone(1))
    inside = [replace(item(short, n, at=at), scope="/one/2") for n, at in ((2, 0.0), (3, 4.0))]
    made, _ = stitch(tmp_path / "o.wav", [item(short), *inside])
    assert [start / RATE for start, _ in made.places] == [0, 1, 5]


def test_tempo_keeps_the_pitch_and_is_exact_in_length(tmp_path: Path) -> None:
    long = write(tmp_path / "1.wav", tone(4, 500))
    made, heard = stitch(tmp_path / "o.wav", [item(long, tempo=1.25)])
    assert made.length == round(4 * RATE / 1.25)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert spectrum.argmax() * RATE / len(heard) == pytest.approx(500, abs=2)


def test_trim_to_a_threshold(tmp_path: Path) -> None:
    quiet, loud = tone(1, level=0.01), tone(1)
    both = write(tmp_path / "1.wav", np.concatenate([quiet, loud]))
    lengths = [stitch(tmp_path / "o.wav", [item(both, trim=trim)])[0].length for trim in ("auto", -30.0, "off")]
    assert lengths[0] == lengths[2] == 2 * RATE
    assert lengths[1] == pytest.approx(RATE * 1.04, abs=400)


def bed(asset: Asset, **more: Any) -> tuple[LaidBed, ...]:
    return (LaidBed(bed=Bed(asset=asset, span=SPAN, **more), first=0, last=2),)


def test_a_bed_loops_fades_and_gives_way_to_speech(tmp_path: Path) -> None:
    music = write(tmp_path / "m.wav", np.random.default_rng(1).normal(0, 2000, RATE))
    silent = write(tmp_path / "s.wav", np.zeros(RATE))
    clips = {Fingerprint("0"): ClipFile(path=silent.path, digest=Digest(""), format="mp3", sample_rate=RATE)}
    with (tmp_path / "quiet.mp3").open("w+b") as file:
        writer = Mp3Writer(file, RATE, 1, 192)
        writer.write(np.zeros(RATE, "<i2").tobytes())
        writer.close()
    data = (tmp_path / "quiet.mp3").read_bytes()
    digest = Digest(hashlib.sha256(data).hexdigest())
    clips = {Fingerprint("0"): ClipFile(path=tmp_path / "quiet.mp3", digest=digest, format="mp3", sample_rate=RATE)}
    still = Edits(trim="off", gap=Micros(0))
    items = [
        Item(address="one/0", span=SPAN, edits=replace(still, gap=Micros(3_000_000))),
        Item(address="one/1", span=SPAN, edits=still, clip=Fingerprint("0")),
        Item(address="one/2", span=SPAN, edits=replace(still, gap=Micros(3_000_000))),
    ]
    laid = bed(music, loop=True, duck=-12.0, fade_in=Micros(500_000), fade_out=Micros(1_000_000))
    base = output(tmp_path / "o.wav", ())
    step = replace(base, output=replace(base.output, format="wav"), items=tuple(items), beds=laid)
    digests = {str(music.path): digest_of(music.path)}
    made = Stitcher(Memory(), digests, written).assemble([Job(step=step, channels=1)], clips)[0]
    assert made.length == 7 * RATE
    heard = np.asarray(miniaudio.decode_file(str(tmp_path / "o.wav"), nchannels=1).samples, dtype=float)

    def at(second: float) -> float:
        return level(heard[round(second * RATE) : round((second + 0.1) * RATE)])

    full = at(1.5)
    assert at(0) < full - 15
    assert at(6.9) < full - 15
    assert at(2.6) == pytest.approx(full, abs=1)
    assert [at(second) for second in (3.0, 3.5, 3.9)] == pytest.approx([full - 12] * 3, abs=1)
    assert full - 12 < at(4.2) < full, "it comes back slowly"
    assert at(4.6) == pytest.approx(full, abs=1)
    jumps = np.abs(np.diff(heard))
    seams = [jumps[n * RATE - 500 : n * RATE + 500].max() for n in (1, 2)]
    assert max(seams) <= jumps[RATE // 2 : 2 * RATE].max(), "no click where it begins again"


def test_a_bed_without_loop_ends_with_its_file(tmp_path: Path) -> None:
    music, words = write(tmp_path / "m.wav", tone(1)), write(tmp_path / "w.wav", np.zeros(3 * RATE))
    beds = (LaidBed(bed=Bed(asset=music, span=SPAN, gain=-6.0), first=0, last=0),)
    _, heard = stitch(tmp_path / "o.wav", [item(words)], beds=beds)
    assert level(heard[:RATE]) == pytest.approx(level(tone(1)) - 6, abs=0.1)
    assert not heard[RATE + 1 :].any()


def test_room_tone_fills_what_is_silent(tmp_path: Path) -> None:
    room = write(tmp_path / "r.wav", np.random.default_rng(2).normal(0, 30, RATE))
    words = write(tmp_path / "w.wav", tone(1))
    still = Edits(trim="off", gap=Micros(0))
    pause = Item(address="one/1", span=SPAN, edits=replace(still, gap=Micros(3_000_000)))
    step = Bed(asset=room, span=SPAN, loop=True)
    _, heard = stitch(tmp_path / "o.wav", [item(words), pause, item(words, 2)], room_tone=step)
    gap = level(heard[RATE + 2000 : 4 * RATE - 2000])
    assert gap == pytest.approx(level(np.full(9, 30.0)), abs=0.5)
    assert not np.abs(heard[2000 : RATE - 2000] - tone(1)[2000 : RATE - 2000]).max() > 2, "not under sound"


@pytest.mark.parametrize("how", ["gap: 0", "crossfade", "bed"])
def test_joins_without_silence_measure_as_one_encode(tmp_path: Path, how: str) -> None:
    clips = {Fingerprint(str(n)): clip(tmp_path, n) for n in range(4)}
    music = write(tmp_path / "m.wav", voice(10 * RATE, 99) / 4)
    base = output(tmp_path / "o.mp3", range(4), gap=0)
    edits = {"gap: 0": {}, "crossfade": {"crossfade": Micros(50_000)}, "bed": {"gap": Micros(400_000)}}[how]
    items = tuple(replace(each, edits=replace(each.edits, **edits)) for each in base.items)
    laid = (LaidBed(bed=Bed(asset=music, span=SPAN, loop=True), first=1, last=3),) if how == "bed" else ()
    found = {}
    for name in ("o.mp3", "exact.mp3", "o.wav"):
        made = replace(base.output, path=tmp_path / name, format=name[-3:], exact=name == "exact.mp3", bitrate=192)
        step = replace(base, output=made, items=items, beds=laid)
        digests = {str(music.path): digest_of(music.path)}
        row = Stitcher(Memory(), digests, written).assemble([Job(step=step, channels=1)], clips)[0]
        data = (tmp_path / name).read_bytes()
        heard = decoded(data) if name != "o.wav" else np.asarray(miniaudio.decode(data, nchannels=1).samples)
        found[name] = (row.places, np.asarray(heard, dtype=float))
    pairs = zip(found["o.mp3"][0], found["o.wav"][0], strict=True)
    assert len({one[0] - other[0] for one, other in list(pairs)[1:]}) == 1, "as far apart, to the sample"
    wrong = []
    for name in ("o.mp3", "exact.mp3"):
        places, heard = found[name]
        own = found["o.wav"][1]
        most = 0.0
        for (start, _), (true, _) in list(zip(places, found["o.wav"][0], strict=True))[1:]:
            joins = heard[start - 3000 : start + 3000] - own[true - 3000 : true + 3000]
            most = max(most, float(np.abs(joins).max()))
        wrong.append(most)
    assert wrong[0] <= wrong[1] * 1.25 + 20, f"at the joins {wrong[0]:.0f}, of one encode {wrong[1]:.0f}"


def test_a_file_that_changed_since_the_build_began_is_told(tmp_path: Path) -> None:
    words = write(tmp_path / "w.wav", tone(1))
    base = output(tmp_path / "o.wav", ())
    step = replace(base, output=replace(base.output, format="wav"), items=(item(words),))
    with pytest.raises(AudioError, match=r"one/0 .*w.wav has changed since the build began"):
        Stitcher(Memory(), {str(words.path): Digest("0" * 64)}, written).assemble([Job(step=step, channels=1)], {})


def test_there_is_no_crossfade_into_silence(tmp_path: Path) -> None:
    noise = write(tmp_path / "1.wav", np.random.default_rng(1).normal(0, 3000, RATE))
    cross = {"crossfade": Micros(300_000)}
    pause = Item(address="one/1", span=SPAN, edits=Edits(gap=Micros(1_000_000)))
    _, heard = stitch(tmp_path / "o.wav", [item(noise, **cross), pause, item(noise, 2, **cross), item(noise, 3, at=9)])
    for start in (0, 2, 9):
        ends = [heard[at * RATE + 500 : at * RATE + 3000] for at in (start,)] + [
            heard[(start + 1) * RATE - 3000 : (start + 1) * RATE - 500]
        ]
        assert min(level(end) for end in ends) > level(heard[5000:20000]) - 1


def test_a_clip_that_is_damaged_while_it_is_prepared_is_still_told_by_the_stitch(tmp_path: Path) -> None:
    clips = {Fingerprint("0"): clip(tmp_path, 0)}
    job = Job(step=output(tmp_path / "a.mp3", [0]), channels=1)
    store = Folder(tmp_path / "units.db")
    Stitcher(store, {}, written).assemble([job], clips)
    path = clips[Fingerprint("0")].path
    time.sleep(0.02)
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    for _ in range(2):
        with pytest.raises(DamagedClip):
            Stitcher(store, {}, written).prepare(job, 0, clips)
    with pytest.raises(DamagedClip):
        Stitcher(store, {}, written).assemble([job], clips)


class Folder(Memory):
    """Units on disk."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.kept = Units(path, SystemClock().now)

    def unit(self, key: str) -> tuple[bytes, float] | None:
        return self.kept.read(key)

    def keep_unit(self, key: str, data: bytes) -> None:
        self.kept.keep(key, data)
