"""Lines that are right for certain: words without templates, and plain settings that the schema admits as they are.

Most lines of a long manifest are such. The walk through the schema (:mod:`fishpipe.manifest.schema`) would hand them
back as they stand; all that this module is not sure of is left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fishpipe.manifest.conform import Schema, conforms, pattern
from fishpipe.manifest.definitions import definition, resolve
from fishpipe.manifest.nodes import Mapping, Node, Scalar

if TYPE_CHECKING:
    from collections.abc import Collection

    from fishpipe.manifest.nodes import Value

# What has a meaning of its own, or is no single value.
_NOT_PLAIN: Final = frozenset({"when", "for_each", "language", "references", "reference_id", "extra_body", "max_chars"})


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
        if not kind or who in self._plain or who in _NOT_PLAIN:
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
            found = self._seen[seen] = name in self._plain and _admits(definition("spoken")["properties"][name], node)
        return found

    def _is_prosody(self, node: Mapping) -> bool:
        for key, value in node.entries:
            if key.raw not in ("speed", "volume") or not isinstance(value, Scalar):
                return False
            seen = (key.raw, value.raw, value.value.__class__)
            if seen not in self._seen:
                properties = resolve(definition("spoken")["properties"]["prosody"], "")[0]["properties"]
                self._seen[seen] = _admits(properties[key.raw], value)
            if not self._seen[seen]:
                return False
        return bool(node.entries)


def _admits(schema: Schema, node: Scalar) -> bool:
    """Whether a value is right as it stands: no template, and of no type that would be another's."""
    value: Value = node.value
    if isinstance(value, float) or (isinstance(value, str) and "{" in value):
        return not isinstance(value, str) and not _wants_whole(schema) and _any_admits(schema, value)
    return _any_admits(schema, value)


def _any_admits(schema: Schema, value: Value) -> bool:
    return any(conforms(value, branch) for branch in _scalars(schema))


def _scalars(schema: Schema) -> list[Schema]:
    """The single schemas that a value may conform to, without templates, lists and maps."""
    schema, name = resolve(schema, "")
    if name == "template":
        return []
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches and "properties" not in schema:
        return [single for branch in branches for single in _scalars(branch)]
    return [] if schema.get("type") in ("object", "array") else [schema]


def _wants_whole(schema: Schema) -> bool:
    """Whether a number may be made a whole one."""
    return any(s.get("type") == "integer" or s.keys() & {"enum", "const"} for s in _scalars(schema))
