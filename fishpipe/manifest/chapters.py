"""Outputs with `split: chapter` → one for each chapter of their script."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, get_args

from msgspec.structs import replace

from fishpipe.manifest.model import ChapterPart, FileFormat, Inclusion, Output, Script
from fishpipe.manifest.template import TemplateError, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fishpipe.manifest.outputs import Files

# Scripts that include each other deeper than this are refused elsewhere.
_DEEPEST: Final = 50


def split_by_chapter(scripts: Mapping[str, Script], files: Files) -> dict[str, Script]:
    """The scripts, their outputs split where they are asked to be."""
    return {name: replace(script, outputs=_split(script, scripts, files)) for name, script in scripts.items()}


def chapter_titles(script: Script, scripts: Mapping[str, Script]) -> list[str]:
    """The titles of the chapters that begin in a script, those of included ones too, in order."""
    return [title for title in _marks(script, scripts, 0) if title]


def _marks(script: Script, scripts: Mapping[str, Script], depth: int) -> list[str | None]:
    """For each item that a script expands to, the chapter that begins there."""
    found: list[str | None] = []
    for segment in script.segments:
        if not isinstance(segment.body, Inclusion):
            found.append(segment.chapter)
            continue
        inner = scripts.get(segment.body.script)
        marks = _marks(inner, scripts, depth + 1) if inner and depth < _DEEPEST else []
        if marks and segment.chapter:
            marks[0] = segment.chapter
        found += marks
    return found


def _split(script: Script, scripts: Mapping[str, Script], files: Files) -> tuple[Output, ...]:
    if all(output.late is None for output in script.outputs):
        return script.outputs
    titles = chapter_titles(script, scripts)
    made: list[Output] = []
    for output in script.outputs:
        if output.late is None:
            made.append(output)
        elif not titles:
            files.say(output.span, f"split: chapter, and script {script.name} has no chapters", "add chapter: TITLE")
        else:
            made += _parts(output, titles, files)
    return tuple(made)


def _parts(output: Output, titles: list[str], files: Files) -> list[Output]:
    made = []
    assert output.late is not None  # noqa: S101  (only those are split)
    for number, title in enumerate(titles, 1):
        part = ChapterPart(number=number, title=title, count=len(titles))
        scope = {**output.late.scope, "chapter": {"number": number, "title": title, "count": len(titles)}}
        try:
            shown = str(render(str(output.late.value), scope))
        except TemplateError as error:
            files.say(output.span, error.message, error.hint)
            return []
        if shown.rpartition(".")[2].lower() not in get_args(FileFormat):
            files.say(output.span, f'path becomes "{shown[:60]}"', "it needs its suffix at the end")
            return []
        made.append(files.at(output, shown, part))
    twice = next((shown for shown, times in Counter(one.shown for one in made).items() if times > 1), None)
    if twice is not None:
        files.say(output.span, f"several chapters go to one path: {twice}", "use {{ chapter.number }} in it")
        return []
    return made
