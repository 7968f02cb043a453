"""Problems → text: the place, what is wrong, the source line and a caret, the cure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fishpipe.errors import Problem


def problems_text(problems: Sequence[Problem], sources: Mapping[str, str]) -> str:
    """All problems, each with its source line, and their count."""
    lines = {file: text.split("\n") for file, text in sources.items()}
    blocks = [_block(problem, lines.get(problem.span.file, [])) for problem in problems]
    total = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    return "\n".join([*blocks, total])


def problems_json(problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> str:
    """All problems, and warnings, as a JSON list."""
    items = [
        {
            "severity": severity,
            "file": problem.span.file,
            "line": problem.span.line,
            "column": problem.span.column,
            "message": problem.message,
            "hint": problem.hint,
        }
        for severity, found in (("error", problems), ("warning", warnings))
        for problem in found
    ]
    return json.dumps(items, ensure_ascii=False, indent=2)


def problems_github(problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> str:
    """All problems, and warnings, as GitHub's workflow commands, which annotate a pull request."""
    return "\n".join(
        f"::{severity} file={p.span.file},line={p.span.line},col={p.span.column}::{_escaped(str(p).split(': ', 1)[1])}"
        for severity, found in (("error", problems), ("warning", warnings))
        for p in found
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _block(problem: Problem, lines: Sequence[str]) -> str:
    span = problem.span
    text = str(problem)
    if not 0 < span.line <= len(lines) or not lines[span.line - 1].strip():
        return text
    source = "".join(char if char.isprintable() else " " for char in lines[span.line - 1])
    start = max(0, span.column - 1)
    first = max(0, start - 60)
    shown = source[first : first + 110]
    pad = cell_len(source[first:start])
    width = max(1, min(cell_len(source[start : start + span.length]), 110 - pad))
    number = str(span.line)
    margin = " " * len(number)
    return f"{text}\n  {number} | {shown}\n  {margin} | {' ' * pad}{'^' * width}"
