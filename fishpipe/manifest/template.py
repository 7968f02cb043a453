"""Template expressions: ``{{ … }}`` in string values, over plain data.

Jinja2 parses; an allow-list of syntax nodes is evaluated here. There are no calls, no attributes of Python
objects and no loops, and each step that can grow a value checks its size first, so a manifest from a
stranger can neither reach the interpreter nor fill its memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_VALUE: Final = 1_000_000

_OPEN = re.compile(r"\{\{|\{%|\{#")
_EXPRESSION = re.compile(
    r"""\{\{(?P<body>(?:[^'"}]|"(?:\\.|[^"\\])*+"|'(?:\\.|[^'\\])*+'|\}(?!\}))*+)\}\}""", re.DOTALL
)


class TemplateError(Exception):
    """An expression that cannot be evaluated: what is wrong, the cure, and where in the value it stands."""

    def __init__(self, message: str, hint: str = "", expression: str = "", variable: str = "") -> None:
        super().__init__(message)
        self.message, self.hint, self.expression, self.variable = message, hint, expression, variable


def is_template(value: object) -> bool:
    """Whether a scalar's value holds an expression (or what looks like one)."""
    return isinstance(value, str) and _OPEN.search(value) is not None


def render(text: str, scope: Mapping[str, Any], used: set[str] | None = None) -> Any:  # noqa: ANN401
    """Evaluate the expressions in `text`; one that is the whole value keeps its type.

    Names that are looked up are added to `used`. Raises TemplateError.
    """
    from fishpipe.manifest.expressions import as_text, evaluate

    stripped = text.strip()
    whole = _EXPRESSION.match(stripped)
    if whole and whole.end() == len(stripped):
        return evaluate(whole["body"], scope, used)
    parts: list[str] = []
    size = position = 0
    while (opening := _OPEN.search(text, position)) is not None:
        if opening[0] != "{{":
            message = f'"{opening[0]}" is not allowed: templates are {{{{ expressions }}}} only'
            raise TemplateError(message, expression=opening[0])
        match = _EXPRESSION.match(text, opening.start())
        if match is None:
            raise TemplateError(
                '"{{" is not closed', 'close it with "}}"', text[opening.start() : opening.start() + 20]
            )
        parts += [text[position : opening.start()], as_text(evaluate(match["body"], scope, used))]
        position = match.end()
        size += len(parts[-1])
        if size > MAX_VALUE:
            raise TemplateError("the value grows beyond 1 MB", expression=match[0])
    return "".join([*parts, text[position:]])
