"""Git, asked by one door: nothing that a repository brings is run, and it is not waited for without end."""

from __future__ import annotations

import os
import subprocess
import threading
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

from fishpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS: Final = 60.0
MOST_BYTES: Final = 256 << 20
_BLOCK: Final = 1 << 20
# Each is a way in which a repository's own configuration runs a program, or has git ask somebody else
# (git-config(1)); what stands here counts before it.
_SETTINGS: Final = (
    "safe.bareRepository=explicit",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.sshCommand=false",
    "core.askPass=",
    "core.editor=false",
    "credential.helper=",
    "diff.external=",
    "gpg.program=false",
    "gpg.ssh.program=false",
    "gpg.x509.program=false",
    "log.showSignature=false",
    "submodule.recurse=false",
    "protocol.allow=never",
)
_ENVIRONMENT: Final = {
    # A repository that lacks objects (a partial clone) is not completed: that may run what its remote names.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "cat",
    "GIT_ATTR_NOSYSTEM": "1",
    "LC_ALL": "C",
}
_KEPT: Final = ("PATH", "HOME", "XDG_CONFIG_HOME", "SUDO_UID", "TMPDIR", "SYSTEMROOT")


def git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes:
    """What git says in a folder.

    Raises UsageError where git or the repository is not there, or it refuses, takes longer than a minute, or says more
    than 256 MiB.
    """
    top_of(folder)
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    code, out, told = _run(["git", "--no-pager", "-C", str(folder), *settings, *arguments], given or b"")
    if code:
        raise UsageError(f"git: {told.strip().partition(chr(10))[0][:500] or 'it failed'}")
    return out


def top_of(folder: Path) -> Path:
    """The top of the work tree that a folder lies in: where its ``.git`` is, which no repository can bring.

    Raises UsageError where there is none, or where an embedded bare repository, which one can bring, lies nearer.
    """
    whole = folder.resolve()
    for above in (whole, *whole.parents):
        if os.path.lexists(above / ".git"):
            return above
        if all((above / name).exists() for name in ("HEAD", "objects", "refs")):
            raise UsageError(f"git: {above} is a bare repository within another one, which is not asked")
    raise UsageError("git: not a git repository; this compares with git's history: git init, and commit")


def is_in_repository(folder: Path) -> bool:
    """Whether a folder lies in a git work tree."""
    try:
        top_of(folder)
    except UsageError:
        return False
    return True


def _run(command: list[str], given: bytes) -> tuple[int, bytes, str]:
    """(exit code, output, what it complained of)."""
    kept = {name: value for name in _KEPT if (value := os.environ.get(name)) is not None}
    with TemporaryFile() as asked, TemporaryFile() as told:
        asked.write(given)
        asked.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603
                command, stdin=asked, stdout=subprocess.PIPE, stderr=told, env=kept | _ENVIRONMENT
            )
        except OSError as error:
            raise UsageError(f"this needs git, which cannot be run: {error.strerror}") from error
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(SECONDS, end)
        timer.start()
        try:
            out = b"".join(_read(process))
        finally:
            timer.cancel()
            process.kill()
            code = process.wait()
        if late.is_set():
            raise UsageError(f"git takes longer than {SECONDS:g} s: {' '.join(command[-2:])}")
        told.seek(0)
        return code, out, told.read(1 << 16).decode("utf-8", "replace")


def _read(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    size = 0
    with process:
        while process.stdout is not None and (block := process.stdout.read(_BLOCK)):
            size += len(block)
            if size > MOST_BYTES:
                process.kill()
                raise UsageError(f"git has more than {MOST_BYTES >> 20} MiB to say")
            yield block
