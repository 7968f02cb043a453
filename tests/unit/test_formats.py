"""Every kind of output, written, decoded by others, and measured."""

from __future__ import annotations

import io
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import av
import imageio_ffmpeg
import miniaudio
import numpy as np
import pytest
from msgspec.structs import replace
from mutagen.flac import FLAC
from mutagen.mp4 import MP4
from mutagen.oggopus import OggOpus
from sounds import Memory, clip, output

from fishpipe.audio.assemble import Stitcher
from fishpipe.audio.sounds import Sounds
from fishpipe.audio.wav import WavWriter
from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.ports import ClipFile, Job
from fishpipe.store.durable import written

if TYPE_CHECKING:
    from pathlib import Path

    from fishpipe.graph.steps import OutputStep
    from fishpipe.ports import Made

EXACT = ["a.wav", "a24.wav", "a.flac", "a24.flac", "a.mp3", "exact.mp3"]
LOSSY = ["a.opus", "a.m4a", "a.m4b"]
TAGS = {"title": "Übung", "artist": "A", "album": "B", "language": "en"}


@pytest.fixture
def clips(tmp_path: Path) -> dict[Fingerprint, ClipFile]:
    return {Fingerprint(str(n)): clip(tmp_path, n) for n in range(6)}


def step(path: Path, *, chapters: int = 3, **settings: Any) -> OutputStep:
    base = output(path, range(6))
    name = path.name
    more = {"bits": 24} if "24" in name else {"exact": True} if "exact" in name else {}
    more |= {"sample_rate": 48000, "bitrate": 64} if name.endswith("opus") else {}
    made = replace(base.output, format=name.rpartition(".")[2], **{**more, **settings})
    items = tuple(
        replace(item, chapter=f"Kapitel {n}" if n % 2 == 0 and n // 2 < chapters else None)
        for n, item in enumerate(base.items)
    )
    return replace(base, output=made, items=items, tags=TAGS)


def make(clips: dict[Fingerprint, ClipFile], *steps: OutputStep, threads: int = 2) -> list[Made]:
    stitcher = Stitcher(Memory(), {}, written, threads)
    return stitcher.assemble([Job(step=step, channels=1) for step in steps], clips)


def by_ffmpeg(path: Path) -> int:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "s16le", "-"]
    return len(subprocess.run(command, capture_output=True, check=True).stdout) // 2


@pytest.mark.parametrize("name", EXACT + LOSSY)
def test_the_length_is_exact_and_the_bytes_are_the_same(
    clips: dict[Fingerprint, ClipFile], tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    made = make(clips, step(path))[0]
    first = path.read_bytes()
    assert by_ffmpeg(path) == made.length
    if name in EXACT:
        with av.open(str(path)) as container:
            assert sum(frame.samples for frame in container.decode(audio=0)) == made.length
        assert miniaudio.decode_file(str(path), nchannels=1, sample_rate=made.rate).num_frames == made.length
    assert make(clips, step(path), threads=1) == [made]
    assert path.read_bytes() == first


@pytest.mark.parametrize("name", ["a.wav", "a24.wav", "a.flac", "a24.flac"])
def test_lossless_outputs_hold_each_clip_at_its_place(
    clips: dict[Fingerprint, ClipFile], tmp_path: Path, name: str
) -> None:
    made = make(clips, step(tmp_path / name))[0]
    heard = miniaudio.decode_file(str(tmp_path / name), miniaudio.SampleFormat.FLOAT32, 1, made.rate)
    whole = np.asarray(heard.samples)
    for number, (start, end) in enumerate(made.places):
        own = np.asarray(miniaudio.mp3_read_f32(clips[Fingerprint(str(number))].path.read_bytes()).samples)
        inner = whole[start + 300 : end - 300]
        offset = int(np.correlate(own, inner, "valid").argmax()) if number < 2 else None
        if offset is not None:
            assert np.abs(own[offset : offset + len(inner)] - inner).max() < (1e-6 if "24" in name else 4e-5)
    gap = whole[made.places[0][1] : made.places[1][0]]
    assert len(gap) == round(made.rate * 0.3)
    assert not gap.any(), "digital silence, without dither"


@pytest.mark.parametrize("name", ["a.opus", "a.m4a", "a.m4b", "a.flac"])
def test_chapters_and_tags_are_read_back(clips: dict[Fingerprint, ClipFile], tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    made = make(clips, step(path))[0]
    starts = [made.places[n][0] * 1000 // made.rate for n in (0, 2, 4)]
    if name in ("a.flac", "a.opus"):
        comments = FLAC(path) if name == "a.flac" else OggOpus(path)
        assert comments["title"] == ["Übung"]
        assert comments["CHAPTER002NAME"] == ["Kapitel 4"]
        assert comments["CHAPTER002"] == [f"00:00:{starts[2] / 1000:06.3f}"]
        return
    with av.open(str(path)) as container:
        chapters = container.chapters()
        assert [chapter["metadata"]["title"] for chapter in chapters] == ["Kapitel 0", "Kapitel 2", "Kapitel 4"]
        assert [int(chapter["start"] * chapter["time_base"] * 1000) for chapter in chapters] == pytest.approx(
            starts, abs=1
        )
    tags = MP4(path)
    assert (tags["\xa9nam"], tags["pgap"]) == (["Übung"], True)
    assert ("stik" in tags) == name.endswith("m4b")
    assert path.read_bytes().find(b"moov") < path.read_bytes().find(b"mdat"), "it can be played while it comes"


def test_an_m4b_has_more_chapters_than_255(clips: dict[Fingerprint, ClipFile], tmp_path: Path) -> None:
    one = step(tmp_path / "a.m4b").items[0]
    items = tuple(replace(one, address=f"one/{n}", chapter=f"{n}") for n in range(300))
    make(clips, replace(step(tmp_path / "a.m4b"), items=items))
    with av.open(str(tmp_path / "a.m4b")) as container:
        assert len(container.chapters()) == 300


def test_several_formats_decode_each_clip_once(
    clips: dict[Fingerprint, ClipFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    real = Sounds._decode

    def counted(self: Sounds, item: Any) -> Any:
        decoded.append(item.address)
        return real(self, item)

    monkeypatch.setattr(Sounds, "_decode", counted)
    made = make(clips, *(step(tmp_path / name, chapters=0) for name in ("a.mp3", "a.wav", "a.m4a", "a.opus")))
    assert sorted(decoded) == [f"one/{n}" for n in range(6)]
    assert [each.rate for each in made] == [44100, 44100, 44100, 48000]


def test_a_wav_above_its_limit_is_rf64(tmp_path: Path) -> None:
    data = np.arange(5000, dtype="<i2").tobytes()
    for largest in (1 << 20, 9000):
        file = io.BytesIO()
        writer = WavWriter(file, 44100, 1, {"title": "T"}, largest=largest)
        writer.write(data)
        writer.close()
        whole = file.getvalue()
        (tmp_path / "a.wav").write_bytes(whole)
        with av.open(str(tmp_path / "a.wav")) as container:
            heard = b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))
        assert heard == data
        assert whole[:4] == (b"RF64" if largest == 9000 else b"RIFF")
    assert struct.unpack("<QQQ", whole[20:44]) == (len(whole) - 8, len(data), 5000)


def test_a_stereo_output_of_a_mono_clip_has_two_equal_channels(
    clips: dict[Fingerprint, ClipFile], tmp_path: Path
) -> None:
    one = step(tmp_path / "a.flac", channels=2)
    Stitcher(Memory(), {}, written).assemble([Job(step=one, channels=2)], clips)
    sound = miniaudio.decode_file(str(tmp_path / "a.flac"))
    both = np.asarray(sound.samples).reshape(-1, 2)
    assert sound.nchannels == 2
    assert np.abs(both[:, 0].astype(int) - both[:, 1]).max() <= 2, "the dither differs"
