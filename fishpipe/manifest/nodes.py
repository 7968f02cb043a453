"""Nodes of YAML that know their place, and the values of plain scalars (YAML 1.2's core schema: `no` is a word)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.errors import Span  # noqa: TC001  (what nodes are decoded to)

if TYPE_CHECKING:
    from collections import abc
    from collections.abc import Iterator

Value = str | int | float | bool | None

# The data of a node that cannot be evaluated; the reason was told.
BROKEN: Final[Any] = object()
CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_INT: Final = re.compile(r"[-+]?[0-9]{1,39}")
_OCTAL: Final = re.compile("0o[0-7]{1,20}")
_HEX: Final = re.compile("0x[0-9a-fA-F]{1,16}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NON_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final[dict[str, Value]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# What numbers begin with.
NUMERIC: Final = "-+.0123456789"


class Scalar(Struct, frozen=True, gc=False, array_like=True, tag="value"):
    """One value; `raw` is what was written, without its quotes."""

    span: Span
    value: Value
    raw: str
    size: int = 1
    height: int = 1


class Late(Scalar, frozen=True, gc=False, array_like=True, tag="late"):
    """A template that waits for names which are not known yet; `scope` has the others."""

    scope: abc.Mapping[str, Any] = field(default_factory=dict)


class Listing(Struct, frozen=True, gc=False, array_like=True, tag="list"):
    """A sequence of nodes; `size` counts all nodes below, `height` their levels."""

    span: Span
    items: tuple[Node, ...]
    size: int = 1
    height: int = 1


class Mapping(Struct, frozen=True, gc=False, array_like=True, tag="map"):
    """Keys, each a scalar with its own span, and their nodes; `dropped` are keys whose values were wrong."""

    span: Span
    entries: tuple[tuple[Scalar, Node], ...]
    size: int = 1
    height: int = 1
    dropped: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[tuple[str, Scalar, Node]]:
        return ((key.raw, key, node) for key, node in self.entries)

    def without(self, *names: str) -> Mapping:
        """The same without some keys."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry[0].raw not in names))

    def having(self, **more: Value) -> Mapping:
        """The same with further keys, at the place of the whole."""
        return replace(self, entries=(*self.entries, *((self._word(n), self._word(v)) for n, v in more.items())))

    def _word(self, value: Value) -> Scalar:
        return Scalar(self.span, value, str(value))

    def get(self, name: str) -> Node | None:
        """The node under a key, or None."""
        for key, node in self.entries:
            if key.raw == name:
                return node
        return None


Node = Scalar | Listing | Mapping


class _Spelled:
    """A number that remembers how it was written, for where it becomes text: 1.50 is spoken as 1.50."""

    spelling: str


class SpelledInt(_Spelled, int):
    """A whole number as it was written."""


class SpelledFloat(_Spelled, float):
    """A number as it was written."""


_N = TypeVar("_N", SpelledInt, SpelledFloat)


def spelled(number: object) -> str:
    """A number as text: as it was written, where that is known."""
    return number.spelling if isinstance(number, _Spelled) else str(number)


def resolve(raw: str) -> Value:
    """A plain scalar's value; a non-finite number stays text, for the caller to refuse."""
    if raw[:1] not in NUMERIC or not raw:
        return _WORDS.get(raw, raw)
    if _INT.fullmatch(raw):
        return _spelling(SpelledInt(raw), raw)
    if raw[:2] == "0o" and _OCTAL.fullmatch(raw):
        return int(raw, 8)
    if raw[:2] == "0x" and _HEX.fullmatch(raw):
        return int(raw, 16)
    if _FLOAT.fullmatch(raw) and len(raw) < 40 and math.isfinite(float(raw)):
        return _spelling(SpelledFloat(raw), raw)
    return raw


def _spelling(number: _N, raw: str) -> _N:
    number.spelling = raw
    return number


def is_non_finite(raw: str) -> bool:
    """Whether a plain scalar is a number without an end: .inf, .nan, 1e400."""
    return bool(_NON_FINITE.fullmatch(raw) or (_FLOAT.fullmatch(raw) and math.isinf(float(raw))))


def to_data(node: Node) -> Any:  # noqa: ANN401
    """A node as plain data: what jsonschema and templates see."""
    match node:
        case Scalar():
            return node.value
        case Listing():
            return [to_data(item) for item in node.items]
        case Mapping():
            return {key: to_data(value) for key, _, value in node}


def entries_of(section: Node | None) -> list[tuple[str, Scalar, Node]]:
    """The entries of a map; none of anything else."""
    return list(section) if isinstance(section, Mapping) else []


def names_of(section: Node | None) -> list[str]:
    """The keys of a map; none of anything else."""
    return [raw for raw, _, _ in entries_of(section)]
