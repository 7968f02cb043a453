"""Nodes against the JSON Schema: the same file that editors use decides what a manifest may say.

A walk over the subset of draft 2020-12 that ``schemas/fishpipe.schema.json`` is written in. It renders
templates on the way (a value is judged as what it becomes), reports every problem with its place, and
drops what is wrong, so that the next pass can go on with the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from fishpipe.errors import Problem, Span, did_you_mean
from fishpipe.manifest import nodes
from fishpipe.manifest.conform import Schema, admits, conforms, is_number, pattern
from fishpipe.manifest.nodes import Listing, Node, Scalar, resolve, spelled, to_data
from fishpipe.manifest.template import TemplateError, is_template, render

Scope = Mapping[str, Any]

_EXPECTED: Final = {
    "clips": "a path with {id} or {number} in its last part, that ends in .mp3, .wav, .flac, .opus, .m4a or .m4b",
    "bitrate": "16k to 320k, such as 128k",
    "duration": "a length of time with its unit, such as 300ms, 1.5s or 2m",
    "id": "letters, digits, _ and -",
    "language": "a language tag such as en or pt-BR",
    "price": "an amount in USD, or unknown",
    "sample_sha256": "64 hexadecimal digits: sha256sum SAMPLE",
    "callback_listen": "HOST:PORT, such as 127.0.0.1:8787",
    "line": "text",
    "name": "a name without spaces, slashes, colons, quotes and brackets",
    "output_path": "a path that ends in .mp3, .wav, .flac, .opus, .m4a or .m4b",
    "text": "words",
    "trim": "auto, off, or a level from -90 to -10 (dBFS)",
    "loudness": "LUFS from -40 to -5 such as -16, or podcast, spotify, ebu, acx",
    "url": "an address that begins with http:// or https://",
    "usd": "an amount in USD, such as 2.50",
}
_LABELLED: Final = {"bitrate", "clips", "loudness", "trim", "id", "language", "sample_sha256", "callback_listen"}
_MERGE_HINT: Final = "merge keys (<<) are not part of the manifest; write the fields out"
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
MOST_RENDERED: Final = 64_000_000


def schema_path() -> Path:
    """The schema file: beside this package in a checkout, inside of it in a wheel."""
    packaged = Path(__file__).parents[1] / "schemas" / "fishpipe.schema.json"
    return packaged if packaged.exists() else Path(__file__).parents[2] / "schemas" / "fishpipe.schema.json"


@cache
def load_schema() -> Schema:
    """The manifest's JSON Schema, as data."""
    schema: Schema = json.loads(schema_path().read_text(encoding="utf-8"))
    return schema


class Checker:
    """One walk over one file; `problems` grows as it goes, `used` names the variables that were read."""

    def __init__(self, problems: list[Problem], used: set[str], locate: Callable[[Span, TemplateError], Span]) -> None:
        self.schema = load_schema()
        self.problems = problems
        self.used = used
        self.locate = locate
        self.broken: set[str] = set()
        self._told = {problem.span for problem in problems}
        self._rendered_size = 0

    def check(self, node: Node, name: str, scope: Scope) -> Node | None:
        """The rendered node, where it is what the schema (or `$defs/NAME`) asks for."""
        schema = self.schema["$defs"][name] if name else self.schema
        return self._visit(node, schema, (), scope, node.span)

    def render(self, node: Node, scope: Scope) -> Node | None:
        """A free-form node (a variable's value) with its templates evaluated."""
        return self._visit(node, {}, ("vars",), scope, node.span)

    def _say(self, span: Span, message: str, hint: str = "") -> None:
        self._told.add(span)
        self.problems.append(Problem(span, message, hint))

    def _visit(self, node: Node, schema: Schema, path: tuple[str, ...], scope: Scope, at: Span) -> Node | None:
        schema, name = self._resolve(schema, "")
        if isinstance(node, Scalar) and is_template(node.value) and "const" not in schema:
            rendered = self._rendered(node, scope)
            if rendered is None:
                return None
            as_text = replace(rendered, value=rendered.raw)
            node = as_text if self._fits(as_text, schema) and not self._fits(rendered, schema) else rendered
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches and "properties" not in schema:
            resolved = [self._resolve(branch, name) for branch in branches]
            return self._branch(node, resolved, path, scope, at, (schema, name))
        match node:
            case Scalar():
                problem = self._scalar(node, schema, name, path)
                self._complain(problem)
                return _typed(node, schema) if problem is None else None
            case Listing():
                return self._list(node, schema, name, path, scope)
            case _:
                return self._map(node, schema, name, path, scope, at)

    def _resolve(self, schema: Schema, name: str) -> tuple[Schema, str]:
        while "$ref" in schema:
            name = schema["$ref"].removeprefix("#/$defs/")
            schema = self.schema["$defs"][name]
        return schema, name

    def _rendered(self, node: Scalar, scope: Scope) -> Scalar | None:
        try:
            value = render(str(node.value), scope, self.used)
        except TemplateError as error:
            if error.variable not in self.broken:
                self._say(self.locate(node.span, error), error.message, error.hint)
            return None
        if isinstance(value, (dict, list)):
            self._say(node.span, "the expression is a map or a list; expected text or a number")
            return None
        raw = value if isinstance(value, str) else spelled(value) if is_number(value) else json.dumps(value)
        self._rendered_size += len(raw)
        if self._rendered_size > MOST_RENDERED:
            self._say(node.span, "the templates of this manifest grow beyond 64 MB")
            return None
        return replace(node, value=value, raw=raw)

    def _fits(self, node: Scalar, schema: Schema) -> bool:
        """Whether a rendered value is right as it is; a number where text is wanted becomes text."""
        branches = schema.get("anyOf") or schema.get("oneOf") or ()
        return (
            conforms(node.value, schema)
            if not branches
            else any(self._fits(node, self._resolve(branch, "")[0]) for branch in branches)
        )

    def _branch(
        self,
        node: Node,
        branches: list[tuple[Schema, str]],
        path: tuple[str, ...],
        scope: Scope,
        at: Span,
        parent: tuple[Schema, str],
    ) -> Node | None:
        if isinstance(node, Scalar):
            return self._scalar_branch(node, branches, path)
        kind = "array" if isinstance(node, Listing) else "object"
        fits = [(schema, name) for schema, name in branches if schema.get("type") == kind]
        if not fits:
            self._say(node.span if isinstance(node, Listing) else at, *self._mismatch(node, *parent, path))
            return None
        if len(fits) == 1 or isinstance(node, Listing):
            return self._visit(node, fits[0][0], path, scope, at)
        kinds = [schema["required"][0] for schema, _ in fits]
        present = [(raw, key.span) for raw, key, _ in node if raw in kinds]
        label = _dotted(path)
        if not present:
            self._none_of(node, [schema for schema, _ in fits], kinds, path, at)
            return replace(node, entries=())
        for other, span in present[1:]:
            self._say(span, f'{label} has both "{present[0][0]}" and "{other}"', "keep one of them")
        schema = fits[kinds.index(present[0][0])][0]
        return self._visit(_without(node, {raw for raw, _ in present[1:]}), schema, path, scope, at)

    def _none_of(
        self, node: nodes.Mapping, branches: list[Schema], kinds: list[str], path: tuple[str, ...], at: Span
    ) -> None:
        """A map that is of no kind: blame the keys that no kind knows, or else the lack of a kind."""
        known = {key for schema in branches for key in schema["properties"]}
        unknown = [(raw, key.span) for raw, key, _ in node if raw not in known]
        for raw, span in unknown:
            hint = _MERGE_HINT if raw == "<<" else did_you_mean(raw, kinds) or f"it needs one of: {', '.join(kinds)}"
            self._say(span, f'unknown key "{raw[:60]}" in {_dotted(path)}', hint)
        if not unknown:
            names = ", ".join(f'"{kind}"' for kind in kinds)
            self._say(at, f"{_dotted(path)} has none of {names}", "it needs exactly one of them")

    def _scalar_branch(self, node: Scalar, branches: list[tuple[Schema, str]], path: tuple[str, ...]) -> Node | None:
        scalars = [(schema, name) for schema, name in branches if name != "template"]
        flat: list[tuple[Schema, str]] = []
        for schema, name in scalars:
            inner = schema.get("anyOf")
            flat += [(self._resolve(s, name)) for s in inner] if inner else [(schema, name)]
        flat = [(schema, name) for schema, name in flat if name != "template"]
        complaints = []
        for schema, name in flat:
            problem = self._scalar(node, schema, name, path)
            if problem is None:
                return _typed(node, schema)
            complaints.append((schema.get("type") in ("object", "array"), problem))
        self._complain(min(complaints, key=lambda pair: pair[0])[1])
        return None

    def _complain(self, problem: Problem | None) -> None:
        """Report a value, unless the parser has already: .nan is one problem, not two."""
        if problem is not None and problem.span not in self._told:
            self._say(problem.span, problem.message, problem.hint)

    def _list(self, node: Listing, schema: Schema, name: str, path: tuple[str, ...], scope: Scope) -> Node | None:
        if not admits(schema, "array"):
            self._say(node.span, *self._mismatch(node, schema, name, path))
            return None
        if len(node.items) < schema.get("minItems", 0):
            self._say(node.span, f"{_dotted(path)} is empty; expected at least one item")
        items = []
        for number, item in enumerate(node.items, 1):
            checked = self._visit(item, schema.get("items", {}), (*path, f"[{number}]"), scope, item.span)
            if checked is not None:
                items.append(checked)
        return replace(node, items=tuple(items))

    def _map(
        self, node: nodes.Mapping, schema: Schema, name: str, path: tuple[str, ...], scope: Scope, at: Span
    ) -> Node | None:
        if not admits(schema, "object"):
            self._say(at, *self._mismatch(node, schema, name, path))
            return None
        self._required(node, schema, path, at)
        entries: list[tuple[Scalar, Node]] = []
        dropped = set()
        for raw, key, value in node:
            inner = self._property(raw, key, value, schema, path)
            if inner is None:
                continue
            if path == ("vars",) and schema:
                entries.append((key, value))
                continue
            deeper = {**scope, "script": {"name": raw}} if path == ("scripts",) else scope
            checked = self._visit(value, inner, (*path, raw), deeper, key.span)
            if checked is not None:
                entries.append((key, checked))
            elif raw not in schema.get("properties", {}):
                # A voice or a script that is wrong is still declared.
                entries.append((key, nodes.Mapping(key.span, ())))
            else:
                dropped.add(raw)
        return replace(node, entries=tuple(entries), dropped=frozenset(dropped))

    def _required(self, node: nodes.Mapping, schema: Schema, path: tuple[str, ...], at: Span) -> None:
        keys = {raw for raw, _, _ in node}
        label = _dotted(path)
        for needed in schema.get("required", ()):
            if needed not in keys:
                near = did_you_mean(needed, [key for key in keys if key not in schema.get("properties", {})])
                const = schema.get("properties", {}).get(needed, {}).get("const")
                hint = near.replace("did you mean", "is it") or f"add {needed}:{'' if const is None else f' {const}'}"
                self._say(at, f'{label} has no "{needed}"', hint)
        options = [branch["required"][0] for branch in schema.get("anyOf", ())]
        if options and not keys.intersection(options):
            self._say(at, f"{label} has neither {' nor '.join(options)}", f"add {options[0]}:")
        forbidden = schema.get("not", {}).get("required")
        if forbidden and keys.issuperset(forbidden):
            self._say(at, f"{label} has both {' and '.join(forbidden)}", "keep one of them")
        if len(node.entries) < schema.get("minProperties", 0):
            self._say(at, f"{label} is empty; expected at least one entry")

    def _property(self, raw: str, key: Scalar, value: Node, schema: Schema, path: tuple[str, ...]) -> Schema | None:
        properties = schema.get("properties", {})
        if raw in properties:
            inner: Schema = properties[raw]
            return inner
        extra = schema.get("additionalProperties", True)
        if extra is False:
            empty = isinstance(value, Scalar) and value.value is None and not value.raw
            comma = "a text with a comma inside of { } needs quotes" if " " in raw or empty else ""
            merge = _MERGE_HINT if raw == "<<" else ""
            near = merge or did_you_mean(raw, properties) or self._home(raw, schema) or comma
            hint = near or f"known: {' '.join(properties)}"
            where = _dotted(path) if path else "the manifest"
            self._say(key.span, f'unknown key "{raw[:60]}" in {where}', hint)
            return None
        names, name = self._resolve(schema.get("propertyNames", {}), "")
        if "pattern" in names and not pattern(names["pattern"]).search(raw):
            expected = _EXPECTED["name"] if name else "letters, digits and _"
            self._say(key.span, f'"{raw[:60]}" cannot be a name here; expected {expected}')
            return None
        return {} if extra is True else dict(extra)

    def _home(self, raw: str, schema: Schema) -> str:
        """Where a key that is unknown here belongs."""
        prosody = self.schema["$defs"]["prosody"]["properties"]
        if raw in prosody and "prosody" in schema.get("properties", {}):
            return f"it goes into prosody: {{{raw}: …}}"
        for group in ("segment", "voice"):
            kinds = [self._resolve(branch, "")[0] for branch in self.schema["$defs"][group]["oneOf"]]
            homes = [kind["required"][0] for kind in kinds if raw in kind["properties"]]
            if schema in kinds and homes:
                return f"it goes with {' or '.join(homes)}"
        return ""

    def _scalar(self, node: Scalar, schema: Schema, name: str, path: tuple[str, ...]) -> Problem | None:
        value = node.value
        if not conforms(value, schema):
            return Problem(node.span, *self._mismatch(node, schema, name, path))
        return None

    def _mismatch(self, node: Node, schema: Schema, name: str, path: tuple[str, ...]) -> tuple[str, str]:
        """The message and the cure for a value that is not what the schema asks for."""
        label = next((part for part in reversed(path) if not part.startswith("[")), "the manifest")
        if path and path[-1].startswith("["):
            label = _dotted(path)
        expected = self._expected(schema, name, label)
        match node:
            case Listing() if label == "text" and node.items:
                words = " ".join(str(to_data(item)) for item in node.items)
                return 'text begins with "[": YAML reads a list', f'Quote it: text: "[{words[:60]}]"'
            case Listing():
                return f"{label} is a list; expected {expected}", ""
            case nodes.Mapping():
                return f"{label} is a map; expected {expected}", ""
            case Scalar():
                pass
        if node.value is None:
            return f"{label} is empty; expected {expected}", ""
        if name == "duration" and _NUMBER.fullmatch(node.raw):
            return f"{label} {node.raw} has no unit", f"write {node.raw}ms or {node.raw}s"
        found = json.dumps(node.raw[:60], ensure_ascii=False) if isinstance(node.value, str) else node.raw[:60]
        return f"{label} is {found}; expected {expected}", _value_hint(node, schema, path)

    def _expected(self, schema: Schema, name: str, label: str) -> str:
        if label in _LABELLED and ("pattern" in schema or "enum" in schema):
            return _EXPECTED[label]
        if name in _EXPECTED:
            return _EXPECTED[name]
        if "const" in schema:
            return str(schema["const"])
        if "enum" in schema:
            return " or ".join(str(option) for option in schema["enum"])
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            resolved = [self._resolve(branch, name) for branch in branches]
            named = [self._expected(inner, key, "") for inner, key in resolved if key != "template"]
            return " or ".join(dict.fromkeys(named))
        kind = schema.get("type", "text")
        kind = kind if isinstance(kind, str) else "string"
        words = {
            "string": "text",
            "boolean": "true or false",
            "object": "a map",
            "array": "a list",
            "number": "a number",
            "integer": "a whole number",
        }[kind]
        if "minimum" in schema:
            words += f" from {schema['minimum']} to {schema['maximum']}"
        return words


def _value_hint(node: Scalar, schema: Schema, path: tuple[str, ...]) -> str:
    options = schema.get("enum", ())
    if path[-2:-1] == ("segments",) and isinstance(node.value, str):
        return f"write text: {json.dumps(node.raw[:60], ensure_ascii=False)}"
    if isinstance(node.value, str) and (node.raw in map(str, options) or conforms(resolve(node.raw), schema)):
        return "remove the quotes"
    if schema.get("type") == "boolean" and node.raw in ("yes", "no", "on", "off"):
        return f"write {'true' if node.raw in ('yes', 'on') else 'false'}"
    if isinstance(node.value, (int, float)) and conforms(node.raw, schema):
        return f'quote it: "{node.raw}"'
    words = [option for option in options if isinstance(option, str)]
    return did_you_mean(node.raw, words) if words else ""


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(".[", "[") or "the manifest"


def _without(node: nodes.Mapping, keys: set[str]) -> nodes.Mapping:
    return replace(node, entries=tuple(entry for entry in node.entries if entry[0].raw not in keys))


def _typed(node: Scalar, schema: Schema) -> Scalar:
    """Whole numbers as int, so that 128.0 and 128 are one value from here on."""
    wanted = schema.get("type") == "integer" or schema.keys() & {"enum", "const"}
    if wanted and isinstance(node.value, float) and node.value.is_integer():
        return replace(node, value=int(node.value))
    return node
