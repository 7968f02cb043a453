"""Loudness, measured by others: ffmpeg's ebur128 and pyloudnorm."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import imageio_ffmpeg
import numpy as np
import pyloudnorm
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sounds import Memory, output, spoken

from fishpipe.audio.assemble import Stitcher
from fishpipe.audio.limiter import limited
from fishpipe.audio.loudness import Profile, integrated, profile
from fishpipe.audio.mastering import solve, voice_gains
from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.manifest.model import Loudness, Micros
from fishpipe.manifest.outputs import PRESETS
from fishpipe.ports import ClipFile, Job
from fishpipe.store.durable import written

if TYPE_CHECKING:
    from pathlib import Path

    from fishpipe.graph.steps import OutputStep
    from fishpipe.ports import Made

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def blocks(values: Any, size: int = 50_000) -> list[Any]:
    return [values[at : at + size] for at in range(0, len(values), size)]


def by_ffmpeg(path: Path) -> tuple[float, float, float]:
    """(LUFS, LRA, dBTP)."""
    command = [FFMPEG, "-nostats", "-i", str(path), "-af", "ebur128=peak=true", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    summary = said[said.index("Summary") :]
    found = [re.search(pattern, summary) for pattern in (r"I:\s+(\S+) LUFS", r"LRA:\s+(\S+) LU", r"Peak:\s+(\S+) dBFS")]
    lufs, lra, peak = (float(match[1]) for match in found if match)
    return lufs, lra, peak


def by_pyloudnorm(path: Path, rate: int, channels: int) -> float:
    raw = subprocess.run([FFMPEG, "-v", "error", "-i", str(path), "-f", "f32le", "-"], capture_output=True, check=True)
    values = np.frombuffer(raw.stdout, "<f4").reshape(-1, channels)
    return float(pyloudnorm.Meter(rate).integrated_loudness(values))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[Fingerprint, ClipFile]:
    folder = tmp_path_factory.mktemp("spoken")
    found = {Fingerprint(str(n)): spoken(folder, n) for n in range(5)}
    return found | {Fingerprint("5"): spoken(folder, 5, level=0.2)}


def step(path: Path, wanted: Loudness, seeds: Any = range(5), **settings: Any) -> OutputStep:
    base = output(path, seeds)
    made = replace(base.output, format=path.suffix[1:], loudness=wanted, **settings)
    items = tuple(replace(item, voice=f"v{str(item.clip)[0]}") for item in base.items)
    return replace(base, output=made, items=items)


def make(clips: dict[Fingerprint, ClipFile], one: OutputStep, memory: Memory | None = None, **job: Any) -> Made:
    channels = one.output.channels or 1
    stitcher = Stitcher(memory or Memory(), {}, written)
    return stitcher.assemble([Job(step=one, channels=channels, **job)], clips)[0]


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_measures_as_others_do(rate: int, channels: int) -> None:
    generator = np.random.default_rng(rate)
    swell = np.interp(np.arange(10 * rate), np.arange(41) * rate / 4, generator.uniform(0, 1, 41))[:, None] ** 3
    noise = generator.normal(0, 0.1, (10 * rate + 7, channels))
    smooth = sum(noise[n : n + 10 * rate] * weight for n, weight in enumerate(np.hanning(8)))
    values = (smooth * swell).astype(np.float32)
    found = profile(blocks(values), rate)
    assert integrated(found) == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(values), abs=0.15)
    over = float(np.abs(soxr.resample(values, rate, 4 * rate, "VHQ")).max())
    assert found.highest == pytest.approx(over, rel=0.02)
    whole = profile([values], rate)
    assert np.allclose(whole.weighted, found.weighted, atol=1e-6), "whatever the blocks"


@pytest.mark.parametrize(
    ("name", "preset", "settings"),
    [
        ("a.mp3", "podcast", {}),
        ("a.mp3", "podcast", {"channels": 2, "bitrate": 192}),
        ("a.mp3", "spotify", {"bitrate": 320}),
        ("a.mp3", "ebu", {"sample_rate": 22050}),
        ("a.mp3", "podcast", {"exact": True}),
        ("a.wav", "spotify", {}),
        ("a.flac", "ebu", {"bits": 24}),
        ("a.m4a", "podcast", {}),
        ("a.opus", "spotify", {"sample_rate": 48000, "bitrate": 64}),
    ],
)
def test_a_target_is_met_in_the_encoded_file(
    clips: dict[Fingerprint, ClipFile], tmp_path: Path, name: str, preset: str, settings: dict[str, Any]
) -> None:
    wanted = PRESETS[preset]
    path = tmp_path / name
    made = make(clips, step(path, wanted, **settings))
    channels = settings.get("channels", 1)
    target = wanted.mono if channels == 1 and wanted.mono else wanted.target
    assert target is not None
    assert made.sounding is not None
    lufs, lra, peak = by_ffmpeg(path)
    assert lufs == pytest.approx(target, abs=0.3)
    assert by_pyloudnorm(path, made.rate, channels) == pytest.approx(target, abs=0.5)
    assert peak <= wanted.true_peak + 0.2
    assert made.sounding.lufs == pytest.approx(lufs, abs=0.15)
    assert made.sounding.lra == pytest.approx(lra, abs=0.5)
    assert made.sounding.true_peak == pytest.approx(peak, abs=0.15)
    assert made.sounding.missed == ()


def test_acx_is_met_and_what_it_lacks_is_said(clips: dict[Fingerprint, ClipFile], tmp_path: Path) -> None:
    ends = {"bitrate": 192, "head": Micros(750_000), "tail": Micros(2_000_000)}
    made = make(clips, step(tmp_path / "a.mp3", PRESETS["acx"], **ends))
    assert made.sounding is not None
    assert -23 <= made.sounding.rms <= -18
    assert by_ffmpeg(tmp_path / "a.mp3")[2] <= -2.95
    assert made.sounding.floor <= -60
    assert [miss for miss in made.sounding.missed if "room_tone" in miss] == list(made.sounding.missed)
    assert made.places[0][0] / made.rate == pytest.approx(0.75, abs=0.02)
    assert (made.length - made.places[-1][1]) / made.rate == pytest.approx(2, abs=0.02)


def test_a_target_that_peaks_forbid_is_missed_with_the_reason(
    clips: dict[Fingerprint, ClipFile], tmp_path: Path
) -> None:
    made = make(clips, step(tmp_path / "a.mp3", Loudness(target=-6.0)))
    assert made.sounding is not None
    assert re.fullmatch(r"-\d+\.\d LUFS, not -6: its peaks leave no more room under -1 dB", made.sounding.missed[0])
    assert by_ffmpeg(tmp_path / "a.mp3")[2] <= -0.8


def test_one_gain_is_pinned_so_that_an_edit_encodes_its_line_alone(
    clips: dict[Fingerprint, ClipFile], tmp_path: Path
) -> None:
    memory, wanted = Memory(), PRESETS["podcast"]
    first = make(clips, step(tmp_path / "a.mp3", wanted, range(4)), memory)
    before = set(memory.units)
    second = make(clips, step(tmp_path / "a.mp3", wanted, [0, 1, 4, 3]), memory, pin=first.pin)
    fresh = [
        key for key in set(memory.units) - before if not key.endswith(".heard") and len(memory.units[key]) > 20_000
    ]
    assert second.pin == first.pin
    assert len(fresh) == 1, "the others are as they were"
    assert by_ffmpeg(tmp_path / "a.mp3")[0] == pytest.approx(-19, abs=0.6)
    louder = replace(wanted, target=-14.0, mono=-14.0)
    assert make(clips, step(tmp_path / "a.mp3", louder), memory, pin=first.pin).pin["gain"] > first.pin["gain"] + 4
    odd = {**first.pin, "gain": first.pin["gain"] + 3}
    assert make(clips, step(tmp_path / "b.mp3", wanted, range(4)), memory, pin=odd).pin == first.pin
    kept = make(clips, step(tmp_path / "b.mp3", wanted, range(4)), memory, pin=odd, is_pinned=True)
    assert kept.pin["gain"] == odd["gain"], "a locked gain stays, and is told"
    assert kept.sounding is not None
    assert "louder" in kept.sounding.missed[0]


def test_voices_come_to_one_level_and_a_whisper_stays_one(clips: dict[Fingerprint, ClipFile], tmp_path: Path) -> None:
    wanted = replace(PRESETS["podcast"], by_voice=True)
    base = step(tmp_path / "a.wav", wanted, [0, 2, 5])
    items = (*base.items[:2], replace(base.items[2], voice="soft"))
    made = make(clips, replace(base, items=items))
    assert made.pin["voices"]["soft"] > 8
    one_voice = tuple(replace(item, voice="same") for item in base.items)
    made = make(clips, replace(base, items=one_voice))
    assert made.pin["voices"] == {"same": 0.0}, "its quiet line is meant to be quiet"


@given(st.floats(-30, 30), st.floats(0.2, 1.0), st.floats(-40, -6))
def test_the_solver_finds_the_gain_through_what_the_limiter_takes(start: float, slope: float, target: float) -> None:
    def loudness(gain: float) -> float:
        knee = 3.0
        return start - 20 + (gain if gain < knee else knee + (gain - knee) * slope)

    gain = solve(loudness, target)
    nearest = min(abs(target - loudness(g / 10)) for g in range(-400, 401))
    room = max(target - loudness(0.0), 0) + 6
    assert abs(loudness(gain) - target) <= max(nearest, 0.06) + 0.01 or gain >= round(room, 2) - 0.02 or abs(gain) == 40


def test_a_pinned_voice_stays_while_it_is_near() -> None:
    assert voice_gains({"a": -20.0, "b": -26.0}, -22.0, {"a": -1.5}) == {"a": -1.5, "b": 4.0}
    assert voice_gains({"a": -20.0}, -22.0, {"a": 1.5}) == {"a": -2.0}


@given(st.integers(0, 2**32), st.floats(0.05, 1.0), st.sampled_from([22050, 44100, 48000]))
def test_the_limiter_keeps_true_peaks_and_leaves_the_rest(seed: int, ceiling: float, rate: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(0, 0.2, (rate, 1)).astype(np.float32)
    values[rate // 2 :] *= 0.01
    limit = np.concatenate(list(limited(blocks(values, 12_800), 1.5, ceiling, rate)))
    assert np.abs(soxr.resample(limit, rate, 4 * rate, "VHQ")).max() <= ceiling * 1.03
    quiet = slice(rate // 2 + rate // 10, None)
    assert np.abs(limit[quiet] - values[quiet] * 1.5).max() < 1e-6
    whole = np.concatenate(list(limited([values], 1.5, ceiling, rate)))
    assert np.abs(whole - limit).max() < 1e-3, "whatever the blocks"


def test_a_profile_is_kept_whole() -> None:
    found = profile([np.random.default_rng(0).normal(0, 0.1, (44100, 2)).astype(np.float32)], 44100)
    again = Profile.from_bytes(found.to_bytes())
    assert again is not None
    assert (again.weighted == found.weighted).all()
    assert Profile.from_bytes(b"") is Profile.from_bytes(b"no profile") is None
    assert integrated(found.scaled(0.5)) == pytest.approx(integrated(found) - 6.02, abs=0.01)
