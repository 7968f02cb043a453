"""What stands for several things → those things: short forms, `for_each`, `when`, languages.

Each copy is checked and rendered in a scope of its own, at the place where it was written once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.errors import Problem, Span, did_you_mean
from fishpipe.manifest import nodes
from fishpipe.manifest.definitions import is_variable, main_language, segment_fields
from fishpipe.manifest.nodes import BROKEN, Listing, Node, Scalar
from fishpipe.manifest.template import is_template
from fishpipe.manifest.textfiles import spread_document
from fishpipe.manifest.variants import Variants

if TYPE_CHECKING:
    from fishpipe.manifest.documents import Document
    from fishpipe.manifest.schema import Checker

Scope = Mapping[str, Any]
Become = Callable[[Node], Sequence[Node]]
Item = tuple[Node, Scope, Become | None]

MOST_COPIES: Final = 10_000
_REPEATED: Final = frozenset({"for_each", "when", "language", "text_file", "dialogue", "script"})


def _no_place(node: Scalar, _number: int, _words: str) -> Span:
    return node.span


class Declared(Struct, frozen=True):
    """What the files declare by name, before anything is rendered; not `complete` where a file is missing.

    `read` takes a text file in (None where it cannot be had), `line` finds a line of a value in its file.
    """

    voices: Collection[str] = ()
    cast: Collection[str] = ()
    scripts: Mapping[str, nodes.Mapping] = field(default_factory=dict)
    keys: Mapping[str, Scalar] = field(default_factory=dict)
    complete: bool = True
    read: Callable[[Scalar], Document | None] | None = None
    files: Callable[[Scalar], list[str]] | None = None
    line: Callable[[Scalar, int, str], Span] = _no_place


def are_segments(path: tuple[str, ...]) -> bool:
    """Whether a list of this path is that of a script, or of a group in one."""
    return path[:1] == ("scripts",) and path[-1] == "segments"


class Unroller:
    """Unrolls for one Checker; `root` is the scope of the whole manifest."""

    def __init__(self, checker: Checker, declared: Declared) -> None:
        self.checker, self.declared = checker, declared
        self.root: Scope = {}
        self.variants = Variants(self)
        self._copies = 0

    # Segments

    def items(self, item: Node, path: tuple[str, ...], scope: Scope) -> Iterator[Item]:
        """What an item of a list stands for: each with its scope, and what becomes of it when checked."""
        if are_segments(path):
            yield from self._segment(item, scope)
        elif path[:1] != ("scripts",) or path[2:] != ("outputs",) or self.holds_output(item, scope):
            yield item, scope, None

    def holds_output(self, node: Node, scope: Scope) -> bool:
        """Whether an output is to be made by its `when`."""
        return not isinstance(node, nodes.Mapping) or self.holds(node.get("when"), scope)

    def _segment(self, node: Node, scope: Scope) -> Iterator[Item]:
        if not isinstance(node, nodes.Mapping):
            words = nodes.Mapping(node.span, ((Scalar(node.span, "text", "text"), node),))
            yield words if isinstance(node, Scalar) and node.value is not None else node, scope, None
            return
        if len(node.entries) == 1 and node.entries[0][0].raw not in segment_fields():
            yield self._said(node, scope)
            return
        keys = _REPEATED.intersection([key.raw for key, _ in node.entries])
        if not keys:
            yield node, scope, None
            return
        scope = self.in_language(node, scope)
        bare = node.without("for_each", "when")
        for index, deeper in enumerate(self._each(node.get("for_each"), scope), 1):
            if not self.holds(node.get("when"), deeper):
                continue
            if "text_file" in keys:
                yield from self._files(_numbered(bare, index) if "for_each" in keys else bare, deeper)
            else:
                yield self._one(_numbered(bare, index) if "for_each" in keys else bare, deeper, keys)

    def _one(self, node: nodes.Mapping, scope: Scope, keys: frozenset[str]) -> Item:
        if "script" in keys:
            return node, scope, lambda checked: self.variants.inclusions(checked, scope)
        if "dialogue" in keys:
            return node, scope, self._lines
        return node, scope, None

    def _files(self, node: nodes.Mapping, scope: Scope) -> Iterator[Item]:
        """The text files of a segment: one, one by language, or those of a folder or a pattern."""
        path = node.get("text_file")
        if isinstance(path, nodes.Mapping):
            path = by_language(path, str(scope.get("language") or ""))
        if not isinstance(path, Scalar) or not isinstance(path.value, str) or self.declared.files is None:
            yield node, scope, lambda _: ()
            return
        value = self.checker.data(path, scope)
        written = replace(path, value=value, raw=str(value))
        for name in self.declared.files(written) if isinstance(value, str) else [""]:
            one = replace(written, value=name, raw=name) if name else path
            entries = [(key, one if key.raw == "text_file" and name else old) for key, old in node.entries]
            document = self.declared.read(one) if self.declared.read and name else None
            yield self._file(replace(node, entries=tuple(entries)), document, scope)

    def _file(self, node: nodes.Mapping, document: Document | None, scope: Scope) -> Item:
        deeper = {**scope, **document.front} if document else scope
        return node, deeper, lambda checked: self._paragraphs(checked, document, deeper)

    def _said(self, node: nodes.Mapping, scope: Scope) -> Item:
        """`NAME: words`: who speaks is added when the words are checked."""
        (key, words) = node.entries[0]
        text = nodes.Mapping(node.span, ((replace(key, raw="text"), words),))
        who = key.raw
        kind = "voice" if who in self.declared.voices else "cast" if who in self.declared.cast else ""
        if not kind and self.declared.complete:
            near = did_you_mean(who, [*self.declared.voices, *self.declared.cast])
            near = near or (did_you_mean(who, segment_fields()) if who.islower() else "")
            self.cross(
                key.span,
                f'"{who[:60]}" is no voice, and no field of a segment',
                near or f'declare it under voices, or quote the text: "{who[:20]}: …"',
            )
        speaker = (Scalar(key.span, kind, kind), Scalar(key.span, who, who))

        def become(checked: Node) -> Sequence[Node]:
            if not isinstance(checked, nodes.Mapping):
                return (checked,)
            if not kind:
                return (replace(checked, dropped=frozenset({"voice"})),)
            return (replace(checked, entries=(*checked.entries, speaker)),)

        return text, scope, become

    def _lines(self, checked: Node) -> Sequence[Node]:
        if not isinstance(checked, nodes.Mapping):
            return ()
        from fishpipe.manifest.dialogue import spread_dialogue

        known = (self.declared.voices, self.declared.cast) if self.declared.complete else None
        return list(spread_dialogue(checked, known, self.declared.line, self.cross))

    def _paragraphs(self, checked: Node, document: Document | None, scope: Scope) -> Sequence[Node]:
        if document is None or not isinstance(checked, nodes.Mapping):
            return ()

        def rendered(words: Scalar) -> Scalar | None:
            node = self.checker.render(words, scope) if is_template(words.value) else words
            return node if isinstance(node, Scalar) else None

        return list(spread_document(checked, document, rendered))

    def localized(self, node: nodes.Mapping, label: str, scope: Scope, at: Span) -> Node | None:
        """The text of a map by language; a translation that is missing is told."""
        language = scope.get("language")
        if not node.entries:
            return None
        if language is None:
            self.cross(at, f"{label} is by language, and no language is set", "set project: {language: …}, or a matrix")
            return None
        chosen = by_language(node, str(language))
        if chosen is None:
            have = ", ".join(key for key, _, _ in node)
            self.cross(at, f"{label} has no {language}; it has {have}", f"add {language}:")
        return chosen if isinstance(chosen, Scalar) else None

    # Conditions, repetitions and languages

    def holds(self, node: Node | None, scope: Scope) -> bool:
        """Whether a `when` is true, or absent."""
        if node is None:
            return True
        if not isinstance(node, Scalar) or not (
            isinstance(node.value, bool) or (isinstance(node.value, str) and node.value.strip())
        ):
            self.checker.say(node.span, "when takes true, false or an expression", "such as when: season > 1")
            return True
        if isinstance(node.value, bool):
            return node.value
        text = node.value if is_template(node.value) else f"{{{{ {node.value} }}}}"
        value = self.checker.data(replace(node, value=text), scope)
        return bool(value)

    def _each(self, node: Node | None, scope: Scope) -> Iterator[Scope]:
        if node is None:
            yield scope
            return
        name, source = "item", node
        if isinstance(node, nodes.Mapping):
            names = [raw for raw, _, _ in node]
            if len(names) != 1 or not is_variable(names[0]):
                self.checker.say(
                    node.span, "for_each takes a list, or one name and its list", "for_each: {guest: [Ana, Ben]}"
                )
                return
            name, source = names[0], node.entries[0][1]
        if not isinstance(source, Listing) and not (isinstance(source, Scalar) and is_template(source.value)):
            self.checker.say(source.span, "for_each takes a list, or an expression that is one", "for_each: [Ana, Ben]")
            return
        values = self.checker.data(source, scope)
        if isinstance(values, list):
            for index, value in enumerate(values, 1):
                if self.counted(source.span):
                    yield {**scope, name: value, "index": index}
        elif values is not BROKEN:
            self.cross(source.span, "for_each needs a list; the expression is none", "")

    def in_language(self, node: nodes.Mapping, scope: Scope) -> Scope:
        """The scope of what may set a language of its own."""
        own = node.get("language")
        if not isinstance(own, Scalar) or own.value is None:
            return scope
        value = self.checker.data(own, scope)
        return {**scope, "language": value} if isinstance(value, str) else scope

    def counted(self, at: Span) -> bool:
        """Whether there may be one copy more."""
        self._copies += 1
        self.checker.expansion.blame(at)
        self.checker.expansion.spend(4, at)
        if self._copies == MOST_COPIES + 1:
            self.checker.say(at, f"this manifest unrolls to more than {MOST_COPIES:,} copies")
        return self._copies <= MOST_COPIES

    def cross(self, span: Span, message: str, hint: str = "") -> None:
        """Report what no schema shows."""
        self.checker.cross.append(Problem(span, message, hint))


def by_language(node: nodes.Mapping, language: str) -> Node | None:
    """What a map by language has for one: it, what it is a kind of (pt for pt-BR), or another kind of that."""
    wanted = language.casefold()
    entries = {raw.casefold(): value for raw, _, value in node}
    main = main_language(language)
    kin = (value for tag, value in entries.items() if main_language(tag) == main)
    return entries.get(wanted) or entries.get(main) or next(kin, None)


def _numbered(node: nodes.Mapping, index: int) -> nodes.Mapping:
    """An id that is the same for all items is one for each."""
    given = node.get("id")
    if not isinstance(given, Scalar) or is_template(given.value):
        return node
    label = f"{given.raw}-{index}"
    entries = [
        (key, replace(given, value=label, raw=label) if key.raw == "id" else value) for key, value in node.entries
    ]
    return replace(node, entries=tuple(entries))
