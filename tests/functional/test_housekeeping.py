"""What may go, and what stays: gc, clean, init; and what status, explain and spend say of takes and the lock."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.functional.test_lock import edit, git
from tests.functional.test_takes import SHOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]


def clips() -> set[str]:
    return {path.name for path in Path(".fishpipe/clips").rglob("*.mp3")}


def test_gc_spares_lines_takes_locks_and_history(cli: Cli, write: Write, service: Service) -> None:
    git("init", "-q", "-b", "main")
    write(SHOW)
    write(".fishpipe/\n*.mp3\nservice/\nclips/\n", ".gitignore")
    assert cli("build").code == 0
    git("add", "-A")
    git("commit", "-qm", "First")
    for before, words in (("Good night.", "One."), ("One.", "Two."), ("Two.", "Three.")):
        edit(f"- text: {before}", f"- text: {words}")
        assert cli("build").code == 0
        git("commit", "-qam", words)
    assert cli("retake", "one/harbour", "-n", "2").code == 0
    everything = clips()
    assert len(everything) == 8
    assert "pieces of earlier outputs: 3, " in cli("gc").err
    assert clips() == everything, "the lock names all of them"
    assert "3 removed" in cli("lock", "--prune").out
    assert cli("gc").out == "nothing to delete\n", "the last commits' locks name them"
    git("commit", "-qam", "Pruned")
    kept = cli("gc", "--keep-history", "2", "--dry-run", "--json").data
    assert kept["files"] == [], "the commit before names them all"
    shown = cli("gc", "--keep-history", "1", "--dry-run")
    assert shown.out.startswith("3 files, ")
    assert shown.out.endswith("kB: fishpipe gc --delete\n")
    assert 'one/0003: "Good night."' in shown.err
    assert "last used 20" in shown.err
    assert clips() == everything
    assert cli("gc", "--keep-history", "1").out.endswith("kB: deleted\n")
    assert len(clips()) == 5
    assert cli("build").out.startswith("Nothing to do")
    assert len(list(Path("clips").rglob("*.mp3"))) == 8, "the store is left alone"
    assert cli("gc", "--keep-history", "1", "--store").code == 0
    assert len(list(Path("clips").rglob("*.mp3"))) == 5


def test_gc_spares_what_a_sibling_uses_and_what_is_not_over(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    write(SHOW.replace("Good evening.", "Another one.").replace("one.mp3", "other.mp3"), "other.yaml")
    assert cli("build").code == 0
    assert cli("build", "other.yaml").code == 0
    assert cli("gc").out == "nothing to delete\n"
    Path("other.lock").unlink()
    Path(".fishpipe/parts/abc").write_bytes(b"x")
    shown = cli("gc", "--dry-run")
    assert shown.out.startswith("2 files, ")
    assert '"Another one."' in shown.err
    assert "a download that was given up" in shown.err
    assert cli("gc", "one").code == 2


def test_clean_removes_outputs_alone(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    before = Path("one.mp3").read_bytes()
    Path("two.mp3").write_bytes(b"edited by hand")
    assert cli("clean", "-n").out == "one.mp3 would be removed\n"
    done = cli("clean")
    assert done.out == "one.mp3 removed\n"
    assert "two.mp3 was not made by the last build as it is, and stays" in done.err
    assert cli("clean", "--force").out == "two.mp3 removed\n"
    assert cli("clean").out == "nothing to remove\n"
    assert cli("build", "--frozen", "--offline").code == 0
    assert Path("one.mp3").read_bytes() == before


@pytest.mark.parametrize(("choice", "store"), [("local", False), ("commit", True), ("lfs", True)])
def test_init_knows_where_clips_live(cli: Cli, choice: str, store: bool) -> None:
    assert cli("init", "show", "--clips", choice).code == 0
    assert ("\nstore: clips\n" in Path("show/fishpipe.yaml").read_text()) is store
    attributes = Path("show/.gitattributes").read_text()
    assert attributes.startswith("fishpipe.lock merge=union\n")
    assert ("filter=lfs" in attributes) is (choice == "lfs")
    assert cli("build", "show").code == 0
    assert Path("show/clips").is_dir() is store


def test_init_asks_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-m", "fishpipe", "init", "show"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as asked:
        os.write(ours, b"y\n")
        assert asked.wait(60) == 0
    told = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert "Commit the clips to git" in told
    assert "store: clips" in Path("show/fishpipe.yaml").read_text()


def test_status_explain_and_spend_speak_of_takes_and_the_lock(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    assert cli("retake", "one/harbour").code == 0
    status = cli("status").out
    assert "take 2: one/harbour\ntake 2: two/0001\n" in status
    assert "lock fishpipe.lock: 4 clips, 1 chosen take\n" in status
    explained = cli("explain", "one/harbour").out
    assert "take 2, chosen in the lock file; other takes: 1 (fishpipe takes one/harbour)" in explained
    assert "locked: sha256 " in explained
    spent = cli("spend").out
    assert "of these further takes: 1 call, ~$0.0004" in spent
    assert "of these what the lock file has: 4 calls" in spent
    assert [group["take"] for group in cli("spend", "--by", "take", "--json").data["groups"]] == ["1", "2"]
    Path("fishpipe.lock").unlink()
    assert "lock fishpipe.lock: 0 clips, 0 chosen takes; 3 to add (fishpipe build)" in cli("status").out
    assert "not in the lock file" in cli("explain", "one/0001").out


def test_gc_stops_where_git_does_not_tell(
    cli: Cli, write: Write, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "-q", "-b", "main")
    write(SHOW)
    assert cli("build").code == 0
    git("add", "fishpipe.yaml", "fishpipe.lock")
    git("commit", "-qm", "First")
    edit("Good night.", "Sleep well.")
    assert cli("lock", "--prune").code == 0
    broken = tmp_path / "bin" / "git"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    before = clips()
    refused = cli("gc")
    assert refused.code == 2
    assert "dubious ownership" in refused.err
    assert clips() == before
    assert cli("gc", "--keep-history", "0", "--dry-run").out.startswith("1 file")


@pytest.mark.parametrize("change", ["no head", "blank", "space", "bom"])
def test_gc_spares_what_any_readable_lock_names(cli: Cli, write: Write, service: Service, change: str) -> None:
    write(SHOW)
    assert cli("build").code == 0
    edit("Good night.", "Sleep well.")
    assert cli("build").code == 0
    lock = Path("fishpipe.lock")
    text = lock.read_text()
    changed = {"no head": text.partition("\n")[2], "blank": f"\n{text}", "space": f" {text}", "bom": f"\ufeff{text}"}
    lock.write_text(changed[change])
    before = clips()
    assert "pieces of earlier outputs: 1, " in cli("gc").err
    assert clips() == before
    lock.rename("sibling.lock")
    assert cli("lock", "--from-ledger").code == 0
    assert cli("gc").out == "nothing to delete\n"


def test_gc_spares_the_history_of_a_head_without_a_branch(cli: Cli, write: Write, service: Service) -> None:
    git("init", "-q", "-b", "main")
    write(SHOW)
    assert cli("build").code == 0
    git("add", "fishpipe.yaml", "fishpipe.lock")
    git("commit", "-qm", "First")
    git("checkout", "-q", "--detach")
    git("branch", "-qD", "main")
    edit("Good night.", "Sleep well.")
    assert cli("lock", "--prune").code == 0
    assert cli("gc").out == "nothing to delete\n"


def test_init_adds_to_what_is_there(cli: Cli, write: Write) -> None:
    write("*.psd filter=lfs\n", "show/.gitattributes")
    write("node_modules", "show/.gitignore")
    assert cli("init", "show", "--clips", "lfs").code == 0
    attributes = Path("show/.gitattributes").read_text().splitlines()
    assert attributes == [
        "*.psd filter=lfs",
        "fishpipe.lock merge=union",
        "clips/** filter=lfs diff=lfs merge=lfs -text",
    ]
    assert Path("show/.gitignore").read_text().splitlines()[:2] == ["node_modules", ".fishpipe/"]
