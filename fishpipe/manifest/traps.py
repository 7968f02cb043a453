"""YAML that means something else than its author: said in the author's words, and mended for the rest of the check."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from fishpipe.errors import Problem, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ENTRY: Final = re.compile(r"^(?P<lead>\s*(?:- +)*(?P<key>[^\s:#\"'{}\[\]-][^:#\"'{}\[\]]*):[ ]+)(?P<value>\S.*?)\s*$")
# An item that is words alone.
_ITEM: Final = re.compile(r"^(?P<lead>\s*(?:- +)+)(?P<key>)(?P<value>[^\s-].*?)\s*$")
_BLOCK: Final = re.compile(r"(^|[:\-]\s+)[|>][-+]?\d?[-+]?\s*(#.*)?$")
_QUOTED: Final = re.compile(r"""("(\\.|[^"\\])*"|'(''|[^'])*')\s*(#.*)?""")


def find_trap(text: str, file: str, numbers: Iterable[int]) -> Problem | None:
    """The first trap on one of these lines (from 1), or None."""
    lines = text.split("\n")
    for number in numbers:
        if number <= len(lines) and not _in_block(lines, number):
            problem = _trap(lines[number - 1], file, number)
            if problem:
                return problem
    return None


def repair(text: str, line: int) -> str:
    """The text with the value of a trapped line quoted."""
    lines = text.split("\n")
    entry = _ENTRY.match(lines[line - 1]) or _ITEM.match(lines[line - 1])
    if entry:
        lines[line - 1] = entry["lead"] + json.dumps(entry["value"], ensure_ascii=False)
    return "\n".join(lines)


def tabs(text: str, file: str) -> list[Problem]:
    """All lines that a tab indents, at most a hundred."""
    found: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        problem = _tab(line, file, number)
        if problem and len(found) < 100:
            found.append(problem)
    return found


def _tab(line: str, file: str, number: int) -> Problem | None:
    indent = re.match(r"[ \t-]*", line)
    if indent is None or "\t" not in indent[0] or not line.strip():
        return None
    span = Span(file, number, indent[0].index("\t") + 1)
    return Problem(span, "a tab indents this line; YAML allows spaces only", "replace the tab by spaces")


def _in_block(lines: Sequence[str], number: int) -> bool:
    """Whether a line is the content of a block scalar (``|`` or ``>``): prose, where nothing is a trap."""
    indent = _indent(lines[number - 1])
    for above in reversed(lines[: number - 1]):
        if above.strip() and _indent(above) < indent:
            return _BLOCK.search(above) is not None
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _trap(line: str, file: str, number: int) -> Problem | None:
    tab = _tab(line, file, number)
    entry = _ENTRY.match(line) or _ITEM.match(line)
    if tab or not entry:
        return tab
    name, value = entry["key"], entry["value"]
    key = name.strip() if name else "this text"
    span = Span(file, number, len(entry["lead"]) + 1, len(value))
    cure = f"Quote it: {f'{key}: ' if name else '- '}{json.dumps(value, ensure_ascii=False)}"
    if value[0] in "[{":
        kind = "list" if value[0] == "[" else "map"
        return (
            Problem(span, f'{key} begins with "{value[0]}": YAML reads a {kind}. {cure}') if _goes_on(value) else None
        )
    if value[0] in "@`%&*!|>" and len(value) > 1 and not _BLOCK.search(f": {value}"):
        return Problem(span, f'{key} begins with "{value[0]}", which means something else to YAML. {cure}')
    if value[0] in "\"'":
        message = f"{key} has text after its closing quote, or no closing quote."
        label = f"{name.strip()}: " if name else "- "
        whole = value[1:-1] if value[0] == value[-1] == "'" else value
        quoted = "'" + whole.replace("'", "''") + "'" if '"' in whole else json.dumps(whole, ensure_ascii=False)
        return None if _QUOTED.fullmatch(value) else Problem(span, f"{message} Quote it: {label}{quoted}")
    colon = re.search(r":(\s|$)", value)
    if colon:
        at = Span(file, number, len(entry["lead"]) + 1 + colon.start())
        return Problem(at, f'{key} has ": " in it: YAML reads a key. {cure}')
    return None


def _goes_on(value: str) -> bool:
    """Whether text follows the bracket that closes the first one: prose, not a list or a map."""
    level, quote = 0, ""
    for at, char in enumerate(value):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            level += 1
        elif char in "]}":
            level -= 1
            if level == 0:
                return bool(re.match(r"\s*[^\s#,]", value[at + 1 :]))
    return False
