"""What a person reads when the service refuses: the segment, the place, its words, its trace, the cure, the money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import TOKEN
from tests.functional.test_hostile_service import Service, hostile, quick, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

__all__ = ["hostile", "quick"]
SHOW = """
    fishpipe: 1
    provider: {delivery: wait}
    defaults:
      temperature: 0.7
      extra_body: {newField: 3}
    scripts:
      one:
        output: one.mp3
        segments:
          - text: The first.
            prosody:
              speed: 1.5
    """


def platform(status: int, code: str, message: str = "Their own words.") -> Any:
    return reply({"success": False, "error": {"code": code, "message": message}, "trace_id": "trace-17"}, status)


def upstream(*loc: str, value: object = 1) -> Any:
    problems = [{"type": "t", "loc": list(loc), "msg": "Input should be valid", "input": value}]
    return reply({"status": 400, "message": json.dumps(problems)}, 400)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (
            platform(400, "bad_request"),
            1,
            "400 bad_request: Their own words. (trace trace-17); not charged. correct it",
        ),
        (platform(400, "token_mismatched"), 1, "400 token_mismatched: Their own words. (trace trace-17); not charged."),
        (platform(400, "api_not_implemented"), 4, "; not charged. see the application at the platform"),
        (platform(400, "disabled"), 4, "400 disabled: Their own words."),
        (platform(400, "no_token"), 4, "check ACEDATACLOUD_API_TOKEN"),
        (platform(401, "invalid_token"), 4, "check ACEDATACLOUD_API_TOKEN"),
        (platform(401, "token_expired"), 4, "401 token_expired: Their own words. (trace trace-17); not charged."),
        (platform(401, "token_mismatched"), 4, "check ACEDATACLOUD_API_TOKEN"),
        (
            platform(403, "used_up"),
            4,
            "403 used_up: Their own words. (trace trace-17); not charged. add to your balance",
        ),
        (platform(404, "no_api"), 4, "404 no_api: Their own words."),
        (
            platform(500, "api_error"),
            1,
            "500 api_error: Their own words. (trace trace-17); not charged. build again in a",
        ),
        (reply({}, 302), 4, "the service redirects to"),
        (
            (502, "text/html", b"<title>Bad Gateway</title>"),
            1,
            "Bad Gateway; it may have been charged. pay for it again",
        ),
        ((200, "text/html", b"<title>Hm</title>"), 1, "the answer is not JSON: <title>Hm</title>; it may have been"),
        ((200, "application/json", b""), 1, "the answer is not JSON: (empty); it may have been charged"),
        ((200, "application/json", b'{"audio_url": "ht'), 1, "it may have been charged"),
        ((400, "text/plain", b"plain words"), 1, "400: plain words; not charged"),
        (reply({"success": False, "error": {"code": "api_error", "message": "no"}}), 1, "no; it may have been charged"),
    ],
)
def test_each_error_is_told_whole(answer: Any, code: int, words: str, cli: Cli, write: Write, hostile: Service) -> None:
    write(SHOW)
    hostile.answers["POST /fish/tts"] = lambda _: answer
    done = cli("build", "--in-doubt", "skip")
    assert done.code == code, done
    (line,) = (line for line in done.err.splitlines() if line.startswith("fishpipe.yaml:"))
    assert line.startswith("fishpipe.yaml:10:15: one/0001: ")
    assert words in line
    assert "Traceback" not in done.err
    assert TOKEN not in done.err
    event = next(e for e in cli("build", "--json", "--in-doubt", "skip").events if e["event"] == "call_problem")
    assert event["charged"] in ("no", "unknown")
    assert event["place"] == "fishpipe.yaml:10:15"


@pytest.mark.parametrize(
    ("loc", "place"),
    [
        (("body", "prosody", "speed"), "fishpipe.yaml:12:18"),
        (("temperature",), "fishpipe.yaml:4:16"),
        (("body", "newField"), "fishpipe.yaml:5:16"),
        (("text",), "fishpipe.yaml:10:15"),
        (("reference_id", "str"), "fishpipe.yaml:10:15"),
    ],
)
def test_a_pydantic_error_points_at_the_field_it_means(
    loc: tuple[str, ...], place: str, cli: Cli, write: Write, hostile: Service
) -> None:
    write(SHOW)
    hostile.answers["POST /fish/tts"] = lambda _: upstream(*loc)
    done = cli("build")
    assert done.code == 1
    assert f"{place}: one/0001: 400: " in done.err
    assert "Input should be valid, found 1; not charged" in done.err


def test_a_refused_voice_points_at_its_sample(cli: Cli, write: Write, hostile: Service) -> None:
    write(
        "fishpipe: 1\nvoices:\n  ana:\n    title: Ana\n    sample_url: https://example.com/a.mp3\n"
        "defaults: {voice: ana}\nscripts:\n  one: {output: one.mp3, segments: [{text: Hi.}]}\n"
    )
    hostile.answers["POST /fish/voices"] = lambda _: upstream("voice_url")
    assert "fishpipe.yaml:5:17: voices.ana: 400: voice_url: Input should be valid" in cli("build").err


def test_nothing_of_the_service_reaches_the_terminal_raw(cli: Cli, write: Write, hostile: Service) -> None:
    write(SHOW)
    hostile.answers["POST /fish/tts"] = lambda _: platform(400, "bad_request", "red\x1b[31m\r\nfishpipe: all is well")
    done = cli("build")
    assert "\x1b" not in done.err
    assert "red\\u001b[31m fishpipe: all is well" in done.err


@pytest.mark.parametrize("echo", [TOKEN, TOKEN.replace("-", "\\u002d"), TOKEN.replace("e", "\\u0065")])
def test_an_echoed_token_is_masked_however_json_spells_it(echo: str, cli: Cli, write: Write, hostile: Service) -> None:
    write(SHOW)
    body = f'{{"error": {{"code": "bad_request", "message": "header Bearer {echo} refused"}}}}'.encode()
    hostile.answers["POST /fish/tts"] = lambda _: (400, "application/json", body)
    done = cli("build")
    assert "Bearer *** refused" in done.err
    for file in Path().rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes()
