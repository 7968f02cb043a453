"""The lock: complete without ledger, token and network; merged by git; frozen, locked and offline builds."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    store: clips
    defaults: {voice: ana}
    voices: {ana: {sample_url: https://example.com/ana.mp3, consent: Signed.}}
    scripts:
      one:
        output: one.mp3
        segments:
          - text: Good evening.
          - text: The harbour is quiet tonight.
          - text: Good night.
    """


def entries(name: str = "fishpipe.lock") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()[1:]]


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=Ana", "-c", "user.email=ana@example.com"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, and no service that could be reached."""
    monkeypatch.delenv("ACEDATACLOUD_API_TOKEN")
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", "http://127.0.0.1:9")


def edit(old: str, new: str) -> None:
    path = Path("fishpipe.yaml")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_the_lock_has_an_entry_a_line_sorted(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    found = entries()
    assert [next(iter(entry)) for entry in found] == ["clip", "clip", "clip", "voice"]
    assert [entry["clip"] for entry in found[:3]] == sorted(entry["clip"] for entry in found[:3])
    for entry in found[:3]:
        file = next(Path("clips").rglob(f"{entry['clip']}.*"))
        assert hashlib.sha256(file.read_bytes()).hexdigest() == entry["digest"]
        assert entry["seconds"] > 0.3
        assert entry["task"]
    assert found[3]["consent"] == "Signed."
    assert found[3]["id"]
    before = Path("fishpipe.lock").stat().st_mtime_ns
    assert cli("build", "-B").code == 0
    assert Path("fishpipe.lock").stat().st_mtime_ns == before, "written only when something changed"


def test_lock_and_clips_alone_give_the_same_bytes(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    assert cli("build").code == 0
    expected = digest("one.mp3")
    shutil.rmtree(".fishpipe")
    Path("one.mp3").unlink()
    alone(monkeypatch)
    done = cli("build", "--frozen", "--offline", "--locked")
    assert done.code == 0, done.err
    assert digest("one.mp3") == expected
    lock = Path("fishpipe.lock").read_text()
    assert cli("build", "--frozen", "--offline", "--locked").out.startswith("Nothing to do")
    edit("Good night.", "Goodnight.")
    assert cli("plan", "--json").data["calls"] == 1, "the voice is known, and not made again"
    assert Path("fishpipe.lock").read_text() == lock


def test_a_frozen_build_names_each_call_and_asks_for_none(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    paid = len(service.usage())
    edit("Good night.", "Sleep well.")
    for rule in ("--frozen", "--locked", "--offline"):
        refused = cli("build", rule)
        assert refused.code == 5
        assert 'fishpipe.yaml:11: one/0003: ~$0.0002: text changed: "Good night." → "Sleep well."' in refused.err
        assert "one/0001" not in refused.err
        assert rule in refused.err
    assert cli("build", "-n", "--frozen").code == 5
    assert len(service.usage()) == paid


def test_a_build_that_only_adds_to_the_lock_is_refused_by_locked(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    whole = Path("fishpipe.lock").read_text()
    Path("fishpipe.lock").unlink()
    refused = cli("build", "--locked")
    assert refused.code == 5
    assert "one/0002: is not in it" in refused.err
    assert not Path("fishpipe.lock").exists()
    assert cli("build").code == 0
    assert Path("fishpipe.lock").read_text() == whole, "a lock that is lost comes back with the next build"


def test_the_lock_only_grows(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("Good night.", "'{{ end }}'").replace("defaults:", "vars: {end: Good night.}\n    defaults:"))
    assert cli("build").code == 0
    assert cli("build", "--var", "end=Farewell.").code == 0
    assert len(entries()) == 5
    write(SHOW.replace("one.mp3", "two.mp3").replace("Good evening.", "Hello."), "other.yaml")
    assert cli("build", "other.yaml").code == 0
    assert len(entries("other.lock")) == 4
    assert len(entries()) == 5
    edit("quiet tonight", "loud tonight")
    assert cli("build", "one").code == 0
    assert len(entries()) == 6
    pruned = cli("lock", "--prune")
    assert pruned.out == "fishpipe.lock: 2 removed, 4 left\n"
    assert cli("lock", "--check").code == 0
    assert cli("build").out.startswith("Nothing to do")


def test_another_provider_never_writes_the_lock(cli: Cli, write: Write) -> None:
    write(SHOW)
    assert cli("build", "--provider", "sandbox").code == 0
    assert not Path("fishpipe.lock").exists()
    assert not Path("clips").exists()
    assert cli("build", "--provider", "sandbox").out.startswith("Nothing to do")


def test_a_clip_that_is_not_the_locks_is_never_used(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("store: clips", "project: {title: T}"))
    assert cli("build").code == 0
    path = Path("fishpipe.lock")
    locked = entries()[0]["digest"]
    path.write_text(path.read_text().replace(locked, "0" * 64))
    Path("one.mp3").unlink()
    refused = cli("build")
    assert refused.code == 5
    assert f"the clip here (sha256 {locked[:12]}…) is not the lock's (000000000000…)" in refused.err
    assert "fishpipe.yaml:" in refused.err
    assert "--replace-locked" in refused.err
    assert not Path("one.mp3").exists()
    assert cli("build", "--replace-locked").code == 0
    assert entries()[0]["digest"] == locked
    assert len(service.usage()) == 4, "what is here is taken, and not paid for again"


def test_a_locked_clip_comes_from_its_task(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("store: clips", "project: {title: T}"))
    assert cli("build").code == 0
    expected = digest("one.mp3")
    shutil.rmtree(".fishpipe")
    Path("one.mp3").unlink()
    assert cli("plan", "--json").data["calls"] == 0
    done = cli("build", "--frozen", "--locked")
    assert done.code == 0, done.err
    assert digest("one.mp3") == expected
    assert len(service.usage()) == 4


def test_a_locked_clip_that_nobody_has_stops_the_build(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW.replace("store: clips", "project: {title: T}"))
    assert cli("build").code == 0
    shutil.rmtree(".fishpipe")
    token = monkeypatch.delenv("ACEDATACLOUD_API_TOKEN")
    refused = cli("build")
    assert (refused.code, token) == (5, None)
    assert "one/0001" in refused.err
    assert "fishpipe store pull" in refused.err
    assert "--replace-locked" in refused.err
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    path = Path("fishpipe.lock")
    path.write_text(path.read_text().replace('"task": "', '"task": "no'))
    lost = cli("build", "-k")
    assert lost.code == 5
    assert "its task does not give it" in lost.err or "does not know this task" in lost.err
    assert len(service.usage()) == 4
    again = cli("build", "--replace-locked", "--in-doubt", "retry")
    assert again.code == 0, again.err
    assert len(service.usage()) == 7


def test_branches_are_merged_by_git_and_nothing_is_paid(cli: Cli, write: Write, service: Service) -> None:
    git("init", "-q", "-b", "main")
    write(SHOW)
    write(".fishpipe/\n*.mp3\n!clips/**\n", ".gitignore")
    assert cli("build").code == 0
    assert Path(".gitattributes").read_text() == "fishpipe.lock merge=union\n"
    git("add", "-A")
    git("commit", "-qm", "Base")
    for branch, old, new in (
        ("evening", "Good evening.", "Good evening, friend."),
        ("night", "Good night.", "Good night.\n      - text: Until tomorrow."),
    ):
        git("checkout", "-qb", branch, "main")
        edit(old, new)
        assert cli("build").code == 0
        git("add", "-A")
        git("commit", "-qm", branch)
    paid = len(service.usage())
    git("merge", "-q", "evening")
    shutil.rmtree(".fishpipe")
    assert cli("build", "--frozen").code == 0
    assert len(service.usage()) == paid
    assert len(entries()) == 6
    assert cli("lock", "--check").code == 0


def test_a_conflict_that_git_left_is_told_and_mended(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    path = Path("fishpipe.lock")
    lines = path.read_text().splitlines()
    broken = [*lines[:1], "<<<<<<< HEAD", *lines[1:3], "=======", *lines[2:], ">>>>>>> night", ""]
    path.write_text("\n".join(broken))
    told = cli("plan")
    assert told.code == 3
    assert "fishpipe.lock:2:1: git left a conflict here; mend it: fishpipe lock --merge fishpipe.lock" in told.err
    assert cli("lock", "--merge").out == "fishpipe.lock is whole\n"
    assert path.read_text().splitlines() == lines


def test_lock_is_a_merge_driver(cli: Cli, write: Write) -> None:
    head = '{"lock": 1}\n'

    def clip(key: str, taken: str, at: str) -> str:
        return json.dumps({"clip": key * 64, "digest": taken * 64, "format": "mp3", "at": at}) + "\n"

    Path("base").write_text(head + clip("a", "1", "2026-01-01T00:00:00Z") + clip("b", "1", "2026-01-01T00:00:00Z"))
    Path("ours").write_text(head + clip("a", "2", "2026-01-03T00:00:00Z") + clip("c", "1", "2026-01-01T00:00:00Z"))
    Path("theirs").write_text(Path("base").read_text() + clip("a", "3", "2026-01-02T00:00:00Z"))
    assert cli("lock", "--merge", "base", "ours", "theirs").code == 0
    found = {entry["clip"][0]: entry["digest"][0] for entry in entries("ours")}
    assert found == {"a": "2", "c": "1"}, "the later counts; what one side removed is gone"
    Path("ours").write_text(head + clip("b", "4", "2026-01-03T00:00:00Z"))
    Path("theirs").write_text(head)
    assert cli("lock", "--merge", "base", "ours", "theirs").code == 0
    assert [entry["digest"][0] for entry in entries("ours")] == ["4"], "what one side changed stays"
    whole = Path("ours").read_text()
    assert cli("lock", "--merge", "base", "ours", "typo").code == 2
    assert (Path("ours").read_text(), Path("typo").exists()) == (whole, False)
    Path("newer").write_text('{"lock": 2}\n')
    assert cli("lock", "--merge", "newer.lock").code == 2
    assert cli("lock", "--merge", "base", "newer", "theirs").code == 3


def test_the_ledger_gives_a_lost_lock_back(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    edit("Good night.", "Sleep well.")
    assert cli("build").code == 0
    whole = entries()
    Path("fishpipe.lock").unlink()
    assert "5 added" in cli("lock", "--from-ledger").out
    assert entries() == whole


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "expected an entry in JSON"),
        ("[]", 'expected an entry such as {"clip": …}'),
        ('{"sound": 1}', "expected clip, output, pin or voice, found 'sound'"),
        ('{"clip": "../../etc/passwd", "digest": "a"}', "clip is no fingerprint"),
        ('{"clip": "%s", "digest": "../x", "format": "mp3"}' % ("a" * 64), "a clip needs digest"),
        ('{"pin": "%s", "take": 0}' % ("a" * 64), "take is no number from 1 on"),
        ('{"voice": "%s", "id": "x", "record": {"n": 99999999999999999999999}}' % ("a" * 64), "a voice needs id"),
        ('{"voice": "%s", "id": "x", "record": {"voice": {"a": NaN}}}' % ("a" * 64), "expected an entry in JSON"),
        ('{"output": "x\\ud800"}', "expected an entry in JSON"),
        ("[" * 100000, "expected an entry in JSON"),
        (f'{{"clip": "{"a" * 64}", "digest": "{"b" * 64}", "format": "mp3", "words": ["x"]}}', "words is no"),
        ('{"lock": 2}', "this lock is of another version (2); upgrade"),
        ('{"voice": "%s", "id": 7}' % ("a" * 64), "a voice needs id (a text), and the record"),
    ],
)
def test_a_broken_lock_is_told_line_by_line(cli: Cli, write: Write, line: str, told: str) -> None:
    write(SHOW)
    write(f'{{"lock": 1}}\n{line}\n', "fishpipe.lock")
    found = cli("plan")
    assert found.code == 3
    assert "fishpipe.lock:2:1: " in found.err
    assert told in found.err


def test_a_voice_by_its_id_is_the_voice_that_was_made_here(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    made = next(entry["id"] for entry in entries() if "voice" in entry)
    edit("sample_url: https://example.com/ana.mp3", f"id: {made}")
    assert cli("plan").out.startswith("Nothing to do")
    edit("sample_url" if "sample_url" in Path("fishpipe.yaml").read_text() else "Good night.", "Good night!")
    assert cli("plan", "--json").data["calls"] == 1


def test_what_was_spoken_by_id_is_not_paid_again_once_the_voice_is_known_as_ours(
    cli: Cli, write: Write, service: Service
) -> None:
    write(SHOW.replace("scripts:", "  # a script without the voice's id\n    scripts:"))
    assert cli("voices", "list").code == 0
    assert cli("build").code == 0
    made = next(entry["id"] for entry in entries() if "voice" in entry)
    lock, ledger = Path("fishpipe.lock"), Path(".fishpipe/ledger.db")
    kept = lock.read_text(), ledger.read_bytes()
    lock.unlink()
    ledger.unlink()
    edit("sample_url: https://example.com/ana.mp3", f"id: {made}")
    edit("Good night.", "Words spoken by the id.")
    assert cli("build").code == 0
    paid = len(service.usage())
    lock.write_text(kept[0] + "".join(lock.read_text().splitlines(keepends=True)[1:]))
    assert cli("build").out.startswith("Nothing to do") or len(service.usage()) == paid


def test_locked_holds_for_consents_and_tasks_too(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    edit("consent: Signed.", "consent: Signed again.")
    before = Path("fishpipe.lock").read_text()
    refused = cli("build", "--locked", "-B")
    assert refused.code == 5
    assert "voices.ana: is not in it" in refused.err
    assert Path("fishpipe.lock").read_text() == before
    assert cli("build").code == 0
    assert "Signed again." in Path("fishpipe.lock").read_text()
    without = Path("fishpipe.lock").read_text().replace('"task"', '"tusk"', 1)
    Path("fishpipe.lock").write_text(without)
    assert cli("build", "--locked", "-B").code == 5
    assert cli("build").code == 0
    assert Path("fishpipe.lock").read_text().count('"task"') == 3


def test_the_ledger_knows_more_than_the_clips_that_are_here(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("- text: Good night.", "- {text: Good night., take: 2}\n          - text: Good night."))
    assert cli("build").code == 0
    whole = entries()
    Path("fishpipe.lock").unlink()
    for folder in ("clips", ".fishpipe/clips"):
        shutil.rmtree(folder)
    assert cli("lock", "--from-ledger").code == 0
    assert entries() == whole, "also the entries of clips that are elsewhere; the manifest's take is no pin"


def test_a_new_lock_where_git_ignores_it_changes_no_attributes(cli: Cli, write: Write, service: Service) -> None:
    git("init", "-q")
    write("*.lock\n", ".gitignore")
    write(SHOW)
    assert cli("build").code == 0
    assert not Path(".gitattributes").exists()
