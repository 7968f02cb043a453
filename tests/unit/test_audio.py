"""Real sounds, written, decoded and measured."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import miniaudio
import numpy as np
import pytest
from mutagen.id3 import ID3

from fishpipe.audio.carrier import AudioSegment, quantised, samples, segment
from fishpipe.audio.decode import decode_clip, decode_file
from fishpipe.audio.edit import Cut, Shape, find_cut
from fishpipe.audio.edit import render as render_sound
from fishpipe.audio.inspect import ClipInspector
from fishpipe.audio.lame import Mp3Writer
from fishpipe.audio.mp3 import declared_frames, walk
from fishpipe.audio.tags import id3_tag
from fishpipe.audio.wav import WavWriter
from fishpipe.errors import AudioError, ImplausibleAudio, Span
from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.graph.frames import Frame
from fishpipe.graph.steps import ClipStep, Use
from fishpipe.manifest.model import Edits, Micros, Settings

if TYPE_CHECKING:
    from pathlib import Path

Array = np.ndarray[Any, Any]
PLAIN = Edits(trim="off")


def render(sound: AudioSegment, cut: Cut, edits: Edits, rate: int, channels: int, dither: int | None) -> AudioSegment:
    """The edited sound in 16 bits."""
    noise = None if dither is None else np.random.default_rng(dither)
    return segment(quantised(render_sound(sound, cut, Shape.of(edits), rate, channels), "s16", noise), rate, channels)


def tone(seconds: float, rate: int = 44100, hertz: float = 440.0, level: float = 0.3) -> Array:
    time = np.arange(int(seconds * rate)) / rate
    return np.rint(np.sin(2 * np.pi * hertz * time) * level * 32767).astype("<i2")


def mp3(data: Array, rate: int = 44100, channels: int = 1, bitrate: int = 128) -> bytes:
    file = io.BytesIO()
    writer = Mp3Writer(file, rate, channels, bitrate)
    writer.write(data.tobytes())
    writer.close()
    return file.getvalue()


def first_frames(whole: bytes, count: int) -> bytes:
    """The file, cut between two frames: only its own promise tells."""
    last = list(walk(whole))[count]
    return whole[: last.offset + last.size]


def step(text: str = "Ten words are about three seconds of speech, or so.", **asked: Any) -> ClipStep:
    use = Use(address="one/0001", span=Span("fishpipe.yaml"), script="one")
    key = Fingerprint("f")
    frame = Frame(settings=Settings(**asked), realm="loopback")
    return ClipStep(fingerprint=key, words=key, frame=frame, text=text, uses=(use,))


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("extra", [0, 1, 575, 1151])
def test_an_mp3_decodes_to_exactly_its_samples(rate: int, channels: int, extra: int) -> None:
    length = rate + extra
    data = np.repeat(tone(2, rate)[:length, None], channels, axis=1)
    whole = mp3(data, rate, channels, 128)
    decoded = miniaudio.mp3_read_s16(whole)
    assert (decoded.num_frames, decoded.sample_rate, decoded.nchannels) == (length, rate, channels)
    heard = np.array(decoded.samples).reshape(-1, channels)[rate // 4 : -rate // 4]
    assert np.abs(heard.astype(int) - data[rate // 4 : -rate // 4]).max() < 900, "in place, not shifted"


def test_frames_are_counted_as_promised() -> None:
    whole = id3_tag({"title": "T"}, []) + mp3(tone(3))
    frames = list(walk(whole))
    assert declared_frames(whole, frames[0]) == len(frames) - 1


def test_tags_and_chapters_are_read_back() -> None:
    tag = id3_tag(
        {"title": "Ü", "artist": "A", "album": "B", "language": "pt-BR"}, [("One", 0, 1000), ("Two", 1000, 2000)]
    )
    read = ID3(io.BytesIO(tag + mp3(tone(2))))
    assert [str(read[name]) for name in ("TIT2", "TPE1", "TALB", "TLAN")] == ["Ü", "A", "B", "por"]
    assert [(c.start_time, c.end_time, str(c.sub_frames["TIT2"])) for c in read.getall("CHAP")] == [
        (0, 1000, "One"),
        (1000, 2000, "Two"),
    ]
    assert tag == id3_tag(
        {"title": "Ü", "artist": "A", "album": "B", "language": "pt-BR"}, [("One", 0, 1000), ("Two", 1000, 2000)]
    )


def test_chapters_are_written_in_the_order_of_their_times() -> None:
    titles = ["A long title comes first", "Short", "Of middle length", "B"]
    tag = id3_tag({"title": "T"}, [(title, n * 1000, n * 1000 + 1000) for n, title in enumerate(titles)])
    assert [tag.index(title.encode()) for title in titles] == sorted(tag.index(title.encode()) for title in titles)
    assert [str(c.sub_frames["TIT2"]) for c in ID3(io.BytesIO(tag + mp3(tone(2)))).getall("CHAP")] == titles


def test_a_wav_is_exact(tmp_path: Path) -> None:
    data = tone(1.5, 48000)
    with (tmp_path / "a.wav").open("w+b") as file:
        writer = WavWriter(file, 48000, 1, {"title": "odd", "artist": "A"})
        writer.write(data.tobytes())
        writer.close()
    sound = decode_file(tmp_path / "a.wav")
    assert (samples(sound)[:, 0] == data).all()


def test_trim_keeps_a_little_of_the_silence() -> None:
    rate = 44100
    silent = np.zeros(rate, "<i2")
    sound = segment(np.concatenate([silent, tone(1), silent]).tobytes(), rate, 1)
    cut = find_cut(sound, "auto", None, None)
    assert abs(cut.start - (rate - 0.04 * rate)) <= rate * 0.006
    assert abs(cut.end - (2 * rate + 0.12 * rate)) <= rate * 0.006
    assert find_cut(sound, "off", None, None) == Cut(0, 3 * rate, rate)
    assert find_cut(segment(silent.tobytes(), rate, 1), "auto", None, None) == Cut(0, rate, rate)


def test_start_and_end_choose_a_part() -> None:
    sound = segment(tone(3).tobytes(), 44100, 1)
    assert find_cut(sound, "off", Micros(1_000_000), Micros(2_500_000)) == Cut(44100, 110250, 44100)
    assert find_cut(sound, "off", Micros(5_000_000), None) == Cut(132300, 132300, 44100)


@pytest.mark.parametrize(("source", "target"), [(24000, 44100), (44100, 48000), (16000, 44100), (48000, 22050)])
def test_resampling_keeps_length_pitch_and_level(source: int, target: int) -> None:
    sound = segment(tone(2, source, 1000).tobytes(), source, 1)
    cut = find_cut(sound, "off", None, None)
    heard = samples(render(sound, cut, PLAIN, target, 1, None))[:, 0].astype(float)
    assert len(heard) == cut.length_at(target) == 2 * target
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    peak = int(spectrum.argmax())
    assert peak / 2 == pytest.approx(1000, abs=1)
    spectrum[peak - 20 : peak + 21] = 0
    assert 20 * np.log10(spectrum.max() / (len(heard) * 0.3 * 32767 / 4)) < -80, "no images"


def test_gain_and_fades_are_applied_once() -> None:
    sound = segment(tone(2, level=0.5).tobytes(), 44100, 1)
    cut = find_cut(sound, "off", None, None)
    edits = Edits(trim="off", gain=-6.0, fade_in=Micros(500_000), fade_out=Micros(500_000))
    heard = np.abs(samples(render(sound, cut, edits, 44100, 1, None))[:, 0].astype(float))
    assert heard[44000:44200].max() == pytest.approx(0.5 * 32767 * 10 ** (-6 / 20), rel=0.01)
    assert heard[:50].max() < 20
    assert heard[-50:].max() < 40
    assert heard[11000:11100].max() == pytest.approx(heard[44000:44200].max() / 2, rel=0.02)


def test_an_unedited_sound_is_untouched() -> None:
    data = tone(1)
    sound = segment(data.tobytes(), 44100, 1)
    assert (samples(render(sound, find_cut(sound, "off", None, None), PLAIN, 44100, 1, 7))[:, 0] == data).all()


def test_dither_is_the_same_for_the_same_seed() -> None:
    sound = segment(tone(1).tobytes(), 44100, 1)
    cut = find_cut(sound, "off", None, None)
    quieter = Edits(trim="off", gain=-1.0)
    one, again, other = (render(sound, cut, quieter, 44100, 1, seed).raw_data for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_mono_becomes_stereo_and_back() -> None:
    sound = segment(tone(1).tobytes(), 44100, 1)
    cut = find_cut(sound, "off", None, None)
    stereo = render(sound, cut, PLAIN, 44100, 2, None)
    assert stereo.channels == 2
    assert (samples(stereo)[:, 0] == samples(stereo)[:, 1]).all()


def good(tmp_path: Path, data: bytes) -> Path:
    part = tmp_path / "part"
    part.write_bytes(data)
    return part


def test_a_good_download_passes(tmp_path: Path) -> None:
    assert ClipInspector().inspect(good(tmp_path, mp3(tone(3))), step()) == pytest.approx(3, abs=0.001)
    pcm = step(format="pcm", sample_rate=16000)
    assert ClipInspector().inspect(good(tmp_path, tone(3, 16000).tobytes()), pcm) == pytest.approx(3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>no</html>", "no mp3 frame"),
        (b"", "expected an mp3"),
        (mp3(tone(3))[:20_000], "is cut"),
        (first_frames(mp3(tone(3)), 20), "promises"),
        (mp3(np.zeros(132300, "<i2")), "silent"),
    ],
)
def test_a_bad_download_is_noticed(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=message):
        ClipInspector().inspect(good(tmp_path, data), step())


@pytest.mark.parametrize("data", [b"\x00" * 999, b"ID3" + bytes(1001), b'{"error": 1}'])
def test_bad_pcm_is_noticed(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(AudioError):
        ClipInspector().inspect(good(tmp_path, data), step(format="pcm", sample_rate=16000))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "A sentence of some length cannot last a fifth of a second."), (90, "Hi.")]
)
def test_an_implausible_length_is_suspect(seconds: float, text: str, tmp_path: Path) -> None:
    with pytest.raises(ImplausibleAudio):
        ClipInspector().inspect(good(tmp_path, mp3(tone(seconds))), step(text))


def test_odd_bytes_are_no_pcm() -> None:
    with pytest.raises(AudioError):
        decode_clip(b"abc", "pcm", 16000)
