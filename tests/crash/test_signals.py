"""Ctrl-C once and twice, and SIGTERM: what is paid for is kept, and the next build goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Service

MANIFEST = "fishpipe: 1\nprovider: {concurrency: 2}\nscripts:\n  one:\n    output: one.mp3\n    segments:\n" + "".join(
    f"      - text: This is line {number}.\n" for number in range(8)
)


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([signal.SIGINT], 130),
        ([signal.SIGINT, signal.SIGINT], 130),
        ([signal.SIGTERM], 143),
        ([signal.SIGINT, signal.SIGTERM], 130),
    ],
)
def test_a_stop_keeps_what_is_paid_for(
    signals: list[signal.Signals], code: int, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(latency=1.0)
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    Path("fishpipe.yaml").write_text(MANIFEST)
    process = build()
    wait_for(lambda: len(service.usage()) >= 2)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code, (out, err)
    assert "Traceback" not in err
    assert "Continue: fishpipe build" in out + err
    paid = len(service.usage())
    assert paid < 8, "no new calls after the signal"
    final = build()
    out, err = final.communicate(timeout=60)
    assert final.returncode == 0, (out, err)
    assert len(service.usage()) == 8, "nothing was paid for twice"


def build() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fishpipe", "build"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
