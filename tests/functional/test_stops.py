"""A disk that is full, files that cannot be opened, clocks that jump, deadlines: the next build goes on."""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fishpipe.ports import RunLimits
from fishpipe.store.network import kind_of_mount

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]
    Serve = Callable[..., Service]

LINES = "\n".join(f"          - text: Line number {number} of the show." for number in range(6))
SHOW = f"""
    fishpipe: 1
    provider: {{concurrency: 3}}
    scripts:
      one:
        output: one.mp3
        segments:
{LINES}
    """


def limited(what: int, amount: int) -> subprocess.CompletedProcess[str]:
    """A build under a limit of the kernel's."""
    return subprocess.run(
        [sys.executable, "-m", "fishpipe", "build"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        preexec_fn=lambda: resource.setrlimit(what, (amount, amount)),
    )


@pytest.mark.parametrize("limit", [20_000, 60_000, 120_000, 160_000])
def test_a_file_that_grows_too_large_loses_nothing(limit: int, cli: Cli, write: Write, service: Service) -> None:
    """RLIMIT_FSIZE fails writes as a full disk does (EFBIG in place of ENOSPC): of the ledger, of clips, of outputs."""
    write(SHOW)
    done = limited(resource.RLIMIT_FSIZE, limit)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    answered = answered_texts()
    paid = len(service.usage())
    again = cli("build")
    assert again.code == 0, again.err
    later = {item["request"]["text"] for item in service.usage()[paid:]}
    assert not answered & later


def answered_texts() -> set[str]:
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        query = "SELECT json_extract(record, '$.body.text') FROM calls WHERE task_id IS NOT NULL OR url IS NOT NULL"
        try:
            return {row[0] for row in db.execute(query)}
        except sqlite3.OperationalError:
            return set()


@pytest.mark.parametrize("files", [32, 48, 64])
def test_a_small_quota_of_open_files_is_lived_with(files: int, cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("concurrency: 3", "concurrency: 100"))
    done = limited(resource.RLIMIT_NOFILE, files)
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert cli("build").code == 0
    assert len(service.usage()) == 6


@pytest.mark.parametrize(("files", "calls"), [(64, 8), (100, 20), (41, 1), (20, 1)])
def test_the_window_fits_the_open_files(files: int, calls: int) -> None:
    code = (
        "import resource; from fishpipe.machine import calls_for_open_files;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files})); print(calls_for_open_files(100))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == calls


def test_no_room_on_the_disk_is_said_before_anything_is_paid(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    monkeypatch.setattr("fishpipe.permission.free_bytes", lambda _: 1_000_000)
    done = cli("build")
    assert done.code == 1
    assert "has 1 MB left, and the clips take about" in done.err
    assert service.usage() == []


def test_an_output_that_cannot_be_written_keeps_the_clips(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("output: one.mp3", "output: dist/one.mp3"))
    Path("dist").write_text("in the way")
    Path("dist").rename("dist-file")
    Path("dist").symlink_to("/proc/nowhere")
    done = cli("build", "--allow-outside")
    assert (done.code, len(service.usage())) == (1, 6), done
    assert "Traceback" not in done.err
    Path("dist").unlink()
    assert cli("build").code == 0
    assert len(service.usage()) == 6


def test_a_deadline_ends_the_run_and_the_next_one_collects(
    cli: Cli, write: Write, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(latency=2.0)
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    write(SHOW)
    done = cli("build", "--deadline", "500ms")
    assert done.code == 1
    assert "the deadline of 0.5 s has passed: no new calls" in done.err
    assert len(service.usage()) == 3
    assert cli("build").code == 0
    assert len(service.usage()) == 6


def test_a_calls_deadline_leaves_the_task_for_the_next_build(
    cli: Cli, write: Write, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(latency=2.5)
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    manifest = write(SHOW.replace("concurrency: 3", "concurrency: 6, call_deadline: 500ms"))
    done = cli("build", "-k")
    assert done.code == 1
    assert done.err.count("the task is not finished; it is kept and asked for by the next build; it is paid for") == 6
    manifest.write_text(manifest.read_text().replace("500ms", "20s"))
    assert cli("build").code == 0
    assert len(service.usage()) == 6


def test_a_clock_set_back_a_day_stops_nothing(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        SHOW.replace(
            "scripts:", "defaults: {voice: ana}\n    voices: {ana: {sample_url: https://e.com/a.mp3}}\n    scripts:"
        )
    )
    assert cli("build").code == 0
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        db.execute("UPDATE calls SET intended = intended + 86400, updated = updated + 86400")
        db.execute("UPDATE calls SET state = 'intended', voice_id = NULL WHERE kind = 'voice'")
        db.execute("UPDATE calls SET state = 'submitted' WHERE kind = 'clip'")
    for clip in Path(".fishpipe/clips").rglob("*.mp3"):
        clip.unlink()
    done = cli("build")
    assert done.code == 0, done.err
    assert [item["type"] for item in service.usage()].count("tts") == 6


def test_a_task_without_an_answer_after_a_day_is_in_doubt(
    cli: Cli, write: Write, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, other = serve(), serve("other")
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    write("fishpipe: 1\nscripts:\n  one: {output: one.mp3, segments: [{text: Hello.}]}\n")
    assert cli("build").code == 0
    for file in (*Path(".fishpipe/clips").rglob("*.mp3"), Path("fishpipe.lock")):
        file.unlink()
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        db.execute("UPDATE calls SET state = 'submitted', url = NULL, intended = intended - 90000")
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", "http://127.0.0.1:9")
    impatient = RunLimits(attempts=2, first_delay=0.01)
    monkeypatch.setattr("fishpipe.project.Project._limits", lambda *_: impatient)
    assert cli("build").code == 1, "no answer is no word: the task stays"
    assert "collect: paid for already" in cli("plan").out
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", other.url)
    done = cli("build")
    assert done.code == 1
    assert "the task is not known to the service a day after it was asked for" in done.err
    assert other.usage() == []
    assert "in doubt" in cli("plan").out


def test_a_full_disk_behind_stdout_is_no_internal_error(write: Write, service: Service) -> None:
    write(SHOW)
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "fishpipe", "plan"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "cannot be written: No space left on device" in done.stderr
    assert "internal error" not in done.stderr


def test_strangers_cannot_read_the_state(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    Path(".fishpipe").mkdir(mode=0o755)
    assert cli("build").code == 0
    assert Path(".fishpipe").stat().st_mode & 0o007 == 0


def test_a_token_that_others_can_read_is_said_and_nowhere_else_to_be_read(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    monkeypatch.delenv("ACEDATACLOUD_API_TOKEN")
    Path(".env").write_text("ACEDATACLOUD_API_TOKEN=tok-from-the-file\n")
    Path(".env").chmod(0o644)
    done = cli("build", "-v")
    assert done.code == 0
    assert ".env holds your token, and others can read it: chmod 600 .env" in done.err
    Path(".env").chmod(0o600)
    said = [cli(verb, "--json") for verb in ("build", "plan", "status", "spend")]
    assert all("others can read" not in result.err for result in said)
    files = [path.read_bytes() for path in Path(".fishpipe").rglob("*") if path.is_file()]
    assert all(b"tok-from-the-file" not in data for data in files)
    assert all("tok-from-the-file" not in result.out + result.err for result in (done, *said))


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/home/ana/show", "ext4"), ("/mnt/team/show", "nfs4"), ("/mnt/team/local/show", "ext4"), ("/mnt/teams", "ext4")],
)
def test_the_innermost_mount_decides(folder: str, kind: str) -> None:
    mounts = [("/", "ext4"), ("/mnt/team", "nfs4"), ("/mnt/team/local", "ext4")]
    assert kind_of_mount(Path(folder), mounts) == kind


def test_on_a_network_file_system_the_ledger_has_no_shared_memory(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    assert cli("build").code == 0
    monkeypatch.setattr("fishpipe.store.ledger.is_network", lambda _: True)
    Path("fishpipe.yaml").write_text(Path("fishpipe.yaml").read_text().replace("number 1", "number one"))
    assert cli("build").code == 0
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert not list(Path(".fishpipe").glob("ledger.db-*"))


def test_an_older_ledger_is_read_and_migrated(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        for column in ("nonce", "sample", "described", "seconds", "used"):
            db.execute(f"ALTER TABLE calls DROP COLUMN {column}")
        for column in ("realm", "voice", "model", "take"):
            db.execute(f"ALTER TABLE receipts DROP COLUMN {column}")
        db.executescript("DROP TABLE voices; DROP TABLE secrets; DROP TABLE forgotten")
        db.executescript("PRAGMA user_version = 1; PRAGMA journal_mode = DELETE")
    before = Path(".fishpipe/ledger.db").read_bytes()
    assert cli("plan").out.startswith("Nothing to do")
    assert "~$0.00" in cli("status").out
    assert json.loads(cli("spend", "--json").out)["total"]["calls"] == 6
    assert Path(".fishpipe/ledger.db").read_bytes() == before, "reading writes nothing"
    assert cli("build").code == 0
    assert Path(".fishpipe").stat().st_mode & 0o077 == 0
    Path("fishpipe.yaml").write_text(Path("fishpipe.yaml").read_text().replace("number 1", "number one"))
    assert cli("build").code == 0
    assert len(service.usage()) == 7
