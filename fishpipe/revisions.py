"""A project as it was at a revision: read from git into a folder of its own; the work tree is not touched."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager, suppress
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fishpipe.errors import UsageError, did_you_mean
from fishpipe.store.git import MOST_BYTES, git, is_in_repository, top_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MOST_BYTES: Final = 64 << 20
_MOST_FILES: Final = 100_000
# Blobs that git is asked for at one time.
_AT_ONCE: Final = 64
_CLIP: Final = re.compile(r".*/[0-9a-f]{64}\.[0-9a-f]{64}\.(mp3|pcm)")
_READ: Final = (".yaml", ".yml", ".lock", ".json", ".md", ".markdown", ".txt", ".srt", ".vtt", ".fountain")
# How much of a manifest's lines must be as they were where it has moved.
_ALIKE: Final = 0.3
_MANIFEST: Final = re.compile(r"^fishpipe:", re.MULTILINE)


class Revision(Struct, frozen=True, kw_only=True):
    """A commit, with the manifest as it was, where it lay in the repository (`name`), and whether it has `moved`."""

    commit: str
    manifest: Path
    name: str
    folder: Path
    moved: bool


class _File(Struct, frozen=True):
    blob: str
    size: int


@contextmanager
def checked_out(manifest: Path, rev: str, *, whole: bool) -> Iterator[Revision]:
    """The project of `manifest` as it was at `rev`, in a folder that is gone afterwards.

    A manifest that has moved since is found by its content. Files that are not text are empty there. The `whole`
    repository is read for manifests that include what lies outside of their folder. Raises UsageError.
    """
    top = top_of(manifest.parent)
    commit = _commit(top, rev)
    tree = _tree(top, commit)
    path = PurePosixPath(manifest.resolve().relative_to(top.resolve()).as_posix())
    moved = str(path) not in tree
    if moved:
        path = _moved(top, tree, manifest, rev)
    with tempfile.TemporaryDirectory(prefix="fishpipe-") as scratch:
        folder = Path(scratch).resolve()
        below = {n: file for n, file in tree.items() if whole or PurePosixPath(n).is_relative_to(path.parent)}
        _extract(top, below, folder)
        yield Revision(commit=commit, manifest=folder / path, name=str(path), folder=folder, moved=moved)


def blobs_of(folder: Path, suffix: str, most: int) -> Iterator[str]:
    """The texts of all files of a suffix in the last `most` commits of every branch and tag; none outside of git.

    Raises UsageError where git refuses: what it does not tell cannot be spared.
    """
    if not is_in_repository(folder):
        return
    heads = git(folder, "for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes", "refs/tags").split()
    with suppress(UsageError):
        # A repository without a commit has no HEAD yet; one that refuses has refused above.
        heads.append(git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip())
    if not heads:
        return
    top = top_of(folder)
    told = git(
        top,
        "log",
        *(head.decode() for head in set(heads)),
        "--full-history",
        "--no-show-signature",
        "--no-ext-diff",
        "--no-textconv",
        "--format=",
        "--name-only",
        "-z",
        "--",
        f"*{suffix}",
    ).split(b"\0")
    names = {name.strip(b"\n") for name in told} - {b""}
    commits = {
        commit
        for head in set(heads)
        for commit in git(top, "rev-list", f"--max-count={most}", head.decode(), "--").split()
    }
    asked = b"".join(b"%s:%s\n" % (commit, name) for commit in sorted(commits) for name in sorted(names))
    answers = git(top, "cat-file", "--batch-check", given=asked).splitlines() if asked else []
    blobs = {answer.split()[0].decode() for answer in answers if answer.split()[1:2] == [b"blob"]}
    for data in _read(top, sorted(blobs)):
        yield data.decode("utf-8", "replace")


def _commit(top: Path, rev: str) -> str:
    try:
        if rev.startswith("-"):
            raise UsageError(rev)
        return git(top, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}").decode().strip()
    except UsageError as error:
        names = git(top, "for-each-ref", "--format=%(refname:short)").decode().split()
        hint = did_you_mean(rev, names) or "expected a commit, a branch or a tag (git log --oneline)"
        raise UsageError(f'git knows no revision "{rev}"; {hint}') from error


def _tree(top: Path, commit: str) -> dict[str, _File]:
    """All plain files of a commit, by path."""
    files = {}
    for entry in (
        git(top, "ls-tree", "-r", "-z", "--long", "--full-tree", commit).decode("utf-8", "replace").split("\0")
    ):
        match = re.fullmatch(r"(\d+) blob ([0-9a-f]+) +(\d+)\t(.*)", entry, re.DOTALL)
        if match and match[1] != "120000" and _is_name(match[4]):
            files[match[4]] = _File(match[2], int(match[3]))
    return files


def _is_name(name: str) -> bool:
    """Whether a path in a tree, which may be written by hand, leads to a file below its top."""
    parts = name.split("/")
    return not any(part in ("", ".", "..") or part.lower() == ".git" or len(os.fsencode(part)) > 255 for part in parts)


def _moved(top: Path, tree: Mapping[str, _File], manifest: Path, rev: str) -> PurePosixPath:
    """Where a manifest that is somewhere else now lay: the most similar one that is not there any more."""
    yaml = [name for name, file in tree.items() if name.endswith((".yaml", ".yml")) and file.size < _MOST_BYTES]
    names = [name for name in yaml if not (top / name).exists()]
    now = manifest.read_text("utf-8", "replace").splitlines()
    texts = (data.decode("utf-8", "replace") for data in _read(top, [tree[name].blob for name in names]))
    scored = [
        (SequenceMatcher(None, text.splitlines(), now, autojunk=False).ratio(), name)
        for name, text in zip(names, texts, strict=True)
        if _MANIFEST.search(text)
    ]
    if max(scored, default=(0.0, ""))[0] < _ALIKE:
        raise UsageError(f"{rev} has no manifest like {manifest.name}; commit it first, or name a later revision")
    return PurePosixPath(max(scored)[1])


def _extract(top: Path, files: Mapping[str, _File], folder: Path) -> None:
    """Write text files, and empty ones in the place of others: that they are there is all that is asked of them.

    Raises UsageError where they cannot be: a tree that was written by hand may have a file for a folder, or too many.
    """
    wanted = [name for name, file in files.items() if name.endswith(_READ) and file.size < _MOST_BYTES]
    if len(files) > _MOST_FILES or sum(files[name].size for name in wanted) > MOST_BYTES:
        raise UsageError(f"this revision has more than {_MOST_FILES:,} files, or {MOST_BYTES >> 20} MiB of text")
    texts = dict(zip(wanted, _read(top, [files[name].blob for name in wanted]), strict=True))
    for name in files:
        if _CLIP.fullmatch(name):
            continue
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(texts.get(name, b""))
        except OSError as error:
            raise UsageError(f"{name[:200]!r} of this revision cannot be read: {error.strerror}") from error


def _read(top: Path, blobs: Sequence[str]) -> Iterator[bytes]:
    """The bytes of each blob, in order. Raises UsageError where git does not have one."""
    for first in range(0, len(blobs), _AT_ONCE):
        asked = blobs[first : first + _AT_ONCE]
        answer = memoryview(git(top, "cat-file", "--batch", given="\n".join(asked).encode() + b"\n"))
        at = 0
        for blob in asked:
            head = re.match(rb"[0-9a-f]+ blob (\d+)\n", answer[at : at + 200])
            if head is None:
                raise UsageError(f"git does not have the object {blob}")
            start = at + head.end()
            end = start + int(head[1])
            yield bytes(answer[start:end])
            at = end + 1
