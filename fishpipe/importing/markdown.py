"""Markdown and plain text: used where they lie, or copied."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fishpipe.importing.draft import Draft, Prose
from fishpipe.manifest.documents import read_document

if TYPE_CHECKING:
    from pathlib import Path

    from fishpipe.manifest.documents import Document

_CHAPTER: Final = re.compile(r"(?:chapter|kapitel|chapitre|cap[ií]tulo|capitolo|part|book)\b.{0,60}", re.IGNORECASE)
_RULE: Final = re.compile(r"([*_~#-])( *\1){2,}")


def read_markdown(text: str, path: Path) -> Draft:
    """A Markdown file: chapters are the headings of the first level that there are several of."""
    document, problems = read_document(text, path.name)
    if problems:
        raise ValueError("\n".join(map(str, problems)))
    levels = [block.level for block in document.blocks if block.kind == "heading"]
    level = next((level for level in range(1, 7) if levels.count(level) > 1), 1)
    first = next((b.text for b in document.blocks if b.kind == "heading" and (b.level < level or level == 1)), "")
    front = {str(name).lower(): value for name, value in document.front.items()}
    several = levels.count(level) > 1
    title = str(front.get("title") or ("" if several and level == 1 else first) or path.stem)
    language = str(front.get("language") or front.get("lang") or "")
    return Draft(
        title=title,
        author=str(front.get("author") or ""),
        language=language,
        chapters=(Prose(path.stem, text if _reads_itself(document) else escaped_templates(text)),),
        levels=level,
    )


def _reads_itself(document: Document) -> bool:
    """Whether all templates in a text are of its own front matter: then they are ours."""
    names = [name for block in document.blocks for name in re.findall(r"\{\{\s*(\w+)", block.text)]
    others = any("{%" in block.text or "{#" in block.text for block in document.blocks)
    return bool(names) and not others and all(name in document.front for name in names)


def read_plain(text: str, path: Path) -> Draft:
    """Plain text: paragraphs between empty lines; `Chapter 1` on a line of its own becomes a heading."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    titles = [
        number
        for number, words in enumerate(paragraphs)
        if _CHAPTER.fullmatch(words) and not words.endswith(('."', ","))
    ]
    if not titles:
        return Draft(title=path.stem, chapters=(Prose(path.stem, "\n\n".join(map(as_markdown, paragraphs))),))
    chapters = []
    for first, last in zip(
        [0, *titles] if titles[0] else titles, [*titles[1 if not titles[0] else 0 :], len(paragraphs)], strict=True
    ):
        part = paragraphs[first:last]
        heading = first in titles
        lines = [f"# {as_markdown(part[0])}"] if heading else [as_markdown(part[0])]
        chapters.append(Prose(part[0] if heading else "Opening", "\n\n".join([*lines, *map(as_markdown, part[1:])])))
    return Draft(title=path.stem, chapters=tuple(chapters))


def escaped_templates(text: str) -> str:
    """Text whose braces are no template."""
    return re.sub(r"\{(?=[{%#])", "{ ", text)


def as_markdown(words: str) -> str:
    """Words as Markdown that says them and nothing else; brackets become parentheses, for models read them as cues."""
    if _RULE.fullmatch(words):
        return "***"
    words = escaped_templates(words.replace("[", "(").replace("]", ")"))
    words = re.sub(r"([\\`*_<&#])", r"\\\1", words)
    return re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", re.sub(r"^([-+>=~]|:)", r"\\\1", words))
