"""Files → Manifest: reads the manifest and what it includes, and reports all problems at once.

The order: decode, parse, and follow `include`; evaluate `vars` and `project`, which templates may name;
check each file against the schema, rendering on the way; merge; build the model and cross-check it.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.errors import ManifestError, Problem, Span, UsageError, did_you_mean
from fishpipe.manifest import nodes, source
from fishpipe.manifest.build import Builder
from fishpipe.manifest.crosscheck import crosscheck
from fishpipe.manifest.definitions import is_pattern
from fishpipe.manifest.expansion import Exhausted, Expansion
from fishpipe.manifest.model import ProviderName
from fishpipe.manifest.nodes import Listing, Scalar, entries_of, names_of, resolve, to_data
from fishpipe.manifest.parsed import Parser
from fishpipe.manifest.paths import describe, is_inside, kind_of, near_name, real
from fishpipe.manifest.places import Places
from fishpipe.manifest.profiles import overlaid
from fishpipe.manifest.schema import Checker, Everything
from fishpipe.manifest.template import is_template
from fishpipe.manifest.unroll import Declared
from fishpipe.shown import as_name
from fishpipe.stamp import look_for_names, stat_mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fishpipe.manifest.documents import Document
    from fishpipe.manifest.model import Manifest

MAX_BYTES: Final = 64_000_000
MOST_FILES: Final = 1000
_MERGED: Final = (
    *("project", "vars", "provider", "budget", "store", "defaults", "voices", "cast", "lexicon", "profiles", "scripts"),
)
_YAML: Final = (".yaml", ".yml")
_PARTS: Final = re.compile(r"(\d+)")


def load(
    path: Path,
    *,
    variables: Mapping[str, str] | None = None,
    profiles: Sequence[str] = (),
    allow_outside: bool = False,
    strict: bool = False,
    texts: Mapping[str, str] | None = None,
    cache: Path | None = None,
) -> Manifest:
    """The manifest at `path` under some profiles, the later on top; `texts` are what files hold instead, by name.

    `cache` is a folder of files that were parsed before. Raises ManifestError with every problem found; if `strict`,
    warnings are problems.
    """
    overrides = {name: resolve(value) if value else "" for name, value in (variables or {}).items()}
    loader = _Loader(path, overrides, tuple(profiles), allow_outside=allow_outside, replaced=texts or {})
    loader.parser = Parser(cache)
    manifest = loader.load()
    if manifest is not None:
        loader.problems += crosscheck(manifest, loader.known_scripts, allow_outside=allow_outside)
        loader.problems += manifest.warnings if strict else ()
    if manifest is None or loader.problems:
        raise ManifestError(loader.problems, loader.texts)
    loader.check_overrides()
    return manifest


class _Loader(Struct, dict=True):
    path: Path
    overrides: Mapping[str, Any]
    profiles: tuple[str, ...]
    allow_outside: bool
    replaced: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    looked_at: list[tuple[str, str, str]] = field(default_factory=list)
    roots: list[nodes.Mapping] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    seen: set[Path] = field(default_factory=set)
    documents: dict[str, Document | None] = field(default_factory=dict)
    declared: list[str] = field(default_factory=list)
    known_scripts: list[str] = field(default_factory=list)
    incomplete: bool = False

    def __post_init__(self) -> None:
        self.places = Places(self.texts)
        self.parser = Parser(None)

    def load(self) -> Manifest | None:
        queue: list[tuple[Path, Span | None]] = [(self.path, None)]
        while queue:
            queue += self._read(*queue.pop(0))
        if not self.roots:
            return None
        before = self._named_provider()
        self._lay_profiles()
        expansion = Expansion(self.problems, sum(root.size for root in self.roots))
        try:
            return self._made(
                Checker(self.problems, self.used, self.places.expression, self._declared(), expansion), before
            )
        except Exhausted:
            return None

    def _made(self, checker: Checker, before: str | None) -> Manifest:
        """The model of all files."""
        sections = self._sections(checker, self._scope(checker))
        if sections["scripts"] is None and not self.problems:
            self._say(Span(self._shown(self.path)), "no scripts here or in the included files", "add scripts:")
        self.declared = names_of(sections["vars"])
        self.known_scripts = [*names_of(sections["scripts"]), *checker.unroller.declared.scripts]
        self.problems += checker.cross
        family = checker.unroller.variants.family
        builder = Builder(self.path, tuple(self.files), self.folders, sections, self.problems, self.places, family)
        builder.speakers.all_known = not self.incomplete and not any(
            root.get("voices") is not None and sections["voices"] is None for root in self.roots
        )
        made = builder.manifest()
        own = next((name for name in get_args(ProviderName) if name == before), made.provider.name)
        return replace(
            made, own_provider=own, texts=self.texts, looked_at=tuple(self.looked_at), parsed=self.parser.fresh
        )

    def _sections(self, checker: Checker, scope: dict[str, Any]) -> dict[str, nodes.Node | None]:
        """The checked sections of all files, merged; the scripts with all that they unroll to, in their order."""
        merged: dict[str, list[tuple[Scalar, nodes.Node]]] = {name: [] for name in _MERGED}
        for number, root in enumerate(self.roots):
            checked = checker.check(root, "" if number == 0 else "fragment", scope)
            for raw, key, node in checked if isinstance(checked, nodes.Mapping) else ():
                if raw in merged:
                    merged[raw].append((key, node))
        sections = {name: self._merge(name, found) for name, found in merged.items()}
        scripts = sections["scripts"]
        if isinstance(scripts, nodes.Mapping):
            order = {name: number for number, name in enumerate(checker.unroller.declared.scripts)}
            entries = [*scripts.entries, *checker.unroller.variants.rest()]
            entries.sort(key=lambda entry: order.get(checker.unroller.variants.family.get(entry[0].raw, ""), 0))
            sections["scripts"] = replace(scripts, entries=tuple(entries))
        return sections

    def _declared(self) -> Declared:
        """What the files declare, as written."""
        voices: dict[str, None] = {}
        cast: dict[str, None] = {}
        scripts: dict[str, tuple[Scalar, nodes.Mapping]] = {}
        for root in self.roots:
            voices |= dict.fromkeys(names_of(root.get("voices")))
            cast |= dict.fromkeys(names_of(root.get("cast")))
            section = root.get("scripts")
            for raw, key, node in section if isinstance(section, nodes.Mapping) else ():
                if isinstance(node, nodes.Mapping):
                    scripts.setdefault(raw, (key, node))
                    cast |= dict.fromkeys(names_of(node.get("cast")))
        return Declared(
            voices=voices,
            cast=cast,
            scripts={raw: node for raw, (_, node) in scripts.items()},
            keys={raw: key for raw, (key, _) in scripts.items()},
            complete=not self.incomplete,
            read=self._document,
            files=self._text_files,
            line=self.places.line,
        )

    def _named_provider(self) -> str | None:
        """The provider that the manifest itself names, where a profile may name another."""
        found = next((root.get("provider") for root in self.roots if root.get("provider") is not None), None)
        name = found.get("name") if isinstance(found, nodes.Mapping) else found
        return str(name.value) if isinstance(name, Scalar) else None

    def _lay_profiles(self) -> None:
        known: dict[str, nodes.Node] = {}
        for root in self.roots:
            section = root.get("profiles")
            known |= {raw: node for raw, _, node in section} if isinstance(section, nodes.Mapping) else {}
        for name in self.profiles:
            if name not in known and not self.incomplete:
                hint = did_you_mean(name, known) or (f"known: {', '.join(known)}" if known else "the manifest has none")
                raise UsageError(f"--profile {name}: no such profile; {hint}")
            profile = known.get(name)
            if isinstance(profile, nodes.Mapping):
                self._check_profile(profile)
                self.roots = overlaid(self.roots, profile)

    def _check_profile(self, profile: nodes.Mapping) -> None:
        """A script that a profile changes in part is declared by the manifest."""
        declared = [name for root in self.roots for name in names_of(root.get("scripts"))]
        for name, key, value in entries_of(profile.get("scripts")):
            if name not in declared and not (isinstance(value, nodes.Mapping) and value.get("segments")):
                self._say(key.span, f'no script "{name}"', did_you_mean(name, declared) or "declare it under scripts")

    def _document(self, named: Scalar) -> Document | None:
        """A text file that a segment names, read once; None where it cannot be had."""
        path = self.folders[named.span.file] / str(named.value)
        shown = self._shown(path)
        if shown not in self.documents:
            self.documents[shown] = None
            data = self._bytes(path, named.span, included=True)
            if data is not None:
                from fishpipe.manifest.documents import read_document

                text, _ = self._taken(path, shown, data)
                self.documents[shown], problems = document, _ = read_document(text, shown)
                self.problems += problems
                if not problems and not document.blocks:
                    self._say(named.span, f"{shown} has nothing to read", "give it a paragraph")
        return self.documents[shown]

    def _say(self, span: Span, message: str, hint: str = "") -> None:
        self.problems.append(Problem(span, message, hint))

    @staticmethod
    def _shown(path: Path) -> str:
        try:
            return as_name(os.path.relpath(path))
        except ValueError:
            return as_name(str(path))

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
        text, problems = self._taken(path, shown, data)
        if not text and problems:
            return []
        node, problems = self.parser.parse(text, shown)
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

    def _taken(self, path: Path, shown: str, data: bytes) -> tuple[str, list[Problem]]:
        """A file's text, taken note of, and what is wrong with its bytes, which is told."""
        text, problems = source.decode(data, shown)
        self.texts[shown], self.folders[shown] = text, path.parent.absolute()
        self.files.append(path)
        self.problems += problems
        return text, problems

    def _bytes(self, path: Path, at: Span, *, included: bool) -> bytes | None:
        shown, kind = self._shown(path), kind_of(path)
        if included and kind == "file" and not self.allow_outside and not is_inside(path, self.path.parent):
            self._say(at, f"{shown} is outside of the project", "move it in, or use --allow-outside")
        elif kind != "file":
            shown = shown if shown.isprintable() else "the file"
            self._say(at, f"{shown} {describe(kind)}", near_name(path) if kind == "missing" else "")
        elif shown in self.replaced:
            return self.replaced[shown].encode()
        else:
            with path.open("rb") as file:
                mark = stat_mark(os.fstat(file.fileno()))
                data = file.read(MAX_BYTES + 1)
            if len(data) <= MAX_BYTES:
                self.looked_at.append(("file", str(path.absolute()), f"{mark} {sha256(data).hexdigest()}"))
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
                continue
            found += [(path, item.span) for path in self._files_at(folder / item.value, item.span)]
            if len(self.seen) + len(found) > MOST_FILES:
                self._say(item.span, f"more than {MOST_FILES} files are included")
                return []
        return found

    def _text_files(self, named: Scalar) -> list[str]:
        """The text files that a path, a folder or a pattern (*.md) stands for, from the file that names them."""
        folder = self.folders[named.span.file]
        whole = folder / str(named.value)
        if kind_of(whole) != "folder" and not is_pattern(whole.name):
            return [str(named.value)]
        found = self._files_at(whole, named.span, (".md", ".markdown", ".txt"))
        return [Path(os.path.relpath(path, folder)).as_posix() for path in found]

    def _files_at(self, path: Path, at: Span, suffixes: Sequence[str] | None = None) -> list[Path]:
        """A file, or those of a folder or a pattern in their natural order (ch-2 before ch-10), without hidden ones."""
        pattern = is_pattern(path.name)
        if kind_of(path) != "folder" and not pattern:
            return [path]
        folder = path.parent if pattern else path
        self.looked_at.append(("names", str(folder.absolute()), look_for_names(str(folder))))
        try:
            inside = list(folder.glob(path.name) if pattern else folder.iterdir())
        except (OSError, ValueError) as error:
            self._say(at, f"{self._shown(path)} is no pattern: {error}", "write *.md, or name a file")
            return []
        suffixes = _YAML if suffixes is None else suffixes
        found = [
            file
            for file in inside
            if file.suffix.lower() in suffixes and not file.name.startswith(".") and kind_of(file) == "file"
        ]
        if not found:
            what = "has no match" if pattern else f"is a folder without {suffixes[0]} files"
            self._say(at, f"{self._shown(path)} {what}", "name a file, or add one")
        return sorted(
            found, key=lambda file: [int(part) if part.isdecimal() else part for part in _PARTS.split(file.name)]
        )

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
        silent = Checker([], self.used, self.places.expression, expansion=checker.expansion)
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
            checker.broken = Everything()
        if "language" in variables:
            place = next((k.span for r in self.roots for n, k, _ in entries_of(r.get("vars")) if n == "language"), None)
            self._say(
                place or Span(self._shown(self.path)), "language is not for vars to set", "set project: {language: …}"
            )
        language = project.get("language")
        return {**scope, "project": project} | ({"language": language} if isinstance(language, str) else {})

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
