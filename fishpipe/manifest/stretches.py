"""Long stretches of plain lines, read by one expression each; libyaml reads the rest, and says where they stand.

A long script is thousands of items of a block sequence that could hardly be simpler: `- words`, `- NAME: words`, or a
few `key: value` lines, each value on its line. What such an item means does not depend on what is around it, as long as
it stands in a block sequence. So a stretch of them is taken out, and one quoted word put in its place, with empty lines
behind it that keep all line numbers. Where libyaml then finds that word as an item of a sequence, at its line and
column, the stretch's items stand there; where it does not (in a block of prose, say), nothing of this counts.

What is plain here is narrower than what YAML calls so: no escapes, no comments, no tabs, no anchors, one line a value.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fishpipe.errors import Span
from fishpipe.manifest.nodes import NUMERIC, Mapping, Node, Scalar, is_non_finite, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fishpipe.manifest.nodes import Value

# Stands where a stretch was; a text that has it is not looked at.
MARK: Final = "\ue000"
# A stretch of fewer items is not worth its mark, and a file of fewer characters is read at once.
_FEWEST: Final = 8
_SMALL: Final = 8_000
# Values of more characters are mostly of one line alone.
_SHORT: Final = 12

_LOOKED_INTO: Final = frozenset(f"{{{NUMERIC}")
_KEY: Final = r"[A-Za-z_][A-Za-z0-9_-]{0,60}+"
_NUMBER: Final = r"-?\d{1,9}+(?:\.\d{1,9}+)?"
_BARE: Final = r"[^\n\t\ufeff#:]*+"
_VALUE: Final = (
    # in quotes, without escapes
    r""""[^"\\\n\t\ufeff]*+"|'[^'\n\t\ufeff]*+'"""
    # {key: number, …}
    rf"|\{{{_KEY}: {_NUMBER}(?:, {_KEY}: {_NUMBER})*\}}"
    # bare: begins with no sign of YAML's, holds no ": " and no #, ends in no space
    rf"""|(?![-?:,\[\]{{}}#&*!|>'"%@`\s]){_BARE}(?::(?=\S){_BARE})*+(?<!\s)"""
)
_ITEM: Final = re.compile(rf"^( *)- (?:({_KEY}): )?({_VALUE})\n((?:\1  {_KEY}: (?:{_VALUE})\n)*)", re.MULTILINE)
_FIELD: Final = re.compile(rf" *({_KEY}): ({_VALUE})\n")
_PAIR: Final = re.compile(rf"({_KEY}): ({_NUMBER})")


class Stretch(Struct, frozen=True):
    """Items that stand one behind the other from `line` (from 0) on, each indented by `indent` spaces."""

    line: int
    indent: int
    matches: list[re.Match[str]]

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return sum(2 + match[4].count("\n") - 1 for match in self.matches)

    def nodes(self, file: str) -> Iterator[Node]:
        """The items' nodes."""
        line, column = self.line + 1, self.indent + 3
        known = _Known()
        for match in self.matches:
            _, key, value, more = match.groups()
            if key is None:
                yield known.node(file, line, column, value)
                line += 1
                continue
            span = Span(file, line, column, 1)
            entries = []
            size = height = 1
            for name, text in [(key, value), *_FIELD.findall(more)] if more else ((key, value),):
                length = len(name)
                node = known.node(file, line, column + length + 2, text)
                entries.append((Scalar(Span(file, line, column, length), known.value(name), name), node))
                size += node.size
                height = max(height, node.height)
                line += 1
            yield Mapping(span, tuple(entries), size, 1 + height)


class _Known:
    """What was made of keys, short values and maps before: most stand in many lines."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}
        self._pairs: dict[str, list[tuple[str, Value, int, str, Value]]] = {}

    def value(self, raw: str) -> Value:
        """A plain scalar's value."""
        if len(raw) > _SHORT:
            return resolve(raw)
        if raw not in self._values:
            self._values[raw] = resolve(raw)
        return self._values[raw]

    def node(self, file: str, line: int, column: int, text: str) -> Node:
        """The node of a value as it is written."""
        first = text[0]
        if first in "\"'":
            raw = text[1:-1]
            return Scalar(Span(file, line, column, len(text)), raw, raw)
        if first != "{":
            return Scalar(Span(file, line, column, len(text)), self.value(text), text)
        entries = []
        for name, key, at, raw, number in self._map(text):
            place = Span(file, line, column + at, len(name))
            behind = Span(file, line, column + at + len(name) + 2, len(raw))
            entries.append((Scalar(place, key, name), Scalar(behind, number, raw)))
        return Mapping(Span(file, line, column, 1), tuple(entries), 1 + len(entries), 2)

    def _map(self, text: str) -> list[tuple[str, Value, int, str, Value]]:
        """(key, its value, its offset, number, its value) of each pair."""
        if text not in self._pairs:
            found = [(match[1], match.start(), match[2]) for match in _PAIR.finditer(text)]
            self._pairs[text] = [(name, resolve(name), at, raw, resolve(raw)) for name, at, raw in found]
        return self._pairs[text]


def without_stretches(text: str) -> tuple[str, dict[str, Stretch]]:
    """The text with marks in the place of its stretches, and these by their marks."""
    if len(text) < _SMALL or MARK in text:
        return text, {}
    parts: list[str] = []
    found: dict[str, Stretch] = {}
    position = line = 0
    for start, end, matches in _runs(text):
        line += text.count("\n", position, start)
        indent = len(matches[0][1])
        stretch = Stretch(line, indent, matches)
        mark = f"{MARK}{len(found)}"
        found[mark] = stretch
        count = text.count("\n", start, end)
        parts += [text[position:start], f'{" " * indent}- "{mark}"', "\n" * count]
        position, line = end, line + count
    return "".join([*parts, text[position:]]), found


def _runs(text: str) -> Iterator[tuple[int, int, list[re.Match[str]]]]:
    """(start, end, items) of each stretch that is long enough."""
    run: list[re.Match[str]] = []
    for match in _ITEM.finditer(text):
        if run and (match.start() != run[-1].end() or match[1] != run[0][1]):
            yield from _whole(text, run)
            run = []
        if not _is_plain(match):
            yield from _whole(text, run)
            run = []
        else:
            run.append(match)
    yield from _whole(text, run)


def _is_plain(match: re.Match[str]) -> bool:
    """Whether an item of several lines begins with a key, and no map in it has a key twice."""
    fields = [(match[2], match[3]), *(_FIELD.findall(match[4]) if match[4] else ())]
    if len(fields) > 1 and (match[2] is None or len({name for name, _ in fields}) < len(fields)):
        return False
    return all(text[0] not in _LOOKED_INTO or _is_right(text) for _, text in fields)


@lru_cache(maxsize=1024)
def _is_right(text: str) -> bool:
    """Whether a number is one with an end, and a map has each key once."""
    if text[0] != "{":
        return not is_non_finite(text)
    keys = [name for name, _ in _PAIR.findall(text)]
    return len(set(keys)) == len(keys)


def _whole(text: str, run: list[re.Match[str]]) -> Iterator[tuple[int, int, list[re.Match[str]]]]:
    """The run without a last item that goes on in a way that is not plain."""
    if run and _goes_on(text, run[-1].end(), len(run[0][1])):
        run = run[:-1]
    if len(run) >= _FEWEST:
        yield run[0].start(), run[-1].end(), run


def _goes_on(text: str, end: int, indent: int) -> bool:
    """Whether the next line that is not empty is indented more than the items are."""
    following = _NEXT.match(text, end)
    return following is not None and len(following[1]) > indent


_NEXT: Final = re.compile(r"(?:[ \t]*\n)*([ \t]*)\S")
