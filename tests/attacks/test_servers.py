"""The servers that fishpipe runs itself, the sandbox and the receiver of callbacks, asked by strangers."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fishpipe.errors import StoreError
from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.sandbox.state import State
from fishpipe.store.claims import Claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]


def status(url: str, body: bytes | None = None, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, {"authorization": "Bearer x", **named})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_sandbox_answers_no_page_of_a_browser(serve: Callable[..., Service]) -> None:
    url = serve().url
    assert status(f"{url}/sandbox/usage") == 200
    for host in ("evil.example.com", "evil.example.com:80", "127.0.0.1.evil.example.com", "10.0.0.1", ""):
        assert status(f"{url}/sandbox/usage", host=host) in (400, 403), host
    for origin in ("https://evil.example.com", "null", "http://127.0.0.1.evil.example.com"):
        assert status(f"{url}/sandbox/usage", origin=origin) == 403
    assert status(f"{url}/sandbox/usage", origin="http://localhost:3000", host="localhost") == 200


@pytest.mark.parametrize("url", ["http://10.0.0.1/x", "http://evil.example.com/", "ftp://127.0.0.1/", "x", 7, "\ud800"])
def test_the_sandbox_calls_nobody_off_this_machine(url: object, serve: Callable[..., Service]) -> None:
    service = serve()
    for path, body in (
        ("tts", {"text": "Hi.", "format": "mp3"}),
        ("voices", {"voice_url": "https://example.com/a.mp3"}),
        ("model", {"voices": "https://example.com/a.mp3"}),
    ):
        found = status(f"{service.url}/fish/{path}", json.dumps({**body, "callback_url": url}).encode())
        assert found == 400 or url == "ftp://127.0.0.1/"
    assert service.usage() == [] or url == "ftp://127.0.0.1/"


ODD: tuple[Any, ...] = (None, True, [], {"a": []}, "\ud800", 10**30)


GOOD: dict[str, dict[str, Any]] = {
    "tts": {"text": "Hi.", "format": "mp3", "async": True},
    "audios": {"prompt": "Hi.", "voice_id": "0" * 32, "action": "speech"},
    "voices": {"voice_url": "https://example.com/a.mp3", "title": "A"},
    "model": {"voices": "https://example.com/a.mp3", "title": "A", "tags": []},
    "tasks": {"action": "retrieve", "id": "x", "ids": []},
}


def test_the_sandbox_takes_no_odd_request_for_its_own_fault(serve: Callable[..., Service]) -> None:
    url = f"{serve().url}/fish"
    with httpx.Client(headers={"authorization": "Bearer x"}, timeout=60) as client:
        for path, good in GOOD.items():
            for name in sorted({*good, "reference_id", "references", "prosody", "sample_rate", "model"}):
                for value in ODD:
                    answer = client.post(f"{url}/{path}", content=json.dumps({**good, name: value}))
                    assert answer.status_code < 500, (path, name, value)
            for body in (b"", b"[]", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"text": ' + b"9" * 10_000 + b"}"):
                assert client.post(f"{url}/{path}", content=body).status_code < 500
        for query in ("page_size=-1", "page_number=" + "9" * 5000, "page_size=\u00b2", "tag=%ff&title=%ff"):
            assert client.get(f"{url}/model?{query}").status_code < 500


def test_the_memory_of_the_sandbox_is_no_link_and_no_noise(cli: Cli, write: Write, tmp_path: Path) -> None:
    write("fishpipe: 1\nprovider: sandbox\nscripts: {one: {output: one.mp3, segments: [Some words.]}}\n")
    (tmp_path / "rc").write_text("mine")
    Path("state").mkdir()
    Path("state/sandbox.db").symlink_to(tmp_path / "rc")
    assert cli("sandbox", "--state", "state", "--port", "0").code == 1
    assert (tmp_path / "rc").read_text() == "mine"
    Path("noise.db").write_bytes(os.urandom(20_000))
    with pytest.raises(StoreError, match="Delete it: rm -r"):
        State(Path("noise.db").absolute(), lambda: 0.0)
    Path(".fishpipe/sandbox").mkdir(parents=True)
    Path(".fishpipe/sandbox/sandbox.db").write_bytes(os.urandom(20_000))
    done = cli("build")
    assert done.code == 1
    assert "Delete it: rm -r" in done.err


KEY = Fingerprint("a" * 64)


def test_a_claim_that_was_lost_is_noticed_before_a_request(tmp_path: Path) -> None:
    """Its holder was stopped for longer than the lease, and another has taken the call over."""
    stopped, other = Claims(tmp_path, lease=0.0), Claims(tmp_path, lease=0.0)
    assert stopped.take(KEY)
    assert stopped.holds(KEY)
    for path in tmp_path.glob(f"{KEY}.*"):
        os.utime(path, (1, 1))
    assert other.take(KEY)
    assert not stopped.holds(KEY)
    assert other.holds(KEY)
    other.give(KEY)
    assert stopped.take(KEY), "it may begin anew"


def test_a_claim_from_the_future_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / f"{KEY}.1"
    path.write_text(json.dumps({"sign": "x", "machine": "another"}))
    os.utime(path, (4e9, 4e9))
    assert Claims(tmp_path).take(KEY)


def test_a_claim_that_is_a_pipe_or_a_link_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"{KEY}.1")
    os.utime(tmp_path / f"{KEY}.1", (1, 1))
    assert Claims(tmp_path).take(KEY)
