"""Callbacks: taken when they come, in whatever order and number, and stood in for when they do not."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
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


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def show(port: int, timeout: str = "2s", more: str = "") -> str:
    return f"""
    fishpipe: 1
    provider:
      concurrency: 3
      delivery: callback
      callback_url: http://127.0.0.1:{port}
      callback_listen: 127.0.0.1:{port}
      callback_timeout: {timeout}
    defaults: {{voice: ana{more}}}
    voices: {{ana: {{sample_url: https://example.com/ana.mp3}}}}
    scripts:
      one:
        output: one.mp3
        segments:
{LINES}
    """


def billed(service: Service) -> dict[str, int]:
    kinds = [item["type"] for item in service.usage()]
    return {kind: kinds.count(kind) for kind in kinds}


@pytest.mark.parametrize("api", ["tts", "audios"])
def test_voices_and_lines_come_by_callback_and_nothing_is_asked_for(
    api: str, cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point()
    write(show(free_port(), timeout="20s", more=f", api: {api}"))
    done = cli("build")
    assert done.code == 0, done.err
    assert billed(service) == {"voices": 1, api: 6}
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        nonces = [row[0] for row in db.execute("SELECT nonce FROM calls")]
        secret = db.execute("SELECT value FROM secrets").fetchone()[0]
    assert len(set(nonces)) == 7
    addresses = {item["request"]["callback_url"] for item in service.usage()}
    assert {address.rpartition("/")[2] for address in addresses} == set(nonces)
    assert all(f"/{secret}/" in address for address in addresses)
    assert secret not in done.out + done.err


@pytest.mark.parametrize("mishap", ["late", "twice", "never", "reorder", "malformed"])
def test_callbacks_go_wrong_and_the_build_does_not(
    mishap: str, cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(mishap_rate=1.0 if mishap != "reorder" else 0.5, mishaps=(mishap,))
    write(show(free_port(), timeout="500ms"))
    done = cli("build")
    assert done.code == 0, done.err
    assert billed(service) == {"voices": 1, "tts": 6}
    assert cli("build").out.startswith("Nothing to do")


@pytest.mark.parametrize("fault", ["502", "html", "drop", "truncate"])
def test_a_callback_resolves_a_call_whose_answer_was_lost(
    fault: str, cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(fault_rate=1.0, faults=(fault,))
    write(show(free_port(), timeout="5s"))
    done = cli("build")
    assert done.code == 0, done.err
    assert billed(service) == {"voices": 1, "tts": 6}, "nothing was paid twice"


def test_a_restarted_build_takes_the_callbacks_of_the_earlier_one(
    cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(fault_rate=1.0, faults=("drop",), mishap_rate=1.0, mishaps=("never",))
    port = free_port()
    write(show(port, timeout="300ms").replace("voices: {ana: {sample_url: https://example.com/ana.mp3}}", ""))
    manifest = Path("fishpipe.yaml")
    manifest.write_text(manifest.read_text().replace("{voice: ana}", "{}"))
    assert cli("build", "--in-doubt", "skip", "-k").code == 1
    assert billed(service) == {"tts": 6}
    manifest.write_text(manifest.read_text().replace("300ms", "20s"))
    addresses = {item["request"]["callback_url"]: item for item in service.usage()}

    def deliver() -> None:
        for address, item in addresses.items():
            url = task_url(service, item["id"])
            for _ in range(200):
                try:
                    status = send(address, {"task_id": item["id"], "audio_url": url})
                except urllib.error.URLError:
                    time.sleep(0.05)
                else:
                    assert status == 200
                    break

    sender = threading.Thread(target=deliver)
    sender.start()
    done = cli("build", "--in-doubt", "retry")
    sender.join()
    assert done.code == 0, done.err
    assert billed(service) == {"tts": 6}, "the answers came after all"


def test_strangers_and_nonsense_are_answered_and_change_nothing(
    cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(latency=1.0)
    port = free_port()
    write(show(port, timeout="20s"))
    statuses: list[int] = []

    def disturb() -> None:
        wait_for(lambda: Path(".fishpipe/ledger.db").exists() and secret_of() is not None)
        place = f"http://127.0.0.1:{port}/{secret_of()}"
        bodies: list[tuple[str, bytes]] = [
            (f"http://127.0.0.1:{port}/wrong/nonce", b"{}"),
            (f"{place}/unknown", b'{"task_id": "x", "audio_url": "https://example.com/x.mp3"}'),
            (f"{place}/unknown", b"{"),
            (f"{place}/unknown", b"[" * 100_000),
            (f"{place}/unknown", b"[1, 2]"),
            (f"{place}/unknown", b'{"task_id": 5, "data": [[]], "audio_url": {"a": 1}}'),
            (f"{place}/unknown", b'{"audio_url": "' + b"x" * (2 << 20) + b'"}'),
            (f"{place}/%ff%00", b"{}"),
        ]
        for address, body in bodies:
            started = time.monotonic()
            statuses.append(post(address, body))
            assert time.monotonic() - started < 2

    stranger = threading.Thread(target=disturb)
    stranger.start()
    done = cli("build")
    stranger.join()
    assert done.code == 0, done.err
    assert statuses == [404, 200, 400, 400, 200, 200, 413, 200]
    assert billed(service) == {"voices": 1, "tts": 6}


def test_a_place_that_is_taken_is_said_before_anything_is_paid(
    cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        write(show(taken.getsockname()[1]))
        done = cli("build")
    assert done.code == 1
    assert "choose another callback_listen" in done.err
    assert service.usage() == []


def test_a_call_that_is_held_needs_no_decision_once_its_callback_comes(
    cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(fault_rate=1.0, faults=("drop",), mishap_rate=1.0, mishaps=("never",))
    write(show(free_port(), timeout="300ms"))
    manifest = Path("fishpipe.yaml")
    plain = manifest.read_text().replace("{voice: ana}", "{}").replace("voices: {ana", "vars: {ana")
    manifest.write_text(plain)
    assert cli("build", "--in-doubt", "skip", "-k").code == 1
    manifest.write_text(plain.replace("300ms", "20s"))
    calls = {item["request"]["callback_url"]: item["id"] for item in service.usage()}

    def deliver() -> None:
        for address, task in calls.items():
            for _ in range(200):
                try:
                    send(address, {"task_id": task, "audio_url": task_url(service, task)})
                    break
                except urllib.error.URLError:
                    time.sleep(0.05)

    sender = threading.Thread(target=deliver)
    sender.start()
    done = cli("build", "--in-doubt", "skip")
    sender.join()
    assert done.code == 0, done.err
    assert billed(service) == {"tts": 6}


def test_a_deadline_holds_while_callbacks_are_waited_for(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    service = point(latency=4.0, mishap_rate=1.0, mishaps=("never",))
    write(show(free_port(), timeout="60s"))
    started = time.monotonic()
    done = cli("build", "--deadline", "500ms")
    assert done.code == 1
    assert time.monotonic() - started < 8
    assert "the deadline of 0.5 s has passed" in done.err
    assert len(service.usage()) <= 3


def test_the_sandbox_needs_no_public_address(cli: Cli, write: Write) -> None:
    port = free_port()
    write(show(port).replace(f"http://127.0.0.1:{port}\n", "https://nobody.example.com/\n"))
    assert cli("build", "--provider", "sandbox").code == 0


def secret_of() -> str | None:
    try:
        with sqlite3.connect(".fishpipe/ledger.db") as db:
            row = db.execute("SELECT value FROM secrets").fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row else None


def task_url(service: Service, task: str) -> str:
    body = json.dumps({"id": task, "action": "retrieve"}).encode()
    headers = {"authorization": "Bearer any", "content-type": "application/json"}
    for _ in range(200):
        request = urllib.request.Request(f"{service.url}/fish/tasks", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            response = json.load(answer)["response"]
        if response:
            return str(response["audio_url"])
        time.sleep(0.05)
    raise AssertionError(task)


def send(address: str, data: object) -> int:
    request = urllib.request.Request(address, json.dumps(data).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


def post(address: str, body: bytes) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, ConnectionError):
        # The receiver may close while a body that is too large still comes; it still listens.
        assert len(body) > 1 << 20
        return 413


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
