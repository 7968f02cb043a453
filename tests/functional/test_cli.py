"""The command line: help, usage, exit codes, streams, and where a token may go."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fishpipe.cli import main
from fishpipe.graph.fingerprints import fingerprint
from fishpipe.ports import RunLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    vars: {host: Ana}
    scripts:
      one: {output: one.mp3, segments: [{id: hi, text: "Hello {{ host }}."}]}
    """


def test_init_makes_a_project_that_builds(cli: Cli) -> None:
    made = cli("init", "show")
    assert made.code == 0
    assert made.err == "next: cd show && fishpipe build\n"
    assert cli("validate", "-C", "show").code == 0
    done = cli("build")
    assert done.code == 0
    assert Path("dist/first.mp3").stat().st_size > 50_000


def test_init_overwrites_nothing(cli: Cli, write: Write) -> None:
    before = write(SHOW).read_text()
    done = cli("init")
    assert done.code == 2
    assert done.err == "fishpipe.yaml exists already; nothing was written\n"
    assert Path("fishpipe.yaml").read_text() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["biuld"], 'no verb "biuld"; did you mean "build"?'),
        (["plan", "--jsn"], "No such option"),
        (["build", "-j", "0"], "0 is not in the range"),
        (["build", "--var", "host"], "--var host: expected NAME=VALUE"),
        (["plan", "--var", "hots=Ben"], 'no variable "hots"; did you mean "host"?'),
        (["plan", "nowhere"], 'no target "nowhere"'),
        (["explain"], "explain needs a segment"),
        (["plan", "-C", "nowhere"], "-C nowhere: No such file or directory"),
    ],
)
def test_usage_errors_exit_2(words: list[str], message: str, cli: Cli, write: Write) -> None:
    write(SHOW)
    done = cli(*words)
    assert done.code == 2
    assert message in done.err


def test_no_manifest_says_how_to_make_one(cli: Cli) -> None:
    done = cli("plan")
    assert (done.code, done.err) == (2, "no fishpipe.yaml here or in a folder above; make one: fishpipe init\n")


def test_the_manifest_is_found_upwards(cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(SHOW)
    (tmp_path / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "down")
    assert "../../fishpipe.yaml:4: one/hi" in cli("plan").out


def test_a_missing_manifest_is_a_problem_with_a_place(cli: Cli) -> None:
    done = cli("validate", "nope.yaml")
    assert done.code == 3
    assert done.err.startswith("nope.yaml:1:1: nope.yaml does not exist")


def test_a_folder_is_no_manifest(cli: Cli) -> None:
    Path("empty").mkdir()
    done = cli("validate", "empty")
    assert done.code == 3
    assert done.err.startswith("empty:1:1: empty is a folder")


def test_var_overrides_and_keeps_types(cli: Cli, write: Write) -> None:
    write(SHOW)
    assert "Hello Ben." in cli("plan", "--var", "host=Ben").out


def test_validate_speaks_json_and_github(cli: Cli, write: Write) -> None:
    write(SHOW.replace("text:", "txt:"))
    problems = json.loads(cli("validate", "--format", "json").out)
    assert problems[0]["line"] == 4
    assert cli("validate", "--json").out == cli("validate", "--format", "json").out
    assert cli("validate", "--format", "github").out.startswith("::error file=fishpipe.yaml,line=4,col=")


def test_an_unexpected_error_writes_a_log_and_no_token(
    cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(SHOW)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "tok-secret")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("with tok-secret inside")

    monkeypatch.setattr("fishpipe.targets.build_graph", broken)
    done = cli("plan")
    assert done.code == 70
    assert "Traceback" not in done.err
    log = next(tmp_path.glob("fishpipe-*.log"))
    assert str(log) in done.err
    assert "ZeroDivisionError" in log.read_text()
    assert "tok-secret" not in log.read_text() + done.err


def test_ctrl_c_outside_of_a_run_exits_130(monkeypatch: pytest.MonkeyPatch, cli: Cli, write: Write) -> None:
    write(SHOW)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fishpipe.targets.build_graph", interrupted)
    assert cli("plan").code == 130
    assert main.VERBS


@pytest.mark.parametrize("place", ["manifest", ".env"])
def test_a_token_from_elsewhere_is_not_sent_to_a_foreign_base_url(place: str, cli: Cli, write: Write) -> None:
    write(SHOW.replace("fishpipe: 1", "fishpipe: 1\n    provider: {base_url: https://evil.example.com}"))
    if place == ".env":
        write(SHOW)
        Path(".env").write_text("ACEDATACLOUD_API_BASE_URL=https://evil.example.com\n")
    import os

    os.environ["ACEDATACLOUD_API_TOKEN"] = "tok"
    try:
        done = cli("build")
    finally:
        del os.environ["ACEDATACLOUD_API_TOKEN"]
    assert done.code == 4
    assert "the token is not sent there" in done.err


def test_the_token_may_stand_in_dotenv(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    monkeypatch.delenv("ACEDATACLOUD_API_TOKEN")
    Path(".env").write_text("ACEDATACLOUD_API_TOKEN='from the file'\n")
    assert cli("build").code == 0
    assert len(service.usage()) == 1


def test_quiet_says_nothing_where_all_is_well(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    done = cli("build", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_explain_tells_the_whole_story(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert "one/hi: new" in cli("explain", "one/hi").out
    cli("build")
    text = cli("explain", "fishpipe.yaml:4").out
    assert "one/hi: reused" in text
    assert "paid 2" in text
    answer = cli("explain", "one/hi", "--json").data[0]
    assert answer["record"]["body"]["text"] == "Hello Ana."
    assert len(answer["receipts"]) == 1


def test_graph_draws_dot_and_mermaid(cli: Cli, write: Write) -> None:
    write(SHOW)
    dot = cli("graph").out
    assert dot.startswith("digraph fishpipe {")
    assert '"one/hi: Hello Ana."' in dot
    assert cli("graph", "--format", "mermaid").out.startswith("graph LR")


def test_consent_is_shown(cli: Cli, write: Write) -> None:
    write("""
        fishpipe: 1
        defaults: {voice: ana}
        voices: {ana: {sample_url: https://example.com/a.mp3, consent: Signed in March.}}
        scripts: {one: {output: one.mp3, segments: [{text: Hi there.}]}}
        """)
    assert "voice ana: to create; consent: Signed in March." in cli("status").out


def test_a_ledger_that_came_with_a_repository_leads_no_token_astray(
    cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    """A row that is `answered` needs no token to collect; should its link be dead, no stranger is asked with one."""
    write(SHOW)
    assert cli("build").code == 0
    asked: list[str] = []

    async def listening(_self: object, request: Any, **_: object) -> Any:
        asked.append(request.headers.get("authorization", ""))
        raise httpx.ConnectError("nobody")

    for clip in Path(".fishpipe/clips").rglob("*.mp3"):
        clip.unlink()
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        db.execute("UPDATE calls SET state = 'answered', url = 'http://192.0.2.1/dead.mp3', task_id = 't'")
        db.execute("UPDATE calls SET record = json_set(record, '$.realm', 'acedata')")
        rows = db.execute("SELECT fingerprint, record FROM calls WHERE kind = 'clip'").fetchall()
        for old, record in rows:
            new = fingerprint(json.loads(record))
            db.execute("UPDATE calls SET fingerprint = ? WHERE fingerprint = ?", (new, old))
    monkeypatch.delenv("ACEDATACLOUD_API_BASE_URL")
    write(SHOW.replace("fishpipe: 1", "fishpipe: 1\n    provider: {base_url: http://192.0.2.1}"))
    monkeypatch.setattr(httpx.AsyncClient, "send", listening)
    impatient = RunLimits(attempts=2, first_delay=0.01)
    monkeypatch.setattr("fishpipe.project.Project._limits", lambda *_: impatient)
    done = cli("build", "--collect")
    assert done.code in (1, 4), done
    assert asked, done
    assert not any(asked), "the token stayed here"


def test_warnings_are_told_taken_for_errors_and_taken_as_meant(cli: Cli, write: Write) -> None:
    write("""
        fishpipe: 1
        scripts:
          one:
            output: one.mp3
            segments:
              - text: "See [Note 3] now."
              - text: "See [Note 4] now."   # as meant
        """)
    done = cli("validate")
    assert done.code == 0
    assert (
        "fishpipe.yaml:6:20: warning[cue-swallowed]: s2-pro takes [Note 3] as a cue and does not speak it" in done.err
    )
    assert "Note 4" not in done.err
    assert [found["severity"] for found in cli("validate", "--json").data] == ["warning"]
    assert cli("validate", "--format", "github").out.startswith("::warning file=fishpipe.yaml,line=6,col=20,")
    assert cli("plan", "--strict").code == 3
