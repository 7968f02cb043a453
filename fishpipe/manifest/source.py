"""Bytes → text → nodes. A known trap (``text: [warm] …``) is reported, and repaired in memory to check the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import yaml

from fishpipe.errors import Problem, Span
from fishpipe.manifest.compose import Composer, Stop
from fishpipe.manifest.nodes import CONTROL
from fishpipe.manifest.stretches import without_stretches

if TYPE_CHECKING:
    from fishpipe.manifest.nodes import Node

# Each repair reads the text again: so many characters are read for repairs at the most.
_REPAIR_BUDGET: Final = 4_000_000
_MOST_REPAIRS: Final = 100


def decode(data: bytes, file: str) -> tuple[str, list[Problem]]:
    """Bytes → text, with what makes them unfit for a manifest; control characters are blanked to read on."""
    body = data.removeprefix(b"\xef\xbb\xbf")
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in body[:4]:
        return "", [Problem(Span(file), "the file is UTF-16 or UTF-32; expected UTF-8", "save it as UTF-8")]
    try:
        text = body.decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        before = body[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        found = f"byte 0x{body[error.start]:02x} is not UTF-8"
        return "", [Problem(Span(file, line, column), found, "save the file as UTF-8")]
    problems = []
    for match in CONTROL.finditer(text):
        line, column = text.count("\n", 0, match.start()) + 1, match.start() - text.rfind("\n", 0, match.start())
        name = {"\0": "NUL", "\u2028": "U+2028 (line separator)"}.get(match[0], f"U+{ord(match[0]):04X}")
        problems.append(Problem(Span(file, line, column), f"control character {name} is not allowed", "remove it"))
        if len(problems) == 20:
            break
    return CONTROL.sub(" ", text) if problems else text, problems


def parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """Text → its root node (None where it cannot be read) and all problems of syntax."""
    node = _by_stretches(text, file)
    return (node, []) if node is not None else _parse(text, file)


def _by_stretches(text: str, file: str) -> Node | None:
    """The root of a text that is right, and whose stretches all stand where they seem to; None for any other."""
    rest, stretches = without_stretches(text)
    if not stretches:
        return None
    composer = Composer(file, rest, stretches)
    try:
        node = composer.compose()
    except (yaml.YAMLError, Stop):
        return None
    return node if not (composer.stretches or composer.problems) else None


def _parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    traps: list[Problem] = []
    reached = 0
    for _ in range(min(_MOST_REPAIRS, 1 + _REPAIR_BUDGET // (len(text) + 1))):
        composer = Composer(file, text)
        try:
            node = composer.compose()
        except yaml.MarkedYAMLError as error:
            from fishpipe.manifest.traps import repair, tabs

            found = _judge(error, text, file, reached)
            if found is None:
                return None, [*traps, *composer.problems, _plainly(error, file)]
            if "tab" in found.message:
                return None, [*composer.problems, *tabs(text, file)]
            traps.append(found)
            reached, text = found.span.line, repair(text, found.span.line)
        except yaml.YAMLError as error:
            return None, [*traps, *composer.problems, Problem(Span(file), f"YAML: {error}")]
        except Stop as stop:
            return None, [*traps, *composer.problems, stop.problem]
        else:
            return node, [*traps, *composer.problems]
    return None, [*traps, Problem(traps[-1].span, "there may be more like these below", "mend these first")]


def _judge(error: yaml.MarkedYAMLError, text: str, file: str, reached: int) -> Problem | None:
    """The trap behind an error, on one of the lines that the parser names; None where a repair led nowhere."""
    from fishpipe.manifest.traps import find_trap

    marks = [mark.line + 1 for mark in (error.problem_mark, error.context_mark) if mark is not None]
    lines = [line for line in marks if line > reached]
    return find_trap(text, file, lines) if lines else None


def _plainly(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    span = Span(file, mark.line + 1, mark.column + 1) if mark else Span(file)
    words = error.problem or str(error.context or error)
    hint = "check how this line and those above it are indented" if "did not find expected" in words else ""
    return Problem(span, f"YAML: {words}", hint)
