"""Audio files that are none, or that no decoder should be left alone with: told with their place, before a call."""

from __future__ import annotations

import random
import struct
import subprocess
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from fishpipe.audio.judging import Judged, judged
from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

CODECS = {"wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame", "aiff": "pcm_s16be", "caf": "pcm_s16be",
          "m4a": "aac", "ogg": "libopus", "opus": "libopus"}  # fmt: skip
SHOW = """
    fishpipe: 1
    provider: acedata
    scripts:
      one: {{output: one.mp3, segments: [{{text: Words that would be paid for.}}, {{audio: {}}}]}}
    """


def sound(path: Path, seconds: float = 0.5) -> bytes:
    """A tone in the container that a path names."""
    rate = 48000
    with av.open(str(path), "w", format={"m4a": "ipod"}.get(path.suffix[1:])) as container:
        stream = container.add_stream(CODECS[path.suffix[1:]], rate=rate, layout="mono")
        size = stream.codec_context.frame_size or 1024
        values = (np.sin(np.arange(int(rate * seconds)) / 20) * 9000).astype("<i2")
        for start in range(0, len(values) - size, size):
            frame = av.AudioFrame.from_ndarray(values[None, start : start + size], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("kind", CODECS)
def test_sound_of_every_kind_is_taken(kind: str, cli: Cli, write: Write, service: Service) -> None:
    sound(Path(f"a.{kind}"))
    write(SHOW.format(f"a.{kind}"))
    assert cli("validate").code == 0
    assert cli("build").code == 0


def wav(**fields: tuple[int, str, int]) -> bytes:
    """A wav whose header says other things: (offset, struct format, value)."""
    with wave.open("plain.wav", "wb") as file:
        file.setparams((1, 2, 44100, 0, "NONE", "not compressed"))
        file.writeframes(bytes(44100))
    data = bytearray(Path("plain.wav").read_bytes())
    for offset, kind, value in fields.values():
        struct.pack_into(kind, data, offset, value)
    return bytes(data)


ODD = {
    "channels": {"channels": (22, "<H", 65535)},
    "no channels": {"channels": (22, "<H", 0)},
    "no bits": {"bits": (34, "<H", 0)},
    "many bits": {"bits": (34, "<H", 65535)},
    "8 Hz": {"rate": (24, "<I", 8)},
    "no rate": {"rate": (24, "<I", 0)},
    "4 GHz": {"rate": (24, "<I", 0xFFFFFFFF)},
    "another codec": {"codec": (20, "<H", 0x1234)},
}


@pytest.mark.parametrize("what", ODD)
def test_a_header_that_makes_no_sense_is_told_before_a_call(
    what: str, cli: Cli, write: Write, service: Service
) -> None:
    Path("a.wav").write_bytes(wav(**ODD[what]))
    write(SHOW.format("a.wav"))
    for verb in ("validate", "plan", "build"):
        done = cli(verb)
        assert done.code == 3, (verb, done)
        assert "fishpipe.yaml:4:" in done.err
        assert "a.wav is " in done.err
    assert service.usage() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.m3u8", "#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/x\n"),
        ("list.wav", "#EXTM3U\n{}\n"),
        ("list.mp3", "ffconcat version 1.0\nfile '{}'\n"),
        ("list.m4a", "<MPD><Period><BaseURL>{}</BaseURL></Period></MPD>"),
        ("list.ogg", "v=0\nm=audio 9 RTP/AVP 0\n"),
        ("list.aac", ";FFMETADATA1\n"),
        ("lfs.wav", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        ("empty.wav", ""),
    ],
)
def test_what_is_no_sound_but_leads_to_some_is_refused(
    name: str, text: str, cli: Cli, write: Write, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.wav"
    outside.write_bytes(wav())
    Path(name).write_text(text.format(outside))
    write(SHOW.format(name))
    done = cli("build")
    assert done.code == 3
    assert f"{name} is not an audio file that can be read" in done.err
    assert service.usage() == []


@pytest.mark.parametrize("kind", CODECS)
def test_no_damage_is_a_crash(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fishpipe.audio.judging._SECONDS", 3.0)
    chance = random.Random(kind)
    whole = sound(tmp_path / f"a.{kind}")
    paths = []
    for number in range(12):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 3, 30])):
            data[chance.randrange(chance.choice([64, len(data)]))] = chance.randrange(256)
        paths.append(tmp_path / f"{number}.{kind}")
        paths[-1].write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
    found = list(judged(paths))
    assert len(found) == len(paths)
    assert all(isinstance(each, (Judged, AudioError)) for each in found)


def test_a_decoder_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten days of silence in a small FLAC: a bomb."""
    monkeypatch.setattr("fishpipe.audio.judging._SECONDS", 3.0)
    path = tmp_path / "bomb.flac"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=192000, layout="stereo")
        size = stream.codec_context.frame_size or 4096
        silence = np.zeros((1, 2 * size), "<i2")
        for start in range(0, 400 * size, size):
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 192000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    head = data.find(b"\xff\xf8")
    path.write_bytes(data[:head] + data[head:] * 3000)
    good = tmp_path / "good.wav"
    good.write_bytes(sound(good))
    bomb, fine = judged([path, good])
    assert isinstance(bomb, (AudioError, Judged))
    assert isinstance(fine, Judged), "the files behind it are judged all the same"


def test_nothing_of_the_folder_is_imported(cli: Cli, write: Write, service: Service) -> None:
    """A repository that brings modules of the libraries' names."""
    Path("a.wav").write_bytes(wav())
    for name in ("numpy.py", "av.py", "miniaudio.py", "json.py", "fishpipe.py", "sitecustomize.py"):
        Path(name).write_text("open('ran', 'w')\n")
    write(SHOW.format("a.wav"))
    assert cli("validate").code == 0
    assert not Path("ran").exists()


def test_what_was_heard_once_is_known(cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.wav").write_bytes(wav())
    write(SHOW.format("a.wav"))
    assert cli("validate").code == 0
    monkeypatch.setattr("fishpipe.inputs._known", {})
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it is decoded once more"))
    assert cli("validate").code == 0


def test_an_mp3_that_was_cut_anywhere_is_taken(cli: Cli, write: Write, service: Service) -> None:
    """As recorders of streams and cutters by bytes leave them."""
    whole = sound(Path("whole.mp3"), 3.0)
    for number, data in enumerate((whole[3000:], bytes(2000) + whole, whole[700:])):
        Path(f"{number}.mp3").write_bytes(data)
        write(SHOW.format(f"{number}.mp3"))
        assert cli("validate").code == 0
