"""Every shape of answer and error that the documents and proxies give."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from fishpipe.errors import (
    AuthError,
    BalanceError,
    CallFailed,
    CallInDoubt,
    CallRefused,
    ConfigurationError,
    ServiceError,
    TransientError,
)
from fishpipe.fish.answers import read_created_voice, read_speech, read_task
from fishpipe.fish.faults import fault
from fishpipe.fish.hosts import is_loopback
from fishpipe.ports import Answered, Running, Submitted, TaskFailed

NOW = 1_767_225_600.0  # 2026-01-01


def platform(status: int, code: str, message: str = "Words.") -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message}, "trace_id": "t-1"})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "token_mismatched", CallRefused),
        (400, "bad_request", CallRefused),
        (400, "api_not_implemented", ConfigurationError),
        (400, "disabled", ConfigurationError),
        (400, "no_token", AuthError),
        (401, "invalid_token", AuthError),
        (401, "token_expired", AuthError),
        (401, "token_mismatched", AuthError),
        (403, "used_up", BalanceError),
        (404, "no_api", ConfigurationError),
        (429, "too_many_requests", TransientError),
        (500, "api_error", TransientError),
        (503, "api_error", TransientError),
        (502, "api_error", CallInDoubt),
        (504, "api_error", CallInDoubt),
    ],
)
def test_the_table_of_errors(status: int, code: str, kind: type[ServiceError]) -> None:
    error = fault(platform(status, code), NOW)
    assert type(error) is kind
    assert (error.code, error.message, error.trace_id, error.status) == (code, "Words.", "t-1", status)


def test_upstream_errors_name_the_field() -> None:
    upstream = json.dumps(
        [{"type": "literal_error", "loc": ["format"], "msg": "Input should be 'pcm' or 'mp3'", "input": "wav"}]
    )
    error = fault(httpx.Response(400, json={"status": 400, "message": upstream}), NOW)
    assert type(error) is CallRefused
    assert error.message == "format: Input should be 'pcm' or 'mp3', found \"wav\""
    assert error.fields == ("format",)


@pytest.mark.parametrize("status", [500, 502, 503, 520])
def test_a_web_page_in_place_of_a_5xx_leaves_the_call_in_doubt(status: int) -> None:
    page = "<html><head><title>502 Bad\nGateway</title></head></html>"
    error = fault(httpx.Response(status, text=page, headers={"content-type": "text/html"}), NOW)
    assert type(error) is CallInDoubt
    assert error.message == "a web page came instead of an answer: 502 Bad Gateway"


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b"{", b"\xff\xfe", b'{"error": null}', b"[" * 100_000])
def test_no_body_is_too_odd(body: bytes) -> None:
    assert isinstance(fault(httpx.Response(500, content=body), NOW), CallInDoubt)
    assert isinstance(fault(httpx.Response(400, content=body), NOW), CallRefused)
    with pytest.raises(CallInDoubt):
        read_speech(httpx.Response(200, content=body))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("soon", None),
        ("Thu, 01 Jan 2020 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    headers = {"retry-after": header, "date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    assert fault(httpx.Response(429, headers=headers), NOW).retry_after == seconds


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"audio_url": "https://x/a.mp3"}, Answered(url="https://x/a.mp3")),
        (
            {"audio_url": "https://x/a.mp3", "task_id": "t", "new": {"field": 1}},
            Answered(url="https://x/a.mp3", task_id="t"),
        ),
        ({"task_id": "t", "started_at": "2026-05-11T01:23:04.742Z"}, Submitted(task_id="t")),
        (
            {"success": True, "task_id": "t", "trace_id": "r", "data": [{"audio_url": "https://x/a.mp3"}]},
            Answered(url="https://x/a.mp3", task_id="t", trace_id="r"),
        ),
    ],
)
def test_answers_of_speech(body: dict[str, Any], answer: object) -> None:
    assert read_speech(httpx.Response(200, json=body)) == answer


def test_a_missing_field_is_an_error_that_quotes_the_answer() -> None:
    with pytest.raises(CallInDoubt, match=r'\{"audio": ?"here"\}'):
        read_speech(httpx.Response(200, json={"audio": "here"}))
    with pytest.raises(CallInDoubt, match="_id"):
        read_created_voice(httpx.Response(200, json={"success": True, "data": {"title": "x"}}))


def test_success_false_is_a_failure() -> None:
    with pytest.raises(CallFailed, match="api_error: fetch failed"):
        read_speech(
            httpx.Response(200, json={"success": False, "error": {"code": "api_error", "message": "fetch failed"}})
        )


@pytest.mark.parametrize(
    ("task", "state"),
    [
        ({"id": "t", "response": None, "finished_at": None}, Running()),
        ({"id": "t"}, Running()),
        ({"id": "t", "status": "processing", "response": {}}, Running()),
        ({"id": "t", "response": {"audio_url": "https://x/a"}}, Answered(url="https://x/a", task_id="t")),
        (
            {"id": "t", "response": {"data": [{"audio_url": "https://x/a"}]}, "finished_at": 1},
            Answered(url="https://x/a", task_id="t"),
        ),
        (
            {"id": "t", "response": {"error": {"code": "c", "message": "m"}}, "finished_at": 1},
            TaskFailed(message="c: m"),
        ),
        ({"id": "t", "response": {"success": False, "message": "m"}}, TaskFailed(message="m")),
        ({"id": "t", "state": "failed", "response": None}, TaskFailed(message="the task failed")),
    ],
)
def test_states_of_a_task(task: dict[str, Any], state: object) -> None:
    assert read_task(task) == state


def test_a_created_voice() -> None:
    body = {
        "success": True,
        "task_id": "t",
        "trace_id": "r",
        "data": {
            "_id": "v",
            "type": "tts",
            "state": "training",
            "title": "x",
            "created_at": "2025-09-21T07:29:41.058506Z",
        },
    }
    voice = read_created_voice(httpx.Response(200, json=body))
    assert (voice.id, voice.state, voice.task_id, round(voice.created or 0)) == ("v", "training", "t", 1758439781)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:80", True),
        ("http://localhost/x", True),
        ("http://[::1]:8", True),
        ("http://127.0.0.1.evil.com", False),
        ("https://api.acedata.cloud", False),
        ("http://localhost@evil.com", False),
    ],
)
def test_loopback(url: str, *, local: bool) -> None:
    assert is_loopback(url) is local
