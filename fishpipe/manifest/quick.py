"""Lines that are right for certain: words without templates, and plain settings that the schema admits as they are.

Most lines of a long manifest are such. The walk through the schema (:mod:`fishpipe.manifest.schema`) would hand them
back as they stand; all that this module is not sure of is left to it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from fishpipe.manifest.conform import Schema, conforms, pattern
from fishpipe.manifest.definitions import definition, resolve, segment_fields
from fishpipe.manifest.nodes import Mapping, Node, Scalar

if TYPE_CHECKING:
    from collections.abc import Collection

    from fishpipe.manifest.nodes import Value

# What has a meaning of its own, or is no single value.
_NOT_PLAIN: Final = frozenset({"when", "for_each", "language", "references", "reference_id", "extra_body", "max_chars"})
# Values that are written in so many characters are mostly of one line alone, and not remembered.
_LONG: Final = 12


class Lines:
    """Looks at the items of scripts; `voices` and `cast` are the names that may stand before words."""

    def __init__(self, voices: Collection[str], cast: Collection[str]) -> None:
        self._voices, self._cast = voices, cast
        self._seen: dict[tuple[str, str, type], bool] = {}
        self._words = pattern(definition("words")["pattern"])
        self._plain = {"text", *(name for name in definition("spoken")["properties"] if name not in _NOT_PLAIN)}

    def line(self, node: Node) -> Mapping | None:
        """The checked node of a line that is right for certain; None for any other."""
        if isinstance(node, Scalar):
            return Mapping(node.span, ((Scalar(node.span, "text", "text"), node),)) if self._is_words(node) else None
        if not isinstance(node, Mapping):
            return None
        if len(node.entries) == 1:
            return self._said(node)
        has_text = False
        for key, value in node.entries:
            if key.raw == "text":
                has_text = True
                if not self._is_words(value):
                    return None
            elif not self._is_right(key.raw, value):
                return None
        return node if has_text else None

    def _said(self, node: Mapping) -> Mapping | None:
        """`text: words` alone, or `NAME: words`."""
        key, words = node.entries[0]
        if not self._is_words(words):
            return None
        if key.raw == "text":
            return node
        who = key.raw
        kind = "voice" if who in self._voices else "cast" if who in self._cast else ""
        if not kind or who in segment_fields():
            return None
        speaker = (Scalar(key.span, kind, kind), Scalar(key.span, who, who))
        return Mapping(node.span, ((Scalar(key.span, key.value, "text"), words), speaker))

    def _is_words(self, node: Node) -> bool:
        """Whether a text stays as it is: words, no template, no other language."""
        value = node.value if isinstance(node, Scalar) else None
        return isinstance(value, str) and "{" not in value and self._words.search(value) is not None

    def _is_right(self, name: str, node: Node) -> bool:
        if not isinstance(node, Scalar):
            return name == "prosody" and isinstance(node, Mapping) and self._is_prosody(node)
        seen = (name, node.raw, node.value.__class__)
        found = self._seen.get(seen)
        if found is None:
            found = name in self._plain and _admits(_field(name), node.value)
            if len(node.raw) < _LONG:
                self._seen[seen] = found
        return found

    def _is_prosody(self, node: Mapping) -> bool:
        for key, value in node.entries:
            if key.raw not in ("speed", "volume") or not isinstance(value, Scalar):
                return False
            seen = (f"prosody.{key.raw}", value.raw, value.value.__class__)
            if seen not in self._seen:
                self._seen[seen] = _admits(_field("prosody", key.raw), value.value)
            if not self._seen[seen]:
                return False
        return bool(node.entries)


@cache
def _field(*path: str) -> tuple[tuple[Schema, ...], bool]:
    """(what a field's value may be, as single schemas, whether a number may be made a whole one)."""
    schema = definition("spoken")
    for name in path:
        schema = resolve(schema, "")[0]["properties"][name]
    single = tuple(_scalars(schema))
    return single, any(s.get("type") == "integer" or s.keys() & {"enum", "const"} for s in single)


def _admits(field: tuple[tuple[Schema, ...], bool], value: Value) -> bool:
    """Whether a value is right as it stands: no template, and of no type that would be another's."""
    single, is_whole = field
    if (isinstance(value, str) and "{" in value) or (isinstance(value, float) and is_whole):
        return False
    return any(conforms(value, schema) for schema in single)


def _scalars(schema: Schema) -> list[Schema]:
    """The single schemas that a value may conform to, without templates, lists and maps."""
    schema, name = resolve(schema, "")
    if name == "template":
        return []
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches and "properties" not in schema:
        return [single for branch in branches for single in _scalars(branch)]
    return [] if schema.get("type") in ("object", "array") else [schema]
