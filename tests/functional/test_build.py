"""A build from the outside: what is called, what is paid, what is written."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import miniaudio

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    defaults: {voice: ana}
    voices:
      ana: {sample_url: https://example.com/ana.mp3}
      ben: {id: d7900c21663f485ab63ebdb7e5905036}
    scripts:
      one:
        output: out/one.mp3
        segments:
          - text: The first line.
          - {text: The second line., voice: ben}
          - text: The third line.
    """


def spoken(service: Service) -> list[str]:
    """The texts that were billed."""
    return [item["request"].get("text") for item in service.usage() if item["type"] == "tts"]


def stamp(path: str) -> tuple[str, int]:
    file = Path(path)
    return hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns


def test_a_first_build_pays_for_each_voice_and_line_once(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    done = cli("build")
    assert done.code == 0, done.err
    assert sorted(spoken(service)) == ["The first line.", "The second line.", "The third line."]
    assert [item["type"] for item in service.usage()].count("voices") == 1
    assert "out/one.mp3" in done.out
    assert "next: edit line 10 of fishpipe.yaml, then fishpipe plan" in done.err


def test_nothing_changed_makes_no_request_and_touches_nothing(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    cli("build")
    before, paid = stamp("out/one.mp3"), len(service.usage())
    again = cli("build")
    assert (again.code, again.out) == (0, "Nothing to do. 3 clips up to date.\n")
    assert stamp("out/one.mp3") == before
    assert len(service.usage()) == paid


def test_an_edited_line_is_one_call_and_the_plan_says_why(cli: Cli, write: Write, service: Service) -> None:
    manifest = write(SHOW)
    cli("build")
    paid = len(service.usage())
    manifest.write_text(manifest.read_text().replace("third", "very last"))
    plan = cli("plan")
    assert plan.out == (
        'fishpipe.yaml:12: one/0003: ~$0.0003: text changed: "The third line." → "The very last line."\n'
        "stitch out/one.mp3: 1 clip to come\n"
        "1 call, 19 bytes, ~$0.0003; an estimate; 2 clips reused\n"
    )
    assert cli("plan", "--exit-code").code == 9
    assert cli("build").code == 0
    assert spoken(service)[-1] == "The very last line."
    assert len(service.usage()) == paid + 1


def test_what_is_not_heard_in_a_clip_costs_nothing(cli: Cli, write: Write, service: Service) -> None:
    manifest = write(SHOW)
    cli("build")
    paid, before = len(service.usage()), stamp("out/one.mp3")
    text = manifest.read_text()
    lines = text.splitlines(keepends=True)
    moved = "".join([*lines[:9], lines[11], lines[9], lines[10]])
    edits = (
        moved,
        text.replace("- text: The first line.", "- {text: The first line., gap: 2s}"),
        text.replace("- text: The first line.", "- {text: The first line., gain: -6, fade_in: 20ms, trim: 'off'}"),
        text.replace("- text: The first line.", "- {text: The first line., caption: Other, id: first, chapter: A}"),
        text.replace(
            "- text: The first line.", "- text: The first line.\n      - pause: 1s\n      - text: The first line."
        ),
    )
    for edited in edits:
        manifest.write_text(edited)
        assert cli("build").code == 0
        assert len(service.usage()) == paid, edited
        assert stamp("out/one.mp3")[0] != before[0], edited
    manifest.write_text(text)
    cli("build")
    assert stamp("out/one.mp3")[0] == before[0], "the same clips give the same bytes"


def test_a_caption_alone_does_not_touch_the_output(cli: Cli, write: Write, service: Service) -> None:
    manifest = write(SHOW)
    cli("build")
    before = stamp("out/one.mp3")
    manifest.write_text(
        manifest.read_text().replace("- text: The first line.", "- {text: The first line., caption: X}")
    )
    assert cli("build").out.startswith("Nothing to do")
    assert stamp("out/one.mp3") == before
    assert cli("status", "--json").data["outputs"][0]["segments"][0]["caption"] == "X"


def test_equal_lines_are_billed_once(cli: Cli, write: Write, service: Service) -> None:
    write("""
        fishpipe: 1
        scripts:
          one:
            output: one.wav
            segments: [{text: Again.}, {text: Again.}, {text: " Again. "}, {text: Once.}]
        """)
    assert cli("build").code == 0
    assert sorted(spoken(service)) == ["Again.", "Once."]


def test_the_output_is_what_the_timeline_says(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("output: out/one.mp3", "outputs: [out/one.mp3, {path: out/one.wav, sample_rate: 22050}]"))
    assert cli("build").code == 0
    mp3, wav = cli("status", "--json").data["outputs"]
    for output in (mp3, wav):
        decoded = miniaudio.decode_file(output["path"], nchannels=1, sample_rate=output["sample_rate"])
        assert decoded.num_frames == output["samples"]
        starts = [segment["start"] for segment in output["segments"]]
        assert starts == sorted(starts)
        gaps = [b["start"] - a["end"] for a, b in zip(output["segments"], output["segments"][1:], strict=False)]
        assert all(abs(gap - round(output["sample_rate"] * 0.3)) <= (1152 if output is mp3 else 0) for gap in gaps)


def test_a_deleted_or_edited_output_is_stitched_again_for_free(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    cli("build")
    whole, paid = stamp("out/one.mp3")[0], len(service.usage())
    output = Path("out/one.mp3")
    for spoil in (output.unlink, lambda: output.write_bytes(b"x"), lambda: output.write_bytes(b"y" * 50_000)):
        spoil()
        assert cli("build").code == 0
        assert stamp("out/one.mp3")[0] == whole
    assert len(service.usage()) == paid


def test_a_lost_clip_is_collected_from_its_task(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    cli("build")
    paid = len(service.usage())
    clip = next(Path(".fishpipe/clips").rglob("*.mp3"))
    clip.unlink()
    assert "collect: clip missing" in cli("plan").out
    assert cli("build").code == 0
    assert clip.exists()
    assert len(service.usage()) == paid


def test_without_the_ledger_the_clips_are_adopted_by_name(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    cli("build")
    whole, paid = stamp("out/one.mp3")[0], len(service.usage())
    for file in Path(".fishpipe").glob("ledger.db*"):
        file.unlink()
    shutil.rmtree("out")
    assert cli("build").code == 0
    assert len(service.usage()) == paid
    assert stamp("out/one.mp3")[0] == whole


def test_plan_and_status_write_nothing(cli: Cli, write: Write, tmp_path: Path) -> None:
    write(SHOW)
    before = sorted(tmp_path.rglob("*"))
    assert cli("plan").code == 0
    assert cli("status").code == 0
    assert cli("explain", "one/0001").code == 0
    assert cli("graph").code == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_token_is_found_before_the_first_paid_call(cli: Cli, write: Write) -> None:
    write(SHOW)
    done = cli("build")
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        "4 calls (~$0.0007) need a token: set ACEDATACLOUD_API_TOKEN or add it to .env. "
        "Free draft: fishpipe build --provider sandbox\n"
    )


def test_no_token_is_asked_for_where_nothing_is_paid(
    cli: Cli, write: Write, service: Service, monkeypatch: object
) -> None:
    import os

    manifest = write(SHOW)
    cli("build")
    os.environ.pop("ACEDATACLOUD_API_TOKEN")
    manifest.write_text(manifest.read_text().replace("- text: The first line.", "- {text: The first line., gap: 1s}"))
    assert cli("build").code == 0


def test_a_draft_leaves_the_project_alone(cli: Cli, write: Write) -> None:
    write(SHOW)
    assert cli("build", "--provider", "sandbox").code == 0
    assert not Path("out").exists()
    assert Path(".fishpipe/draft/outputs/out/one.mp3").exists()
    assert not Path(".fishpipe/ledger.db").exists()


def test_a_budget_stops_a_build_before_its_first_call(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW.replace("fishpipe: 1", "fishpipe: 1\n    budget: 0.0001\n    provider: {prices: {voice: 0}}"))
    done = cli("build")
    assert done.code == 5
    assert "4 calls, ~$0.0007, exceed budget $0.0001 (fishpipe.yaml:2:9). Nothing was paid." in done.err
    assert service.usage() == []
    plan = cli("plan")
    assert plan.code == 0
    told, refused = plan.err.splitlines()
    assert told == "fishpipe.yaml:3:20: warning: a price of 0 for acedata: what is paid there counts as nothing"
    assert refused.startswith("a build would be refused: 4 calls, ~$0.0007, exceed budget $0.0001")
    monkeypatch.setenv("FISHPIPE_PRICES", "voice=0")
    assert "refused" not in cli("build", "-n", "--budget", "1").err
    assert cli("build", "--budget", "1").code == 0


def test_an_unknown_price_is_refused_under_a_budget(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("fishpipe: 1", "fishpipe: 1\n    budget: 5"))
    done = cli("build")
    assert done.code == 5
    assert "a voice has no known price" in done.err
    assert service.usage() == []


def test_targets_narrow_a_build(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW + "  two:\n        output: out/two.mp3\n        segments: [{text: Elsewhere.}]\n")
    assert cli("build", "two").code == 0
    assert spoken(service) == ["Elsewhere."]
    assert cli("build", "fishpipe.yaml:11").code == 0
    assert spoken(service)[1:] == ["The second line."]
    assert cli("build", "out/one.mp3").code == 0
    assert len(spoken(service)) == 4
    wrong = cli("build", "tow")
    assert (wrong.code, wrong.err) == (2, 'no target "tow"; did you mean "two"?\n')


def test_json_events_tell_the_whole_run(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    events = cli("build", "--json").events
    names = [event["event"] for event in events]
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert names.count("clip_stored") == 3
    assert events[0]["plan"]["calls"] == 4
    assert events[-1]["calls"] == 4
    assert events[-1]["exit_code"] == 0


def test_the_token_is_nowhere(cli: Cli, write: Write, service: Service, tmp_path: Path) -> None:
    from tests.conftest import TOKEN

    write(SHOW)
    seen = ""
    for verb in ("plan", "build", "build", "status", "explain", "graph"):
        done = cli(verb, "--json", *(["one/0001"] if verb == "explain" else []))
        seen += done.out + done.err
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert TOKEN.encode() not in file.read_bytes(), file
    assert TOKEN not in seen


def test_one_run_at_a_time(cli: Cli, write: Write, service: Service) -> None:
    from fishpipe.store.busy import hold

    write(SHOW)
    Path(".fishpipe").mkdir()
    with hold(Path(".fishpipe/busy")):
        done = cli("build")
    assert done.code == 6
    assert "holds this project; wait for it: --wait" in done.err
    assert service.usage() == []
