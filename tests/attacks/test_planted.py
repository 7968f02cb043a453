"""What a repository planted where fishpipe writes, deletes or reads: nothing is followed, and nothing is believed."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
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
    scripts:
      one: {output: out/one.mp3, segments: [{text: The first line.}, {text: The second line.}]}
    """
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]


def git(*arguments: str, at: str = ".") -> None:
    subprocess.run([*GIT, "-C", at, *arguments], check=True, capture_output=True)


@pytest.fixture
def victim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the user's, with a file whose words count."""
    folder = tmp_path_factory.mktemp("victim")
    (folder / "rc").write_text("mine")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *("..gitattributes.part", ".fishpipe.lock.part", "out/.one.mp3.part", ".fishpipe/.README.part"),
        *(".fishpipe/..gitignore.part", ".fishpipe/.stamp.part", ".fishpipe/.busy.json.part"),
    ],
)
def test_no_link_is_written_through(name: str, cli: Cli, write: Write, service: Service, victim: Path) -> None:
    write(SHOW)
    Path(".gitattributes").write_text("* text\n")
    git("init", "-q")
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).symlink_to(victim / "rc")
    done = cli("build")
    assert done.code in (0, 1), done
    assert (victim / "rc").read_text() == "mine"
    assert [path.name for path in victim.iterdir()] == ["rc"]
    if name.startswith(".fishpipe/"):
        assert done.code == 1
        assert f"{name} is a link" in done.err
        assert service.usage() == []
    else:
        assert done.code == 0, done.err


@pytest.mark.parametrize("name", ["busy", "busy.json", "ledger.db", "ledger.db-wal", "units.db", "stamp", "made-here"])
@pytest.mark.parametrize("state", [".fishpipe", ".fishpipe/draft"])
def test_a_link_in_the_state_is_refused_by_its_name(
    name: str, state: str, cli: Cli, write: Write, service: Service, victim: Path
) -> None:
    write(SHOW)
    Path(state).mkdir(parents=True)
    (Path(state) / name).symlink_to(victim / "rc")
    for verb in ("build", "plan", "status", "gc"):
        done = cli(verb)
        assert done.code == 1, done
        assert f"{state}/{name} is a link" in done.err
    assert (victim / "rc").read_text() == "mine"
    assert service.usage() == []


@pytest.mark.parametrize("name", ["parsed", "parts", "units", "clips", "clips/ab", "draft", "sandbox", ""])
def test_nothing_is_deleted_or_written_behind_a_linked_folder(
    name: str, cli: Cli, write: Write, service: Service, victim: Path
) -> None:
    write(SHOW)
    for number in range(3):
        (victim / f"{number}.jpg").write_text("a photo")
    path = Path(".fishpipe") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(victim)
    for command in (["build"], ["gc", "--delete"], ["clean"]):
        done = cli(*command)
        assert done.code == 1, done
        assert "is a link" in done.err
    assert sorted(path.name for path in victim.iterdir()) == ["0.jpg", "1.jpg", "2.jpg", "rc"]


def test_a_part_that_is_a_link_takes_no_download(cli: Cli, write: Write, service: Service, victim: Path) -> None:
    write(SHOW)
    assert cli("build").code == 0
    key = next(Path(".fishpipe/clips").glob("??/*.mp3")).name[:64]
    shutil.rmtree(".fishpipe/clips")
    Path(".fishpipe/parts", key).symlink_to(victim / "rc")
    assert cli("build").code == 1
    assert (victim / "rc").read_text() == "mine"


@pytest.mark.parametrize("name", ["ledger.db", "stamp", "busy"])
def test_a_pipe_in_the_state_is_not_waited_for(name: str, cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    Path(".fishpipe").mkdir()
    os.mkfifo(Path(".fishpipe") / name)
    done = cli("build")
    assert done.code == 1
    assert f".fishpipe/{name} is no plain file or folder" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_state_of_another_user_is_refused(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    os.chown(".fishpipe/ledger.db", 12345, 12345)
    done = cli("build", "-B")
    assert done.code == 1
    assert ".fishpipe/ledger.db belongs to another user (uid 12345)" in done.err


def committed(cli: Cli, write: Write) -> None:
    """A repository that brings its state along, on a machine that did not write it."""
    write(SHOW)
    git("init", "-q")
    assert cli("build").code == 0
    git("add", "-A", "-f")
    git("commit", "-qm", "all of it")


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From here on this is another machine: its user has another cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def test_a_state_that_is_committed_is_refused(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    committed(cli, write)
    assert cli("build").code == 0, "who wrote it goes on"
    elsewhere(monkeypatch, tmp_path_factory)
    Path("fishpipe.yaml").write_text("no manifest at all\n")
    done = cli("build", "--frozen", "--offline")
    assert done.code == 3, "the planted stamp is no answer"
    git("checkout", "-q", "fishpipe.yaml")
    for command in (["build"], ["build", "--frozen", "--offline"], ["plan"]):
        done = cli(*command)
        assert done.code == 1, done
        assert "is committed in this repository" in done.err
    assert len(service.usage()) == 2


def test_a_ledger_that_git_put_in_the_place_of_ours_is_seen(cli: Cli, write: Write, service: Service) -> None:
    """`git pull` overwrites what is ignored; the new file may even have the inode of the old one."""
    committed(cli, write)
    other = Path(".fishpipe/ledger.db").read_bytes()
    with closing(sqlite3.connect(".fishpipe/ledger.db")) as db:
        db.execute(f"PRAGMA application_id = {int.from_bytes(other[68:72], 'big') % 1000 + 1}")
    done = cli("plan", "-v")
    assert done.code == 1
    assert "is committed in this repository" in done.err


def digest(path: str = "out/one.mp3") -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("how", ["copied", "another home", "no ledger", "killed"])
def test_a_state_that_came_in_good_faith_serves(
    how: str, cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    write(SHOW)
    assert cli("build").code == 0
    before = digest()
    if how == "another home":
        elsewhere(monkeypatch, tmp_path_factory)
    else:
        shutil.copytree(".fishpipe", "copy")
        shutil.rmtree(".fishpipe")
        Path("copy").rename(".fishpipe")
    if how == "no ledger":
        Path(".fishpipe/ledger.db").unlink()
    if how == "killed":
        with closing(sqlite3.connect(".fishpipe/ledger.db")) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("UPDATE calls SET used = 1")
            db.commit()
            shutil.copytree(".fishpipe", "copy")
        shutil.rmtree(".fishpipe")
        Path("copy").rename(".fishpipe")
        assert Path(".fishpipe/ledger.db-wal").exists()
    plan = cli("plan")
    assert plan.code == 0, plan.err
    assert "0 calls, nothing to pay" in plan.out
    Path("out/one.mp3").unlink()
    done = cli("build", "--frozen", "--offline")
    assert done.code == 0, done.err
    assert digest() == before
    assert len(service.usage()) == 2
    assert len(cli("spend", "--json").data["receipts"]) == (0 if how == "no ledger" else 2)
    assert cli("build").out == "Nothing to do. 2 clips up to date.\n"
    assert "not known as written here" not in cli("build", "-B").err, "it is ours from now on"


def test_a_planted_ledger_pays_for_nothing_and_takes_no_money_away(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Receipts that make room in the month's budget, outputs that are no more, secrets that are known."""
    write(SHOW)
    assert cli("build").code == 0
    with closing(sqlite3.connect(".fishpipe/ledger.db")) as db, db:
        db.execute("UPDATE receipts SET usd = -1000")
        db.execute("UPDATE calls SET record = '{}' WHERE rowid = 1")
        db.execute("INSERT OR REPLACE INTO secrets VALUES ('callback', 'known')")
        db.execute("UPDATE outputs SET recipe = 'x'")
    elsewhere(monkeypatch, tmp_path_factory)
    assert cli("build").code == 0
    with closing(sqlite3.connect(".fishpipe/ledger.db")) as db:
        assert db.execute("SELECT count(*) FROM receipts WHERE usd < 0").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM secrets").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM calls WHERE record = '{}'").fetchone() == (0,)
    assert len(service.usage()) == 2


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TRIGGER t AFTER INSERT ON receipts BEGIN DELETE FROM receipts; END",
        """ALTER TABLE calls RENAME TO c; CREATE VIEW calls AS
           WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT c.* FROM c, n""",
    ],
)
def test_a_ledger_that_does_more_than_hold_rows_is_refused(
    script: str, cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    write(SHOW)
    assert cli("build").code == 0
    with closing(sqlite3.connect(".fishpipe/ledger.db")) as db:
        db.executescript(script)
    elsewhere(monkeypatch, tmp_path_factory)
    for verb in ("build", "plan"):
        done = cli(verb, "-v")
        assert done.code == 1, done
        assert "that no ledger has: it is not believed" in done.err


def test_units_of_others_are_not_joined(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes under the right key, but not of this machine's making, change no output."""
    write(SHOW)
    assert cli("build").code == 0
    before = digest()
    with closing(sqlite3.connect(".fishpipe/units.db")) as db, db:
        rows = db.execute("SELECT key, data FROM units").fetchall()
        assert rows
        for key, data in rows:
            db.execute("UPDATE units SET data = ? WHERE key = ?", (bytes(reversed(data)), key))
    assert cli("build", "-B").code == 0
    assert digest() == before


def test_a_store_of_the_project_that_is_a_link_is_not_written_to(
    cli: Cli, write: Write, service: Service, victim: Path
) -> None:
    write(SHOW.replace("fishpipe: 1", "fishpipe: 1\n    store: kept"))
    Path("kept").symlink_to(victim)
    done = cli("build")
    assert "kept is a link, and is not written through" in done.err
    assert [path.name for path in victim.iterdir()] == ["rc"]
    Path("kept").unlink()
    Path("kept").mkdir()
    assert cli("build").code == 0
    shelf = next(Path("kept").glob("??"))
    shutil.rmtree(shelf)
    shelf.symlink_to(victim)
    cli("build", "-B")
    cli("store", "push")
    assert [path.name for path in victim.iterdir()] == ["rc"]


@pytest.mark.parametrize("name", ["fishpipe.yaml", "schemas", "schemas/fishpipe.schema.json"])
def test_a_new_project_is_written_through_no_link(name: str, cli: Cli, victim: Path) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).symlink_to(victim / "new" if name != "schemas" else victim)
    done = cli("init")
    assert done.code == 2
    assert [path.name for path in victim.iterdir()] == ["rc"]
