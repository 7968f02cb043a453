"""A build against a service that misbehaves: what is paid for is kept, what may have been is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]
    Serve = Callable[..., Service]

LINES = "\n".join(f"          - text: Line number {number} of the show." for number in range(6))
SHOW = f"""
    fishpipe: 1
    provider: {{concurrency: 3, delivery: poll}}
    scripts:
      one:
        output: one.mp3
        segments:
{LINES}
    """
VOICED = """
    fishpipe: 1
    defaults: {voice: ana}
    voices: {ana: {sample_url: https://example.com/ana.mp3}}
    scripts:
      one: {output: one.mp3, segments: [{text: Hello there.}]}
    """


@pytest.mark.parametrize("fault", ["500", "503", "429"])
def test_what_is_not_charged_is_tried_again(fault: str, cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point(fault_rate=0.4, faults=(fault,), seed=3)
    write(SHOW)
    done = cli("build")
    assert done.code == 0, done.err
    assert "not charged; again in" in done.err
    assert len(service.usage()) == 6


@pytest.mark.parametrize("fault", ["502", "html", "drop", "truncate"])
def test_a_lost_answer_is_in_doubt_and_left_alone_if_asked(
    fault: str, cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(fault_rate=1.0, faults=(fault,))
    write(SHOW)
    done = cli("build", "--in-doubt", "skip", "-k")
    assert done.code == 1
    assert len(service.usage()) == 6
    assert "0 failed, 6 in doubt" in done.out
    assert "pay for it again: --in-doubt retry; leave it: --in-doubt skip" in done.err
    assert cli("status", "--json").data["clips"]["in_doubt"] == 6
    again = cli("build", "--in-doubt", "skip")
    assert again.code == 1
    assert len(service.usage()) == 6, "left alone"


def test_unattended_a_doubt_is_paid_again_once_and_said(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point(fault_rate=1.0, faults=("drop",))
    write(SHOW)
    done = cli("build", "-k")
    assert done.code == 1
    assert len(service.usage()) == 12
    assert done.err.count("it may have been charged; paying again, once") == 6


def test_half_a_download_is_fetched_again_and_never_paid_again(
    cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(fault_rate=0.5, faults=("half",), seed=1)
    write(SHOW)
    assert cli("build").code == 0
    assert len(service.usage()) == 6


@pytest.mark.parametrize("seed", range(4))
def test_everything_at_once_ends_whole(seed: int, cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    point(fault_rate=0.25, seed=seed)
    write(SHOW)
    for _ in range(6):
        done = cli("build", "-k")
        assert "Traceback" not in done.err
        assert done.code in (0, 1)
        if done.code == 0:
            break
    assert cli("build").out.startswith("Nothing to do")


def test_a_wrong_token_stops_all_calls(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point(token="right")
    write(SHOW)
    done = cli("build")
    assert done.code == 4
    assert "401 invalid_token" in done.err
    assert "check ACEDATACLOUD_API_TOKEN" in done.err
    assert service.usage() == []


def test_a_dead_link_asks_the_task_again_and_a_dead_task_is_lost(
    cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(link_ttl=0.0)
    write(SHOW)
    done = cli("build", "-k")
    assert done.code == 1
    assert "can no longer be fetched" in done.err
    assert len(service.usage()) == 6, "never paid again by itself"
    assert cli("status", "--json").data["clips"]["in_doubt"] == 6


def test_a_voice_is_awaited_until_it_is_trained(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point(training_time=0.4)
    write(VOICED)
    assert cli("build").code == 0
    assert [item["type"] for item in service.usage()] == ["voices", "tts"]


def test_a_voice_that_fails_says_so(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point(failing_samples="ana")
    write(VOICED)
    done = cli("build")
    assert done.code == 1
    assert 'fishpipe.yaml:3:10: voices.ana: the service could not make voice "ana"' in done.err
    assert [item["type"] for item in service.usage()] == ["voices"]
    assert cli("build").code == 1
    assert len(service.usage()) == 1, "it was charged: not tried again by itself"


def test_a_voice_in_doubt_is_found_at_the_service(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point(fault_rate=1.0, faults=("drop",))
    write(VOICED)
    assert cli("build").code == 1
    assert [item["type"] for item in service.usage()] == ["voices"]
    done = cli("build", "-k", "--in-doubt", "skip")
    assert "voice ana: found at the service: not paid again" in done.err
    assert [item["type"] for item in service.usage()] == ["voices", "tts"]


def test_an_unknown_voice_is_found_before_anything_is_paid(
    cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(strict_ids=True)
    write(VOICED.replace("sample_url: https://example.com/ana.mp3", "id: d7900c21663f485ab63ebdb7e5905036"))
    done = cli("build")
    assert done.code == 1
    assert 'voice "ana" (d7900c21663f485ab63ebdb7e5905036) is not at the service' in done.err
    assert "needed by one/0001: model is invalid." in done.err
    assert service.usage() == []


def test_collect_pays_for_nothing(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point()
    write(SHOW)
    done = cli("build", "--collect")
    assert done.code == 0
    assert service.usage() == []
    assert not Path("one.mp3").exists()


def test_the_rate_limit_narrows_the_window_and_the_build_ends(
    cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(rate_limit=1, latency=0.05)
    write(SHOW.replace("poll", "wait"))
    assert cli("build").code == 0
    assert len(service.usage()) == 6


def test_a_budget_holds_for_doubtful_calls_too(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point(fault_rate=1.0, faults=("drop",))
    write(SHOW)
    plan = cli("plan", "--json").data
    done = cli("build", "-k", "--budget", str(plan["usd"] + 0.0005))
    assert done.code == 1
    assert len(service.usage()) < 12


def test_audios_and_pcm_and_one_shot_voices(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point()
    write("""
        fishpipe: 1
        voices:
          old: {id: d7900c21663f485ab63ebdb7e5905036, api: audios}
          raw: {id: d7900c21663f485ab63ebdb7e5905036, format: pcm, sample_rate: 16000}
          guest: {references: [{audio: https://example.com/g.mp3, text: Words.}]}
        scripts:
          one:
            output: one.wav
            segments:
              - {voice: old, text: The older call.}
              - {voice: raw, text: Without any loss.}
              - {voice: guest, text: "[softly] One shot."}
        """)
    done = cli("build")
    assert done.code == 0, done.err
    old, raw, guest = sorted(service.usage(), key=lambda item: item["request"].get("format", ""))
    assert old["request"]["voice_id"] == "d7900c21663f485ab63ebdb7e5905036"
    formats = {item["request"].get("format"): item["request"] for item in (raw, guest)}
    assert "mp3_bitrate" not in formats["pcm"]
    assert formats["mp3"]["references"] == [{"audio": "https://example.com/g.mp3", "text": "Words."}]
    assert "reference_id" not in formats["mp3"]
