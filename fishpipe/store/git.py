"""Git, asked."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from fishpipe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes:
    """What git says in a folder. Raises UsageError where it is not there, or refuses."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=120, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"this needs git, which cannot be run: {error}") from error
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        hint = "; this compares with git's history: git init, and commit" if "not a git repository" in told else ""
        raise UsageError(f"git: {told or 'it failed'}{hint}")
    return done.stdout
