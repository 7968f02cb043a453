"""A file → a draft, by its suffix, and by what it holds."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final, Literal, get_args

from fishpipe.errors import UsageError
from fishpipe.importing.markdown import read_markdown, read_plain
from fishpipe.importing.play import looks_like_play, read_fountain, read_play

if TYPE_CHECKING:
    from pathlib import Path

    from fishpipe.importing.draft import Draft

Kind = Literal["markdown", "epub", "play", "fountain", "subtitles", "text", "json"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_SUFFIXES: Final[dict[str, Kind]] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".epub": "epub",
    ".fountain": "fountain",
    ".spmd": "fountain",
    ".srt": "subtitles",
    ".vtt": "subtitles",
    ".ass": "subtitles",
    ".ssa": "subtitles",
    ".json": "json",
    ".txt": "text",
}
_MOST_BYTES: Final = 200_000_000
# What readers of others' formats say to what is none.
_DAMAGED: Final = (LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)


def read_draft(path: Path, kind: Kind | None = None) -> Draft:
    """What a file holds. Raises UsageError where it cannot be read as its kind."""
    kind = kind or _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: its suffix says nothing; say what it is: --as {'|'.join(KINDS)}")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is not a regular file")
        draft = _read(path, kind)
    except _DAMAGED as error:
        raise UsageError(f"{path} cannot be read as {kind}: {str(error) or type(error).__name__}") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ImportError as error:
        raise UsageError(f"this needs more packages: pip install 'fishpipe[import]' ({error})") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not draft.chapters or not any(getattr(c, "markdown", "") or getattr(c, "lines", ()) for c in draft.chapters):
        raise UsageError(f"{path} holds nothing to speak")
    return draft


def _read(path: Path, kind: Kind) -> Draft:
    if kind == "epub":
        from fishpipe.importing.epub import read_epub

        return read_epub(path)
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} is larger than 200 MB")
    text = _decoded(path)
    if kind == "subtitles":
        from fishpipe.importing.subtitles import read_subtitles

        return read_subtitles(text, path)
    if kind == "json":
        from fishpipe.importing.data import read_json

        return read_json(text, path)
    if kind == "text" and looks_like_play(text):
        kind = "play"
    readers = {"markdown": read_markdown, "text": read_plain, "play": read_play, "fountain": read_fountain}
    return readers[kind](text, path)


def _decoded(path: Path) -> str:
    """A file's text: UTF-8, UTF-16 with its mark, or else Windows-1252, as many old texts are."""
    data = path.read_bytes()
    for encoding in ("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            continue
    raise ValueError(f"{path} is no text")
