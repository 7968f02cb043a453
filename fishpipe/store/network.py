"""Whether a folder lies on a network file system, where SQLite's shared memory (WAL) cannot be relied on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS: Final = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|afpfs|webdav|davfs|ncpfs|9p|afs|ceph|lustre|gpfs|beegfs|glusterfs"
    r"|fuse\.(sshfs|glusterfs|s3fs|rclone|ceph.*|davfs.*|gcsfuse|smb.*|nfs.*)"
)
_MOUNTS: Final = Path("/proc/self/mountinfo")


def is_network(folder: Path) -> bool:
    """Whether the mount that holds `folder` is one of another machine; False where that cannot be told."""
    return bool(_KINDS.fullmatch(kind_of_mount(folder.resolve(), list(_mounts()))))


def kind_of_mount(folder: Path, mounts: list[tuple[str, str]]) -> str:
    """The file system's kind, of the innermost (mount point, kind) that holds an absolute folder; "" for none."""
    holding = [(len(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
    return max(holding, key=lambda pair: pair[0])[1] if holding else ""


def _mounts() -> Iterator[tuple[str, str]]:
    """(mount point, kind), in the order of mounting. Linux: proc_pid_mountinfo(5); elsewhere: mount(8)."""
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        yield from _told_by_mount()
        return
    for line in lines:
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split(" ")[4])
        yield point, after.split(" ")[0]


def _told_by_mount() -> Iterator[tuple[str, str]]:
    import subprocess

    try:
        told = subprocess.run(["mount"], capture_output=True, text=True, timeout=5, check=True).stdout  # noqa: S607
    except (OSError, subprocess.SubprocessError):
        return
    for match in re.finditer(r"^.* on (/.*?) \((\w+)", told, re.MULTILINE):
        yield match[1], match[2]
