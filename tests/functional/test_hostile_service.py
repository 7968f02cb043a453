"""Answers that no document shows: a server of scripted replies, which shares nothing with the sandbox."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fishpipe.audio.lame import Mp3Writer
from fishpipe.ports import RunLimits
from tests.conftest import TOKEN, Result

Cli = Callable[..., Result]
Write = Callable[..., Path]
Reply = tuple[int, str, bytes]

VOICED = """
    fishpipe: 1
    defaults: {voice: ana}
    voices: {ana: {sample_url: https://example.com/ana.mp3}}
    scripts:
      one: {output: one.mp3, segments: [{text: Hello there.}]}
    """
PLAIN = """
    fishpipe: 1
    provider: {delivery: wait, concurrency: 3}
    scripts:
      one: {output: out/one.mp3, segments: [{text: The first.}, {text: The second.}, {text: The third.}]}
    """


def tone(seconds: float = 1.0) -> bytes:
    """An mp3 that sounds."""
    file = io.BytesIO()
    writer = Mp3Writer(file, 44100, 1, 128)
    writer.write(np.rint(np.sin(np.arange(int(44100 * seconds)) / 20) * 9000).astype("<i2").tobytes())
    writer.close()
    return file.getvalue()


def reply(data: object, status: int = 200) -> Reply:
    return status, "application/json", json.dumps(data).encode()


@dataclass
class Service:
    """What each path answers; a function gets the request's body. None drops the connection."""

    url: str = ""
    answers: dict[str, Callable[[Any], Reply | None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    audio: bytes = field(default_factory=tone)

    def __call__(self, method: str, path: str, body: Any) -> Reply | None:
        path = path.partition("?")[0]
        self.asked.append(f"{method} {path}")
        if path.startswith("/audio"):
            return 200, "audio/mpeg", self.audio
        known = self.answers.get(f"{method} {path}")
        if known is not None:
            return known(body)
        defaults: dict[str, object] = {
            "POST /fish/tts": {"audio_url": f"{self.url}/audio.mp3"},
            "POST /fish/voices": {"success": True, "task_id": "t", "data": {"_id": "v1", "state": "trained"}},
            "GET /fish/model/v1": {"_id": "v1", "type": "tts", "state": "trained"},
            "GET /fish/model": {"total": 0, "items": []},
        }
        return reply(defaults.get(f"{method} {path}", {"error": {"code": "no_api", "message": path}}))

    def count(self, call: str) -> int:
        return self.asked.count(call)


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            found = service(self.command, self.path, body)
            if found is None:
                self.close_connection = True
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")
                return
            status, kind, data = found
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing: only the build's own words are judged."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that went away is its own affair."""

    with Server(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
        monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", TOKEN)
        yield service
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run, less patient."""
    limits = RunLimits(
        concurrency=3, first_delay=0.01, longest_delay=0.05, rate_limits=5, attempts=4, voice_grace=0.2,
        poll_first=0.01, poll_longest=0.05, unknown_task_grace=0.3,
    )  # fmt: skip
    monkeypatch.setattr("fishpipe.project.Project._limits", lambda *_: limits)


def clean(done: Result) -> None:
    """No bug was shown, and no token."""
    assert done.code not in (0, 70), done
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    assert "never retrieved" not in done.err
    for name in [done.out, done.err, *(p.read_bytes().decode("latin-1") for p in Path().rglob("*") if p.is_file())]:
        assert TOKEN not in name


@pytest.mark.parametrize(
    "listing",
    [
        {"success": False, "error": {"code": "api_error", "message": "no"}},
        {"total": 1},
        {"items": [{"title": "ana", "state": "trained", "_id": "v1"}]},
        {"items": [{"title": "Ana", "_id": "v1"}, {"title": "ana", "_id": "v2"}]},
    ],
)
def test_a_list_that_settles_nothing_pays_for_nothing(
    listing: object, cli: Cli, write: Write, hostile: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(VOICED)
    hostile.answers["POST /fish/voices"] = lambda _: None
    clean(cli("build"))
    hostile.answers["GET /fish/model"] = lambda _: reply(listing)
    clean(cli("build"))
    assert hostile.count("POST /fish/voices") == 1


def test_a_voice_listed_by_another_case_of_its_title_is_ours(cli: Cli, write: Write, hostile: Service) -> None:
    write(VOICED)
    hostile.answers["POST /fish/voices"] = lambda _: None
    clean(cli("build"))
    item = {"_id": "v1", "title": "Ana ", "created_at": "2999-01-01T00:00:00Z", "state": "trained"}
    hostile.answers["GET /fish/model"] = lambda _: reply({"items": [item]})
    assert cli("build").code == 0
    assert hostile.count("POST /fish/voices") == 1


@pytest.mark.parametrize(
    "url", ["http://[bad/x.mp3", "http://127.0.0.1:99999/x", "ftp://x/y", "file:///etc/passwd", "x y"]
)
def test_a_malformed_link_is_a_dead_one(url: str, cli: Cli, write: Write, hostile: Service) -> None:
    write(PLAIN)

    def tts(body: Any) -> Reply:
        return reply({"audio_url": url if body["text"] == "The second." else f"{hostile.url}/audio.mp3"})

    hostile.answers["POST /fish/tts"] = tts
    done = cli("build", "-k")
    clean(done)
    assert "a link that cannot be followed" in done.err
    assert cli("status", "--json").data["clips"]["stored"] == 2
    assert hostile.count("POST /fish/tts") == 3


@pytest.mark.parametrize(
    "answer",
    [
        reply({"audio": TOKEN}),
        reply({"success": False, "error": {"code": TOKEN, "message": f"bad token {TOKEN}"}, "trace_id": TOKEN}),
        reply({"error": {"code": "bad_request", "message": TOKEN}, "trace_id": TOKEN}, 400),
        (502, "text/html", b"x" * 190 + TOKEN.encode()),
        (200, "text/html", f"<title>{TOKEN}</title>".encode()),
        reply({"status": 400, "message": json.dumps([{"loc": None, "msg": "odd"}])}, 400),
        reply({"error": {"code": "bad_request", "message": "cut \ud83d"}}, 400),
        reply({"audio_url": "http://127.0.0.1/\ud83d"}),
        reply([1, 2]),
        (200, "application/json", b""),
        (429, "application/json", b"{}"),
    ],
)
def test_odd_answers_are_told_cleanly(answer: Reply, cli: Cli, write: Write, hostile: Service) -> None:
    write(PLAIN)
    hostile.answers["POST /fish/tts"] = lambda _: answer
    clean(cli("build", "-k", "--in-doubt", "skip"))
    clean(cli("build", "--in-doubt", "skip"))
    for verb in ("status", "plan"):
        assert TOKEN not in cli(verb).out


@pytest.mark.parametrize("items", [True, 5, [1], [{"id": []}], [{"id": None}], None])
def test_odd_batches_hang_nothing(
    items: object, cli: Cli, write: Write, hostile: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(PLAIN.replace("wait", "poll"))
    hostile.answers["POST /fish/tts"] = lambda body: reply({"task_id": f"t-{body['text']}"})
    hostile.answers["POST /fish/tasks"] = lambda _: reply({"items": items})
    done = cli("build", "-k")
    clean(done)
    assert "the service does not know this task" in done.err
    assert hostile.count("POST /fish/tts") == 3


XML, JSON = b"<?xml version='1.0'?><Error/>" * 4000, b'{ "error": 1 }' + b" " * 50_000


@pytest.mark.parametrize("audio", [tone(), XML, JSON, bytes(90_000)])
def test_what_is_no_pcm_is_never_kept(
    audio: bytes, cli: Cli, write: Write, hostile: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(PLAIN.replace("scripts:", "defaults: {format: pcm}\n    scripts:"))
    hostile.audio = audio
    clean(cli("build", "-k"))
    assert list(Path(".fishpipe/clips").rglob("*.pcm")) == []
    assert hostile.count("POST /fish/tts") == 3


def test_a_clip_damaged_on_disk_is_named_and_collected_again(cli: Cli, write: Write, hostile: Service) -> None:
    write(PLAIN)
    assert cli("build").code == 0
    clip = next(Path(".fishpipe/clips").rglob("*.mp3"))
    data = bytearray(clip.read_bytes())
    data[600:4000] = bytes(3400)
    clip.write_bytes(data)
    paid = hostile.count("POST /fish/tts")
    done = cli("build", "-B")
    assert done.code == 0
    assert "was damaged; it is put aside" in done.err
    assert hostile.count("POST /fish/tts") == paid


@pytest.mark.parametrize("spoil", ["out is a file", "state is a file"])
def test_places_that_cannot_be_written(spoil: str, cli: Cli, write: Write, hostile: Service) -> None:
    write(PLAIN)
    Path("out" if "out" in spoil else ".fishpipe").write_text("in the way")
    done = cli("build")
    clean(done)
    assert done.code in (1, 3)


def test_a_token_that_cannot_be_one_is_refused(
    cli: Cli, write: Write, hostile: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(PLAIN)
    for token in ("“sk-smart”", "sk-a\nsk-b"):
        monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", token)
        done = cli("build")
        assert done.code == 4
        assert "characters that no token has" in done.err
    assert hostile.asked == []


def test_a_base_url_that_is_none_is_refused(cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(PLAIN)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", TOKEN)
    for url in ("http://[bad", "127.0.0.1:80", "http://127.0.0.1:99999"):
        monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", url)
        done = cli("build")
        assert done.code == 4, (url, done)
        assert "is not an address" in done.err
