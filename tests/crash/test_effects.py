"""A build killed before and after each of its effects in turn, resumed, and compared with an undisturbed one."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fishpipe.machine import SystemClock
from fishpipe.sandbox.server import running
from fishpipe.sandbox.switches import Switches
from tests.conftest import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

VICTIM = Path(__file__).with_name("victim.py")
# Every how many effects a kill falls, in this run; FISHPIPE_SOAK leaves none out.
STRIDE = 1 if os.environ.get("FISHPIPE_SOAK") else 12
SHARDS = 2
FAULTS: dict[str, Any] = {"fault_rate": 0.3, "faults": ("500", "429", "half"), "seed": 5}


@dataclass(frozen=True)
class Story:
    """How answers come, and what goes wrong."""

    delivery: str
    switches: dict[str, Any]


STORIES = {
    "poll": Story("poll", {}),
    "wait": Story("wait", {}),
    "callback": Story("callback", {"mishap_rate": 0.4, "mishaps": ("never", "twice", "late"), "seed": 2}),
    "faults": Story("poll", FAULTS),
}


def manifest(delivery: str, port: int) -> str:
    return f"""\
fishpipe: 1
provider:
  concurrency: 2
  delivery: {delivery}
  callback_url: http://127.0.0.1:{port}
  callback_listen: 127.0.0.1:{port}
  callback_timeout: 300ms
defaults: {{voice: ana}}
store: clips
voices: {{ana: {{sample_url: https://example.com/ana.mp3}}}}
scripts:
  one: {{output: one.mp3, segments: [{{text: One.}}, {{text: Two., id: two}}, {{text: Three.}}]}}
"""


@pytest.mark.soak
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("story", STORIES)
def test_killed_at_each_effect(story: str, shard: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = STORIES[story]
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]

    @contextmanager
    def fresh(name: str, **switches: Any) -> Iterator[tuple[Path, Service]]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "fishpipe.yaml").write_text(manifest(told.delivery, port))
        with running(tmp_path / f"{name}-service", Switches(**switches), SystemClock().now) as url:
            monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", url)
            yield folder, Service(url)

    with fresh("clean") as (clean, _):
        assert victim(clean, 0).returncode == 0
        expected = digest(clean)
        effects = int((clean / "effects").read_text())
    assert effects > 40
    for number in range(1 + shard * STRIDE, effects + 1, STRIDE * SHARDS):
        with fresh(f"kill-{number}", **told.switches) as (folder, service):
            killed = victim(folder, number)
            assert "Traceback" not in killed.stderr
            # Chance makes some builds shorter than the clean one.
            if killed.returncode == -signal.SIGKILL:
                resumed(folder, service, expected)


def resumed(folder: Path, service: Service, expected: str) -> None:
    """The next builds end what was begun: nothing that was answered is paid again, and nothing stored is lost."""
    before = service.usage()
    rows = states(folder)
    stored = {path.name for path in (folder / ".fishpipe" / "clips").rglob("*.mp3")}
    for _ in range(3):
        done = victim(folder, 0)
        assert "Traceback" not in done.stderr
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    again = service.usage()[len(before) :]
    answered = {text for text, state in rows.items() if state not in ("intended", "refused")}
    twice = answered & {item["request"].get("text", "voice") for item in again}
    assert not twice, f"{twice} had been answered, and {'were' if len(twice) > 1 else 'was'} paid for again"
    assert stored <= {path.name for path in (folder / ".fishpipe" / "clips").rglob("*.mp3")}
    assert digest(folder) == expected
    assert len([row for row in rows.values() if row == "intended"]) <= 2


def victim(folder: Path, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(VICTIM), str(number), "-k"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "one.mp3").read_bytes()).hexdigest()


def states(folder: Path) -> dict[str, str]:
    """Text (or `voice`) → state, as the ledger has them."""
    ledger = folder / ".fishpipe" / "ledger.db"
    if not ledger.exists():
        return {}
    with sqlite3.connect(ledger) as db:
        query = "SELECT coalesce(json_extract(record, '$.body.text'), 'voice'), state FROM calls"
        try:
            return dict(db.execute(query).fetchall())
        except sqlite3.OperationalError:
            return {}
