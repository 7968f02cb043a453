"""Where things stand in the files that were read: for messages that point at a word inside of a value."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fishpipe.errors import Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fishpipe.manifest.nodes import Scalar
    from fishpipe.manifest.template import TemplateError

# A comment of ours at the end of a line of text is none of its words.
COMMENT: Final = re.compile(
    r"^[ \t]*#[ \t]*fishpipe:[ \t]*ignore[^\n]*(?:\n|\Z)"
    r"|[ \t]*(?:#|<!--)[ \t]*fishpipe:[ \t]*ignore(?:\[[\w\s,-]*\])?(?:[ \t]*-->)?[ \t]*$",
    re.MULTILINE,
)
# A comment that accepts findings: all, or those of its codes.
IGNORED: Final = re.compile(r"(?:#|<!--)\s*fishpipe:\s*ignore(?:\[([\w\s,-]*)\])?|# as meant")
_BLOCK: Final = re.compile(r"[|>][-+0-9]*\s*(?:#.*)?$")
# How far below its place the words of a value are looked for.
_REACH: Final = 200


class Places:
    """The texts of the files, by name, which may grow."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._split: dict[str, list[str]] = {}

    def lines(self, file: str) -> list[str]:
        """The lines of a file; none where it is unknown."""
        if file not in self._split:
            self._split[file] = self._texts.get(file, "").split("\n")
        return self._split[file]

    def expression(self, span: Span, error: TemplateError) -> Span:
        """The place of an expression (or of the name in it) inside of the value at `span`, where it can be found."""
        found = self.find(span, error.expression)
        if found is span:
            return span
        name = re.search(rf"\b{re.escape(error.variable)}\b", error.expression) if error.variable else None
        length = len(error.variable) if name else len(error.expression)
        return Span(span.file, found.line, found.column + (name.start() if name else 0), length)

    def find(self, span: Span, words: str, earlier: int = 0) -> Span:
        """The place of some words inside of the value at `span`, after `earlier` others of their kind.

        `span` itself where they cannot be found.
        """
        lines = self.lines(span.file)
        for number in range(span.line, self._end(span, lines)):
            at = span.column - 2 if number == span.line else -1
            while words and (at := lines[number - 1].find(words, at + 1)) >= 0:
                if earlier == 0:
                    return Span(span.file, number, at + 1, len(words))
                earlier -= 1
        return span

    @staticmethod
    def _end(span: Span, lines: list[str]) -> int:
        """The line behind a value: one that is indented no deeper than its first, or is empty in a text file."""
        most = min(span.line + _REACH, len(lines) + 1)
        if not 0 < span.line <= len(lines):
            return most
        is_yaml = span.file.endswith((".yaml", ".yml"))
        first = len(lines[span.line - 1]) - len(lines[span.line - 1].lstrip())
        for number in range(span.line + 1, most):
            line = lines[number - 1]
            if (line.strip() and len(line) - len(line.lstrip()) <= first) if is_yaml else not line.strip():
                return number
        return most

    def ignores(self, span: Span, code: str) -> bool:
        """Whether a comment takes what looks odd as meant: on the line, alone on the one above, or in the block."""
        lines = self.lines(span.file)
        written = lines[span.line - 1] if 0 < span.line <= len(lines) else ""
        above = lines[span.line - 2].strip() if 1 < span.line <= len(lines) + 1 else ""
        block = lines[span.line : self._end(span, lines) - 1] if _BLOCK.search(written) else []
        for text in (written, above if above.startswith(("#", "<!--")) else "", *block):
            accepted = _accepted(text)
            if "" in accepted or code in accepted:
                return True
        return False

    def line(self, value: Scalar, number: int, words: str) -> Span:
        """The place of the words that begin a line (from 0) of a block value; the value's own where it is no block."""
        lines = self.lines(value.span.file)
        for at in (value.span.line + 1 + number, value.span.line + number):
            column = lines[at - 1].find(words) if 0 < at <= len(lines) and words else -1
            if column >= 0:
                return Span(value.span.file, at, column + 1, len(words))
        return value.span


@lru_cache(maxsize=256)
def _accepted(line: str) -> frozenset[str]:
    """The codes that comments on a line take as meant; "" for all of them."""
    found = (match[1] for match in IGNORED.finditer(line))
    return frozenset(code for codes in found for code in (re.split(r"[\s,]+", codes) if codes else [""]))
