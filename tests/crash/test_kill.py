"""Kill -9 at random moments, then a build to the end: nothing is paid twice once its task id was committed."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Service

KILLS = int(os.environ.get("FISHPIPE_SOAK", "8"))
# More than the kills let through, so that each of them falls into a run that is at work.
LINES = 5 * KILLS
MANIFEST = (
    "fishpipe: 1\nprovider: {delivery: DELIVERY, concurrency: 3}\ndefaults: {voice: ana}\n"
    "voices: {ana: {sample_url: 'https://example.com/ana.mp3'}}\n"
    "scripts:\n  one:\n    output: one.mp3\n    segments:\n"
    + "".join(f"      - text: This is line {number}.\n" for number in range(LINES))
)


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fishpipe", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def committed() -> set[str]:
    """The task ids (or links) on record, however the process died."""
    ledger = Path(".fishpipe/ledger.db")
    if not ledger.exists():
        return set()
    return {row[0] for row in asked("SELECT fingerprint FROM receipts WHERE kind = 'clip'")}


def asked(query: str) -> list[Any]:
    """Rows of the ledger, as far as it was made."""
    try:
        with closing(sqlite3.connect(".fishpipe/ledger.db")) as db:
            return db.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def undisturbed(service: Service, delivery: str, folder: Path) -> str:
    folder.mkdir()
    (folder / "fishpipe.yaml").write_text(MANIFEST.replace("DELIVERY", delivery))
    done = command("build", "-C", str(folder))
    output = done.communicate(timeout=120)
    assert done.returncode == 0, output
    return hashlib.sha256((folder / "one.mp3").read_bytes()).hexdigest()


@pytest.mark.soak
@pytest.mark.parametrize("delivery", ["poll", "wait"])
def test_kill_at_random_moments(
    delivery: str, serve: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    other = serve("other")
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", other.url)
    expected = undisturbed(other, delivery, tmp_path / "undisturbed")

    service = serve("service", latency=0.15)
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    Path("fishpipe.yaml").write_text(MANIFEST.replace("DELIVERY", delivery))
    dice = random.Random(7)
    for _ in range(KILLS):
        before = committed()
        paid = Counter(texts(service))
        process = command("build")
        time.sleep(dice.uniform(0.25, 1.2))
        process.kill()
        process.communicate()
        again = Counter(texts(service)) - paid
        assert not {fingerprints(service)[text] for text in again} & before, "paid twice after its receipt"
        assert len(in_doubt()) <= 3
    listed = len(in_doubt())
    final = command("build")
    out, err = final.communicate(timeout=120)
    assert final.returncode == 0, (out, err)
    assert err.count("in doubt") + err.count("found at the service") == listed
    assert hashlib.sha256(Path("one.mp3").read_bytes()).hexdigest() == expected


def texts(service: Service) -> list[str]:
    return [item["request"]["text"] for item in service.usage() if item["type"] == "tts"]


def fingerprints(service: Service) -> dict[str, str]:
    """Text → fingerprint, as the ledger has them."""
    del service
    rows = asked("SELECT fingerprint, json_extract(record, '$.body.text') FROM calls")
    return {text: key for key, text in rows if text}


def in_doubt() -> list[str]:
    if not Path(".fishpipe/ledger.db").exists():
        return []
    return [row[0] for row in asked("SELECT fingerprint FROM calls WHERE state = 'intended'")]
