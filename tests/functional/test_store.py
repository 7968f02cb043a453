"""Clips that travel: a folder of the project, a shared one, claims, damage; and lines in files of their own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import miniaudio
import pytest

from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.store.claims import Claims, _machine
from tests.functional.test_lock import SHOW, alone, digest, edit, entries, git

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]
    Point = Callable[..., Service]

KEY = Fingerprint("a" * 64)


def clips(folder: str) -> list[Path]:
    return sorted(Path(folder).rglob("*.mp3"))


def test_two_projects_on_one_folder_pay_once(
    cli: Cli, write: Write, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    for name in ("here", "there"):
        write(SHOW.replace("store: clips", f"store: {share}"), f"{name}/fishpipe.yaml")
        monkeypatch.chdir(tmp_path / name)
        done = cli("build")
        assert done.code == 0, done.err
    assert [item["type"] for item in service.usage()].count("tts") == 3
    assert digest(str(tmp_path / "here/one.mp3")) == digest(str(tmp_path / "there/one.mp3"))
    assert len(clips(str(share))) == 3
    assert clips(".fishpipe/clips") == [], "read through, not copied"
    assert cli("store", "pull").out.startswith("3 clips pulled")
    assert len(clips(".fishpipe/clips")) == 3
    assert list((share / "claims").iterdir()) == []


def test_a_share_that_is_away_costs_nothing(
    cli: Cli, write: Write, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    write(SHOW.replace("store: clips", f"store: {share}"), "show/fishpipe.yaml")
    monkeypatch.chdir(tmp_path / "show")
    done = cli("build")
    assert done.code == 0
    assert "is not there; mount it, or make the folder. The clips are kept in .fishpipe" in done.err
    assert not share.exists()
    share.mkdir()
    status = cli("store").out
    assert "a shared folder" in status
    assert "to push: 3 clips" in status
    assert cli("store", "push").out.startswith("3 clips pushed")
    assert len(clips(str(share))) == 3
    assert cli("store", "status", "--json").data["to_push"] == 0


def test_a_flipped_bit_is_named_and_fetched_again(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("store: clips", "project: {title: T}"))
    assert cli("build").code == 0
    expected = digest("one.mp3")
    clip = clips(".fishpipe/clips")[1]
    data = bytearray(clip.read_bytes())
    data[len(data) // 2] ^= 4
    clip.write_bytes(data)
    Path("one.mp3").unlink()
    done = cli("build")
    assert done.code == 0, done.err
    assert f"its clip {clip.resolve()} was damaged; it is put aside" in done.err
    assert "one/000" in done.err
    assert digest("one.mp3") == expected
    assert clip.with_suffix(".damaged").read_bytes() == data
    assert len(service.usage()) == 4
    assert hashlib.sha256(clip.read_bytes()).hexdigest() in clip.name


def test_a_flipped_bit_without_a_task_is_an_error_with_the_address(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW.replace("store: clips", "project: {title: T}"))
    assert cli("build").code == 0
    clip = clips(".fishpipe/clips")[1]
    clip.write_bytes(clip.read_bytes()[:-1] + b"?")
    alone(monkeypatch)
    failed = cli("build", "-B", "--offline")
    assert failed.code == 5
    assert "one/000" in failed.err
    assert "fishpipe.yaml:" in failed.err
    assert "was damaged; it is put aside" in failed.err
    assert "Their tasks may give them for free: set ACEDATACLOUD_API_TOKEN" in failed.err
    assert cli("build").code == 5


def test_the_other_copy_stands_in_for_a_damaged_one(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW)
    assert cli("build").code == 0
    expected = digest("one.mp3")
    clips(".fishpipe/clips")[0].write_bytes(b"x" * clips(".fishpipe/clips")[0].stat().st_size)
    alone(monkeypatch)
    assert cli("build", "-B", "--offline").code == 0
    assert digest("one.mp3") == expected
    clips("clips")[1].write_bytes(b"x")
    told = cli("store", "verify")
    assert told.code == 1
    assert "is damaged, and put aside; a whole copy is" in told.out
    assert "copy it there: fishpipe store push" in told.out
    assert cli("store", "push").out.startswith("1 clip pushed")
    assert cli("store", "verify").out.endswith("all are whole\n")


def test_git_lfs_pointers_are_no_clips(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    assert cli("store", "--lfs").code == 0
    assert "clips/** filter=lfs diff=lfs merge=lfs -text\n" in Path(".gitattributes").read_text()
    shutil.rmtree(".fishpipe")
    for clip in clips("clips"):
        clip.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n")
    assert "3 clips left with git-lfs: git lfs pull" in cli("store").out
    refused = cli("build", "--offline")
    assert refused.code == 5
    assert "one/0001: collect: clip missing" in refused.err


def test_a_clone_builds_the_same_bytes_from_git_alone(
    cli: Cli, write: Write, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW, "show/fishpipe.yaml")
    monkeypatch.chdir(tmp_path / "show")
    assert cli("build").code == 0
    expected = digest("one.mp3")
    write(".fishpipe/\n/*.mp3\n", "show/.gitignore")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "Show")
    git("clone", "-q", ".", "../clone")
    monkeypatch.chdir(tmp_path / "clone")
    alone(monkeypatch)
    assert not Path(".fishpipe").exists()
    done = cli("build", "--frozen", "--offline")
    assert done.code == 0, done.err
    assert digest("one.mp3") == expected


def test_while_another_project_pays_its_clip_is_waited_for(
    cli: Cli, write: Write, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is a project whose claim we write ourselves; its clip comes two seconds later."""
    share = tmp_path / "share"
    share.mkdir()
    write(SHOW.replace("store: clips", f"store: {share}"), "other/fishpipe.yaml")
    monkeypatch.chdir(tmp_path / "other")
    assert cli("build").code == 0
    made = clips(str(share))[0]
    aside = tmp_path / "aside.mp3"
    made.rename(aside)
    claims = Claims(share / "claims")
    assert claims.take(Fingerprint(made.name[:64]))
    write(SHOW.replace("store: clips", f"store: {share}"), "mine/fishpipe.yaml")
    monkeypatch.chdir(tmp_path / "mine")

    def arrive() -> None:
        time.sleep(2)
        aside.rename(made)
        claims.give(Fingerprint(made.name[:64]))

    other = threading.Thread(target=arrive)
    other.start()
    done = cli("build")
    other.join()
    assert done.code == 0, done.err
    assert "another project pays for these words just now; its clip is waited for" in done.err
    assert [item["type"] for item in service.usage()].count("tts") == 3


def test_a_claim_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    one, two = Claims(tmp_path), Claims(tmp_path)
    assert one.take(KEY)
    assert one.take(KEY)
    assert not two.take(KEY)
    two.give(KEY)
    assert not two.take(KEY)
    one.give(KEY)
    assert two.take(KEY)
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.1"]


def holder(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({"sign": "s", "host": "elsewhere", "pid": 1, **changes}))


def test_a_dead_holders_claim_is_taken_over(tmp_path: Path) -> None:
    claims, path = Claims(tmp_path, lease=60), tmp_path / f"{KEY}.1"
    holder(path)
    assert not claims.take(KEY), "it may live"
    old = path.stat().st_mtime - 61
    os.utime(path, (old, old))
    assert claims.take(KEY)
    claims.give(KEY)
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    holder(path, machine=_machine(), pid=gone)
    assert claims.take(KEY), "its process is gone: no lease is waited for"
    claims.renew()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_claim_is_not_held_for_ever(tmp_path: Path) -> None:
    claims, path = Claims(tmp_path, lease=60), tmp_path / f"{KEY}.1"
    for pid in (True, 0, -1, 10**30, "1"):
        holder(path, machine=_machine(), pid=pid)
        assert claims.take(KEY), f"{pid!r} is no process"
        claims.give(KEY)
    holder(path, machine=_machine(), pid=os.getpid())
    assert not claims.take(KEY)
    os.utime(path, (0, 0))
    assert claims.take(KEY), "a number that was given to another process does not renew it"
    claims.give(KEY)
    path.write_text("[" * 100_000)
    (tmp_path / f"{KEY}.\u00b2").write_text("")
    assert not claims.take(KEY)
    os.utime(path, (0, 0))
    assert claims.take(KEY)


def test_what_a_dead_project_paid_for_is_fetched(
    cli: Cli, write: Write, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    show = SHOW.replace("store: clips", f"store: {share}")
    write(show, "dead/fishpipe.yaml")
    monkeypatch.chdir(tmp_path / "dead")
    assert cli("build").code == 0
    entry = next(entry for entry in entries() if "clip" in entry)
    next(share.rglob(f"{entry['clip']}.*")).unlink()
    holder(share / "claims" / f"{entry['clip']}.1", machine=_machine(), pid=0, task=entry["task"])
    write(show, "mine/fishpipe.yaml")
    monkeypatch.chdir(tmp_path / "mine")
    done = cli("build")
    assert done.code == 0, done.err
    assert [item["type"] for item in service.usage()].count("tts") == 3


def test_a_store_that_is_added_later_gets_what_is_here(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("store: clips", "project: {title: T}"))
    assert cli("build").code == 0
    edit("project: {title: T}", "project: {title: T}\nstore: clips")
    assert cli("build").code == 0
    assert len(clips("clips")) == 3
    assert Path("clips/.gitignore").read_text() == "claims/\n*.damaged\n*.part\n"
    assert cli("build").out.startswith("Nothing to do")


def test_a_clone_of_a_sandbox_project_heals_a_flipped_bit(cli: Cli, write: Write) -> None:
    write(SHOW.replace("store: clips", "store: clips\n    provider: sandbox"))
    assert cli("build").code == 0
    expected = digest("one.mp3")
    for name in ("ledger.db", "clips"):
        path = Path(".fishpipe") / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    clip = clips("clips")[0]
    clip.write_bytes(clip.read_bytes()[:-3] + b"???")
    done = cli("build", "-B")
    assert done.code == 0, done.err
    assert "was damaged; it is put aside" in done.err
    assert digest("one.mp3") == expected


def test_many_flipped_bits_are_mended_in_one_build(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("output: one.mp3", "outputs: [one.mp3, one.wav]"))
    assert cli("build").code == 0
    expected = digest("one.mp3"), digest("one.wav")
    for folder in ("clips", ".fishpipe/clips"):
        for clip in clips(folder):
            clip.write_bytes(clip.read_bytes()[:-2] + b"??")
    done = cli("build", "-B", "--frozen", "--locked")
    assert done.code == 0, done.err
    assert (digest("one.mp3"), digest("one.wav")) == expected
    assert len(service.usage()) == 4


def test_what_is_paid_for_a_damaged_clip_counts_for_the_same_budget(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SHOW.replace("store: clips", "project: {title: T}"))
    monkeypatch.setenv("FISHPIPE_PRICES", "voice=0")
    assert cli("build").code == 0
    for name in ("fishpipe.lock", ".fishpipe/ledger.db", "one.mp3"):
        Path(name).unlink()
    clip = clips(".fishpipe/clips")[0]
    clip.write_bytes(clip.read_bytes()[:-2] + b"??")
    edit("- text: Good night.", "- text: Good night.\n      - text: And a new line, too.")
    refused = cli("build", "--budget", "0.0004")
    assert refused.code == 5
    assert "exceed budget" in refused.err
    assert len(service.usage()) == 5 + 1


def test_a_store_that_takes_nothing_says_so_each_time(cli: Cli, write: Write, service: Service, tmp_path: Path) -> None:
    write(SHOW.replace("store: clips", "project: {title: T}"))
    assert cli("build").code == 0
    first = clips(".fishpipe/clips")[0]
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / first.parent.name).write_text("in the way")
    edit("project: {title: T}", "store: clips")
    for _ in range(2):
        assert "The clips are kept in .fishpipe; copy them later: fishpipe store push" in cli("build").err
    (tmp_path / "clips" / first.parent.name).unlink()
    assert cli("build").code == 0
    shared = Path("clips") / first.relative_to(".fishpipe/clips")
    shared.write_bytes(b"")
    assert cli("build").code == 0
    assert shared.read_bytes() == first.read_bytes(), "a file that was cut is written again"


def test_what_is_no_file_is_no_clip(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    name = f"aa/{'a' * 64}.{'b' * 64}.mp3"
    (Path("clips") / name).mkdir(parents=True)
    assert cli("build", "-B").code == 0
    assert cli("store", "verify").code == 0
    (Path(".fishpipe/clips") / name).parent.mkdir(exist_ok=True)
    (Path(".fishpipe/clips") / name).symlink_to("/nowhere")
    planted = cli("build", "-B")
    assert planted.code == 1
    assert f"{name} is a link; clips are plain files: remove it" in planted.err


def test_a_foreign_clip_that_is_no_sound_is_put_aside(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    key = next(action["fingerprint"] for action in cli("plan", "--json").data["actions"] if action["action"] == "speak")
    junk = b"no sound at all " * 100
    path = Path("clips") / key[:2] / f"{key}.{hashlib.sha256(junk).hexdigest()}.mp3"
    path.parent.mkdir(parents=True)
    path.write_bytes(junk)
    done = cli("build")
    assert done.code == 0, done.err
    assert "is no sound: not an mp3" in done.err
    assert path.with_suffix(".damaged").exists()


def test_of_many_that_take_a_dead_claim_over_one_gets_it(tmp_path: Path) -> None:
    for _ in range(100):
        path = tmp_path / f"{KEY}.1"
        holder(path)
        os.utime(path, (0, 0))
        rivals = [Claims(tmp_path) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda claims: claims.take(KEY), rivals))
        assert won.count(True) == 1
        for rival in rivals:
            rival.give(KEY)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        (".", "is where the project itself lies"),
        (".fishpipe/x", "is where the project itself lies"),
        ("f", "a file"),
        ("s3://bucket/clips", "is an address; expected a folder"),
    ],
)
def test_a_store_must_be_a_folder_of_its_own(cli: Cli, write: Write, folder: str, told: str) -> None:
    write("x", "f")
    write(SHOW.replace("store: clips", f"store: {folder}"))
    found = cli("validate")
    assert found.code == 3
    assert "fishpipe.yaml:2:8: store" in found.err + found.out
    assert told in found.err + found.out


def test_a_script_writes_each_line_to_a_file_of_its_own(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW.replace("output: one.mp3", 'clips: "dist/{voice}/{id}.wav"'))
    plan = cli("plan").out
    assert "stitch dist/{voice}/{id}.wav: 3 lines: 1 clip to come" in plan
    assert cli("build").code == 0
    made = sorted(Path("dist").rglob("*.wav"))
    assert [str(path) for path in made] == [f"dist/ana/000{n}.wav" for n in (1, 2, 3)]
    assert all(0.4 < miniaudio.get_file_info(str(path)).duration < 5 for path in made)
    assert cli("build").out.startswith("Nothing to do")
    before = [path.stat().st_mtime_ns for path in made]
    edit("Good night.", "Sleep well.")
    assert cli("build").code == 0
    after = [path.stat().st_mtime_ns for path in made]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, True, False]
    assert cli("build", "dist/ana/0002.wav", "-n").out.startswith("Nothing to do")


def test_lines_that_would_share_a_file_are_told(cli: Cli, write: Write) -> None:
    write(SHOW.replace("output: one.mp3", 'clips: "dist/{script}/{id}.{who}.wav"'))
    told = cli("validate")
    assert "clips has {who}; in braces: id, number, script, voice" in told.err + told.out
    write(SHOW.replace("output: one.mp3", "clips: dist/line.wav"))
    assert cli("validate").code == 3
