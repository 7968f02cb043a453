"""Outputs as a user has them made: kinds, loudness, beds, times, copies; and what goes wrong, with its place."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import miniaudio
import numpy as np
import pytest

from fishpipe.audio.wav import WavWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    defaults: {voice: ana}
    voices: {ana: {id: d7900c21663f485ab63ebdb7e5905036}, ben: {id: d7900c21663f485ab63ebdb7e5905037}}
    scripts:
      one:
        outputs: OUTPUTS
        segments:
          - text: Good evening.
          - {text: The harbour is quiet tonight., voice: ben}
          - text: Good night.
    """


def show(outputs: str) -> str:
    return SHOW.replace("OUTPUTS", outputs)


def tone(path: str, seconds: float = 1.0) -> None:
    values = np.rint(np.sin(np.arange(round(44100 * seconds)) / 12) * 6000).astype("<i2")
    with Path(path).open("w+b") as file:
        writer = WavWriter(file, 44100, 1, {})
        writer.write(values.tobytes())
        writer.close()


def seconds(path: str) -> float:
    with av.open(path) as container:
        stream = container.streams.audio[0]
        return sum(frame.samples for frame in container.decode(stream)) / stream.rate


def events(result: Result, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in result.out.splitlines()]
    return [line for line in lines if line["event"] == name]


def units() -> set[str]:
    with closing(sqlite3.connect(".fishpipe/units.db")) as db:
        return {row[0] for row in db.execute("SELECT key FROM units")}


def test_all_kinds_from_one_script_last_as_long(cli: Cli, write: Write, service: Service) -> None:
    kinds = ["a.mp3", "a.wav", "a.flac", "a.opus", "a.m4a", "a.m4b"]
    write(show("[" + ", ".join(kinds) + ", {path: b.wav, bits: 24}]"))
    assert cli("build").code == 0
    lengths = [seconds(kind) for kind in (*kinds, "b.wav")]
    assert max(lengths) - min(lengths) < 0.06
    assert cli("build").out.startswith("Nothing to do")
    assert len(service.usage()) == 3


def test_loudness_is_reported_and_its_gain_pinned_in_the_lock(cli: Cli, write: Write, service: Service) -> None:
    write(show("[{path: a.mp3, loudness: podcast, level: voice}]"))
    built = cli("build")
    assert "-19.0 LUFS" in built.out
    assert "true peak -" in built.out
    entry = next(json.loads(line) for line in Path("fishpipe.lock").read_text().splitlines() if '"output"' in line)
    assert entry["target"] == -19.0
    assert set(entry["voices"]) == {"ana", "ben"}
    first = Path("a.mp3").read_bytes()
    assert cli("build").out.startswith("Nothing to do")
    Path(".fishpipe/units.db").unlink()
    assert cli("build", "-B", "--frozen", "--locked", "--offline").code == 0
    assert Path("a.mp3").read_bytes() == first
    lines = [line for line in Path("fishpipe.lock").read_text().splitlines() if '"output"' not in line]
    Path("fishpipe.lock").write_text("\n".join([*lines, ""]))
    refused = cli("build", "--locked")
    assert (refused.code, "a.mp3" in refused.err) == (5, True)
    assert cli("build").code == 0
    assert Path("a.mp3").read_bytes() == first, "the same gain is found again"


def test_a_merged_gain_is_used_and_a_wild_one_is_found_again(cli: Cli, write: Write, service: Service) -> None:
    write(show("[{path: a.mp3, loudness: podcast}]"))
    assert cli("build").code == 0
    lock = Path("fishpipe.lock")
    gain = next(json.loads(line)["gain"] for line in lock.read_text().splitlines() if '"output"' in line)
    lock.write_text(lock.read_text().replace(f'"gain": {gain}', f'"gain": {gain + 0.3:.2f}'))
    done = cli("build", "--json")
    assert events(done, "output_written")[0]["sounding"]["lufs"] == pytest.approx(-18.7, abs=0.15)
    lock.write_text(lock.read_text().replace(f'"gain": {gain + 0.3:.2f}', '"gain": 9'))
    assert cli("build").code == 0
    assert f'"gain": {gain}' in lock.read_text()
    lock.write_text(lock.read_text().replace(f'"gain": {gain}', '"gain": "loud"'))
    assert "gains are numbers" in cli("build").err


def test_an_edit_encodes_one_unit_and_gc_takes_what_is_left(cli: Cli, write: Write, service: Service) -> None:
    write(show("[a.mp3]"))
    assert cli("build").code == 0
    before = units()
    assert len(before) == 3
    write(show("[a.mp3]").replace("Good night.", "Sleep well."))
    assert cli("build").code == 0
    assert len(units() - before) == 1
    shown = cli("gc", "--dry-run")
    assert "pieces of earlier outputs: 1," in shown.err
    assert cli("gc", "--delete").code == 0
    assert len(units()) == 3
    assert cli("gc", "--dry-run").out == "nothing to delete\n"
    before = units()
    assert cli("build", "-B").code == 0
    assert units() == before
    Path("a.mp3").unlink()
    assert "pieces of earlier outputs: 3," in cli("gc", "--dry-run").err


def test_units_are_encoded_as_their_clips_arrive(cli: Cli, write: Write, service: Service) -> None:
    text = show("[a.mp3]").replace("- text: Good night.", "- {text: Good night., voice: gone}")
    write(text.replace("voices: {", "voices: {gone: {id: missing}, "))
    done = cli("build", "-k", "-j", "1")
    assert done.code != 0
    assert not Path("a.mp3").exists()
    assert units(), "what came before the last call is encoded, though the output waits"


def test_a_segment_that_is_late_is_told_with_its_place_and_the_excess(cli: Cli, write: Write, service: Service) -> None:
    write(show("[a.mp3, b.wav]").replace("- text: Good night.", "- {text: Good night., at: 1s}"))
    done = cli("build")
    assert done.code == 1
    assert "one/0003 (fishpipe.yaml:10:16): begins" in done.err
    assert "too late for at: 1s" in done.err
    write(show("[a.mp3, b.wav]").replace("- text: Good night.", "- {text: Good night., at: 30s}"))
    assert cli("build").code == 0
    assert seconds("b.wav") > 30
    data = json.loads(cli("status", "--json").out)
    segments = data["outputs"][1]["segments"]
    assert segments[2]["start"] == 30 * 44100


def test_beds_room_tone_and_other_edits_from_a_manifest(cli: Cli, write: Write, service: Service) -> None:
    tone("music.wav")
    text = show("[a.wav]").replace(
        "segments:",
        "bed: {audio: music.wav, loop: true, gain: -12, duck: -9, fade_in: 200ms, fade_out: 1s}\n        segments:",
    )
    text = text.replace("- text: Good night.", "- {text: Good night., tempo: 1.2, gain: -3, trim: -40}")
    write(text.replace("{text: The", "{crossfade: 50ms, text: The"))
    assert cli("build").code == 0
    heard = np.asarray(miniaudio.decode_file("a.wav", nchannels=1).samples)
    assert np.abs(heard[: 44100 // 2]).max() > 100
    tone("music.wav", 2.0)
    assert "segments changed" in cli("plan").out, "another bed is another output"
    assert cli("build").code == 0


def test_copies_and_explain_says_which_way_each_goes(cli: Cli, write: Write, service: Service) -> None:
    text = show("[{path: a.mp3, mode: copy}]").replace("- text: Good night.", "- {text: Good night., gain: -3}")
    write(text)
    assert cli("build").code == 0
    assert "a.mp3: copied frame by frame" in cli("explain", "one/0001").out
    assert "a.mp3: encoded: gain" in cli("explain", "one/0003").out
    clip = next(Path(".fishpipe/clips").rglob("*.mp3")).read_bytes()
    assert clip[2000:4000] in Path("a.mp3").read_bytes()
    write(text.replace("mode: copy", "mode: copy, sample_rate: 48000"))
    refused = cli("build")
    assert refused.code == 3, "before anything is paid"
    assert "joins frames of 48000 Hz; this line is asked for at 44100 Hz" in refused.err


def test_a_sound_without_length_is_an_error_with_its_place(cli: Cli, write: Write, service: Service) -> None:
    tone("music.wav")
    write(show("[a.mp3]").replace("- text: Good night.", "- {audio: music.wav, start: 2s}"))
    done = cli("build")
    assert done.code == 1
    assert "one/0003 (fishpipe.yaml:10:17): has no sound between its start and its end" in done.err


def test_an_output_stays_until_the_new_one_is_whole(cli: Cli, write: Write, service: Service) -> None:
    write(show("[a.mp3]"))
    assert cli("build").code == 0
    before = Path("a.mp3").read_bytes()
    tone("music.wav")
    write(show("[a.mp3]").replace("- text: Good night.", "- {audio: music.wav, start: 2s}"))
    assert cli("build").code == 1
    assert Path("a.mp3").read_bytes() == before
    assert not list(Path().glob(".a.mp3*"))


def test_a_bed_of_an_included_script_is_refused_where_frames_are_copied(
    cli: Cli, write: Write, service: Service
) -> None:
    tone("music.wav")
    text = show("[{path: a.mp3, mode: copy}]").replace("- text: Good night.", "- {script: two}")
    write(text.rstrip() + "\n      two:\n        bed: {audio: music.wav}\n        segments: [{text: Two.}]\n    ")
    refused = cli("validate")
    assert refused.code == 3
    assert "bed is mixed in, and mode: copy" in refused.err + refused.out


def test_a_bed_under_pauses_alone_is_heard(cli: Cli, write: Write, service: Service) -> None:
    tone("music.wav", 4.0)
    text = show("[a.mp3, a.wav]").replace("- text: Good night.", "- {script: two}\n          - {pause: 1s}")
    write(text.rstrip() + "\n      two:\n        bed: {audio: music.wav}\n        segments: [{pause: 3s}]\n    ")
    done = cli("build")
    assert done.code == 0, done.err
    heard = np.asarray(miniaudio.decode_file("a.mp3", nchannels=1).samples)
    assert np.abs(heard[-3 * 44100 : -2 * 44100]).max() > 3000


def test_a_unit_that_is_torn_is_made_again(cli: Cli, write: Write, service: Service) -> None:
    write(show("[{path: a.mp3, loudness: podcast}]"))
    assert cli("build").code == 0
    before = Path("a.mp3").read_bytes()
    with closing(sqlite3.connect(".fishpipe/units.db")) as db, db:
        for number, (key, data) in enumerate(db.execute("SELECT key, data FROM units ORDER BY key").fetchall()):
            torn = [b"", b"\0\0", b"\0" * 8, data[:-3]][number % 4]
            db.execute("UPDATE units SET data = ? WHERE key = ?", (torn, key))
    assert cli("build", "-B").code == 0
    assert Path("a.mp3").read_bytes() == before
    whole = Path(".fishpipe/units.db").read_bytes()
    for broken in (b"", b"no database at all", whole[: len(whole) // 2], whole[:4096] + b"\xff" * (len(whole) - 4096)):
        Path(".fishpipe/units.db").write_bytes(broken)
        assert cli("build", "-B").code == 0
        assert Path("a.mp3").read_bytes() == before


def test_outputs_of_one_name_in_two_files_have_gains_of_their_own(cli: Cli, write: Write, service: Service) -> None:
    Path("sub").mkdir()
    other = "scripts: {two: {outputs: [{path: dist/x.mp3, loudness: -24}], segments: [{text: Two., voice: ana}]}}"
    Path("sub/more.yaml").write_text(other)
    write(show("[{path: dist/x.mp3, loudness: -16}]").replace("fishpipe: 1", "fishpipe: 1\n    include: sub/more.yaml"))
    assert cli("build").code == 0
    keys = [json.loads(line).get("output") for line in Path("fishpipe.lock").read_text().splitlines()]
    assert [key for key in keys if key] == ["dist/x.mp3", "sub/dist/x.mp3"]
    assert cli("build").out.startswith("Nothing to do")


def test_locked_refuses_a_loudness_that_the_lock_has_no_gain_for(cli: Cli, write: Write, service: Service) -> None:
    write(show("[{path: a.mp3, loudness: -16, level: voice}]"))
    assert cli("build").code == 0
    write(show("[{path: a.mp3, loudness: -20, level: voice}]"))
    refused = cli("build", "--locked")
    assert (refused.code, "a.mp3" in refused.err) == (5, True)
    write(show("[{path: a.mp3, loudness: -16, level: voice}]").replace("voice: ben", "voice: ana"))
    assert cli("build").code == 0, "another voice is another output"


def test_an_edit_of_a_line_under_loudness_is_ready_when_its_clip_is(cli: Cli, write: Write, service: Service) -> None:
    write(show("[{path: a.mp3, loudness: podcast}]"))
    assert cli("build").code == 0
    text = show("[{path: a.mp3, loudness: podcast}]").replace(
        "- text: Good night.", "- {text: Sleep well., voice: gone}"
    )
    write(
        text.replace("voices: {", "voices: {gone: {id: missing}, ")
        .replace("Good evening.", "Good day.")
        .replace("quiet", "calm")
    )
    before = units()
    assert cli("build", "-k", "-j", "1").code != 0
    assert len(units() - before) >= 2, "the level of what came before the last call, and its frames at the pinned gain"


def test_other_files_that_ffmpeg_reads_can_be_used(cli: Cli, write: Write, service: Service) -> None:
    write(show("[a.m4a, a.opus]"))
    assert cli("build").code == 0
    text = show("[b.wav]").replace("- text: Good night.", "- {audio: a.m4a}\n          - {audio: a.opus, end: 1s}")
    write(text)
    assert cli("build").code == 0
    assert seconds("b.wav") > seconds("a.m4a") + 1


def test_a_lossy_output_at_a_loudness_has_the_same_bytes_from_its_lock(
    cli: Cli, write: Write, service: Service
) -> None:
    kinds = [
        "{path: a.opus, loudness: spotify}",
        "{path: b.m4a, loudness: -12}",
        "{path: c.mp3, loudness: -12, exact: true}",
    ]
    write(show("[" + ", ".join(kinds) + "]"))
    assert cli("build").code == 0
    before = [Path(name).read_bytes() for name in ("a.opus", "b.m4a", "c.mp3")]
    Path(".fishpipe/units.db").unlink()
    assert cli("build", "-B", "--frozen", "--locked", "--offline").code == 0
    assert [Path(name).read_bytes() for name in ("a.opus", "b.m4a", "c.mp3")] == before
    assert cli("build", "-B").code == 0
    assert [Path(name).read_bytes() for name in ("a.opus", "b.m4a", "c.mp3")] == before


def test_odd_beds_and_ends(cli: Cli, write: Write, service: Service) -> None:
    tone("music.wav", 1.0)
    tone("one.wav", 1 / 44100)
    text = show("[a.wav, a.mp3]").replace("- text: Good night.", "- {script: two}\n          - {audio: music.wav}")
    text = text.replace("segments:", "room_tone: one.wav\n        segments:", 1)
    write(text.rstrip() + "\n      two:\n        bed: {audio: music.wav}\n        segments: [{pause: 0s}]\n    ")
    done = cli("build")
    assert done.code == 0, done.err
    output = json.loads(cli("status", "--json").out)["outputs"][0]
    assert seconds("a.wav") == output["samples"] / output["sample_rate"]
    write(show("[{path: a.mp3, loudness: acx}]").replace("- text: Good evening.", "- {text: Good evening., at: 0s}"))
    done = cli("build")
    assert done.code == 0, done.err
    assert "set room_tone on the script" in done.out
