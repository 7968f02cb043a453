"""JSON: lines with speakers, chapters of paragraphs, acts of lines, in the shapes that other tools write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from fishpipe.importing.draft import Draft, Line, Prose, Scene
from fishpipe.importing.markdown import as_markdown

if TYPE_CHECKING:
    from pathlib import Path

_PARTS: Final = ("chapters", "acts", "scenes", "sections", "parts")
_LINES: Final = ("segments", "lines", "beats", "script", "dialogue", "turns", "messages", "items", "paragraphs")
_NAMES: Final = ("speaker", "voice", "name", "role", "character", "who")
_WORDS: Final = ("text", "content", "line", "words", "message")


def read_json(text: str, path: Path) -> Draft:
    """A list of lines, or a map with title, author, language, and chapters or lines. Raises ValueError."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from error
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    about: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    parts = _first(about, _PARTS)
    chapters = [_chapter(part) for part in parts] if isinstance(parts, list) else [_chapter(data)]
    found = tuple(chapter for chapter in chapters if chapter is not None)
    if not found:
        names = ", ".join((*_PARTS, *_LINES))
        raise ValueError(f"{path}: nothing to speak: expected a list of texts, or one of {names}")
    told = {name: str(about.get(name) or "") for name in ("title", "author", "language")}
    return Draft(title=told["title"] or path.stem, author=told["author"], language=told["language"], chapters=found)


def _first(data: Mapping[str, Any], names: Sequence[str]) -> Any:  # noqa: ANN401
    return next((data[name] for name in names if name in data), None)


def _chapter(data: Any) -> Prose | Scene | None:  # noqa: ANN401
    title = str(data.get("title") or "") if isinstance(data, Mapping) else ""
    items = data if isinstance(data, list) else _first(data, _LINES) if isinstance(data, Mapping) else None
    lines = [line for line in map(_line, items) if line is not None] if isinstance(items, list) else []
    if not lines:
        return None
    if title and all(not line.speaker for line in lines):
        return Prose(title, "\n\n".join([f"# {as_markdown(title)}", *(as_markdown(line.words) for line in lines)]))
    return Scene(title, tuple(lines))


def _line(item: Any) -> Line | None:  # noqa: ANN401
    if isinstance(item, str):
        return Line("", " ".join(item.split())) if item.strip() else None
    if isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item):
        return Line(_name(item[0]), " ".join(str(item[1]).split()))
    if isinstance(item, Mapping) and (words := _first(item, _WORDS)):
        return Line(_name(_first(item, _NAMES)), " ".join(str(words).split()))
    return None


def _name(value: object) -> str:
    """Who speaks, as a dialogue can name it."""
    return " ".join(re.sub(r"[:：()\[\]{}#\"“”,]", " ", str(value or "")).split())[:60]
