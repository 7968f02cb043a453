"""Single values against JSON Schema: type, const, enum, pattern and range, as draft 2020-12 defines them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fishpipe.manifest.nodes import Value

Schema = Mapping[str, Any]


def admits(schema: Schema, kind: str) -> bool:
    """Whether a schema can be that of a list (`array`) or a map (`object`)."""
    return bool(schema["type"] == kind) if "type" in schema else not schema.keys() & {"const", "enum", "pattern"}


def _is_type(value: object, kind: str) -> bool:
    number = is_number(value)
    return {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "number": number,
        "integer": number and (isinstance(value, int) or (isinstance(value, float) and value.is_integer())),
    }.get(kind, False)


def is_number(value: object) -> bool:
    """Whether a value is a number (true and false are none)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@cache
def pattern(text: str) -> re.Pattern[str]:
    """A schema's pattern, with ECMAScript's `$`, which does not match before a line feed."""
    return re.compile(text.replace("$", r"\Z"))


def _same(value: object, option: object) -> bool:
    return value == option and isinstance(value, bool) == isinstance(option, bool)


def conforms(value: Value, schema: Schema) -> bool:
    """Whether a scalar is what a schema without branches asks for."""
    kinds = schema.get("type")
    if kinds is not None and not any(_is_type(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if "enum" in schema and not any(_same(value, option) for option in schema["enum"]):
        return False
    if isinstance(value, str):
        return "pattern" not in schema or pattern(schema["pattern"]).search(value) is not None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True
