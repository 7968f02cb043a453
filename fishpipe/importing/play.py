"""Plays and screenplays: Fountain, `NAME. words`, and `NAME: words`."""

from __future__ import annotations

import re
from collections import Counter
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from fishpipe.importing.draft import Draft, Line, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SPOKEN: Final = re.compile(
    r"_?(?P<name>(?:(?i:dr|mr|mrs|ms|st|prof|rev|capt|sgt|lt|hon)\. )?"
    r"[A-Z][\w’'-]*(?: [A-Z][\w’'-]*){0,3})_?(?P<direction>\s*[\[(][^\])]*[\])])?\s*"
    r"(?P<stop>[.:])_?\s+(?P<words>.+)",
    re.DOTALL,
)
_HEADING: Final = re.compile(
    r"(?:(?:first|second|third|fourth|fifth|last)\s+)?(?:act|scene|prologue|epilogue)\b.{0,40}", re.IGNORECASE
)
_STAGE: Final = re.compile(
    r"[\[(].*[\])]|(?:(?:re-?)?enter|exit|exeunt|curtain|flourish|alarum|thunder)\b.{0,300}", re.DOTALL | re.IGNORECASE
)
# So many of the paragraphs of a play are speeches; fewer, where there are acts or scenes.
_MOSTLY: Final = 0.45
_WITH_ACTS: Final = 0.2
# A name is one where it speaks more often than this.
_TWICE: Final = 2


def read_play(text: str, path: Path) -> Draft:
    """A play, a speech a paragraph: acts and scenes are chapters; stage directions between speeches are left out."""
    return _draft(list(_speeches(_paragraphs(text))), path.stem)


def _paragraphs(text: str) -> list[str]:
    """What is written between empty lines, or from one name that speaks to the next."""
    found: list[str] = []
    names = Counter(match["name"] for match in map(_SPOKEN.fullmatch, map(str.strip, text.splitlines())) if match)
    for part in re.split(r"\n\s*\n", text):
        lines: list[str] = []
        for line in filter(None, map(str.strip, part.splitlines())):
            spoken = _SPOKEN.fullmatch(line)
            if lines and spoken is not None and (names[spoken["name"]] >= _TWICE or spoken["name"].isupper()):
                found.append(" ".join(lines))
                lines = []
            lines.append(line)
        found += [" ".join(" ".join(lines).split())] if lines else []
    return found


def looks_like_play(text: str) -> bool:
    """Whether about half of the paragraphs begin with a name that speaks more than once."""
    bare = _paragraphs(text)
    names = Counter(found["name"] for found in map(_SPOKEN.fullmatch, bare) if found)
    spoken = sum(times for times in names.values() if times >= _TWICE)
    share = _WITH_ACTS if any(_HEADING.fullmatch(words.strip("#* ")) for words in bare) else _MOSTLY
    return spoken >= _TWICE and spoken >= len(bare) * share


def _speeches(paragraphs: list[str]) -> Iterator[tuple[str, str]]:
    """(name, words), ("#", title) for a heading; what nobody says is joined to the speech before, or left out."""
    open_speech: tuple[str, str] | None = None
    for words in paragraphs:
        spoken = _SPOKEN.fullmatch(words)
        if _HEADING.fullmatch(words.strip("#* ")) or (spoken is None and _STAGE.fullmatch(words)):
            if open_speech:
                yield open_speech
                open_speech = None
            if not _STAGE.fullmatch(words):
                yield "#", words.strip("#* ")
        elif spoken:
            if open_speech:
                yield open_speech
            direction = (spoken["direction"] or "").strip()
            open_speech = (spoken["name"].rstrip("."), f"{direction} {spoken['words']}".strip())
        elif open_speech:
            open_speech = (open_speech[0], f"{open_speech[1]} {words}")
    if open_speech:
        yield open_speech


def _draft(speeches: list[tuple[str, str]], title: str) -> Draft:
    scenes: list[Scene] = []
    heading, lines = "", []
    for name, words in [*speeches, ("#", "")]:
        if name != "#":
            lines.append(Line(name, _directed(words)))
            continue
        if lines:
            scenes.append(Scene(heading, tuple(lines)))
            heading, lines = words, []
        else:
            heading = ", ".join(filter(None, [heading, words]))
    return Draft(title=title, chapters=tuple(scenes))


def _directed(words: str) -> str:
    """Directions in square brackets, or in italics, as those of a dialogue: in parentheses."""
    return re.sub(r"\[_?([^\]]*?)_?\]", r"(\1)", words).strip("_ ")


def read_fountain(text: str, path: Path) -> Draft:
    """A screenplay in Fountain, by screenplain: scenes are chapters, action is left out."""
    from screenplain.parsers.fountain import parse

    play = parse(StringIO(text))
    found: list[tuple[str, str]] = []
    for part in play:
        kind = type(part).__name__
        if kind == "Slug":
            found.append(("#", _plain(part.line)))
        for dialog in [part] if kind == "Dialog" else [part.left, part.right] if kind == "DualDialog" else []:
            words = " ".join(_plain(text) for _, text in dialog.blocks)
            found.append((re.sub(r"\s*\(.*\)|\s*\^$", "", _plain(dialog.character)), words))
    about = {key.lower(): " ".join(map(str, value)) for key, value in (getattr(play, "title_page", None) or {}).items()}
    draft = _draft(found, about.get("title", "").strip("_* ") or path.stem)
    return Draft(title=draft.title, author=about.get("author", about.get("authors", "")), chapters=draft.chapters)


def _plain(rich: Any) -> str:  # noqa: ANN401
    """The words of screenplain's rich text."""
    return "".join(segment.text for segment in rich.segments)
