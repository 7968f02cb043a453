"""Takes: rendered, chosen, kept; a pin belongs to the words."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import miniaudio
import numpy as np
import pytest

from tests.functional.test_lock import alone, digest, edit, entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]
    Point = Callable[..., Service]

SHOW = """
    fishpipe: 1
    store: clips
    scripts:
      one:
        output: one.mp3
        segments:
          - text: Good evening.
          - {id: harbour, text: The harbour is quiet tonight.}
          - text: Good night.
      two:
        output: two.mp3
        segments:
          - text: The harbour is quiet tonight.
    """


def takes(cli: Cli, target: str = "one/harbour") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli("takes", target, "--json").data[0]["takes"]
    return found


def current(cli: Cli, target: str = "one/harbour") -> int:
    return next(int(take["take"]) for take in takes(cli, target) if take["current"])


def test_one_retake_is_used_and_undone_for_free(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    first = digest("one.mp3"), digest("two.mp3")
    dry = cli("retake", "one/harbour", "--dry-run")
    assert "one/harbour (and 1 more): ~$0.0004: take 2" in dry.out
    done = cli("retake", "one/harbour")
    assert done.code == 0, done.err
    told = "one/harbour: take 2 is used from now on; also used by two/0001 (undo: fishpipe takes use one/harbour 1)"
    assert told in done.err
    assert len(service.usage()) == 4
    assert {"take": 2}.items() <= next(entry for entry in entries() if "pin" in entry).items()
    assert cli("build").code == 0
    assert digest("one.mp3") != first[0]
    assert digest("two.mp3") != first[1]
    assert cli("takes", "use", "one/harbour", "1").out.startswith("one/harbour: take 1 is used from now on")
    assert cli("build").code == 0
    assert (digest("one.mp3"), digest("two.mp3")) == first
    assert len(service.usage()) == 4


def test_of_several_retakes_one_is_chosen(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    done = cli("retake", "one/harbour", "-n", "3")
    assert "takes 2, 3, 4 are here" in done.err
    assert "choose: fishpipe takes use one/harbour N" in done.err
    assert cli("build").out.startswith("Nothing to do"), "none of them is used yet"
    listed = takes(cli)
    assert [take["take"] for take in listed] == [1, 2, 3, 4]
    assert len({take["digest"] for take in listed}) == 4
    for take in listed:
        assert miniaudio.get_file_info(take["path"]).duration == pytest.approx(take["seconds"], abs=0.05)
        assert -40 < take["lufs"] < -5
        assert take["usd"] == pytest.approx(29 * 15e-6)
        assert take["at"].startswith("20")
    text = cli("takes", "one/harbour").out
    assert "* take 1" in text
    assert "  take 4" in text
    assert cli("takes", "use", "one/harbour", "3").code == 0
    assert current(cli) == 3
    refused = cli("takes", "use", "one/harbour", "9")
    assert refused.code == 2
    assert "one/harbour has no take 9; known: 1, 2, 3, 4. More: fishpipe retake one/harbour" in refused.err


def test_a_pin_belongs_to_the_words(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    assert cli("retake", "one/0001").code == 0
    assert cli("build").code == 0
    pinned = digest("one.mp3")
    edit("- text: Good evening.", "- text: Once upon a time.\n      - text: Good evening.")
    assert cli("build").code == 0
    assert current(cli, "one/0002") == 2, "an insert moves nothing"
    edit("      - text: Once upon a time.\n", "")
    assert cli("build").code == 0
    edit("Good evening.", "Good morning.")
    plan = cli("plan").out
    assert "(take 2 was chosen for the words before; these begin at take 1)" in plan
    assert cli("build").code == 0
    assert current(cli, "one/0001") == 1
    paid = len(service.usage())
    edit("Good morning.", "Good evening.")
    assert cli("build").code == 0
    assert digest("one.mp3") == pinned, "restoring a text restores its pin"
    assert len(service.usage()) == paid


def test_pins_and_takes_outlive_the_ledger(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    assert cli("build").code == 0
    assert cli("retake", "one/harbour", "-n", "2").code == 0
    assert cli("takes", "use", "one/harbour", "3").code == 0
    assert cli("build").code == 0
    expected = digest("one.mp3")
    shutil.rmtree(".fishpipe")
    alone(monkeypatch)
    assert [take["take"] for take in takes(cli)] == [1, 2, 3]
    assert cli("build", "--frozen", "--offline").code == 0
    assert digest("one.mp3") == expected
    assert cli("takes", "use", "one/harbour", "2").code == 0
    assert cli("build", "--frozen", "--offline").code == 0
    assert digest("one.mp3") != expected


def test_the_manifest_may_say_the_take(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("quiet tonight.}", "quiet tonight., take: 2}"))
    plan = cli("plan", "--json").data
    assert plan["calls"] == 4, "two equal lines with other takes are two calls"
    assert cli("build").code == 0
    assert len(service.usage()) == 4
    done = cli("retake", "one/harbour")
    assert "one/harbour: take 3 is here; to use it, write take: 3 at fishpipe.yaml:8:66" in done.err
    refused = cli("takes", "use", "one/harbour", "3")
    assert refused.code == 2
    assert "the manifest sets its take at fishpipe.yaml:8:66; write take: 3 there" in refused.err
    edit("take: 2", "take: 3")
    assert cli("plan", "--json").data["calls"] == 0
    edit("take: 3", "take: 0")
    assert cli("plan").code == 3


def test_retakes_keep_to_the_budget_and_are_refused_before_a_call(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    refused = cli("retake", "one", "-n", "10", "--budget", "0.001")
    assert refused.code == 5
    assert "30 calls" in refused.err
    assert len(service.usage()) == 3


def test_filters_choose_segments(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    assert "0 calls" not in cli("retake", "--where", "text~^Good", "--dry-run").out
    assert "2 calls" in cli("retake", "--where", "text~^Good", "--dry-run").out
    assert "1 call," in cli("retake", "one", "two", "--where", "script=two", "--dry-run").out
    for wrong, told in (("voise=ana", 'did you mean "voice"?'), ("text~(", "unterminated"), ("id=zzz", "no spoken")):
        refused = cli("retake", "--where", wrong)
        assert refused.code == 2
        assert told in refused.err
    assert cli("retake").code == 2


def test_a_retake_that_died_is_collected(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    assert cli("retake", "one/harbour", "-n", "2").code == 0
    Path("fishpipe.lock").unlink()
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        query = (
            "UPDATE calls SET state = 'submitted', url = NULL, digest = NULL WHERE json_extract(record, '$.take') = 3"
        )
        assert db.execute(query).rowcount == 1
        key = db.execute("SELECT fingerprint FROM calls WHERE state = 'submitted'").fetchone()[0]
    for clip in (*Path("clips").rglob(f"{key}*"), *Path(".fishpipe/clips").rglob(f"{key}*")):
        clip.unlink()
    assert "1 to collect" in cli("plan").out
    assert current(cli) == 1, "one that is not over is not in use"
    assert "take 3" not in cli("status").out
    dry = cli("retake", "one/harbour", "--dry-run").out
    assert "0 calls, nothing to pay; 1 to collect" in dry, "it is collected, and no other is paid for"
    assert cli("build").code == 0
    assert [take["state"] for take in takes(cli)] == ["stored"] * 3
    assert len(service.usage()) == 5


def heard(path: str) -> np.ndarray[Any, Any]:
    return np.asarray(miniaudio.decode_file(path, nchannels=1, sample_rate=44100).samples, dtype=np.float64) / 32768


def test_a_reel_has_each_take_between_its_neighbours_at_one_level(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("quiet tonight.}", "quiet tonight., prosody: {volume: -14}}"))
    assert cli("build").code == 0
    assert cli("retake", "one/harbour", "-n", "2").code == 0
    done = cli("takes", "one/harbour", "--reel", "reel.wav")
    assert done.code == 0, done.err
    assert "3 takes, each a chapter" in done.out
    sound = heard("reel.wav")
    windows = sound[: len(sound) // 441 * 441].reshape(-1, 441)
    loud = np.sqrt(np.mean(np.square(windows), axis=1)) > 10 ** (-50 / 20)
    gaps = np.flatnonzero(np.diff(loud.astype(int)) == 1)
    silences = [n for n in np.diff(np.flatnonzero(loud)) if n > 100]
    assert len(silences) == 2, f"three groups, apart from each other: {gaps}"
    level = [take["lufs"] for take in takes(cli)]
    rms = 20 * np.log10(np.sqrt(np.mean(np.square(windows[loud]))))
    assert rms == pytest.approx(float(np.median(level)), abs=2.0), "the neighbours are brought to the takes' level"
    assert cli("takes", "one/harbour", "--reel", "reel.txt").code == 2
    assert cli("takes", "one/harbour", "--reel", "reel.wav").code == 0, "a reel may take an older one's place"
    before = Path("one.mp3").read_bytes()
    refused = cli("takes", "one/harbour", "--reel", "one.mp3")
    assert (refused.code, Path("one.mp3").read_bytes()) == (2, before)
    assert "is a file already, and no reel" in refused.err
    assert cli("takes", "one/harbour", "--reel", "nowhere/reel.mp3").code == 2
    assert cli("build").out.startswith("Nothing to do")


def test_play_hands_the_file_to_a_player(
    cli: Cli, write: Write, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    assert "is not built" in cli("play", "one.mp3").err
    assert cli("build").code == 0
    player = tmp_path / "player"
    player.write_text('#!/bin/sh\nshift\necho "$1" > played\n')
    player.chmod(player.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FISHPIPE_PLAYER", f"{player} --quiet")
    assert cli("play", "one.mp3").code == 0
    assert Path("played").read_text().strip().endswith("one.mp3")
    assert cli("play", "one/harbour").code == 0
    assert Path("played").read_text().strip().endswith(takes(cli)[0]["path"])
    assert "take 2 of one/harbour is not here; here: 1" in cli("play", "one/harbour", "--take", "2").err
    monkeypatch.setenv("FISHPIPE_PLAYER", "no-such-player")
    assert cli("play", "one.mp3").code == 1


def test_a_pause_has_no_takes(cli: Cli, write: Write) -> None:
    write(SHOW.replace("- text: Good night.", "- pause: 1s"))
    assert "is not a spoken text; it has no takes" in cli("takes", "one/0003").err
    assert cli("takes").code == 2
    assert cli("takes", "use", "one/harbour").code == 2


def test_what_was_never_spoken_has_nothing_to_retake(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    refused = cli("retake", "one/harbour")
    assert refused.code == 2
    assert "not spoken yet: one/harbour; there is nothing to retake: fishpipe build" in refused.err


@pytest.mark.parametrize("name", ["FISHPIPE_FROZEN", "FISHPIPE_LOCKED", "FISHPIPE_OFFLINE"])
def test_a_retake_keeps_to_the_rules(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write(SHOW)
    assert cli("build").code == 0
    monkeypatch.setenv(name, "1")
    assert cli("retake", "one/harbour").code == 5
    assert len(service.usage()) == 3


def test_what_is_to_be_typed_names_the_manifest_and_the_provider(cli: Cli, write: Write) -> None:
    write(SHOW, "other.yaml")
    assert cli("build", "other.yaml", "--provider", "sandbox").code == 0
    told = cli("retake", "other.yaml", "one/harbour", "--provider", "sandbox").err
    assert "undo: fishpipe takes use other.yaml one/harbour 1 --provider sandbox)" in told
    assert "next: fishpipe build other.yaml --provider sandbox" in told
    used = cli("takes", "use", "other.yaml", "one/harbour", "1", "--provider", "sandbox")
    assert used.code == 0
    assert "undo: fishpipe takes use other.yaml one/harbour 2 --provider sandbox)" in used.out


def test_a_damaged_take_is_said_to_be(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    path = Path(takes(cli)[0]["path"])
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert takes(cli)[0]["state"] == "damaged"
    assert "(damaged)" in cli("takes", "one/harbour").out
    assert "is damaged; have it again" in cli("play", "one/harbour").err


def test_targets_that_are_no_segment_say_what_is(cli: Cli, write: Write) -> None:
    write(SHOW)
    assert "one.mp3 is no segment; name one of script one, such as one/0001" in cli("explain", "one.mp3").err
    assert cli("takes", "one/3").out.startswith("fishpipe.yaml:9:")
    for number in ("\u00b2", "9" * 5000, "0x1", "-1"):
        assert cli("takes", "use", "one/harbour", number).code == 2
