"""Expressions: parsed by Jinja2, evaluated by an allow-list of our own. Loaded where a manifest has one."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from jinja2 import Environment, TemplateSyntaxError, nodes

from fishpipe.errors import did_you_mean
from fishpipe.manifest.nodes import CONTROL, spelled
from fishpipe.manifest.template import MAX_VALUE, TemplateError

_LONGEST: Final = 10_000
_ENVIRONMENT = Environment(autoescape=False)  # noqa: S701  (no HTML is made here)


@lru_cache(maxsize=4096)
def _parse(body: str) -> nodes.Expr:
    if len(body) > _LONGEST:
        raise TemplateError(f"{_brief(body)}: the expression is longer than {_LONGEST:,} characters", expression=body)
    try:
        tree = _ENVIRONMENT.parse("{{" + body + "}}")
    except TemplateSyntaxError as error:
        raise TemplateError(f"{_brief(body)}: {error.message}", expression=body) from error
    except RecursionError:
        raise TemplateError("the expression is nested too deeply") from None
    outputs = tree.body
    if len(outputs) != 1 or not isinstance(outputs[0], nodes.Output) or len(outputs[0].nodes) != 1:
        raise TemplateError(f"{_brief(body)}: expected one expression", expression=body)
    return outputs[0].nodes[0]


def evaluate(body: str, scope: Mapping[str, Any], used: set[str] | None) -> Any:  # noqa: ANN401
    """The value of one expression. Raises TemplateError."""
    try:
        value = _Evaluator(scope, used).visit(_parse(body))
        return _sized(value)
    except TemplateError as error:
        error.expression = "{{" + body + "}}"
        raise
    except RecursionError:
        raise TemplateError("the expression is nested too deeply", expression="{{" + body + "}}") from None
    except ZeroDivisionError:
        raise TemplateError(f"{_brief(body)}: division by zero", expression="{{" + body + "}}") from None
    except (TypeError, ValueError, OverflowError, LookupError, AttributeError) as error:
        message = f"{_brief(body)}: these values do not go together"
        raise TemplateError(message, expression="{{" + body + "}}") from error


def _brief(body: str) -> str:
    text = "{{" + body + "}}"
    return text if len(text) <= 80 else f"{text[:60]}… }}}}"


def as_text(value: object) -> str:
    """A value as it stands in a text. Raises TemplateError where it is none that can."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, (Mapping, list, tuple)):
        kind = "nothing" if value is None else "a map" if isinstance(value, Mapping) else "a list"
        raise TemplateError(f"the expression is {kind}; expected text or a number")
    if isinstance(value, int) and value.bit_length() > 10_000:
        raise TemplateError("the number is too long to write")
    return spelled(value)


def _sized(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, (str, list)) and len(value) > MAX_VALUE:
        raise TemplateError("the value grows beyond 1 MB")
    if isinstance(value, str) and (found := CONTROL.search(value)):
        raise TemplateError(f"the value holds the control character U+{ord(found[0]):04X}")
    if isinstance(value, float) and not math.isfinite(value):
        raise TemplateError("the value is not a finite number")
    if isinstance(value, int) and value.bit_length() > 1024:
        raise TemplateError("the number is too large")
    return value


def _number(value: object) -> Any:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TemplateError(f"arithmetic needs numbers; found {_kind(value)}")
    if isinstance(value, int) and value.bit_length() > 64:
        raise TemplateError("the number is too large")
    return value


def _kind(value: object) -> str:
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", type(None): "nothing"}
    return names.get(type(value), "a map" if isinstance(value, Mapping) else "a list")


def _plus(left: object, right: object) -> object:
    if isinstance(left, str) and isinstance(right, str):
        if len(left) + len(right) > MAX_VALUE:
            raise TemplateError("the value grows beyond 1 MB")
        return left + right
    return _number(left) + _number(right)


def _replace(value: str, old: str, new: str) -> str:
    if len(value) + value.count(old) * len(new) > MAX_VALUE:
        raise TemplateError("the value grows beyond 1 MB")
    return value.replace(old, new)


def _join(value: Sequence[object], separator: str = "") -> str:
    parts = [as_text(item) for item in value]
    if sum(map(len, parts)) + len(separator) * len(parts) > MAX_VALUE:
        raise TemplateError("the value grows beyond 1 MB")
    return separator.join(parts)


def _round(value: float, digits: object = 0) -> float:
    number: float = _number(value)
    if not isinstance(digits, int) or not -20 <= digits <= 20:
        raise TemplateError("round takes from -20 to 20 digits")
    return round(number, digits) if digits else round(number)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "abs": lambda value: abs(_number(value)),
    "capitalize": lambda value: as_text(value).capitalize(),
    "first": lambda value: value[0],
    "float": float,
    "int": int,
    "join": _join,
    "last": lambda value: value[-1],
    "length": len,
    "lower": lambda value: as_text(value).lower(),
    "pad": lambda value, width=2: str(_number(value)).zfill(min(_number(width), 20)),
    "replace": lambda value, old, new: _replace(as_text(value), as_text(old), as_text(new)),
    "round": _round,
    "slug": lambda value: "-".join(re.findall(r"\w+", as_text(value).lower())),
    "string": as_text,
    "title": lambda value: as_text(value).title(),
    "trim": lambda value: as_text(value).strip(),
    "upper": lambda value: as_text(value).upper(),
}
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda item, container: item in container,
    "notin": lambda item, container: item not in container,
}
_ARITHMETIC: Final = {
    nodes.Sub: operator.sub,
    nodes.Mul: operator.mul,
    nodes.Div: operator.truediv,
    nodes.FloorDiv: operator.floordiv,
    nodes.Mod: operator.mod,
}


class _Evaluator:
    def __init__(self, scope: Mapping[str, Any], used: set[str] | None) -> None:
        self.scope = scope
        self.used = used if used is not None else set()

    def visit(self, node: nodes.Node) -> Any:  # noqa: ANN401, C901, PLR0912  (one case a syntax node)
        match node:
            case nodes.Const():
                return node.value
            case nodes.TemplateData():
                return node.data
            case nodes.Name():
                return self._name(node.name)
            case nodes.Getattr():
                return self._item(self.visit(node.node), node.attr)
            case nodes.Getitem(arg=nodes.Slice()):
                raise TemplateError("slices are not allowed in templates")
            case nodes.Getitem():
                return self._item(self.visit(node.node), self.visit(node.arg))
            case nodes.List() | nodes.Tuple():
                return [self.visit(item) for item in node.items]
            case nodes.Not():
                return not self.visit(node.node)
            case nodes.And():
                return self.visit(node.left) and self.visit(node.right)
            case nodes.Or():
                return self.visit(node.left) or self.visit(node.right)
            case nodes.CondExpr():
                if self.visit(node.test):
                    return self.visit(node.expr1)
                return self.visit(node.expr2) if node.expr2 is not None else ""
            case nodes.Compare():
                return self._compare(node)
            case nodes.Neg():
                return -_number(self.visit(node.node))
            case nodes.Pos():
                return _number(self.visit(node.node))
            case nodes.Add():
                return _plus(self.visit(node.left), self.visit(node.right))
            case nodes.Concat():
                return _join([self.visit(item) for item in node.nodes])
            case nodes.Sub() | nodes.Mul() | nodes.Div() | nodes.FloorDiv() | nodes.Mod():
                left, right = _number(self.visit(node.left)), _number(self.visit(node.right))
                return _ARITHMETIC[type(node)](left, right)
            case nodes.Filter():
                return self._filter(node)
            case nodes.Call():
                raise TemplateError("calls are not allowed in templates", "use a filter, such as {{ name | upper }}")
            case _:
                name = type(node).__name__.lower()
                raise TemplateError(f'"{name}" is not allowed in templates')

    def _name(self, name: str) -> Any:  # noqa: ANN401
        self.used.add(name)
        if name not in self.scope:
            hint = did_you_mean(name, self.scope) or "declare it under vars"
            raise TemplateError(f'undefined variable "{name}"', hint, variable=name)
        return self.scope[name]

    def _item(self, value: object, key: object) -> Any:  # noqa: ANN401
        if isinstance(key, str) and key.startswith("_"):
            raise TemplateError(f'"{key}" is not allowed: names that begin with "_" are out of reach')
        if isinstance(value, Mapping) and isinstance(key, str):
            if key not in value:
                hint = did_you_mean(key, value) or (f"known: {', '.join(value)}" if value else "")
                raise TemplateError(f'no "{key}" here', hint, variable=key)
            return value[key]
        if isinstance(value, (list, tuple)) and isinstance(key, int):
            return value[key]
        raise TemplateError(f'no "{key}" in {_kind(value)}')

    def _compare(self, node: nodes.Compare) -> bool:
        left = self.visit(node.expr)
        for operand in node.ops:
            right = self.visit(operand.expr)
            if not _COMPARE[operand.op](left, right):
                return False
            left = right
        return True

    def _filter(self, node: nodes.Filter) -> Any:  # noqa: ANN401
        if node.kwargs or node.dyn_args or node.dyn_kwargs or node.node is None:
            raise TemplateError(f"{node.name}: named arguments are not allowed in templates")
        arguments = [self.visit(argument) for argument in node.args]
        if node.name in ("default", "d"):
            return self._default(node.node, arguments)
        if node.name not in FILTERS:
            hint = did_you_mean(node.name, FILTERS) or f"known: default {' '.join(FILTERS)}"
            raise TemplateError(f'no filter "{node.name}"', hint)
        value = _sized(self.visit(node.node))
        try:
            return _sized(FILTERS[node.name](value, *arguments))
        except (TypeError, ValueError, LookupError, OverflowError):
            raise TemplateError(
                f'filter "{node.name}" cannot take {_kind(value)} and {len(arguments)} arguments'
            ) from None

    def _default(self, node: nodes.Node, arguments: Sequence[Any]) -> Any:  # noqa: ANN401
        fallback = arguments[0] if arguments else ""
        try:
            value = self.visit(node)
        except TemplateError:
            if isinstance(node, (nodes.Name, nodes.Getattr, nodes.Getitem)):
                return fallback
            raise
        return fallback if len(arguments) > 1 and arguments[1] and not value else value
