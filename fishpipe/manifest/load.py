"""Files → Manifest: reads the manifest and what it includes, and reports all problems at once.

The order: decode, parse, and follow `include`; evaluate `vars` and `project`, which templates may name;
check each file against the schema, rendering on the way; merge; build the model and cross-check it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fishpipe.errors import ManifestError, Problem, Span, UsageError, did_you_mean
from fishpipe.manifest import source
from fishpipe.manifest.build import Builder
from fishpipe.manifest.crosscheck import crosscheck
from fishpipe.manifest.schema import Checker, to_data
from fishpipe.manifest.source import Listing, Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fishpipe.manifest.model import Manifest

DEFAULT_NAME: Final = "fishpipe.yaml"
MAX_BYTES: Final = 64_000_000
_MERGED: Final = ("project", "vars", "provider", "budget", "defaults", "voices", "scripts")


def find_manifest(start: Path) -> Path:
    """`fishpipe.yaml` in `start` or the nearest folder above it. Raises UsageError."""
    for folder in (start, *start.parents):
        candidate = folder / DEFAULT_NAME
        if candidate.is_file():
            return candidate
    raise UsageError(f"no {DEFAULT_NAME} here or in a folder above; make one: fishpipe init")


def load(path: Path, *, variables: Mapping[str, str] | None = None, allow_outside: bool = False) -> Manifest:
    """The manifest at `path`. Raises ManifestError with every problem found."""
    loader = _Loader(path, {name: source.resolve(value) for name, value in (variables or {}).items()})
    manifest = loader.load()
    if manifest is not None:
        loader.problems += crosscheck(manifest, allow_outside=allow_outside)
    if manifest is None or loader.problems:
        raise ManifestError(loader.problems, loader.texts)
    return manifest


def contract_data(path: Path) -> tuple[Any, bool]:
    """The manifest as plain data, as an editor would judge it by the schema, and whether it is free of YAML errors."""
    text, problems = source.decode(path.read_bytes(), str(path))
    node, more = source.parse(text, str(path)) if text else (None, [])
    return (to_data(node) if node is not None else None), not problems and not more


@dataclass
class _Loader:
    path: Path
    overrides: Mapping[str, Any]
    problems: list[Problem] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    roots: list[source.Mapping] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def load(self) -> Manifest | None:
        self._read(self.path, None)
        if not self.roots:
            return None
        checker = Checker(self.problems, self.used, self._locate)
        scope = self._scope(checker)
        merged: dict[str, list[tuple[Scalar, source.Node]]] = {name: [] for name in _MERGED}
        for number, root in enumerate(self.roots):
            checked = checker.check(root, "" if number == 0 else "fragment", scope)
            for raw, key, node in checked if isinstance(checked, source.Mapping) else ():
                if raw in merged:
                    merged[raw].append((key, node))
        sections = {name: self._merge(name, nodes) for name, nodes in merged.items()}
        if sections["scripts"] is None and not self.problems:
            self._say(Span(self._shown(self.path)), "no scripts here or in the included files", "add scripts:")
        self._check_overrides(sections["vars"])
        return Builder(self.path, tuple(self.files), self.folders, sections, self.problems).manifest()

    def _say(self, span: Span, message: str, hint: str = "") -> None:
        self.problems.append(Problem(span, message, hint))

    @staticmethod
    def _shown(path: Path) -> str:
        try:
            return os.path.relpath(path)
        except ValueError:
            return str(path)

    def _read(self, path: Path, named_at: Span | None) -> None:
        shown = self._shown(path)
        if path.resolve() in {file.resolve() for file in self.files}:
            self._say(named_at or Span(shown), f"{shown} is included twice", "remove one")
            return
        data = self._bytes(path, named_at or Span(shown))
        if data is None:
            return
        self.files.append(path)
        text, problems = source.decode(data, shown)
        self.texts[shown] = text
        self.folders[shown] = path.parent
        self.problems += problems
        if not text and problems:
            return
        node, problems = source.parse(text, shown)
        self.problems += problems
        if node is None or (isinstance(node, Scalar) and node.value is None):
            if not problems:
                self._say(Span(shown), "the file is empty; expected a manifest", "make one: fishpipe init")
        elif isinstance(node, source.Mapping):
            self.roots.append(node)
            self._follow(node, path.parent)
        else:
            found = "a list" if isinstance(node, Listing) else "text"
            self._say(node.span, f"the file is {found}; expected a map that begins with fishpipe: 1")

    def _bytes(self, path: Path, at: Span) -> bytes | None:
        shown = self._shown(path)
        try:
            if path.is_dir():
                self._say(at, f"{shown} is a folder; expected a file")
                return None
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            self._say(at, f"{shown} does not exist", did_you_mean(path.name, _siblings(path)))
        except (OSError, ValueError) as error:
            self._say(at, f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}")
        else:
            if len(data) <= MAX_BYTES:
                return data
            self._say(at, f"{shown} is larger than 64 MB")
        return None

    def _follow(self, root: source.Mapping, folder: Path) -> None:
        node = root.get("include")
        items = node.items if isinstance(node, Listing) else (node,) if node is not None else ()
        for item in items:
            if isinstance(item, Scalar) and isinstance(item.value, str) and item.value.strip():
                self._read(folder / item.value, item.span)

    def _scope(self, checker: Checker) -> dict[str, Any]:
        """What templates can name: the variables (each may use those above it), `vars` and `project`."""
        variables: dict[str, Any] = dict(self.overrides)
        for root in self.roots:
            declared = root.get("vars")
            for raw, _, node in declared if isinstance(declared, source.Mapping) else ():
                rendered = checker.render(node, variables)
                if raw not in self.overrides and rendered is not None:
                    variables[raw] = to_data(rendered)
        scope = {**variables, "vars": variables, "project": {}}
        project: dict[str, Any] = {}
        for root in self.roots:
            declared = root.get("project")
            rendered = checker.render(declared, scope) if isinstance(declared, source.Mapping) else None
            project.update(to_data(rendered) if rendered is not None else {})
        return {**variables, "vars": variables, "project": project}

    def _merge(self, name: str, nodes: list[tuple[Scalar, source.Node]]) -> source.Node | None:
        if len(nodes) < 2:
            return nodes[0][1] if nodes else None
        entries: dict[str, tuple[Scalar, source.Node]] = {}
        for section, node in nodes:
            if not isinstance(node, source.Mapping):
                self._say(section.span, f"{name} is given twice", f"the first is at {nodes[0][0].span}")
                continue
            for raw, key, value in node:
                if raw in entries:
                    first = entries[raw][0].span
                    self._say(key.span, f'"{raw}" is given twice in {name}', f"the first is at {first}")
                else:
                    entries[raw] = (key, value)
        return source.Mapping(nodes[0][0].span, tuple(entries.values()), 1)

    def _check_overrides(self, declared: source.Node | None) -> None:
        names = [raw for raw, _, _ in declared] if isinstance(declared, source.Mapping) else []
        for name in self.overrides:
            if name not in names and name not in self.used:
                hint = did_you_mean(name, names) or f"declare it under vars in {self._shown(self.path)}"
                raise UsageError(f'--var {name}: the manifest has no variable "{name}"; {hint}')

    def _locate(self, span: Span, expression: str) -> Span:
        """The place of an expression inside of the value at `span`, where it can be found."""
        lines = self.texts.get(span.file, "").split("\n")
        for number in range(span.line, min(span.line + 200, len(lines) + 1)):
            start = span.column - 1 if number == span.line else 0
            at = lines[number - 1].find(expression.strip(), start) if expression.strip() else -1
            if at >= 0:
                return Span(span.file, number, at + 1, len(expression.strip()))
        return span


def _siblings(path: Path) -> list[str]:
    try:
        return [sibling.name for sibling in path.parent.iterdir()]
    except OSError:
        return []
