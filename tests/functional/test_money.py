"""What things cost, before and after: prices, budgets, a person's word, receipts."""

from __future__ import annotations

import csv
import io
import os
import pty
import sqlite3
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


def receipts(cli: Cli) -> list[tuple[str, float | None]]:
    return [(row["kind"], row["usd"]) for row in cli("spend", "--json").data["receipts"]]


def test_a_clip_that_was_lost_is_counted_as_often_as_it_was_paid(
    cli: Cli, write: Write, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve()
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    write("fishpipe: 1\nscripts:\n  one: {output: one.mp3, segments: [{text: Hello.}]}\n")
    assert cli("build").code == 0
    next(Path(".fishpipe/clips").rglob("*.mp3")).unlink()
    Path("fishpipe.lock").unlink()
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        db.execute("UPDATE calls SET state = 'lost', charged = 'yes', url = NULL, task_id = NULL")
    assert cli("build").code == 0
    assert len(service.usage()) == 2
    paid = receipts(cli)
    assert [kind for kind, _ in paid] == ["clip", "in doubt", "clip"]
    assert [usd for _, usd in paid][1] == 0.0


VOICED = """
    fishpipe: 1
    provider: {prices: {voice: 0.5}}
    budget: 0.6
    defaults: {voice: ana}
    voices: {ana: {sample_url: https://example.com/ana.mp3}}
    scripts:
      one: {output: one.mp3, segments: [{text: Hello there.}]}
    """


def test_a_voice_in_doubt_fits_the_budget_that_its_plan_fits(cli: Cli, write: Write, service: Service) -> None:
    write(VOICED)
    assert cli("build").code == 0
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        db.execute(
            "UPDATE calls SET state = 'intended', voice_id = NULL, intended = intended + 999 WHERE kind = 'voice'"
        )
        db.execute("DELETE FROM calls WHERE kind = 'clip'")
        db.execute("DELETE FROM receipts")
    next(Path(".fishpipe/clips").rglob("*.mp3")).unlink()
    Path("fishpipe.lock").unlink()
    done = cli("build", "--in-doubt", "retry")
    assert done.code == 0, done.err
    assert [kind for kind, _ in receipts(cli)] == ["in doubt", "voice", "clip"]


def test_an_adopted_voice_is_booked_at_its_price(cli: Cli, write: Write, service: Service) -> None:
    write(VOICED)
    assert cli("build").code == 0
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        db.execute("UPDATE calls SET state = 'intended', voice_id = NULL WHERE kind = 'voice'")
        db.execute("DELETE FROM calls WHERE kind = 'clip'")
        db.execute("DELETE FROM receipts")
    next(Path(".fishpipe/clips").rglob("*.mp3")).unlink()
    Path("fishpipe.lock").unlink()
    assert cli("build", "--in-doubt", "skip").code == 0
    assert receipts(cli)[0] == ("voice", 0.5)
    assert [item["type"] for item in service.usage()].count("voices") == 1


def test_nothing_is_booked_for_a_voice_whose_sample_is_another(cli: Cli, write: Write, service: Service) -> None:
    write(
        VOICED.replace("ana.mp3}", f"ana.mp3, sample_sha256: {'0' * 64}}}").replace("https://example.com", service.url)
    )
    for _ in range(2):
        assert cli("build").code == 1
    assert receipts(cli) == []
