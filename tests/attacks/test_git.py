"""A repository that has git run its programs, or write outside: it is asked, and nothing of it runs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fishpipe.errors import UsageError
from fishpipe.revisions import checked_out
from fishpipe.store import git as door

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    scripts:
      one: {output: one.mp3, segments: [{text: The first line.}, {text: The second line.}]}
    """
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
VERBS = (["build"], ["gc"], ["diff"], ["plan", "--since", "HEAD"], ["lock"])


def git(*arguments: str, given: bytes | None = None) -> str:
    done = subprocess.run([*GIT, *arguments], check=True, capture_output=True, input=given)
    return done.stdout.decode().strip()


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves a trace when it is run."""
    program = tmp_path / "trap.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    program.chmod(0o755)
    return program


def settings(trap: Path, folder: str) -> None:
    """Every way to have a program run that a repository's configuration has, as far as a query can reach it."""
    for name in (
        *("core.fsmonitor", "gpg.program", "gpg.ssh.program", "core.sshCommand", "core.pager", "core.editor"),
        *("diff.external", "core.askPass", "credential.helper", "diff.evil.command", "diff.evil.textconv"),
        *("filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "core.gitProxy", "core.hooksPath"),
        *("remote.origin.uploadpack", "pager.log", "pager.diff", "interactive.diffFilter"),
    ):
        git("--git-dir", folder, "config", name, str(trap))
    for name, value in (("log.showSignature", "true"), ("core.hooksPath", str(trap.parent))):
        git("--git-dir", folder, "config", name, value)


def test_nothing_of_the_repository_runs(cli: Cli, write: Write, service: Service, trap: Path, tmp_path: Path) -> None:
    """A clone that came with its `.git` (an archive, a shared disk) is asked, and runs nothing."""
    write(SHOW)
    Path(".gitattributes").write_text("* diff=evil filter=evil\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one")
    signed = git("cat-file", "commit", "HEAD").replace("\ncommitter", "\ngpgsig -----BEGIN X-----\n \ncommitter", 1)
    git("hash-object", "-t", "commit", "-w", "--stdin", given=f"{signed}\n".encode())
    settings(trap, ".git")
    Path("fishpipe.yaml").write_text(Path("fishpipe.yaml").read_text().replace("second", "other"))
    for verb in VERBS:
        assert cli(*verb).code == 0, verb
    assert not (tmp_path / "ran").exists()


def test_an_embedded_bare_repository_is_not_asked(
    cli: Cli, write: Write, service: Service, trap: Path, tmp_path: Path
) -> None:
    """A project in a folder that is itself a bare repository, as any repository can bring one along."""
    git("init", "-q")
    git("init", "-q", "--bare", "show")
    settings(trap, "show")
    git("--git-dir", "show", "config", "core.worktree", str(tmp_path / "show"))
    git("--git-dir", "show", "config", "core.bare", "false")
    write(SHOW, "show/fishpipe.yaml")
    assert cli("build", "-C", "show").code == 0
    for verb in (["gc"], ["diff"], ["plan", "--since", "HEAD"]):
        assert cli(*verb, "-C", str(tmp_path / "show")).code in (0, 2)
    assert not (tmp_path / "ran").exists()


def test_a_repository_that_lacks_objects_fetches_none(
    cli: Cli, write: Write, service: Service, trap: Path, tmp_path: Path
) -> None:
    """A partial clone asks its remote for what it lacks, and a remote's address may be a program."""
    write(SHOW)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one")
    blob = git("rev-parse", "HEAD:fishpipe.yaml")
    Path(".git/objects", blob[:2], blob[2:]).unlink()
    for name, value in (
        ("remote.origin.url", f"ext::{trap}"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.partialclonefilter", "blob:none"),
        ("extensions.partialClone", "origin"),
        ("core.repositoryFormatVersion", "1"),
        ("protocol.ext.allow", "always"),
    ):
        git("config", name, value)
    done = cli("diff")
    assert done.code == 2, done
    assert not (tmp_path / "ran").exists()


def tree(*entries: tuple[str, str, str]) -> str:
    """A tree written by hand: (mode, name, object)."""
    body = b"".join(
        mode.encode() + b" " + name.encode() + b"\0" + bytes.fromhex(found) for mode, name, found in entries
    )
    return git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", given=body)


def test_a_tree_with_a_way_out_writes_nothing_outside(cli: Cli, write: Write, service: Service, tmp_path: Path) -> None:
    write(SHOW)
    git("init", "-q")
    git("add", "-A")
    manifest = git("rev-parse", ":fishpipe.yaml")
    evil = git("hash-object", "-w", "--stdin", given=b"planted\n")
    inner = tree(("100644", "evil.txt", evil), ("100644", "fishpipe.yaml", manifest))
    root = tree(
        ("40000", "..", inner),
        ("40000", ".git", inner),
        ("120000", "link", evil),
        ("100644", "fishpipe.yaml", manifest),
    )
    commit = git("commit-tree", root, "-m", "evil")
    git("update-ref", "refs/heads/evil", commit)
    assert cli("diff", "evil").code == 0
    assert cli("plan", "--since", "evil").code == 0
    with checked_out(Path("fishpipe.yaml"), "evil", whole=True) as found:
        names = sorted(path.relative_to(found.folder).as_posix() for path in found.folder.rglob("*"))
        assert names == ["fishpipe.yaml"]
        assert not (found.folder.parent / "evil.txt").exists()


def test_a_tree_with_a_file_for_a_folder_is_told(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    git("init", "-q")
    git("add", "-A")
    manifest = git("rev-parse", ":fishpipe.yaml")
    inner = tree(("100644", "b.txt", manifest))
    root = tree(("100644", "a", manifest), ("40000", "a", inner), ("100644", "fishpipe.yaml", manifest))
    git("update-ref", "refs/heads/evil", git("commit-tree", root, "-m", "evil"))
    done = cli("diff", "evil")
    assert done.code == 2, done
    assert "cannot be read" in done.err


def test_git_is_bounded_in_time_and_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "-q")
    Path("large").write_bytes(b"x" * 300_000)
    git("add", "-A")
    monkeypatch.setattr(door, "MOST_BYTES", 100_000)
    with pytest.raises(UsageError, match="to say"):
        door.git(tmp_path, "cat-file", "blob", ":large")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(door, "SECONDS", 0.5)
    with pytest.raises(UsageError, match="longer than"):
        door.git(tmp_path, "log")


def test_what_the_environment_says_of_git_is_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: Path
) -> None:
    git("init", "-q")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(trap))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(trap))
    assert door.git(tmp_path, "rev-parse", "--show-toplevel").decode().strip() == str(tmp_path.resolve())
    door.git(tmp_path, "ls-files")
    assert not (tmp_path / "ran").exists()
