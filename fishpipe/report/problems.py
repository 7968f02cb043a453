"""Problems → text: the place, what is wrong, the source line and a caret, the cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.cells import cell_len

from fishpipe import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fishpipe.errors import Problem


def show_problems(
    style: str, problems: Sequence[Problem], warnings: Sequence[Problem], sources: Mapping[str, str]
) -> str:
    """Problems and warnings as text, json, github or sarif."""
    match style:
        case "json":
            return problems_json(problems, warnings)
        case "github":
            return problems_github(problems, warnings)
        case "sarif":
            return problems_sarif(problems, warnings)
        case _:
            return problems_text(problems, sources)


def warnings_text(warnings: Sequence[Problem], sources: Mapping[str, str]) -> str:
    """Warnings, each with its source line and its code."""
    lines = {file: text.split("\n") for file, text in sources.items()}
    return "\n".join(
        _block(warning, lines.get(warning.span.file, []), f"warning[{warning.code}]: ") for warning in warnings
    )


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
            "code": problem.code,
        }
        for severity, found in (("error", problems), ("warning", warnings))
        for problem in found
    ]
    return json.dumps(items, ensure_ascii=False, indent=2)


def problems_github(problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> str:
    """All problems, and warnings, as GitHub's workflow commands, which annotate a pull request."""
    return "\n".join(
        f"::{severity} file={_property(p.span.file)},line={p.span.line},col={p.span.column},"
        f"endColumn={p.span.column + p.span.length}{p.code and f',title={p.code}'}::{_escaped(p.said)}"
        for severity, found in (("error", problems), ("warning", warnings))
        for p in found
    )


def problems_sarif(problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> str:
    """All problems, and warnings, as SARIF 2.1.0 (OASIS), which code scanning reads."""
    from fishpipe.manifest.lint import CODES

    levels = [(p, "error") for p in problems] + [(p, "warning") for p in warnings]
    results = [
        {
            "ruleId": problem.code or "manifest",
            "level": level,
            "message": {"text": problem.said},
            "locations": [{"physicalLocation": {"artifactLocation": _artifact(problem), "region": _region(problem)}}],
            "partialFingerprints": {"place/v1": f"{problem.span.file}:{problem.code}:{problem.message}"},
        }
        for problem, level in levels
    ]
    rules = [
        {"id": code, "shortDescription": {"text": CODES.get(code, "what the manifest may not say")}}
        for code in sorted({problem.code or "manifest" for problem, _ in levels})
    ]
    driver = {"name": "fishpipe", "semanticVersion": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2)


def _artifact(problem: Problem) -> dict[str, str]:
    return {"uri": quote(Path(problem.span.file).as_posix())}


def _region(problem: Problem) -> dict[str, int]:
    span = problem.span
    return {"startLine": span.line, "startColumn": span.column, "endColumn": span.column + span.length}


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _block(problem: Problem, lines: Sequence[str], label: str = "") -> str:
    span = problem.span
    text = f"{span}: {label}{problem.said}"
    if not 0 < span.line <= len(lines) or not lines[span.line - 1].strip():
        return text
    start = max(0, span.column - 1)
    first = max(0, start - 60)
    shown = "".join(char if char.isprintable() else " " for char in lines[span.line - 1][first : first + 110])
    pad = cell_len(shown[: start - first])
    width = max(1, min(cell_len(shown[start - first :][: span.length]), 110 - pad))
    number = str(span.line)
    margin = " " * len(number)
    return f"{text}\n  {number} | {shown}\n  {margin} | {' ' * pad}{'^' * width}"
