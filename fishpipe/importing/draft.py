"""What an importer reads: a text in chapters, before it is a manifest."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from fishpipe.manifest.nodes import CONTROL

_LONGEST_NAME: Final = 48


class Prose(Struct, frozen=True):
    """A chapter that one voice reads: Markdown, with its heading."""

    title: str
    markdown: str


class Line(Struct, frozen=True):
    """Words of a speaker ("" is the narrator); `gap` is the silence behind them in ms, where it is known."""

    speaker: str
    words: str
    gap: int | None = None


class Scene(Struct, frozen=True):
    """A chapter of lines; its title is "" where it has none. `lead` is the silence before the first, in ms."""

    title: str
    lines: tuple[Line, ...]
    lead: int = 0


class Draft(Struct, frozen=True, kw_only=True):
    """A whole text: chapters of prose, or scenes. `file` is a text file that is used where it lies."""

    title: str
    author: str = ""
    language: str = ""
    chapters: tuple[Prose | Scene, ...] = ()
    file: str = ""
    levels: int = 1

    @property
    def speakers(self) -> list[str]:
        """Who speaks, in the order of their first lines."""
        lines = (line for chapter in self.chapters if isinstance(chapter, Scene) for line in chapter.lines)
        return list(dict.fromkeys(line.speaker for line in lines if line.speaker))


def clean(text: str) -> str:
    """Text without what no manifest may hold: control characters, and halves of signs."""
    return CONTROL.sub(" ", text)


def language_of(tag: str) -> str:
    """A language's tag, or "" where it is none."""
    return tag if re.fullmatch(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*", tag) else ""


def slug(text: str, otherwise: str = "text") -> str:
    """Words as a name for a file or a script."""
    words = re.findall(r"[^\W_]+", re.sub(r"['’]", "", text).lower())
    return "-".join(words)[:_LONGEST_NAME].strip("-") or otherwise
