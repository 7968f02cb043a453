"""`mode: copy`: frames joined as they are decode to what the clips decode to."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING, Any

import av
import imageio_ffmpeg
import lameenc
import miniaudio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sounds import Memory, clip, decoded, output, spoken, voice

from fishpipe.audio.assemble import Stitcher
from fishpipe.audio.copying import cut_of_ends, frames_of, shell_of
from fishpipe.audio.decode import decode_clip
from fishpipe.audio.edit import find_cut
from fishpipe.audio.lame import Encoding, Mp3Writer
from fishpipe.audio.mp3 import stands_alone
from fishpipe.errors import AudioError
from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.manifest.model import Micros
from fishpipe.ports import ClipFile, Job
from fishpipe.store.durable import written
from fishpipe.timeline import Copied, Layout, Samples, Sound

if TYPE_CHECKING:
    from pathlib import Path

    from fishpipe.graph.steps import OutputStep
    from fishpipe.ports import Made

    Array = np.ndarray[Any, Any]

CARRIED = 1105


def made_by(folder: Path, number: int, how: str) -> ClipFile:
    """Clips as other encoders make them."""
    sound = voice(70_000 + 3_333 * number, number)
    path = folder / f"{how}-{number}.mp3"
    if how == "ffmpeg":
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "s16le", "-ar", "44100", "-ac", "1", "-i", "-"]
        bitrate = ["-q:a", "4"] if number % 2 else ["-b:a", "96k"]
        subprocess.run([*command, *bitrate, "-y", str(path)], input=sound.tobytes(), check=True)
    else:
        encoder = lameenc.Encoder()
        encoder.silence()
        encoder.set_bit_rate(128)
        encoder.set_in_sample_rate(44100)
        encoder.set_channels(1)
        path.write_bytes(bytes(encoder.encode(sound.tobytes())) + bytes(encoder.flush()))
    digest = Digest(hashlib.sha256(path.read_bytes()).hexdigest())
    return ClipFile(path=path, digest=digest, format="mp3", sample_rate=44100)


def copy(path: Path, count: int, gap: int = 300_000, **edits: Any) -> OutputStep:
    base = output(path, range(count), gap)
    made = replace(base.output, mode="copy", bitrate=192)
    items = tuple(replace(item, edits=replace(item.edits, **edits)) for item in base.items)
    return replace(base, output=made, items=items)


def make(step: OutputStep, clips: dict[Fingerprint, ClipFile], memory: Memory | None = None) -> Made:
    return Stitcher(memory or Memory(), {}, written).assemble([Job(step=step, channels=1)], clips)[0]


def own(clip: ClipFile) -> Array:
    return decoded(clip.path.read_bytes())


@pytest.mark.parametrize("how", ["lame", "ffmpeg", "untagged"])
@pytest.mark.parametrize("trim", ["off", "auto"])
def test_each_clip_decodes_to_its_own_samples(tmp_path: Path, how: str, trim: str) -> None:
    clips = {Fingerprint(str(n)): clip(tmp_path, n) if how == "lame" else made_by(tmp_path, n, how) for n in range(12)}
    memory = Memory()
    made = make(copy(tmp_path / "o.mp3", 12, trim=trim), clips, memory)
    whole = decoded((tmp_path / "o.mp3").read_bytes())
    assert len(whole) == made.length
    assert memory.encoded == 0
    previous = None
    for number, (start, end) in enumerate(made.places):
        sound = own(clips[Fingerprint(str(number))])
        cut = find_cut(decode_clip(clips[Fingerprint(str(number))].path.read_bytes(), "mp3", 44100), trim, None, None)  # type: ignore[arg-type]
        assert end - start == cut.end - cut.start
        # What decoders cut at the start of a file is there only where it has a delay of its own.
        skipped = 2000 if how == "untagged" else 0
        assert (whole[start + skipped : end] == sound[cut.start + skipped : cut.end]).all(), number
        if previous is not None:
            assert start - previous >= 1152
        previous = end
    assert len(miniaudio.mp3_read_s16((tmp_path / "o.mp3").read_bytes()).samples) == made.length
    with av.open(str(tmp_path / "o.mp3")) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == made.length


def test_nothing_drifts_over_a_thousand_joins(tmp_path: Path) -> None:
    clips = {Fingerprint(str(n)): clip(tmp_path, n) for n in range(5)}
    base = copy(tmp_path / "o.mp3", 5, gap=500_000)
    items = tuple(base.items[n % 5] for n in range(1000))
    made = make(replace(base, items=items), clips)
    lengths = [len(own(clips[Fingerprint(str(n))])) for n in range(5)]
    cuts = [end - start for start, end in made.places[:5]]
    assert all(cut <= length for cut, length in zip(cuts, lengths, strict=True))
    ideal = 0
    for number, (start, _) in enumerate(made.places):
        assert abs(start - ideal) <= 1152, number
        ideal += cuts[number % 5] + 22050
    assert len(decoded((tmp_path / "o.mp3").read_bytes())) == made.length


def test_an_edited_clip_is_encoded_between_the_others(tmp_path: Path) -> None:
    clips = {Fingerprint(str(n)): clip(tmp_path, n) for n in range(4)}
    base = copy(tmp_path / "o.mp3", 4)
    items = list(base.items)
    items[1] = replace(items[1], edits=replace(items[1].edits, gain=-6.0))
    memory = Memory()
    made = make(replace(base, items=tuple(items)), clips, memory)
    assert memory.encoded == 1
    whole = decoded((tmp_path / "o.mp3").read_bytes())
    levels = []
    for number, (start, end) in enumerate(made.places):
        cut = find_cut(decode_clip(clips[Fingerprint(str(number))].path.read_bytes(), "mp3", 44100), "auto", None, None)
        sound = own(clips[Fingerprint(str(number))])[cut.start : cut.end]
        levels.append(20 * np.log10(np.std(whole[start:end]) / np.std(sound)))
        assert (number == 1) != bool((whole[start:end] == sound).all())
    assert levels[1] == pytest.approx(-6.26, abs=0.3)


@pytest.mark.parametrize("gap", [0, 10_000])
def test_frames_are_parted_by_a_silent_one_even_without_a_gap(tmp_path: Path, gap: int) -> None:
    clips = {Fingerprint(str(n)): clip(tmp_path, n) for n in range(4)}
    made = make(copy(tmp_path / "o.mp3", 4, gap=gap), clips)
    whole = decoded((tmp_path / "o.mp3").read_bytes())
    for number, (start, end) in enumerate(made.places):
        sound = own(clips[Fingerprint(str(number))])
        offset = int(np.correlate(sound, whole[start : start + 9000], "valid").argmax())
        assert (whole[start:end] == sound[offset : offset + end - start]).all()


def test_other_rates_and_channels_are_refused_with_the_cure(tmp_path: Path) -> None:
    clips = {Fingerprint("0"): clip(tmp_path, 0)}
    base = copy(tmp_path / "o.mp3", 1)
    other = replace(base, output=replace(base.output, sample_rate=48000))
    with pytest.raises(AudioError, match=r"one/0 .* this clip has 44100 Hz; write sample_rate: 44100"):
        make(other, clips)
    with pytest.raises(AudioError, match=r"this clip is mono; write channels: 1"):
        Stitcher(Memory(), {}, written).assemble([Job(step=base, channels=2)], clips)


def test_pcm_is_encoded(tmp_path: Path) -> None:
    path = tmp_path / "a.pcm"
    path.write_bytes(voice(50_000, 1).tobytes())
    digest = Digest(hashlib.sha256(path.read_bytes()).hexdigest())
    clips = {
        Fingerprint("0"): clip(tmp_path, 0),
        Fingerprint("1"): ClipFile(path=path, digest=digest, format="pcm", sample_rate=44100),
    }
    memory = Memory()
    made = make(copy(tmp_path / "o.mp3", 2), clips, memory)
    assert memory.encoded == 1
    assert len(decoded((tmp_path / "o.mp3").read_bytes())) == made.length


def test_the_ends_give_the_cut_of_the_whole(tmp_path: Path) -> None:
    found = 0
    for number in range(6):
        data = spoken(tmp_path, number).path.read_bytes()
        starts = frames_of(data)
        shell = shell_of(data, starts)
        sound = decode_clip(data, "mp3", 44100)
        assert shell.length == sound.frame_count()
        cut = cut_of_ends(data, shell, starts, "auto")
        found += cut is not None
        assert cut in (None, find_cut(sound, "auto", None, None))
    assert found >= 3
    silent = tmp_path / "silent.mp3"
    with silent.open("w+b") as file:
        writer = Mp3Writer(file, 44100, 1, 128)
        writer.write(bytes(2 * 44100 * 8))
        writer.close()
    data = silent.read_bytes()
    assert cut_of_ends(data, shell_of(data, frames_of(data)), frames_of(data), "auto") is None


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(2000, 60_000), st.integers(0, 600_000), st.integers(-1105, 20_000)),
        min_size=1, max_size=20,
    )
)  # fmt: skip
def test_copied_and_encoded_sounds_never_meet(parts: list[tuple[bool, int, int, int]]) -> None:
    layout, end = Layout(44100, 1152), 0
    for copied, length, gap, before in parts:
        frames = -(-(before + CARRIED + length) // 1152) + 1
        own = Copied(before=before, behind=frames * 1152 - before - length) if copied else None
        place = layout.add(Sound(Samples(length), Micros(gap), copied=own))
        assert place.start >= end
        assert place.start >= 0
        if copied:
            assert place.unit is not None
            assert place.unit % 1152 == 0
            assert place.start == place.unit + before
            assert layout.free == place.unit + frames * 1152
        end = place.end


@pytest.mark.parametrize("junk", [b"", b"\n", b"\r\n", b"\xff\xfb", b"TAG" + bytes(125), b"\0" * 900])
def test_what_stands_behind_the_frames_is_left_out(tmp_path: Path, junk: bytes) -> None:
    one = clip(tmp_path, 0)
    path = tmp_path / "j.mp3"
    path.write_bytes(one.path.read_bytes() + junk)
    digest = Digest(hashlib.sha256(path.read_bytes()).hexdigest())
    clips = {Fingerprint("0"): replace(one, path=path, digest=digest), Fingerprint("1"): clip(tmp_path, 1)}
    made = make(copy(tmp_path / "o.mp3", 2), clips)
    assert len(decoded((tmp_path / "o.mp3").read_bytes())) == made.length


def test_a_clip_that_begins_within_a_stream_is_encoded(tmp_path: Path) -> None:
    whole = spoken(tmp_path, 0).path.read_bytes()
    starts = frames_of(whole)
    inner = next(n for n in range(40, 120) if not stands_alone(whole, starts[n]))
    path = tmp_path / "inner.mp3"
    path.write_bytes(whole[starts[inner] :])
    digest = Digest(hashlib.sha256(path.read_bytes()).hexdigest())
    clips = {
        Fingerprint("0"): clip(tmp_path, 0),
        Fingerprint("1"): ClipFile(path=path, digest=digest, format="mp3", sample_rate=44100),
    }
    memory = Memory()
    made = make(copy(tmp_path / "o.mp3", 2, trim="off"), clips, memory)
    assert memory.encoded == 1
    assert len(decoded((tmp_path / "o.mp3").read_bytes())) == made.length


@pytest.mark.parametrize(("rate", "bitrate"), [(16000, 8), (22050, 16), (24000, 64), (44100, 64), (44100, 320)])
def test_the_ends_give_the_cut_of_the_whole_at_any_bitrate(rate: int, bitrate: int) -> None:
    for number in range(4):
        sound = np.concatenate([np.zeros(rate // 3), voice(4 * rate, number), np.zeros(rate // 2)])
        sound += np.random.default_rng(number).normal(0, 20, len(sound))
        encoder = Encoding(rate=rate, channels=1, bitrate=bitrate).encoder()
        data = bytes(encoder.encode(np.rint(sound).astype("<i2").tobytes())) + bytes(encoder.flush())
        starts = frames_of(data)
        assert cut_of_ends(data, shell_of(data, starts), starts, "auto") == find_cut(
            decode_clip(data, "mp3", rate), "auto", None, None
        )
