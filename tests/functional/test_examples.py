"""The examples are built, decoded and measured: duration, level, silence, order."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import miniaudio
import numpy as np
import pytest

from fishpipe.sandbox.level import loudness

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result

EXAMPLES = Path(__file__).parents[2] / "examples"


def built(name: str, cli: Callable[..., Result], tmp_path: Path) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Build an example; its first output's status, and its samples."""
    shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns(".fishpipe", "dist"))
    os.chdir(tmp_path / name)
    done = cli("build")
    assert done.code == 0, done.err
    output = cli("status", "--json").data["outputs"][0]
    sound = miniaudio.decode_file(output["path"], miniaudio.SampleFormat.FLOAT32, 1, output["sample_rate"])
    return output, np.frombuffer(sound.samples, np.float32)


def check(output: dict[str, Any], sound: np.ndarray[Any, Any]) -> None:
    """Every line is heard in its place, in order, at a level; the length is the timeline's."""
    rate = output["sample_rate"]
    assert len(sound) == output["samples"]
    end = 0
    for segment in output["segments"]:
        assert segment["start"] >= end
        end = segment["end"]
        part = sound[segment["start"] : end]
        level = loudness(part, rate) if len(part) > rate // 2 else 20 * np.log10(np.abs(part).max())
        assert -32 < level < -10, segment
    assert -23 < loudness(sound, rate) < -17


def test_hello_is_an_episode(cli: Callable[..., Result], tmp_path: Path) -> None:
    output, sound = built("hello", cli, tmp_path)
    check(output, sound)
    assert 45 < output["seconds"] < 58
    assert output["segments"][0]["kind"] == "audio"
    assert [s["chapter"] for s in output["segments"] if "chapter" in s] == ["What has just happened"]
    assert [s["text"] for s in output["segments"] if s["place"].startswith("fishpipe.yaml:14:")]
    jingle = sound[: output["segments"][0]["end"]]
    assert np.abs(jingle[-200:]).max() < 0.01, "the jingle fades out"


def test_editing_line_14_of_hello_costs_one_call(cli: Callable[..., Result], tmp_path: Path) -> None:
    built("hello", cli, tmp_path)
    manifest = Path("fishpipe.yaml")
    lines = manifest.read_text("utf-8").splitlines(keepends=True)
    lines[13] = lines[13].replace("Hello!", "Good morning!")
    manifest.write_text("".join(lines), "utf-8")
    plan = cli("plan", "--json").data
    assert plan["calls"] == 1
    assert plan["actions"][0]["reason"]["code"] == "changed"


@pytest.mark.soak
def test_earnest_is_a_scene_of_five_voices(cli: Callable[..., Result], tmp_path: Path) -> None:
    output, sound = built("earnest", cli, tmp_path)
    check(output, sound)
    assert len(output["segments"]) >= 60
    assert len(cli("status", "--json").data["voices"]) == 5
    # Captions show what is heard: no cues.
    texts = re.sub(r"\[[^\]]*\]|\s", "", Path(EXAMPLES / "earnest" / "fishpipe.yaml").read_text("utf-8"))
    shown = [json.dumps(re.sub(r"\s", "", s["text"]), ensure_ascii=False)[1:-1] for s in output["segments"]]
    order = [texts.index(words) for words in shown]
    assert len(set(order)) >= 60


def test_the_book_is_an_audiobook_and_a_file_a_chapter(cli: Callable[..., Result], tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "book", tmp_path / "book", ignore=shutil.ignore_patterns(".fishpipe", "dist"))
    os.chdir(tmp_path / "book")
    assert cli("build", "-q").code == 0
    assert cli("lint").code == 0
    whole, *parts = cli("status", "--json").data["outputs"]
    assert whole["seconds"] == pytest.approx(150, abs=15)
    assert [part["path"] for part in parts] == ["dist/01-down-the-rabbit-hole.mp3", "dist/02-a-mad-tea-party.mp3"]
    texts = [[s["text"] for s in output["segments"] if "text" in s] for output in (whole, *parts)]
    assert texts[0] == texts[1] + texts[2]
    assert "waistcoat-pocket" in " ".join(texts[0])
    assert texts[0][-4:-1] == [
        "I don’t see any wine.",
        "There isn’t any.",
        "Then it wasn’t very civil of you to offer it.",
    ]


def test_no_two_hosts_sound_alike(cli: Callable[..., Result], tmp_path: Path) -> None:
    output, sound = built("hello", cli, tmp_path)
    rate = output["sample_rate"]
    pitches = {}
    for number, name in ((1, "mira"), (2, "theo"), (3, "robot")):
        segment = output["segments"][number]
        pitches[name] = median_pitch(sound[segment["start"] : segment["end"]], rate)
    low, middle, high = sorted(pitches.values())
    assert middle / low > 1.1, pitches
    assert high / middle > 1.1, pitches


def median_pitch(sound: np.ndarray[Any, Any], rate: int) -> float:
    """F0 in hertz, by autocorrelation of the voiced frames."""
    size, found = rate // 20, []
    for start in range(0, len(sound) - size, size):
        frame = sound[start : start + size] * np.hanning(size)
        if np.sqrt(np.mean(frame**2)) < 0.02:
            continue
        power = np.abs(np.fft.rfft(frame, 2 * size)) ** 2
        lags = np.fft.irfft(power)[: rate // 60]
        lag = int(lags[rate // 400 :].argmax()) + rate // 400
        if lags[lag] > 0.4 * lags[0]:
            found.append(rate / lag)
    return float(np.median(found))


def test_the_tour_begins_each_line_when_its_screen_does(cli: Callable[..., Result], tmp_path: Path) -> None:
    output, sound = built("tour", cli, tmp_path)
    rate = output["sample_rate"]
    starts = {segment["address"]: segment["start"] / rate for segment in output["segments"]}
    assert [starts[f"tour/{name}"] for name in ("welcome", "boats", "ask", "bye")] == [2, 7, 13, 22]
    assert len(sound) == output["samples"]
    music = 20 * np.log10(np.std(sound[rate : 2 * rate - rate // 4]))
    speech = 20 * np.log10(np.std(sound[2 * rate + rate // 4 : 4 * rate]))
    assert speech > music + 6, "the music lies under the speech"
    assert np.abs(sound[-rate // 20 :]).max() < 0.01, "it fades out"
    kinds = {each["path"].rpartition(".")[2]: each for each in cli("status", "--json").data["outputs"]}
    assert set(kinds) == {"mp3", "m4b", "flac"}
    assert cli("build", "-B", "--frozen", "--locked", "--offline").code == 0
