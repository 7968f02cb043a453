"""Nodes against the JSON Schema: the same file that editors use decides what a manifest may say.

A walk over the subset of draft-07 that ``schemas/fishpipe.schema.json`` is written in. It renders
templates on the way (a value is judged as what it becomes), unrolls what stands for several things, reports
every problem with its place, and drops what is wrong, so that the next pass can go on with the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from fishpipe.errors import Problem, Span, did_you_mean
from fishpipe.manifest import nodes
from fishpipe.manifest.conform import Schema, admits, conforms, is_number, pattern
from fishpipe.manifest.definitions import definition, load_schema, resolve, segment_fields
from fishpipe.manifest.expansion import CHARACTERS, Expansion
from fishpipe.manifest.nodes import BROKEN, Late, Listing, Node, Scalar, spelled
from fishpipe.manifest.quick import Lines
from fishpipe.manifest.template import TemplateError, is_template, render
from fishpipe.manifest.unroll import Declared, Unroller, are_segments
from fishpipe.manifest.wording import EXPECTED, dotted, home, mismatch

Scope = Mapping[str, Any]

_BY_LANGUAGE: Final = ("text", "shown")


class Checker:
    """One walk over the files; `problems` grows as it goes, `used` names the variables that were read.

    `cross` are problems that no schema shows: names that nobody declares, missing translations.
    """

    def __init__(
        self,
        problems: list[Problem],
        used: set[str],
        locate: Callable[[Span, TemplateError], Span],
        declared: Declared | None = None,
        expansion: Expansion | None = None,
    ) -> None:
        self.problems = problems
        self.cross: list[Problem] = []
        self.used = used
        self.locate = locate
        self.broken: set[str] = set()
        declared = declared or Declared()
        self.unroller = Unroller(self, declared)
        self.lines = Lines(declared.voices, declared.cast)
        self._told = {problem.span for problem in problems}
        self.expansion = expansion or Expansion(problems)

    def check(self, node: Node, name: str, scope: Scope) -> Node | None:
        """The rendered node, where it is what the schema (or its definition NAME) asks for."""
        self.unroller.root = scope
        return self._visit(node, definition(name) if name else load_schema(), (), scope, node.span)

    def script(self, node: Node, name: str, scope: Scope, at: Span) -> Node | None:
        """One script, checked and rendered in its own scope."""
        return self._visit(node, definition("script"), ("scripts", name), scope, at)

    def render(self, node: Node, scope: Scope) -> Node | None:
        """A free-form node (a variable's value) with its templates evaluated."""
        return self._visit(node, {}, ("vars",), scope, node.span)

    def data(self, node: Node, scope: Scope) -> Any:  # noqa: ANN401
        """A free-form node as data, where an expression may be a list or a map; BROKEN where one cannot be had."""
        self.expansion.spend(1, node.span)
        if isinstance(node, Listing):
            items = [self.data(item, scope) for item in node.items]
            return BROKEN if any(item is BROKEN for item in items) else items
        if isinstance(node, nodes.Mapping):
            values = {raw: self.data(value, scope) for raw, _, value in node}
            return BROKEN if any(value is BROKEN for value in values.values()) else values
        return self._evaluated(node, scope) if is_template(node.value) else node.value

    def say(self, span: Span, message: str, hint: str = "") -> None:
        """Report a problem."""
        self._told.add(span)
        self.problems.append(Problem(span, message, hint))

    def _visit(self, node: Node, schema: Schema, path: tuple[str, ...], scope: Scope, at: Span) -> Node | None:
        schema, name = resolve(schema, "")
        self.expansion.spend(1, at)
        if isinstance(node, Scalar) and is_template(node.value) and "const" not in schema:
            rendered = self._rendered(node, scope)
            if rendered is None:
                return None
            as_text = replace(rendered, value=rendered.raw)
            node = as_text if self._fits(as_text, schema) and not self._fits(rendered, schema) else rendered
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches and "properties" not in schema:
            resolved = [resolve(branch, name) for branch in branches]
            checked = self._branch(node, resolved, path, scope, at, (schema, name))
            if name in _BY_LANGUAGE and isinstance(checked, nodes.Mapping):
                return self.unroller.localized(checked, path[-1], scope, at)
            return checked
        match node:
            case Scalar():
                problem = self._scalar(node, schema, name, path)
                self._complain(problem)
                return _typed(node, schema) if problem is None else None
            case Listing():
                return self._list(node, schema, name, path, scope)
            case _:
                return self._map(node, schema, name, path, scope, at)

    def _rendered(self, node: Scalar, scope: Scope) -> Scalar | None:
        value = self._evaluated(node, scope)
        if value is BROKEN:
            return None
        if isinstance(value, (dict, list)):
            self.say(node.span, "the expression is a map or a list; expected text or a number")
            return None
        raw = value if isinstance(value, str) else spelled(value) if is_number(value) else json.dumps(value)
        self.expansion.spend(len(raw) // CHARACTERS, node.span)
        return replace(node, value=value, raw=raw)

    def _evaluated(self, node: Scalar, scope: Scope) -> Any:  # noqa: ANN401
        text = str(node.value)
        self.expansion.spend(2 + len(text) // CHARACTERS, node.span)
        try:
            return render(text, scope, self.used)
        except TemplateError as error:
            if error.variable not in self.broken:
                self.say(self.locate(node.span, error), error.message, error.hint)
            return BROKEN

    def _fits(self, node: Scalar, schema: Schema) -> bool:
        """Whether a rendered value is right as it is; a number where text is wanted becomes text."""
        branches = schema.get("anyOf") or schema.get("oneOf") or ()
        return (
            conforms(node.value, schema)
            if not branches
            else any(self._fits(node, resolve(branch, "")[0]) for branch in branches)
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
        fits = [(schema, name) for schema, name in branches if schema.get("type") == kind and name != "said"]
        if not fits:
            self.say(node.span if isinstance(node, Listing) else at, *mismatch(node, *parent, path))
            return None
        if len(fits) == 1 or isinstance(node, Listing):
            return self._visit(node, fits[0][0], path, scope, at)
        kinds = [schema["required"][0] for schema, _ in fits]
        present = [(raw, key.span) for raw, key, _ in node if raw in kinds]
        label = dotted(path)
        if not present:
            self._none_of(node, [schema for schema, _ in fits], kinds, path, at)
            return replace(node, entries=())
        for other, span in present[1:]:
            self.say(span, f'{label} has both "{present[0][0]}" and "{other}"', "keep one of them")
        schema = fits[kinds.index(present[0][0])][0]
        return self._visit(node.without(*(raw for raw, _ in present[1:])), schema, path, scope, at)

    def _none_of(
        self, node: nodes.Mapping, branches: list[Schema], kinds: list[str], path: tuple[str, ...], at: Span
    ) -> None:
        """A map that is of no kind: blame the keys that no kind knows, or else the lack of a kind."""
        known = {key for schema in branches for key in schema["properties"]}
        unknown = [(raw, key.span) for raw, key, _ in node if raw not in known]
        for raw, span in unknown:
            who = f"write voice: {raw}, and the words as text:" if raw in self.unroller.declared.voices else ""
            hint = who or did_you_mean(raw, kinds) or f"it needs one of: {', '.join(kinds)}"
            self.say(span, f'unknown key "{raw[:60]}" in {dotted(path)}', hint)
        if not unknown:
            names = ", ".join(f'"{kind}"' for kind in kinds)
            self.say(at, f"{dotted(path)} has none of {names}", "it needs exactly one of them")

    def _scalar_branch(self, node: Scalar, branches: list[tuple[Schema, str]], path: tuple[str, ...]) -> Node | None:
        scalars = [(schema, name) for schema, name in branches if name != "template"]
        flat: list[tuple[Schema, str]] = []
        for schema, name in scalars:
            inner = schema.get("anyOf") if "properties" not in schema else None
            flat += [(resolve(s, name)) for s in inner] if inner else [(schema, name)]
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
            self.say(problem.span, problem.message, problem.hint)

    def _list(self, node: Listing, schema: Schema, name: str, path: tuple[str, ...], scope: Scope) -> Node | None:
        if not admits(schema, "array"):
            self.say(node.span, *mismatch(node, schema, name, path))
            return None
        if len(node.items) < schema.get("minItems", 0):
            self.say(node.span, f"{dotted(path)} is empty; expected at least one item")
        items: list[Node] = []
        for number, item in enumerate(node.items, 1):
            line = self.lines.line(item) if are_segments(path) else None
            if line is not None:
                self.expansion.spend(1, item.span)
                items.append(line)
                continue
            for each, deeper, become in self.unroller.items(item, path, scope):
                checked = self._visit(each, schema.get("items", {}), (*path, f"[{number}]"), deeper, each.span)
                if checked is not None:
                    more = become(checked) if become else (checked,)
                    self.expansion.spend(4 * len(more), each.span)
                    items += more
        return replace(node, items=tuple(items))

    def _map(
        self, node: nodes.Mapping, schema: Schema, name: str, path: tuple[str, ...], scope: Scope, at: Span
    ) -> Node | None:
        if not admits(schema, "object"):
            self.say(at, *mismatch(node, schema, name, path))
            return None
        self._required(node, schema, path, at)
        entries: list[tuple[Scalar, Node]] = []
        dropped = set()
        for raw, key, value in node:
            if any(pattern(own).search(raw) for own in schema.get("patternProperties", ())):
                continue
            inner = self._property(raw, key, value, schema, path)
            if inner is None:
                continue
            if path == ("scripts",) and schema:
                entries += self.unroller.variants.scripts(raw, key, value)
                continue
            if raw == "output" and not self.unroller.holds_output(value, scope):
                continue
            waits = _late(node, raw, value, scope) or _raw(value, path, schema)
            is_known = waits is not None and not (isinstance(waits, Late) and not is_template(waits.value))
            checked = waits if is_known else self._visit(value, inner, (*path, raw), scope, key.span)
            checked = waits if checked is not None and waits is not None else checked
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
        label = dotted(path)
        for needed in schema.get("required", ()):
            if needed not in keys:
                near = did_you_mean(needed, [key for key in keys if key not in schema.get("properties", {})])
                const = schema.get("properties", {}).get(needed, {}).get("const")
                hint = near.replace("did you mean", "is it") or f"add {needed}:{'' if const is None else f' {const}'}"
                self.say(at, f'{label} has no "{needed}"', hint)
        options = [branch["required"][0] for branch in schema.get("anyOf", ())]
        if options and not keys.intersection(options):
            self.say(at, f"{label} has neither {' nor '.join(options)}", f"add {options[0]}:")
        forbidden = schema.get("not", {}).get("required")
        if forbidden and keys.issuperset(forbidden):
            self.say(at, f"{label} has both {' and '.join(forbidden)}", "keep one of them")
        if len(node.entries) < schema.get("minProperties", 0):
            self.say(at, f"{label} is empty; expected at least one entry")

    def _property(self, raw: str, key: Scalar, value: Node, schema: Schema, path: tuple[str, ...]) -> Schema | None:
        properties = schema.get("properties", {})
        if raw in properties:
            inner: Schema = properties[raw]
            return inner
        extra = schema.get("additionalProperties", True)
        if extra is False:
            empty = isinstance(value, Scalar) and value.value is None and not value.raw
            comma = "a text with a comma inside of { } needs quotes" if " " in raw or empty else ""
            near = did_you_mean(raw, properties) or home(raw, schema) or comma
            hint = near or f"known: {' '.join(properties)}"
            where = dotted(path) if path else "the manifest"
            self.say(key.span, f'unknown key "{raw[:60]}" in {where}', hint)
            return None
        names, name = resolve(schema.get("propertyNames", {}), "")
        if "pattern" in names and not pattern(names["pattern"]).search(raw):
            if raw in segment_fields() and name in ("cast_name", "voice_key"):
                self.say(key.span, f'"{raw}" cannot be a name here: it is a field of a segment', "choose another")
                return None
            expected = EXPECTED.get(name, "letters, digits and _")
            self.say(key.span, f'"{raw[:60]}" cannot be a name here; expected {expected}')
            return None
        return {} if extra is True else dict(extra)

    def _scalar(self, node: Scalar, schema: Schema, name: str, path: tuple[str, ...]) -> Problem | None:
        value = node.value
        if not conforms(value, schema):
            return Problem(node.span, *mismatch(node, schema, name, path))
        return None


def _late(node: nodes.Mapping, raw: str, value: Node, scope: Scope) -> Late | None:
    """The path of an output that is split: its chapters are not known yet."""
    if raw != "path" or node.get("split") is None or not isinstance(value, Scalar):
        return None
    return Late(value.span, value.value, value.raw, scope=scope)


def _raw(value: Node, path: tuple[str, ...], schema: Schema) -> Node | None:
    """What stays as it is written: variables, which have their own order, and parts of a profile."""
    if not schema:
        return None
    if path[-1:] in (("vars",), ("with",)):
        return value
    in_profile = path[:1] == ("profiles",) and path[2:] in (("voices",), ("scripts",))
    return value if in_profile and isinstance(value, nodes.Mapping) else None


def _typed(node: Scalar, schema: Schema) -> Scalar:
    """Whole numbers as int, so that 128.0 and 128 are one value from here on."""
    wanted = schema.get("type") == "integer" or schema.keys() & {"enum", "const"}
    if wanted and isinstance(node.value, float) and node.value.is_integer():
        return replace(node, value=int(node.value))
    return node


class Everything(set[str]):
    """Contains every name: with a file missing, no name can be called undefined."""

    def __contains__(self, name: object) -> bool:
        return bool(name)
