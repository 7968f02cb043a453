"""Scripts in the scopes that they are needed in: one for each combination of a matrix, one for each inclusion."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from fishpipe.errors import did_you_mean
from fishpipe.manifest import nodes
from fishpipe.manifest.definitions import is_pattern, is_variable
from fishpipe.manifest.expansion import CHARACTERS
from fishpipe.manifest.matrix import Combination, agrees, combinations
from fishpipe.manifest.nodes import BROKEN, Listing, Node, Scalar
from fishpipe.manifest.template import is_template

if TYPE_CHECKING:
    from fishpipe.manifest.unroll import Unroller

Scope = Mapping[str, Any]

_MOST: Final = 10_000
_DEEPEST: Final = 40
_MOST_GIVEN: Final = 16_000_000
_MADE: Final = ("output", "outputs", "clips")


class Variants:
    """The scripts that one manifest's scripts become; `family` has the script as written behind each."""

    def __init__(self, unroller: Unroller) -> None:
        self.unroller = unroller
        self.family: dict[str, str] = {}
        self.off: set[str] = set()
        self._waiting: dict[str, tuple[str, Scope]] = {}
        self._names: dict[str, str] = {}
        self._depths: dict[str, int] = {}
        self._given_size = 0
        self._numbers: dict[str, int] = {}
        self._taken: set[str] = set(unroller.declared.scripts)
        self._variants: dict[str, dict[str, Combination]] = {}
        scripts = unroller.declared.scripts
        named = frozenset(_included(scripts.values()))
        patterns = [name for name in named if is_pattern(name)]
        self._included = named | {raw for raw in scripts for one in patterns if fnmatchcase(raw, one)}

    def scripts(self, raw: str, key: Scalar, node: Node) -> Iterator[tuple[Scalar, Node]]:
        """What becomes of one script: itself, or one of each combination of its matrix, or nothing yet.

        A fragment that others include waits until it is known in which scopes it is needed.
        """
        if isinstance(node, nodes.Mapping) and self._is_fragment(raw, node):
            return
        yield from self._made(raw, key, node)

    def rest(self) -> Iterator[tuple[Scalar, Node]]:
        """The fragments, in each scope that they are needed in, and those that nothing needs."""
        keys, nodes_ = self.unroller.declared.keys, self.unroller.declared.scripts
        left = {raw: None for raw, node in nodes_.items() if self._is_fragment(raw, node)}
        while self._waiting or left:
            if self._waiting:
                name = next(iter(self._waiting))
                raw, scope = self._waiting.pop(name)
                left.pop(raw, None)
                # What is made for an inclusion is heard there, and writes no files of its own.
                node = nodes_[raw] if name == raw else nodes_[raw].without(*_MADE)
                yield from self._checked(name, raw, keys[raw], node, scope)
            else:
                raw = next(iter(left))
                left.pop(raw)
                yield from self._made(raw, keys[raw], nodes_[raw])

    def _check_given(self, raw: str, given: nodes.Mapping) -> None:
        """Variables that an included script is given, and that nothing in it names, are slips."""
        words = _expressions(self.unroller.declared.scripts[raw])
        for name, key, _ in given:
            if words is not None and name not in words and "vars" not in words:
                hint = did_you_mean(name, words) or "remove it, or hand it on: with: {" + name + ": …}"
                self.unroller.cross(key.span, f'script {raw} does not read "{name}"', hint)

    def _is_fragment(self, raw: str, node: nodes.Mapping) -> bool:
        return raw in self._included and not any(node.get(name) is not None for name in _MADE)

    def _made(self, raw: str, key: Scalar, node: Node) -> Iterator[tuple[Scalar, Node]]:
        if not isinstance(node, nodes.Mapping):
            yield from self._checked(raw, raw, key, node, self.unroller.root)
            return
        scope = self.unroller.in_language(node, self.unroller.root)
        for name, combination in self._combinations(raw, node).items():
            if self.unroller.counted(key.span):
                yield from self._checked(name, raw, key, node, _of(scope, combination))

    def _checked(self, name: str, raw: str, key: Scalar, node: Node, scope: Scope) -> Iterator[tuple[Scalar, Node]]:
        scope = {**scope, "script": {"name": name}}
        if isinstance(node, nodes.Mapping):
            if not self.unroller.holds(node.get("when"), scope):
                self.off.add(name)
                return
            node = node.without("when", "matrix")
        self.family[name] = raw
        checked = self.unroller.checker.script(node, raw, scope, key.span)
        if isinstance(checked, nodes.Mapping) and scope.get("language") is not None:
            checked = checked.without("language").having(language=str(scope["language"]))
        yield replace(key, raw=name, value=name), checked or nodes.Mapping(key.span, ())

    def _combinations(self, raw: str, node: nodes.Mapping) -> dict[str, Combination]:
        """The variants of a script, by name; one without a matrix is its only one."""
        if raw not in self._variants:
            matrix = node.get("matrix")
            self._variants[raw] = {raw: {}} if matrix is None else self._matrix(raw, matrix)
        return self._variants[raw]

    def _matrix(self, raw: str, node: Node) -> dict[str, Combination]:
        if not isinstance(node, nodes.Mapping) or not node.entries:
            self.unroller.checker.say(
                node.span, "matrix takes names, each with its list of values", "matrix: {language: [en, de]}"
            )
            return {}
        parts = self._matrix_values(node)
        include, exclude = parts.pop("include", []), parts.pop("exclude", [])
        found: dict[str, Combination] = {}
        if math.prod(map(len, parts.values())) + len(include) > _MOST:
            self.unroller.checker.say(node.span, f"this matrix has more than {_MOST:,} combinations")
            return {}
        steps = math.prod(map(len, parts.values())) * (1 + len(include) + len(exclude))
        self.unroller.checker.expansion.blame(node.span)
        self.unroller.checker.expansion.spend(steps, node.span)
        self._check_exclude(node.get("exclude"), exclude, parts)
        for combination in combinations(parts, include, exclude):
            label = ".".join([raw, *(slug(value) for name, value in combination.items() if name in parts or not parts)])
            found[self._free(label)] = combination
        if not found and exclude and len(parts) == len(node.without("include", "exclude").entries):
            self.unroller.cross(node.span, "exclude leaves no combination of this matrix", "")
        return found

    def _free(self, name: str) -> str:
        """A name that no script has: this one, or numbered."""
        number, free = self._numbers.get(name, 1), name
        while free in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._numbers[name] = number
        self._taken.add(free)
        return free

    def _matrix_values(self, node: nodes.Mapping) -> dict[str, list[Any]]:
        """The values of a matrix by name, those of include and exclude too; what is none of these is told."""
        parts: dict[str, list[Any]] = {}
        for name, key, value in node:
            if not is_variable(name):
                self.unroller.checker.say(
                    key.span, f'"{name[:60]}" cannot be a name here; expected letters, digits and _'
                )
                continue
            special = name in ("include", "exclude")
            if not (isinstance(value, Listing) and (special or value.items)) and (
                special or not is_template(getattr(value, "value", None))
            ):
                self.unroller.checker.say(value.span, f"{name} in a matrix takes a list", f"{name}: [one, two]")
                continue
            if (
                special
                and isinstance(value, Listing)
                and (odd := next((i for i in value.items if not isinstance(i, nodes.Mapping)), None))
            ):
                self.unroller.checker.say(odd.span, f"{name} takes maps", f"{name}: [{{language: de}}]")
                continue
            data = self.unroller.checker.data(value, self.unroller.root)
            if isinstance(data, list):
                parts[name] = data
            elif data is not BROKEN:
                self.unroller.cross(value.span, f"{name} in a matrix needs a list; the expression is none")
        return parts

    def _check_exclude(self, node: Node | None, exclude: list[Any], parts: Mapping[str, list[Any]]) -> None:
        """What excludes nothing is a slip: it would be paid for."""
        whole = combinations(parts) if exclude else []
        for item, out in zip(node.items if isinstance(node, Listing) else (), exclude, strict=False):
            odd = next((name for name in out if name not in parts), None)
            if odd is not None:
                hint = did_you_mean(odd, parts) or f"it has {', '.join(parts)}"
                self.unroller.cross(item.span, f'exclude names "{odd}", which is no key of this matrix', hint)
            elif not any(agrees(one, out) for one in whole):
                self.unroller.cross(item.span, "this excludes no combination of the matrix", "mend its values")

    def inclusions(self, checked: Node, scope: Scope) -> Sequence[Node]:
        """`script: NAME` by the names of the scripts that are meant."""
        named = checked.get("script") if isinstance(checked, nodes.Mapping) else None
        if not isinstance(checked, nodes.Mapping) or not isinstance(named, Scalar):
            return (checked,)
        own = checked.get("with")
        given = (
            {raw: self.unroller.checker.data(value, scope) for raw, _, value in own}
            if isinstance(own, nodes.Mapping)
            else {}
        )
        given = {name: value for name, value in given.items() if value is not BROKEN}
        bare = checked.without("with", "script")
        script = next(key for key, _ in checked.entries if key.raw == "script")
        names = list(self._meant(named, given, scope))
        raw = self._family_of(str(named.value))
        if raw is not None and isinstance(own, nodes.Mapping):
            self._check_given(raw, own)
        return [
            replace(
                bare if n == 0 else bare.without("id", "chapter"),
                entries=((script, replace(named, value=name, raw=name)), *bare.entries),
            )
            for n, name in enumerate(names)
            if name not in self.off
        ]

    def _meant(self, named: Scalar, given: Mapping[str, Any], scope: Scope) -> Iterator[str]:
        word = str(named.value)
        if not is_pattern(word):
            yield from self._variant(named, word, given, scope)
            return
        here = self.family.get(scope.get("script", {}).get("name", ""), "")
        found = [raw for raw in self.unroller.declared.scripts if raw != here and fnmatchcase(raw, word)]
        if not found and self.unroller.declared.complete:
            self.unroller.cross(
                named.span, f'no script is called like "{word}"', did_you_mean(word, self.unroller.declared.scripts)
            )
        for raw in found:
            yield from self._variant(named, raw, given, scope)

    def _variant(self, named: Scalar, word: str, given: Mapping[str, Any], scope: Scope) -> Iterator[str]:
        raw = self._family_of(word)
        if raw is None:
            yield word
            return
        node = self.unroller.declared.scripts[raw]
        variants = self._combinations(raw, node)
        if node.get("matrix") is not None:
            context = {**scope.get("matrix", {}), **({"language": scope["language"]} if scope.get("language") else {})}
            fitting = [name for name, one in variants.items() if name == word or (word == raw and _fits(one, context))]
            if len(fitting) > 1:
                self.unroller.cross(
                    named.span, f"script {raw} has {len(fitting)} variants", f"name one, such as {fitting[0]}"
                )
            elif not fitting and variants:
                self.unroller.cross(
                    named.span, f"no variant of script {raw} goes with this one", f"it has {', '.join(variants)}"
                )
            word = fitting[0] if fitting else word
        yield self._asked(raw, word, variants.get(word, {}), given, scope)

    def _asked(
        self,
        raw: str,
        name: str,
        combination: Combination,
        given: Mapping[str, Any],
        scope: Scope,
    ) -> str:
        """The name of a script in the scope that it is included from; it is made where it was not yet."""
        node = self.unroller.declared.scripts[raw]
        inner = _of(self.unroller.in_language(node, self.unroller.root), combination)
        spoken = scope.get("language")
        label = [name]
        if spoken != inner.get("language") and node.get("language") is None and "language" not in combination:
            inner = {**inner, "language": spoken}
            label.append(slug(spoken))
        if given:
            inner = {**inner, **given, "vars": {**inner.get("vars", {}), **given}}
            label += [slug(value) for value in given.values()]
        key = json.dumps([name, label[1:], given], default=str, sort_keys=True)
        self.unroller.checker.expansion.spend(1 + len(key) // CHARACTERS, node.span)
        if not self.unroller.holds(node.get("when"), {**inner, "script": {"name": name}}):
            self.off.add(".".join(label))
            return ".".join(label)
        if len(label) == 1 and not self._is_fragment(raw, node):
            return name
        if key not in self._names:
            depth = self._depths.get(str(scope.get("script", {}).get("name")), 0) + 1
            if depth > _DEEPEST:
                message = f"script {raw} is included deeper than {_DEEPEST} levels"
                self.unroller.checker.say(node.span, message, "let it include itself no more")
                return raw
            self._given_size += len(key)
            if self._given_size > _MOST_GIVEN:
                self.unroller.checker.say(node.span, "what scripts are included with grows beyond 16 MB")
                return raw
            self._names[key] = self._free(".".join(label)) if len(label) > 1 else name
            self._depths[self._names[key]] = depth
            if self.unroller.counted(node.span):
                self._waiting[self._names[key]] = (raw, inner)
        return self._names[key]

    def _family_of(self, word: str) -> str | None:
        """The script as written that a name means: it, or the one that this is a variant of."""
        if word in self.unroller.declared.scripts:
            return word
        bases = [raw for raw in self.unroller.declared.scripts if word.startswith(f"{raw}.")]
        return next(
            (raw for raw in bases if word in self._combinations(raw, self.unroller.declared.scripts[raw])), None
        )


def slug(value: object) -> str:
    """A value as a part of a name: its words, joined by dashes."""
    if isinstance(value, Mapping):
        value = next(iter(value.values()), "")
    text = "true" if value is True else "false" if value is False else str(value)
    return re.sub(r"[^\w.]+", "-", text[:60]).strip("-.") or "none"


def _of(scope: Scope, combination: Combination) -> Scope:
    if not combination:
        return scope
    spoken = {"language": str(combination["language"])} if "language" in combination else {}
    return {**scope, "matrix": combination, **spoken}


def _fits(combination: Combination, context: Mapping[str, Any]) -> bool:
    return all(combination[name] == context[name] for name in combination.keys() & context.keys())


def _included(scripts: Collection[Node]) -> Iterator[str]:
    """The names of scripts that others include, as written; patterns are spelled out by their matches."""
    waiting: list[Node] = [node.get("segments") or node for node in scripts if isinstance(node, nodes.Mapping)]
    while waiting:
        node = waiting.pop()
        for item in node.items if isinstance(node, Listing) else ():
            if isinstance(item, nodes.Mapping):
                for key, value in item.entries:
                    if key.raw == "script" and isinstance(value, Scalar):
                        yield str(value.value)
                    elif key.raw == "segments":
                        waiting.append(value)


def _expressions(node: Node) -> set[str] | None:
    """The names in all expressions below a node; None where a text file may have others."""
    found: set[str] = set()
    waiting: list[tuple[str, Node]] = [("", node)]
    while waiting:
        key, inner = waiting.pop()
        if isinstance(inner, nodes.Mapping):
            if inner.get("text_file") is not None:
                return None
            waiting += [(raw, value) for raw, _, value in inner]
        elif isinstance(inner, Listing):
            waiting += [(key, item) for item in inner.items]
        elif isinstance(inner.value, str) and (is_template(inner.value) or key == "when"):
            found |= set(re.findall(r"[A-Za-z_]\w*", inner.value))
    return found
