"""Money that a project cannot make a user spend: drafts, prices, tokens, `.env`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    provider: sandbox
    scripts:
      one: {output: one.mp3, segments: [{text: The first line of it.}, {text: The second line of it.}]}
    """
REAL = SHOW.replace("provider: sandbox", "provider: acedata")


def test_a_paid_draft_is_not_paid_for_again(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    assert cli("build", "--provider", "acedata").code == 0
    assert len(service.usage()) == 2
    write(REAL)
    assert "0 calls, nothing to pay" in cli("plan").out
    assert cli("build", "--frozen").code == 0
    assert len(service.usage()) == 2
    assert len(list(Path(".fishpipe/clips").glob("??/*.mp3"))) == 2, "they are the project's own now"
    write(SHOW)
    assert cli("build", "--provider", "acedata").out.startswith("Nothing to do")


def test_what_is_in_flight_in_a_draft_is_collected(
    cli: Cli, write: Write, point: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = point(latency=30.0)
    write(SHOW)
    assert cli("build", "--provider", "acedata", "--deadline", "1s").code == 1
    paid = len(service.usage())
    assert paid == 2
    write(REAL)
    plan = cli("plan")
    assert "0 calls, nothing to pay; 2 to collect" in plan.out


def test_drafts_count_for_the_months_budget(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    assert cli("build", "--provider", "acedata").code == 0
    write(REAL.replace("The first", "Another first").replace("fishpipe: 1", "fishpipe: 1\n    budget: {month: 0.0008}"))
    done = cli("build")
    assert done.code == 5
    assert "of the month's" in done.err
    assert len(cli("spend", "--json").data["receipts"]) == 2


def test_a_free_draft_is_no_payment(cli: Cli, write: Write, service: Service) -> None:
    """What the sandbox spoke is not taken for what a service on this machine would speak."""
    write(REAL)
    assert cli("build", "--provider", "sandbox").code == 0
    assert service.usage() == []
    assert "2 calls" in cli("plan").out
    assert cli("build").code == 0
    assert len(service.usage()) == 2


@pytest.mark.parametrize("prices", ["{speech: 0}", "{models: {s2-pro: 0.001}}", "{speech: 0, voice: 0}"])
def test_a_budget_from_outside_is_not_measured_by_the_projects_prices(
    prices: str, cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(REAL.replace("provider: acedata", f"provider: {{prices: {prices}}}"))
    Path(".env").write_text("FISHPIPE_PRICES=speech=0\nFISHPIPE_BUDGET=100\n")
    assert cli("build", "--budget", "0.0001").code == 5
    monkeypatch.setenv("FISHPIPE_BUDGET", "0.0001")
    assert cli("build").code == 5
    assert service.usage() == []
    monkeypatch.setenv("FISHPIPE_PRICES", "speech=0.001,s2-pro=0.001")
    assert cli("build").code == 0, "the user's own prices count"
    monkeypatch.delenv("FISHPIPE_PRICES")
    assert cli("retake", "one/0001").code == 5
    assert len(service.usage()) == 2


def test_a_voice_of_the_projects_own_price_is_no_part_of_a_budget_from_outside(
    cli: Cli, write: Write, service: Service
) -> None:
    voice = "voices: {ana: {sample_url: https://example.com/a.mp3}}\n    defaults: {voice: ana}\n    scripts:"
    write(REAL.replace("acedata", "{prices: {voice: 0.0001}}").replace("scripts:", voice))
    done = cli("build", "--budget", "1")
    assert done.code == 5
    assert "export FISHPIPE_PRICES=voice=0.50" in done.err
    assert service.usage() == []


def test_a_price_of_nothing_is_told_with_its_place(cli: Cli, write: Write) -> None:
    write(REAL.replace("provider: acedata", "provider: {prices: {speech: 0}}"))
    assert "fishpipe.yaml:2:20: warning: a price of 0 for acedata" in cli("plan").err
    write(SHOW.replace("provider: sandbox", "provider: {name: sandbox, prices: {speech: 0}}"))
    assert "price of 0" not in cli("plan").err


@pytest.mark.parametrize("place", ["manifest", ".env"])
def test_no_token_goes_to_an_address_that_the_project_brings(
    place: str, cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on loopback: another user's port may be behind it."""
    monkeypatch.delenv("ACEDATACLOUD_API_BASE_URL")
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", TOKEN)
    write(REAL)
    if place == "manifest":
        write(REAL.replace("provider: acedata", f"provider: {{base_url: '{service.url}'}}"))
    else:
        Path(".env").write_text(f"ACEDATACLOUD_API_BASE_URL={service.url}\n")
    done = cli("build")
    assert done.code == 4
    assert f"If you trust it: export ACEDATACLOUD_API_BASE_URL={service.url}" in done.err
    assert service.usage() == []
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    assert cli("build").code == 0


def test_a_dotenv_sets_the_token_and_says_what_it_does_not_set(cli: Cli, write: Write, service: Service) -> None:
    write(REAL)
    Path(".env").write_text("FISHPIPE_STORE=/tmp/x\nFISHPIPE_PRICES=speech=0\nFISHPIPE_PROVIDER=sandbox\nOTHER=1\n")
    done = cli("build")
    assert done.code == 0
    for name in ("FISHPIPE_STORE", "FISHPIPE_PRICES", "FISHPIPE_PROVIDER"):
        assert f".env sets {name}, which is not read there" in done.err
    assert "OTHER" not in done.err
    assert len(service.usage()) == 2
