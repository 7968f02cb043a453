"""Parser events → nodes; refuses what a manifest has no use for: tags, documents, duplicate keys, alias bombs."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml

from fishpipe.errors import Problem, Span
from fishpipe.manifest.nodes import CONTROL, NUMERIC, Listing, Mapping, Node, Scalar, is_non_finite, resolve
from fishpipe.manifest.stretches import MARK, Stretch

MAX_DEPTH: Final = 32
MAX_NODES: Final = 2_000_000
# Values that are spoken or shown: a comment right behind one may be a part of it.
_PROSE: Final = {"text", "title", "chapter", "caption"}


class Stop(Exception):
    """Reading on makes no sense."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class Composer:
    """Builds the nodes of one document; `problems` grows as it goes."""

    def __init__(self, file: str, text: str, stretches: dict[str, Stretch] | None = None) -> None:
        self.file = file
        self.stretches = stretches or {}
        self.lines = text.split("\n")
        self.problems: list[Problem] = []
        self._next = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text).get_event
        self._has_comments = "#" in text
        self._anchors: dict[str, Node] = {}
        self._open: set[str] = set()
        self._nodes = 0

    def compose(self) -> Node | None:
        """The root. Raises Stop, or yaml's own errors."""
        root: Node | None = None
        documents = 0
        while (event := self._next()) is not None:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise Stop(Problem(self._span(event), "a second document; expected one", 'remove the "---"'))
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, 0)
        return root

    def _say(self, span: Span, message: str, hint: str = "") -> None:
        self.problems.append(Problem(span, message, hint))

    def _node(self, event: Any, depth: int) -> Node:  # noqa: ANN401  (yaml's events share no useful type)
        self._nodes += 1
        if depth > MAX_DEPTH:
            raise Stop(Problem(self._span(event), f"nested deeper than {MAX_DEPTH} levels"))
        kind = event.__class__
        if kind is yaml.AliasEvent:
            return self._alias(event, depth)
        tag, anchor = event.tag, event.anchor
        if tag is not None and not (tag == "!" and kind is yaml.ScalarEvent):
            self._say(self._span(event), f"YAML tag {tag} is not allowed", "quote the text, if the ! is a part of it")
        if anchor:
            self._open.add(anchor)
        node: Node
        if kind is yaml.ScalarEvent:
            node = self._scalar(event)
        elif kind is yaml.SequenceStartEvent:
            node = self._list(event, depth)
        else:
            node = self._map(event, depth)
        if anchor:
            self._open.discard(anchor)
            self._anchors[anchor] = node
        return node

    def _list(self, start: yaml.NodeEvent, depth: int) -> Listing:
        items = []
        size, height = 1, 0
        while (event := self._next()).__class__ is not yaml.SequenceEndEvent:
            if self.stretches and (stretch := self._stretch(event)) is not None:
                for item in stretch.nodes(self.file):
                    items.append(item)
                    size += item.size
                    self._nodes += item.size
                    height = max(height, item.height)
                continue
            item = self._node(event, depth + 1)
            items.append(item)
            size += item.size
            height = max(height, item.height)
        return Listing(self._span(start), tuple(items), self._checked_size(start, size), 1 + height)

    def _stretch(self, event: Any) -> Stretch | None:  # noqa: ANN401
        """The stretch that an item of a sequence stands for, if it does."""
        value = getattr(event, "value", "")
        if value[:1] != MARK or value not in self.stretches:
            return None
        mark, stretch = event.start_mark, self.stretches[value]
        if (mark.line, mark.column) != (stretch.line, stretch.indent + 2):
            return None
        return self.stretches.pop(value)

    def _map(self, start: yaml.NodeEvent, depth: int) -> Node:
        entries: dict[str, tuple[Scalar, Node]] = {}
        merged: list[Node] = []
        while (event := self._next()).__class__ is not yaml.MappingEndEvent:
            key = self._node(event, depth + 1)
            node = self._node(self._next(), depth + 1)
            if not isinstance(key, Scalar):
                template = self._unquoted_template(start)
                if template is not None:
                    self._skip_to_end()
                    return template
                self._say(key.span, "a key must be a word", "quote it")
            elif key.raw == "<<":
                merged += node.items if isinstance(node, Listing) else (node,)
            elif key.raw in entries:
                self._say(key.span, f'duplicate key "{key.raw}"', f"the first is at {entries[key.raw][0].span}")
            else:
                entries[key.raw] = (key, node)
                if self._has_comments:
                    self._check_comments(key, node)
        for node in merged:
            self._merge(node, entries)
        size, height = 1, 0
        for _, node in entries.values():
            size += node.size
            height = max(height, node.height)
        return Mapping(self._span(start), tuple(entries.values()), self._checked_size(start, size), 1 + height)

    def _merge(self, node: Node, entries: dict[str, tuple[Scalar, Node]]) -> None:
        """A merge key (`<<: *base`): its map's keys, where the map itself and earlier ones do not have them."""
        if not isinstance(node, Mapping):
            self._say(node.span, "<< merges maps; this is none", "write <<: *NAME, with &NAME before a map")
            return
        for key, value in node.entries:
            entries.setdefault(key.raw, (key, value))

    def _unquoted_template(self, start: yaml.NodeEvent) -> Scalar | None:
        """What was meant by ``{{ … }}`` without quotes, which YAML reads as a map in a map."""
        span = self._span(start)
        rest = self.lines[span.line - 1][span.column - 1 :]
        match = re.match(r"\{\{.*?\}\}", rest)
        if match is None:
            return None
        whole = Span(self.file, span.line, span.column, len(match[0]))
        self._say(
            whole, "a value that begins with {{ needs quotes", f"write {json.dumps(match[0], ensure_ascii=False)}"
        )
        return Scalar(span, match[0], match[0])

    def _skip_to_end(self) -> None:
        """Pass over the rest of a map whose start is behind us."""
        level = 1
        while level:
            event = self._next()
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)

    def _check_comments(self, key: Scalar, node: Node) -> None:
        """Look at what is prose: `text: We are #1`, and the short forms `- We are #1` and `- ana: We are #1`."""
        if key.raw in _PROSE:
            self._check_comment(node, key.raw, key.span.column + key.span.length)
        if key.raw != "segments" or not isinstance(node, Listing):
            return
        for item in node.items:
            if isinstance(item, Scalar):
                self._check_comment(item, "", item.span.column - 1)
            elif isinstance(item, Mapping) and len(item.entries) == 1 and item.entries[0][0].raw not in _PROSE:
                who, words = item.entries[0]
                self._check_comment(words, who.raw, who.span.column + who.span.length)

    def _check_comment(self, node: Node, name: str, begins_at: int) -> None:
        """Prose is not followed by a comment without a space in it; `begins_at` is the column before the value."""
        if not isinstance(node, Scalar):
            return
        line = self.lines[node.span.line - 1] if node.span.line <= len(self.lines) else ""
        if "#" not in line:
            return
        end = node.span.column - 1 + (node.span.length if node.raw else 0)
        begins = line[node.span.column - 1 : node.span.column]
        cut = re.match(r"\s*(#[^\s#].*)", line[end:]) if begins not in ("'", '"', "|", ">") else None
        if cut and line[: end + cut.start(1)][-1:].isspace():
            whole = line[begins_at:].strip()
            at = Span(self.file, node.span.line, end + cut.start(1) + 1, len(cut[1]))
            quoted = json.dumps(whole, ensure_ascii=False)
            label = f"{name}: " if name else "- "
            self._say(at, f'{name or "this"} has " #" in it: YAML reads a comment', f"Quote it: {label}{quoted}")

    def _checked_size(self, start: yaml.NodeEvent, size: int) -> int:
        """Nodes below, aliases expanded: what a walk will cost, so that a bomb is seen before it is walked."""
        if size > MAX_NODES or size > 1000 + 10 * self._nodes:
            raise Stop(Problem(self._span(start), f"aliases expand to more than {size:,} values", "write it out"))
        return size

    def _scalar(self, event: Any) -> Scalar:  # noqa: ANN401
        raw: str = event.value
        span = self._span(event)
        if event.implicit[0] and not event.style:
            value = resolve(raw)
            if value is raw and raw[:1] in NUMERIC and is_non_finite(raw):
                self._say(span, f"{raw[:40]} is not a finite number")
            return Scalar(span, value, raw)
        if not raw.isprintable() and (match := CONTROL.search(raw)):
            self._say(span, f"control character U+{ord(match[0]):04X} in a value is not allowed", "remove the escape")
        return Scalar(span, raw, raw)

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        span = self._span(event)
        if event.anchor in self._open:
            raise Stop(Problem(span, f"*{event.anchor} contains itself"))
        node = self._anchors.get(str(event.anchor))
        if node is None:
            self._say(span, f"no anchor &{event.anchor}", "a text that begins with * needs quotes")
            return Scalar(span, None, "")
        if depth + node.height > MAX_DEPTH:
            raise Stop(Problem(span, f"nested deeper than {MAX_DEPTH} levels"))
        return node

    def _span(self, event: Any) -> Span:  # noqa: ANN401
        start, end = event.start_mark, event.end_mark
        line, column = start.line, start.column
        if end.line == line and event.__class__ is yaml.ScalarEvent:
            length = end.column - column
        elif isinstance(event, yaml.CollectionStartEvent):
            length = 1
        elif end.line == line:
            length = end.column - column
        else:
            length = len(self.lines[line]) - column if line < len(self.lines) else 1
        return Span(self.file, line + 1, column + 1, max(length, 1))
