"""Questions to the file system that a manifest's paths give rise to; what is asked of a path raises nothing."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, Literal

from fishpipe.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_NAME: Final = "fishpipe.yaml"
Kind = Literal["file", "folder", "missing", "unreadable", "special", "impossible"]


def find_manifest(start: Path) -> Path:
    """`fishpipe.yaml` in `start` or the nearest folder above it. Raises UsageError."""
    for folder in (start, *start.parents):
        candidate = folder / DEFAULT_NAME
        if candidate.is_file():
            return candidate
    raise UsageError(f"no {DEFAULT_NAME} here or in a folder above; make one: fishpipe init")


def kind_of(path: Path) -> Kind:
    """What is at a path; `special` is a pipe or a device, `impossible` a path that no file can have."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except PermissionError:
        return "unreadable"
    except (OSError, ValueError, RuntimeError):
        return "impossible"
    if stat.S_ISDIR(mode):
        return "folder"
    if not stat.S_ISREG(mode):
        return "special"
    return "file" if os.access(path, os.R_OK) else "unreadable"


def real(path: Path) -> Path | None:
    """The path with symlinks resolved, or None where that cannot be."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path lies below `root`, symlinks resolved."""
    whole, top = real(path), real(root)
    return whole is not None and top is not None and whole.is_relative_to(top)


def near_name(path: Path) -> str:
    """A suggestion of a sibling's name."""
    try:
        return did_you_mean(path.name, [sibling.name for sibling in path.parent.iterdir() if sibling.name != path.name])
    except (OSError, ValueError):
        return ""


def describe(path_kind: Kind) -> str:
    """What is wrong with a path of that kind, as the end of a sentence; "" for a file."""
    return {
        "file": "",
        "folder": "is a folder; expected a file",
        "missing": "does not exist",
        "unreadable": "cannot be read; check its permissions",
        "special": "is not a regular file",
        "impossible": "is not a path that can be",
    }[path_kind]
