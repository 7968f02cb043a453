"""Answers of a server that means no good: none is a crash, none is paid for again and again, none leads elsewhere."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishpipe.errors import ConfigurationError, FishpipeError
from fishpipe.fish.answers import read_created_voice, read_outcome, read_speech, read_task, read_voice
from fishpipe.fish.faults import fault
from fishpipe.fish.hosts import is_public
from fishpipe.fish.links import Links
from fishpipe.ports import RunLimits
from fishpipe.shown import one_line
from tests.conftest import TOKEN, Result
from tests.functional.test_hostile_service import tone

Cli = Callable[..., Result]
Write = Callable[..., Path]

PLAIN = """
    fishpipe: 1
    provider: {delivery: wait, call_deadline: 3s}
    scripts:
      one: {output: one.mp3, segments: [{text: The first line of all.}]}
    """
VOICED = """
    fishpipe: 1
    provider: {delivery: wait, call_deadline: 3s}
    defaults: {voice: ana}
    voices: {ana: {sample_url: https://example.com/ana.mp3}}
    scripts:
      one: {output: one.mp3, segments: [{text: The first line of all.}]}
    """


@dataclass
class Wire:
    """A server whose answers are bytes: (head lines, body) by path."""

    url: str = ""
    head: bytes = b""
    answers: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    audio: bytes = field(default_factory=tone)

    def count(self, path: str) -> int:
        return sum(1 for each in self.asked if each.startswith(path))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    wire = Wire()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            path = self.path.partition("?")[0]
            wire.asked.append(path)
            body = wire.audio if path.startswith("/audio") else wire.answers.get(path, lambda: b"{}")()
            kind = b"audio/mpeg" if path.startswith("/audio") else b"application/json"
            status = b"302 Found" if path == "/go" else b"200 OK"
            self.wfile.write(
                b"HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n%s\r\n"
                % (status, kind, len(body), wire.head)
                + body
            )

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing: only the build's own words are judged."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that went away is its own affair."""

    with Server(("127.0.0.1", 0), Handler) as server:
        wire.url = f"http://127.0.0.1:{server.server_address[1]}"
        wire.answers["/fish/tts"] = lambda: json.dumps({"audio_url": f"{wire.url}/audio.mp3"}).encode()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", wire.url)
        monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", TOKEN)
        yield wire
        server.shutdown()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RunLimits(
        concurrency=3, first_delay=0.01, longest_delay=0.05, attempts=3, voice_grace=0.2, poll_first=0.01,
        poll_longest=0.05, unknown_task_grace=0.3, call_deadline=3.0,
    )  # fmt: skip
    monkeypatch.setattr("fishpipe.project.Project._limits", lambda *_: limits)


@pytest.mark.parametrize("head", [b"x-odd: caf\xe9\r\n", b"content-type: \xff\xfe\r\n", b"retry-after: \xb2\r\n"])
def test_a_header_that_is_no_ascii_is_no_crash(head: bytes, cli: Cli, write: Write, wire: Wire) -> None:
    write(PLAIN)
    wire.head = head
    assert cli("build").code == 0
    assert wire.count("/fish/tts") == 1


HUGE = "9" * 400


def test_a_voice_of_a_time_that_no_clock_knows_is_taken(cli: Cli, write: Write, wire: Wire) -> None:
    model = f'{{"_id": "v1", "state": "trained", "type": "tts", "created_at": {HUGE}}}'.encode()
    wire.answers["/fish/voices"] = lambda: b'{"success": true, "data": %s}' % model
    wire.answers["/fish/model/v1"] = lambda: model
    write(VOICED)
    assert cli("build").code == 0
    assert wire.count("/fish/voices") == wire.count("/fish/tts") == 1


NAMES = st.sampled_from(
    (
        *("_id", "id", "task_id", "trace_id", "audio_url", "data", "error", "success", "message", "code", "response"),
        *("status", "state", "finished_at", "created_at", "type", "title", "tags", "languages", "visibility", "detail"),
    )
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(10**400), st.just("x" * 10_000),
    st.sampled_from(["\x1b[31m", "a\nb", "\u202e", "\ud800", "\0", "trained", "https://a.example.com/b", "0001-01-01"]),
)  # fmt: skip
ANSWERS = st.dictionaries(
    NAMES,
    st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(ANSWERS, st.sampled_from([200, 201, 302, 400, 401, 403, 404, 418, 429, 500, 502, 504, 599]))
def test_no_answer_is_a_crash(data: dict[str, Any], status: int) -> None:
    response = httpx.Response(status, content=json.dumps(data).encode())
    for read in (read_speech, read_created_voice, lambda each: fault(each, 0.0)):
        with suppress(FishpipeError):
            said = str(read(response))
            assert "\x1b" not in said
    read_outcome(data, None, None)
    read_task(data)
    voice = read_voice(data)
    assert voice.created is None or 0 <= voice.created < 1e12
    assert all(word == one_line(word) for word in (voice.id, voice.state, voice.title, *voice.tags))


def test_a_crash_counts_against_the_retries(
    cli: Cli, write: Write, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours on the way to the answer: the call may have been charged, and is not made again for ever."""

    def broken(*_: object) -> None:
        raise AttributeError("a bug")

    monkeypatch.setattr("fishpipe.fish.client.read_speech", broken)
    write(PLAIN)
    codes = [cli("build").code for _ in range(8)]
    assert codes[0] == 70
    assert wire.count("/fish/tts") <= 4, "as often as any other call in doubt"
    assert codes[-1] == 1, "it waits for a person"
    assert cli("status").code == 0


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """Another service on this machine, which nobody is to be led to."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(tone())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", heard
        server.shutdown()


@pytest.mark.parametrize("shape", ["http://{}/admin", "http://user@{}/x", "http://localhost:{1}/x"])
@pytest.mark.parametrize("by_redirect", [False, True])
def test_no_link_leads_to_another_service_of_this_machine(
    shape: str, by_redirect: bool, cli: Cli, write: Write, wire: Wire, canary: tuple[str, list[str]]
) -> None:
    place, heard = canary
    link = shape.format(place, place.rpartition(":")[2])
    write(PLAIN)
    if by_redirect:
        wire.answers["/fish/tts"] = lambda: encoded({"audio_url": f"{wire.url}/go"})
        wire.head = f"location: {link}\r\n".encode()
        wire.answers["/go"] = lambda: b""
    else:
        wire.answers["/fish/tts"] = lambda: encoded({"audio_url": link})
    done = cli("build")
    assert done.code != 70
    assert heard == []
    assert wire.count("/fish/tts") == 1


def encoded(data: object) -> bytes:
    return json.dumps(data).encode()


PRIVATE = (
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.1", "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[::ffff:10.0.0.1]"),
    *("[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "localhost"),
)


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("proxied", [False, True])
def test_a_link_into_a_private_network_is_refused(host: str, proxied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if proxied:
        monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    links = Links("https://api.acedata.cloud")

    async def ask() -> None:
        await links.route(links.parsed(f"https://{host}/a.mp3"), is_sample=False)

    with pytest.raises(ConfigurationError, match="private network"):
        asyncio.run(ask())


def test_a_public_address_is_asked_as_it_was_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(host: str, port: int) -> list[str]:
        assert (host, port) == ("cdn.example.com", 443)
        return ["93.184.216.34"]

    monkeypatch.setattr("fishpipe.fish.links._addresses", found)
    links = Links("https://api.acedata.cloud")
    way = asyncio.run(links.route(links.parsed("https://cdn.example.com/a.mp3?x=1"), is_sample=False))
    assert str(way.url) == "https://93.184.216.34/a.mp3?x=1"
    assert way.headers == {"host": "cdn.example.com"}
    assert way.extensions == {"sni_hostname": "cdn.example.com"}


def test_what_is_public() -> None:
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1:248:1893:25c8:1946")
