"""Files → Manifest: reads the manifest and what it includes, and reports all problems at once.

The order: decode, parse, and follow `include`; evaluate `vars` and `project`, which templates may name;
check each file against the schema, rendering on the way; merge; build the model and cross-check it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fishpipe.errors import ManifestError, Problem, Span, UsageError, did_you_mean
from fishpipe.manifest import nodes, source
from fishpipe.manifest.build import Builder
from fishpipe.manifest.crosscheck import crosscheck
from fishpipe.manifest.cues import ACCEPTED
from fishpipe.manifest.nodes import Listing, Scalar, resolve, to_data
from fishpipe.manifest.paths import describe, is_inside, kind_of, near_name, real
from fishpipe.manifest.schema import Checker
from fishpipe.manifest.template import TemplateError, is_template

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fishpipe.manifest.model import Manifest

DEFAULT_NAME: Final = "fishpipe.yaml"
MAX_BYTES: Final = 64_000_000
MOST_FILES: Final = 1000
_MERGED: Final = ("project", "vars", "provider", "budget", "store", "defaults", "voices", "scripts")


def find_manifest(start: Path) -> Path:
    """`fishpipe.yaml` in `start` or the nearest folder above it. Raises UsageError."""
    for folder in (start, *start.parents):
        candidate = folder / DEFAULT_NAME
        if candidate.is_file():
            return candidate
    raise UsageError(f"no {DEFAULT_NAME} here or in a folder above; make one: fishpipe init")


def load(
    path: Path, *, variables: Mapping[str, str] | None = None, allow_outside: bool = False, strict: bool = False
) -> Manifest:
    """The manifest at `path`. Raises ManifestError with every problem found; if `strict`, warnings are problems."""
    overrides = {name: resolve(value) if value else "" for name, value in (variables or {}).items()}
    loader = _Loader(path, overrides, allow_outside=allow_outside)
    manifest = loader.load()
    if manifest is not None:
        loader.problems += crosscheck(manifest, loader.known_scripts, allow_outside=allow_outside)
        loader.problems += manifest.warnings if strict else ()
    if manifest is None or loader.problems:
        raise ManifestError(loader.problems, loader.texts)
    loader.check_overrides()
    return manifest


@dataclass
class _Loader:
    path: Path
    overrides: Mapping[str, Any]
    allow_outside: bool
    problems: list[Problem] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    roots: list[nodes.Mapping] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    seen: set[Path] = field(default_factory=set)
    lines: dict[str, list[str]] = field(default_factory=dict)
    declared: list[str] = field(default_factory=list)
    known_scripts: list[str] = field(default_factory=list)
    incomplete: bool = False

    def load(self) -> Manifest | None:
        queue: list[tuple[Path, Span | None]] = [(self.path, None)]
        while queue:
            queue += self._read(*queue.pop(0))
        if not self.roots:
            return None
        checker = Checker(self.problems, self.used, self._locate)
        scope = self._scope(checker)
        merged: dict[str, list[tuple[Scalar, nodes.Node]]] = {name: [] for name in _MERGED}
        for number, root in enumerate(self.roots):
            checked = checker.check(root, "" if number == 0 else "fragment", scope)
            for raw, key, node in checked if isinstance(checked, nodes.Mapping) else ():
                if raw in merged:
                    merged[raw].append((key, node))
        sections = {name: self._merge(name, nodes) for name, nodes in merged.items()}
        if sections["scripts"] is None and not self.problems:
            self._say(Span(self._shown(self.path)), "no scripts here or in the included files", "add scripts:")
        self.declared = _names(sections["vars"])
        self.known_scripts = _names(sections["scripts"])
        places = (self._find, self._is_accepted)
        builder = Builder(self.path, tuple(self.files), self.folders, sections, self.problems, *places)
        builder.speakers.all_known = not self.incomplete and not any(
            root.get("voices") is not None and sections["voices"] is None for root in self.roots
        )
        return builder.manifest()

    def _say(self, span: Span, message: str, hint: str = "") -> None:
        self.problems.append(Problem(span, message, hint))

    @staticmethod
    def _shown(path: Path) -> str:
        try:
            return os.path.relpath(path)
        except ValueError:
            return str(path)

    def _read(self, path: Path, named_at: Span | None) -> list[tuple[Path, Span | None]]:
        """Take one file in; returns the files that it includes."""
        shown = self._shown(path)
        whole = real(path)
        if whole in self.seen:
            self._say(named_at or Span(shown), f"{shown} is included twice, or includes itself", "remove one")
            return []
        data = self._bytes(path, named_at or Span(shown), included=named_at is not None)
        if data is None or whole is None:
            self.incomplete = True
            return []
        self.seen.add(whole)
        self.files.append(path)
        text, problems = source.decode(data, shown)
        self.texts[shown] = text
        self.folders[shown] = path.parent.absolute()
        self.problems += problems
        if not text and problems:
            return []
        node, problems = source.parse(text, shown)
        self.problems += problems
        if node is None or (isinstance(node, Scalar) and node.value is None):
            if not problems:
                hint = "" if named_at else "make one: fishpipe init"
                self._say(Span(shown), "the file is empty; expected a manifest", hint)
        elif isinstance(node, nodes.Mapping):
            self.roots.append(node)
            return self._follow(node, path.parent)
        else:
            found = "a list" if isinstance(node, Listing) else "text"
            self._say(node.span, f"the file is {found}; expected a map that begins with fishpipe: 1")
        self.incomplete = True
        return []

    def _bytes(self, path: Path, at: Span, *, included: bool) -> bytes | None:
        shown, kind = self._shown(path), kind_of(path)
        if included and kind == "file" and not self.allow_outside and not is_inside(path, self.path.parent):
            self._say(at, f"{shown} is outside of the project", "move it in, or use --allow-outside")
        elif kind != "file":
            shown = shown if shown.isprintable() else "the file"
            self._say(at, f"{shown} {describe(kind)}", near_name(path) if kind == "missing" else "")
        else:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) <= MAX_BYTES:
                return data
            self._say(at, f"{shown} is larger than 64 MB")
        return None

    def _follow(self, root: nodes.Mapping, folder: Path) -> list[tuple[Path, Span | None]]:
        node = root.get("include")
        items = node.items if isinstance(node, Listing) else (node,) if node is not None else ()
        found: list[tuple[Path, Span | None]] = []
        for item in items:
            if not isinstance(item, Scalar) or not isinstance(item.value, str) or not item.value.strip():
                continue
            if is_template(item.value):
                self._say(item.span, "include takes no templates", "write the path out")
            elif len(self.seen) + len(found) < MOST_FILES:
                found.append((folder / item.value, item.span))
            else:
                self._say(item.span, f"more than {MOST_FILES} files are included")
                break
        return found

    def _scope(self, checker: Checker) -> dict[str, Any]:
        """What templates can name: the variables (each may use those above it), `vars` and `project`."""
        variables: dict[str, Any] = dict(self.overrides)
        for root in self.roots:
            declared = root.get("vars")
            for raw, _, node in declared if isinstance(declared, nodes.Mapping) else ():
                rendered = checker.render(node, {**variables, "vars": variables})
                if raw in self.overrides:
                    continue
                if rendered is None:
                    checker.broken.add(raw)
                else:
                    variables[raw] = to_data(rendered)
        scope: dict[str, Any] = {**variables, "vars": variables}
        # What is wrong with a field of the project is reported where the whole is checked.
        silent = Checker([], self.used, self._locate)
        project: dict[str, Any] = {}
        for root in self.roots:
            declared = root.get("project")
            for raw, _, node in declared if isinstance(declared, nodes.Mapping) else ():
                rendered = silent.render(node, {**scope, "project": project})
                if rendered is None:
                    checker.broken.add(raw)
                else:
                    project[raw] = to_data(rendered)
        if self.incomplete:
            checker.broken = _Everything()
        return {**scope, "project": project}

    def _merge(self, name: str, found: list[tuple[Scalar, nodes.Node]]) -> nodes.Node | None:
        if len(found) < 2:
            return found[0][1] if found else None
        entries: dict[str, tuple[Scalar, nodes.Node]] = {}
        first_section, first_node = found[0]
        for section, node in found:
            if not isinstance(node, nodes.Mapping) or not isinstance(first_node, nodes.Mapping):
                if section is not first_section:
                    self._say(section.span, f"{name} is given twice", f"the first is at {first_section.span}")
                continue
            for raw, key, value in node:
                if raw in entries:
                    first = entries[raw][0].span
                    self._say(key.span, f'"{raw}" is given twice in {name}', f"the first is at {first}")
                else:
                    entries[raw] = (key, value)
        return nodes.Mapping(first_section.span, tuple(entries.values()))

    def check_overrides(self) -> None:
        """Raise UsageError for a --var that nothing declares or uses."""
        for name in self.overrides:
            if name not in self.declared and name not in self.used:
                hint = did_you_mean(name, self.declared) or f"declare it under vars in {self._shown(self.path)}"
                raise UsageError(f'--var {name}: the manifest has no variable "{name}"; {hint}')

    def _locate(self, span: Span, error: TemplateError) -> Span:
        """The place of an expression (or of the name in it) inside of the value at `span`, where it can be found."""
        found = self._find(span, error.expression)
        if found is span:
            return span
        name = re.search(rf"\b{re.escape(error.variable)}\b", error.expression) if error.variable else None
        length = len(error.variable) if name else len(error.expression)
        return Span(span.file, found.line, found.column + (name.start() if name else 0), length)

    def _find(self, span: Span, words: str, earlier: int = 0) -> Span:
        """The place of some words inside of the value at `span`, after `earlier` others of their kind.

        `span` itself where they cannot be found.
        """
        lines = self._lines(span.file)
        for number in range(span.line, min(span.line + 200, len(lines) + 1)):
            at = span.column - 2 if number == span.line else -1
            while words and (at := lines[number - 1].find(words, at + 1)) >= 0:
                if earlier == 0:
                    return Span(span.file, number, at + 1, len(words))
                earlier -= 1
        return span

    def _is_accepted(self, span: Span) -> bool:
        """Whether the line says that what looks odd in it is meant."""
        lines = self._lines(span.file)
        return span.line <= len(lines) and ACCEPTED in lines[span.line - 1]

    def _lines(self, file: str) -> list[str]:
        if file not in self.lines:
            self.lines[file] = self.texts.get(file, "").split("\n")
        return self.lines[file]


class _Everything(set[str]):
    """Contains every name: with a file missing, no name can be called undefined."""

    def __contains__(self, name: object) -> bool:
        return bool(name)


def _names(section: nodes.Node | None) -> list[str]:
    return [raw for raw, _, _ in section] if isinstance(section, nodes.Mapping) else []
