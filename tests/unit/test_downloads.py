"""Downloads over real connections: broken ones go on where they were, and every hop keeps the rules."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest

from fishpipe.errors import ConfigurationError, LinkExpired, TransientError
from fishpipe.fish.downloads import HttpDownloads
from fishpipe.fish.links import Links

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DATA = bytes(range(256)) * 400


@dataclass
class Host:
    """A file host; `serve` answers each request, `ranges` are those that were asked for."""

    url: str = ""
    ranges: list[str | None] = field(default_factory=list)
    serve: Callable[[BaseHTTPRequestHandler, int], None] = lambda _handler, _number: None


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.ranges.append(self.headers.get("range"))
            assert "authorization" not in self.headers
            made.serve(self, len(made.ranges))

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients go away."""

    with Server(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def answer(handler: BaseHTTPRequestHandler, status: int, data: bytes, length: int, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"content-type": "audio/mpeg", "content-length": str(length), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def fetched(host: Host, part: Path, times: int, stall: float = 5.0) -> list[object]:
    """What each attempt brought: bytes, or an error."""

    async def tries() -> list[object]:
        downloads = HttpDownloads(host.url, stall)
        results: list[object] = []
        for _ in range(times):
            try:
                results.append(await downloads.fetch(f"{host.url}/a.mp3", part))
            except (TransientError, LinkExpired, ConfigurationError) as error:
                results.append(error)
        await downloads.aclose()
        return results

    return asyncio.run(tries())


def test_a_broken_transfer_goes_on_where_it_was(host: Host, tmp_path: Path) -> None:
    def serve(handler: BaseHTTPRequestHandler, number: int) -> None:
        asked = handler.headers.get("range")
        start = int(asked[6:-1]) if asked else 0
        assert not asked or handler.headers["if-range"] == '"one"'
        stop = min(start + 40_000, len(DATA))
        more = {"content_range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"} if asked else {}
        answer(handler, 206 if asked else 200, DATA[start:stop], len(DATA) - start, etag='"one"', **more)

    host.serve = serve
    part = tmp_path / "part"
    *broken, whole = fetched(host, part, 3)
    assert all(isinstance(error, TransientError) for error in broken)
    assert whole == len(DATA)
    assert part.read_bytes() == DATA
    assert host.ranges == [None, "bytes=40000-", "bytes=80000-"]


@pytest.mark.parametrize("kind", ["changed", "no validator", "weak", "ignored"])
def test_what_may_be_another_file_is_fetched_from_its_beginning(kind: str, host: Host, tmp_path: Path) -> None:
    def serve(handler: BaseHTTPRequestHandler, number: int) -> None:
        data = DATA[::-1] if number > 1 else DATA
        sent = data if number > 1 else data[:40_000]
        tags = {"changed": f'"{number}"', "no validator": "", "weak": 'W/"1"', "ignored": '"1"'}
        answer(handler, 200, sent, len(data), **({"etag": tags[kind]} if tags[kind] else {}))

    host.serve = serve
    part = tmp_path / "part"
    assert fetched(host, part, 2)[1] == len(DATA)
    assert hashlib.sha256(part.read_bytes()).digest() == hashlib.sha256(DATA[::-1]).digest()


PIECES = {
    "its beginning": (DATA[:500], f"bytes 0-499/{len(DATA)}", '"1"'),
    "less than the rest": (DATA[40_000:50_000], f"bytes 40000-49999/{len(DATA)}", '"1"'),
    "of another version": (DATA[::-1][40_000:], f"bytes 40000-{len(DATA) - 1}/{len(DATA)}", '"2"'),
    "of no known version": (DATA[::-1][40_000:], f"bytes 40000-{len(DATA) - 1}/{len(DATA)}", ""),
    "of another length": (DATA[40_000:] * 2, f"bytes 40000-{2 * len(DATA)}/{2 * len(DATA) + 1}", '"1"'),
}


@pytest.mark.parametrize("piece", PIECES)
def test_another_piece_than_was_asked_for_is_not_taken(piece: str, host: Host, tmp_path: Path) -> None:
    data, place, tag = PIECES[piece]

    def serve(handler: BaseHTTPRequestHandler, number: int) -> None:
        tags = {"etag": tag} if tag else {}
        if handler.headers.get("range"):
            answer(handler, 206, data, len(data), content_range=place, **tags)
        else:
            answer(handler, 200, DATA if number > 1 else DATA[:40_000], len(DATA), etag='"1"')

    host.serve = serve
    part = tmp_path / "part"
    results = fetched(host, part, 3)
    assert "another piece" in str(results[1])
    assert results[2] == len(DATA)
    assert part.read_bytes() == DATA


def test_a_piece_that_nobody_asked_for_is_not_taken(host: Host, tmp_path: Path) -> None:
    def serve(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            answer(handler, 206, DATA[:500], 500, content_range=f"bytes 0-499/{len(DATA)}", etag='"1"')
        else:
            answer(handler, 200, DATA, len(DATA))

    host.serve = serve
    results = fetched(host, tmp_path / "part", 2)
    assert "another piece" in str(results[0])
    assert results[1] == len(DATA)


BEGINNINGS = {
    "silence": (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nabc", b""),
    "a trickle": (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nabc", b"x"),
    "headers at a trickle": (b"HTTP/1.1 200 OK\r\nx: ", b"x"),
    "a chunk's size at a trickle": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"0"),
    "endless patience": (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_a_transfer_that_stands_still_is_given_up(kind: str, host: Host, tmp_path: Path) -> None:
    done = threading.Event()
    beginning, more = BEGINNINGS[kind]

    def serve(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.wfile.write(beginning)
        for _ in range(40):
            handler.wfile.flush()
            if done.wait(0.1):
                return
            handler.wfile.write(more)

    host.serve = serve
    (error,) = fetched(host, tmp_path / "part", 1, stall=0.5)
    done.set()
    assert "stood still for 0.5 s" in str(error)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/loop", "more than 5 redirects"),
        ("file:///etc/passwd", "the download broke"),
        ("ftp://example.com/x", "the download broke"),
        ("http://[", "cannot be found"),
        ("http://127.0.0.1:99999/x", "the download broke"),
    ],
)
def test_redirects_are_bounded_and_of_http_alone(target: str, words: str, host: Host, tmp_path: Path) -> None:
    host.serve = lambda handler, _: answer(handler, 302, b"", 0, location=target)
    (error,) = fetched(host, tmp_path / "part", 1)
    assert words in str(error) or "is not followed" in str(error)


def test_a_redirect_is_followed(host: Host, tmp_path: Path) -> None:
    def serve(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number < 4:
            answer(handler, 302, b"", 0, location=f"/next-{number}")
        else:
            answer(handler, 200, DATA, len(DATA))

    host.serve = serve
    assert fetched(host, tmp_path / "part", 1) == [len(DATA)]


def redirected(links: Links, start: str, target: str) -> httpx.URL | None:
    return links.redirected(httpx.URL(start), httpx.Response(302, headers={"location": target}), 0)


def test_https_never_leads_down_to_http() -> None:
    links = Links("https://api.acedata.cloud")
    with pytest.raises(ConfigurationError, match="down from https to http"):
        redirected(links, "https://cdn.example.com/a", "http://cdn.example.com/a")
    assert redirected(links, "https://a.example.com/", "https://b.example.com/") is not None
    plain = Links("http://api.example.com")
    assert redirected(plain, "http://a.example.com/", "http://b.example.com/") is not None
    with pytest.raises(ConfigurationError):
        redirected(plain, "https://a.example.com/", "http://b.example.com/")


def test_a_plain_link_of_an_https_service_is_asked_for_by_https() -> None:
    assert str(Links("https://api.acedata.cloud").parsed("http://cdn.example.com/a")) == "https://cdn.example.com/a"
    assert str(Links("http://127.0.0.1:8").parsed("http://cdn.example.com/a")) == "http://cdn.example.com/a"
    assert str(Links("https://api.acedata.cloud").parsed("http://127.0.0.1:8/a")) == "http://127.0.0.1:8/a"


def test_a_sample_is_hashed_without_being_kept(host: Host, tmp_path: Path) -> None:
    host.serve = lambda handler, _: answer(handler, 200, DATA, len(DATA))

    async def digest() -> str:
        downloads = HttpDownloads(host.url)
        try:
            return await downloads.digest(f"{host.url}/a.wav")
        finally:
            await downloads.aclose()

    assert asyncio.run(digest()) == hashlib.sha256(DATA).hexdigest()
