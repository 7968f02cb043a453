"""A project as it was at a revision: read from git into a folder of its own; the work tree is not touched."""

from __future__ import annotations

import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from fishpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MOST_BYTES: Final = 64 << 20
_CLIP: Final = re.compile(r".*/[0-9a-f]{64}\.[0-9a-f]{64}\.(mp3|pcm)")
_READ: Final = (".yaml", ".yml", ".lock", ".json", ".md", ".markdown", ".txt", ".srt", ".vtt", ".fountain")
_MANIFEST: Final = re.compile(r"^fishpipe:", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit, with the manifest as it was, and where it lay in the repository (`name`)."""

    commit: str
    manifest: Path
    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class _File:
    blob: str
    size: int


@contextmanager
def checked_out(manifest: Path, rev: str) -> Iterator[Revision]:
    """The project of `manifest` as it was at `rev`, in a folder that is gone afterwards.

    A manifest that has moved since is found by its content. Files that are not text are empty there. Raises UsageError.
    """
    top = Path(_git(manifest.parent, "rev-parse", "--show-toplevel").decode().strip())
    commit = _commit(top, rev)
    tree = _tree(top, commit)
    path = PurePosixPath(manifest.resolve().relative_to(top.resolve()).as_posix())
    if str(path) not in tree:
        path = _moved(top, tree, manifest, rev)
    with tempfile.TemporaryDirectory(prefix="fishpipe-") as scratch:
        folder = Path(scratch).resolve()
        below = {name: file for name, file in tree.items() if PurePosixPath(name).is_relative_to(path.parent)}
        _extract(top, below, folder)
        yield Revision(commit=commit, manifest=folder / path, name=str(path), folder=folder)


def blobs_of(folder: Path, suffix: str, most: int) -> Iterator[str]:
    """The texts of all files of a suffix in the last `most` commits of every branch; none outside of git."""
    try:
        refs = _git(
            folder, "for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes", "refs/tags"
        ).decode()
        heads = {*refs.split(), _git(folder, "rev-parse", "HEAD").decode().strip()}
    except UsageError:
        return
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip())
    commits = {
        commit for head in heads for commit in _git(top, "rev-list", f"--max-count={most}", head, "--").decode().split()
    }
    found = {file.blob for commit in commits for name, file in _tree(top, commit).items() if name.endswith(suffix)}
    for data in _read(top, sorted(found)):
        yield data.decode("utf-8", "replace")


def _commit(top: Path, rev: str) -> str:
    try:
        if rev.startswith("-"):
            raise UsageError(rev)
        return _git(top, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}").decode().strip()
    except UsageError as error:
        raise UsageError(f'git knows no revision "{rev}"; try HEAD~1, a branch or a tag') from error


def _tree(top: Path, commit: str) -> dict[str, _File]:
    """All plain files of a commit, by path."""
    files = {}
    for entry in (
        _git(top, "ls-tree", "-r", "-z", "--long", "--full-tree", commit).decode("utf-8", "replace").split("\0")
    ):
        match = re.fullmatch(r"(\d+) blob ([0-9a-f]+) +(\d+)\t(.*)", entry, re.DOTALL)
        if match and match[1] != "120000":
            files[match[4]] = _File(match[2], int(match[3]))
    return files


def _moved(top: Path, tree: Mapping[str, _File], manifest: Path, rev: str) -> PurePosixPath:
    """Where a manifest that is somewhere else now lay: the most similar one."""
    names = [name for name, file in tree.items() if name.endswith((".yaml", ".yml")) and file.size < _MOST_BYTES]
    now = manifest.read_text("utf-8", "replace").splitlines()
    texts = (data.decode("utf-8", "replace") for data in _read(top, [tree[name].blob for name in names]))
    scored = [
        (SequenceMatcher(None, text.splitlines(), now, autojunk=False).ratio(), name)
        for name, text in zip(names, texts, strict=True)
        if _MANIFEST.search(text)
    ]
    if not scored:
        raise UsageError(f"{rev} has no manifest like {manifest.name}")
    return PurePosixPath(max(scored)[1])


def _extract(top: Path, files: Mapping[str, _File], folder: Path) -> None:
    """Write text files, and empty ones in the place of others: that they are there is all that is asked of them."""
    wanted = [name for name, file in files.items() if name.endswith(_READ) and file.size < _MOST_BYTES]
    texts = dict(zip(wanted, _read(top, [files[name].blob for name in wanted]), strict=True))
    for name in files:
        if _CLIP.fullmatch(name):
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(texts.get(name, b""))


def _read(top: Path, blobs: Sequence[str]) -> Iterator[bytes]:
    """The bytes of each blob, in order."""
    if not blobs:
        return
    answer = memoryview(_git(top, "cat-file", "--batch", given="\n".join(blobs).encode() + b"\n"))
    at = 0
    for _ in blobs:
        end = bytes(answer[at : at + 200]).index(b"\n")
        size = int(bytes(answer[at : at + end]).split()[2])
        start = at + end + 1
        yield bytes(answer[start : start + size])
        at = start + size + 1


def _git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes:
    """What git says. Raises UsageError where it is not there, or refuses."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=120, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"git cannot be run: {error}") from error
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise UsageError(f"git: {told or 'it failed'}")
    return done.stdout
