"""Words of others as they may be shown: what a terminal, a log or a reader would obey or not see is spelled out."""

from __future__ import annotations

import re
from typing import Final

# Control characters but line feeds and tabs; signs that turn or hide what stands beside them (Unicode's bidirectional
# controls, invisible operators, tags); line ends that only some programs know; halves of surrogate pairs.
_ODD: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200e\u200f\u2028-\u202e\u2060-\u206f\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_BREAKS: Final = re.compile("[\n\t]")
# What a runner of GitHub or Azure takes for a command: at the beginning of a line, or anywhere in it.
_COMMAND: Final = re.compile(r"^(\s*):(?=:)|#(?=#(?:\[|vso\[))", re.MULTILINE)
_LONGEST: Final = 2000


def shown(text: str) -> str:
    """Text of several lines, its odd characters as escapes; line feeds and tabs stay."""
    return text if text.isascii() and text.isprintable() else _ODD.sub(_escape, text)


def one_line(text: str, most: int = _LONGEST) -> str:
    """Words on one line: no line feed of a name or a message begins a line of its own; cut behind `most` characters."""
    line = shown(" ".join(text[: 4 * most].split()) if _BREAKS.search(text) else text[: 4 * most])
    return f"{line[:most]}…" if len(line) > most else line


def as_name(text: str) -> str:
    """A name or a path on one line, as it is but for its odd characters, line feeds and tabs included."""
    return text if text.isprintable() and text.isascii() else _BREAKS.sub(_escape, shown(text))


def without_commands(text: str) -> str:
    """Text in which nothing is a command to what runs a pull request's checks."""
    return _COMMAND.sub(lambda found: f"{found[1] or ''}\\u{ord(found[0][-1]):04x}", text)


def _escape(match: re.Match[str]) -> str:
    """As JSON has it, so that what is JSON stays so: four digits, or twice four for what lies beyond them."""
    code = ord(match[0])
    units = [code] if code < 0x10000 else [0xD7C0 + (code >> 10), 0xDC00 + (code & 0x3FF)]
    return "".join(f"\\u{unit:04x}" for unit in units)
