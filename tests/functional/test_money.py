"""What things cost, before and after: prices, budgets, a person's word, receipts."""

from __future__ import annotations

import csv
import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    provider: {prices: {speech: 10, models: {s1: 20, s2.1-pro: unknown}}}
    scripts:
      one:
        output: one.mp3
        segments:
          - text: Ten bytes.
          - {text: Ten bytes!, model: s1}
          - {text: Ten bytes?, model: s2.1-pro}
    """


def test_prices_are_by_model_and_an_unknown_one_is_said(cli: Cli, write: Write) -> None:
    write(SHOW)
    plan = cli("plan")
    assert "one/0001: ~$0.0001" in plan.out
    assert "one/0002: ~$0.0002" in plan.out
    assert "one/0003: price unknown" in plan.out
    assert "3 calls, 30 bytes, ~$0.0003 + 1 call of unknown price" in plan.out


def test_an_unknown_price_is_refused_under_a_budget_until_it_is_priced(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    done = cli("build", "--budget", "1")
    assert done.code == 5
    assert "s2.1-pro has no known price" in done.err
    assert "provider: {prices: {models: {s2.1-pro: 15}}}" in done.err
    assert service.usage() == []
    monkeypatch.setenv("FISHPIPE_PRICES", "s2.1-pro=30, voice=0.5")
    assert "~$0.0006" in cli("plan").out
    assert cli("build", "--budget", "1").code == 0
    monkeypatch.setenv("FISHPIPE_PRICES", "speech=cheap")
    assert cli("plan").code == 2


def test_receipts_are_summed_up_by_whatever_is_asked(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("scripts:", "voices: {ana: {sample_url: https://example.com/a.mp3}}\n    scripts:")
          .replace("text: Ten bytes.", "{text: Ten bytes., voice: ana}")
          .replace("segments:", "defaults: {voice: ana}\n        segments:"))  # fmt: skip
    assert cli("spend").out == "nothing was paid\n"
    assert cli("build").code == 0
    data = cli("spend", "--by", "model", "--json").data
    assert {group["model"]: group["calls"] for group in data["groups"]} == {"-": 1, "s1": 1, "s2-pro": 1, "s2.1-pro": 1}
    assert data["total"]["bytes"] == 30
    assert data["total"]["unpriced"] == 2
    assert [group["voice"] for group in cli("spend", "--by", "voice", "--json").data["groups"]] == ["ana"]
    assert [group["script"] for group in cli("spend", "--by", "script", "--json").data["groups"]] == ["(voices)", "one"]
    text = cli("spend").out
    assert "in all" in text
    assert "4" in text.splitlines()[1]
    assert "nothing was really paid" in text
    rows = list(csv.DictReader(io.StringIO(cli("spend", "--csv").out)))
    assert len(rows) == 4
    assert all(row["task_id"] for row in rows)
    assert cli("spend", "--since", "2999-01-01").out == "nothing was paid\n"


@pytest.mark.parametrize(("answer", "code", "paid"), [("n", 5, 0), ("y", 0, 3)])
def test_a_person_is_asked_before_what_is_dear(
    answer: str, code: int, paid: int, write: Write, service: Service
) -> None:
    write(SHOW)
    done, said = on_a_terminal(["build"], answer)
    assert done == code, said
    assert "Pay for 3 calls, 30 bytes, ~$0.0003 + 1 call of unknown price?" in said
    assert ("declined. Nothing was paid" in said) == (code == 5)
    assert len(service.usage()) == paid


def test_nobody_is_asked_below_the_threshold_or_with_yes(write: Write, service: Service) -> None:
    write(SHOW.replace("unknown", "15"))
    done, said = on_a_terminal(["build"], "n")
    assert (done, "Pay for" in said) == (0, False)
    Path("fishpipe.yaml").write_text(Path("fishpipe.yaml").read_text().replace("Ten", "Tem"))
    Path("fishpipe.yaml").write_text(
        Path("fishpipe.yaml").read_text().replace("fishpipe: 1", "fishpipe: 1\nbudget: {confirm: 0}")
    )
    assert "Pay for" in on_a_terminal(["build"], "n")[1]
    done, said = on_a_terminal(["build", "--yes"], "n")
    assert (done, "Pay for" in said) == (0, False)
    assert len(service.usage()) == 6


def on_a_terminal(arguments: list[str], answer: str) -> tuple[int, str]:
    """A build whose stdin and stderr are a terminal, and a person who types."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fishpipe", *arguments], stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    said = b""
    while True:
        try:
            said += os.read(ours, 4096)
        except OSError:
            break
    os.close(ours)
    return process.wait(timeout=60), said.decode()


def test_a_call_in_doubt_is_made_again_three_times_and_then_waits(
    cli: Cli, write: Write, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(fault_rate=1.0, faults=("drop",))
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    write("fishpipe: 1\nscripts:\n  one: {output: one.mp3, segments: [{text: Hello.}]}\n")
    for _ in range(6):
        assert cli("build").code == 1
    assert len(service.usage()) == 4, "one call, and three more"
    assert "held" in cli("plan").out
    cli("build", "--in-doubt", "retry")
    assert len(service.usage()) > 4
