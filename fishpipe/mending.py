"""What lint finds, mended in place where that is safe: nothing that was paid for changes, and less is left to find."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fishpipe.errors import ManifestError
from fishpipe.manifest.lint import fixed, lint
from fishpipe.manifest.model import Speech
from fishpipe.store.durable import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.manifest.lint import Fix
    from fishpipe.manifest.model import Manifest
    from fishpipe.project import Project

_BOM: Final = b"\xef\xbb\xbf"


def mend(project: Project) -> int:
    """Apply all safe fixes; returns how many. Raises StoreError."""
    found = lint(project.manifest)
    safe = _safe(project, [one.fix for one in found if one.fix is not None], len(found))
    others = [one.otherwise for one in found if one.otherwise is not None and one.fix not in safe]
    safe += [fix for fix in others if _is_safe(project, [*safe, fix], len(found))]
    for name, text in fixed(project.manifest.texts, safe).items():
        _write(Path(name), project.manifest.texts[name], text)
    return len(set(safe))


def _safe(project: Project, fixes: Sequence[Fix], findings: int) -> list[Fix]:
    """The fixes that are safe: all at once, or else each half for itself."""
    if not fixes or _is_safe(project, fixes, findings):
        return list(fixes)
    if len(fixes) == 1:
        return []
    half = len(fixes) // 2
    return [*_safe(project, fixes[:half], findings), *_safe(project, fixes[half:], findings)]


def _is_safe(project: Project, fixes: Sequence[Fix], findings: int) -> bool:
    """Whether the manifest stays valid, has fewer findings, and still needs every clip that is paid for."""
    texts = fixed(project.manifest.texts, fixes)
    try:
        mended = project.with_texts(texts)
    except ManifestError:
        return False
    if not texts or len(lint(mended.manifest)) >= findings:
        return False
    before, after = _spoken(project.manifest), _spoken(mended.manifest)
    # A fix changes signs alone: where words would go (a # that becomes a comment), it is none.
    if [_words(text) for text in before] != [_words(text) for text in after]:
        return False
    changed = {old for old, new in zip(before, after, strict=True) if old != new}
    return not changed & _paid_texts(project) and _paid(project) <= _paid(mended)


def _spoken(manifest: Manifest) -> list[str]:
    bodies = (segment.body for script in manifest.scripts.values() for segment in script.segments)
    return [body.text for body in bodies if isinstance(body, Speech)]


def _words(text: str) -> str:
    """A text without what fixes change: spaces, invisible signs, and which quotes, dashes and brackets there are."""
    return re.sub(r"[\s\u00ad\u200b\u2060\ufeff]+|[\"'“”„«»‘’‚‹›–—‐‑()\[\]-]|…|\.", "", text)


def _paid_texts(project: Project) -> set[str]:
    """All texts that were ever asked for, under whatever profile."""
    with project.session() as session:
        bodies = [row.record.get("body", {}) for row in session.snapshot.calls.values()]
        return {str(body.get("text", body.get("prompt", ""))) for body in bodies}


def _paid(project: Project) -> set[str]:
    """The calls that the manifest's scripts need, with outputs or without, and that were ever made."""
    with project.session(list(project.manifest.scripts)) as session:
        return {
            key for key in session.graph.clips if key in session.snapshot.calls or key in session.snapshot.lock.clips
        }


def _write(path: Path, before: str, after: str) -> None:
    """The lines that differ, in a file whose other bytes stay: its mark, and how each line ends."""
    data = path.read_bytes()
    body = data.removeprefix(_BOM)
    old, new = before.split("\n"), after.split("\n")
    kept = re.split(r"(?<=\n)|(?<=\r)(?!\n)", body.decode())
    made = [
        (now + line[len(line.rstrip("\r\n")) :]) if was != now else line
        for was, now, line in zip(old, new, kept, strict=True)
    ]
    write_whole(path, data[: len(data) - len(body)] + "".join(made).encode())
