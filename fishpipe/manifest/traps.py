"""YAML that means something else than its author: said in the author's words, and mended for the rest of the check."""

from __future__ import annotations

import json
import re

from fishpipe.errors import Problem, Span

_ENTRY = re.compile(r"^(?P<lead>\s*(?:- +)*(?P<key>[^\s:#\"'{}\[\]-][^:#\"'{}\[\]]*):[ ]+)(?P<value>\S.*?)\s*$")
# Keys whose values are meant to be lists or maps: an unclosed bracket there is no text.
_STRUCTURE = {
    *("budget", "defaults", "image_urls", "include", "outputs", "prices", "project", "prosody"),
    *("provider", "references", "scripts", "segments", "vars", "voices"),
}


def advise(text: str, span: Span) -> Problem | None:
    """The trap behind a syntax error at `span`, looked for on that line and the ones just above it; or None."""
    lines = text.split("\n")
    for number in range(min(span.line, len(lines)), max(span.line - 3, 0), -1):
        problem = _trap(lines[number - 1], span.file, number)
        if problem:
            return problem
    return None


def repair(text: str, line: int) -> str | None:
    """The text with the value of a trapped line quoted (a tab made spaces), or None where there is no repair."""
    lines = text.split("\n")
    current = lines[line - 1]
    indent = current[: len(current) - len(current.lstrip())]
    if "\t" in indent:
        lines[line - 1] = current.replace("\t", "  ", indent.count("\t"))
        return "\n".join(lines)
    entry = _ENTRY.match(current)
    if not entry:
        return None
    lines[line - 1] = entry["lead"] + json.dumps(entry["value"], ensure_ascii=False)
    return "\n".join(lines)


def _trap(line: str, file: str, number: int) -> Problem | None:
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        span = Span(file, number, indent.index("\t") + 1)
        return Problem(span, "a tab indents this line; YAML allows spaces only", "replace the tab by spaces")
    entry = _ENTRY.match(line)
    if not entry:
        return None
    key, value = entry["key"].strip(), entry["value"]
    span = Span(file, number, len(entry["lead"]) + 1, len(value))
    cure = f"Quote it: {key}: {json.dumps(value, ensure_ascii=False)}"
    if value[0] in "[{":
        whole = re.fullmatch(r"[\[{].*[\]}]\s*(#.*)?", value)
        kind = "list" if value[0] == "[" else "map"
        trapped = not whole and key not in _STRUCTURE
        return Problem(span, f'{key} begins with "{value[0]}": YAML reads a {kind}. {cure}') if trapped else None
    if value[0] in "@`%&*!|>" and len(value) > 1:
        return Problem(span, f'{key} begins with "{value[0]}", which means something else to YAML. {cure}')
    if value[0] in "\"'":
        whole = re.fullmatch(r"""("(\\.|[^"\\])*"|'(''|[^'])*')\s*(#.*)?""", value)
        message = f"{key} has text after its closing quote, or no closing quote; quotes within need a \\"
        return None if whole else Problem(span, message)
    colon = re.search(r":(\s|$)", value)
    if colon:
        at = Span(file, number, len(entry["lead"]) + 1 + colon.start())
        return Problem(at, f'{key} has ": " in it: YAML reads a key. {cure}')
    return None
