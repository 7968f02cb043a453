"""YAML text → nodes that know their place.

Reads YAML 1.2's core schema (``no`` is a word) from parser events, so that each key and value keeps its
span, and refuses what a manifest has no use for: tags, several documents, duplicate keys, alias bombs.
A known trap (``text: [warm] …``) is reported and repaired in memory, so that the rest is checked too.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from fishpipe.errors import Problem, Span
from fishpipe.manifest.traps import advise, repair

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH: Final = 32
MAX_NODES: Final = 2_000_000
MAX_REPAIRS: Final = 100

type_names: Final = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NON_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; `raw` is what was written, without its quotes."""

    span: Span
    value: Value
    raw: str
    size: int = 1

    kind = property(lambda _: "scalar")


@dataclass(frozen=True, slots=True)
class Listing:
    """A sequence of nodes."""

    span: Span
    items: tuple[Node, ...]
    size: int

    kind = property(lambda _: "list")


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys, each a scalar with its own span, and their nodes."""

    span: Span
    entries: tuple[tuple[Scalar, Node], ...]
    size: int

    kind = property(lambda _: "map")

    def __iter__(self) -> Iterator[tuple[str, Scalar, Node]]:
        return ((key.raw, key, node) for key, node in self.entries)

    def get(self, name: str) -> Node | None:
        """The node under a key, or None."""
        return next((node for key, node in self.entries if key.raw == name), None)


Node = Scalar | Listing | Mapping


def decode(data: bytes, file: str) -> tuple[str, list[Problem]]:
    """Bytes → text, with what makes them unfit for a manifest; control characters are blanked to read on."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:4]:
        return "", [Problem(Span(file), "the file is UTF-16 or UTF-32; expected UTF-8", "save it as UTF-8")]
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        found = f"byte 0x{data[error.start]:02x} is not UTF-8"
        return "", [Problem(Span(file, line, column), found, "save the file as UTF-8")]
    problems = []
    for match in _CONTROL.finditer(text):
        line, column = text.count("\n", 0, match.start()) + 1, match.start() - text.rfind("\n", 0, match.start())
        name = "NUL" if match[0] == "\0" else f"U+{ord(match[0]):04X}"
        problems.append(Problem(Span(file, line, column), f"control character {name} is not allowed", "remove it"))
    return _CONTROL.sub(" ", text) if problems else text, problems[:20]


def parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """Text → its root node (None where it cannot be read) and all problems of syntax."""
    problems: list[Problem] = []
    mended_lines: set[int] = set()
    for _ in range(MAX_REPAIRS):
        try:
            node, found = _Composer(file, text).compose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            span = Span(file, mark.line + 1, mark.column + 1) if mark else Span(file)
            trap = advise(text, span)
            problems.append(trap or Problem(span, f"YAML: {error.problem or error.context or error}"))
            mended = repair(text, trap.span.line) if trap and trap.span.line not in mended_lines else None
            if trap is None or mended is None:
                return None, problems
            mended_lines.add(trap.span.line)
            text = mended
        except yaml.YAMLError as error:
            return None, [*problems, Problem(Span(file), f"YAML: {error}")]
        except _Stop as stop:
            return None, [*problems, stop.problem]
        else:
            return (None if problems and node is None else node), problems + found
    return None, problems


def resolve(raw: str) -> Value:
    """A plain scalar's value by YAML 1.2's core schema; non-finite numbers stay text for the caller to refuse."""
    if raw in _WORDS:
        return _WORDS[raw]
    if _INT.fullmatch(raw):
        return int(raw) if len(raw) < 40 else raw
    if raw.startswith("0o") and re.fullmatch("0o[0-7]{1,20}", raw):
        return int(raw, 8)
    if raw.startswith("0x") and re.fullmatch("0x[0-9a-fA-F]{1,16}", raw):
        return int(raw, 16)
    if _FLOAT.fullmatch(raw):
        number = float(raw)
        return number if math.isfinite(number) else raw
    return raw


class _Stop(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class _Composer:
    """Builds nodes from one document's events; an explicit stack, so that depth is ours to bound."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = text.split("\n")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events = yaml.parse(text, Loader=loader)
        self.anchors: dict[str, Node] = {}
        self.open_anchors: set[str] = set()
        self.nodes = 0
        self.problems: list[Problem] = []

    def compose(self) -> tuple[Node | None, list[Problem]]:
        root: Node | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Stop(Problem(self._span(event), "a second document; expected one", 'remove the "---"'))
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, 0)
        return root, self.problems

    def _node(self, event: yaml.NodeEvent, depth: int) -> Node:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise _Stop(Problem(self._span(event), f"nested deeper than {MAX_DEPTH} levels"))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        tag = getattr(event, "tag", None)
        if tag is not None and not (tag == "!" and isinstance(event, yaml.ScalarEvent)):
            self.problems.append(Problem(self._span(event), f"YAML tag {tag} is not allowed", "remove the tag"))
        anchor: str | None = event.anchor
        if anchor:
            self.open_anchors.add(anchor)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(event, depth)
        else:
            node = self._map(event, depth)
        if anchor:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = node
        return node

    def _next(self) -> Any:  # noqa: ANN401  (yaml's events share no useful type)
        return next(self.events)

    def _list(self, start: yaml.NodeEvent, depth: int) -> Listing:
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Listing(self._span(start), tuple(items), self._size(start, items))

    def _map(self, start: yaml.NodeEvent, depth: int) -> Mapping:
        entries: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            node = self._node(self._next(), depth + 1)
            if not isinstance(key, Scalar):
                hint = "a value that begins with {{ needs quotes" if isinstance(key, Mapping) else "quote it"
                self.problems.append(Problem(key.span, "a key must be a word", hint))
            elif key.raw in entries:
                first = entries[key.raw][0].span
                self.problems.append(Problem(key.span, f'duplicate key "{key.raw}"', f"the first is at {first}"))
            else:
                entries[key.raw] = (key, node)
        children = [node for _, node in entries.values()]
        return Mapping(self._span(start), tuple(entries.values()), self._size(start, children))

    def _size(self, start: yaml.NodeEvent, children: list[Node]) -> int:
        """Nodes below, aliases expanded: what a walk will cost, so that a bomb is seen before it is walked."""
        size = 1 + sum(child.size for child in children)
        if size > MAX_NODES or size > 1000 + 100 * self.nodes:
            raise _Stop(Problem(self._span(start), f"aliases expand to more than {size:,} values", "write it out"))
        return size

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        raw: str = event.value
        span = self._span(event)
        plain = event.implicit[0] and not event.style
        value = resolve(raw) if plain else raw
        if plain and value == raw and (_NON_FINITE.fullmatch(raw) or _FLOAT.fullmatch(raw)):
            self.problems.append(Problem(span, f"{raw[:40]} is not a finite number"))
        if not plain and (match := _CONTROL.search(raw)):
            found = f"control character U+{ord(match[0]):04X} in a value is not allowed"
            self.problems.append(Problem(span, found, "remove the escape"))
        return Scalar(span, value, raw)

    def _alias(self, event: yaml.AliasEvent) -> Node:
        if event.anchor in self.open_anchors:
            raise _Stop(Problem(self._span(event), f"*{event.anchor} contains itself"))
        if event.anchor not in self.anchors:
            raise _Stop(Problem(self._span(event), f"no anchor &{event.anchor}"))
        return self.anchors[event.anchor]

    def _span(self, event: yaml.Event) -> Span:
        start: Any = event.start_mark
        end: Any = event.end_mark
        if isinstance(event, yaml.CollectionStartEvent):
            length = 1
        elif end.line == start.line:
            length = end.column - start.column
        else:
            length = len(self.lines[start.line]) - start.column if start.line < len(self.lines) else 1
        return Span(self.file, start.line + 1, start.column + 1, max(length, 1))
