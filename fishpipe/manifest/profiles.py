"""Profiles: what `--profile NAME` lays over the manifest, before anything of it is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from fishpipe.manifest.nodes import Mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.manifest.nodes import Node, Scalar

# Keys of which a map has one: the newer takes the place of the others.
_RIVALS: Final = (frozenset({"output", "outputs"}), frozenset({"sample_url", "id", "references"}))


def laid_over(base: Node, over: Node) -> Node:
    """A node with another on top: maps merge key by key, all else is replaced."""
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    entries: dict[str, tuple[Scalar, Node]] = {key.raw: (key, value) for key, value in base.entries}
    for key, value in over.entries:
        for rivals in _RIVALS:
            if key.raw in rivals:
                entries = {name: entry for name, entry in entries.items() if name == key.raw or name not in rivals}
        before = entries.get(key.raw)
        entries[key.raw] = (key, value) if before is None else (before[0], laid_over(before[1], value))
    return replace(base, entries=tuple(entries.values()))


def overlaid(roots: Sequence[Mapping], profile: Mapping) -> list[Mapping]:
    """The files' maps with a profile on top: each entry where the name is declared, new ones in the first file."""
    made = list(roots)
    for key, value in profile.entries:
        if not isinstance(value, Mapping):
            made = _laid(made, key, value, "")
            continue
        for name, inner in value.entries:
            made = _laid(made, key, replace(value, entries=((name, inner),)), name.raw)
    return made


def _laid(roots: list[Mapping], section: Scalar, over: Node, name: str) -> list[Mapping]:
    at = next((n for n, root in enumerate(roots) if _declares(root, section.raw, name)), None)
    if at is None:
        at = next((n for n, root in enumerate(roots) if root.get(section.raw) is not None), 0)
    root = roots[at]
    return [*roots[:at], replace(root, entries=_with(root, section, over)), *roots[at + 1 :]]


def _declares(root: Mapping, section: str, name: str) -> bool:
    found = root.get(section)
    return isinstance(found, Mapping) and found.get(name) is not None


def _with(root: Mapping, section: Scalar, over: Node) -> tuple[tuple[Scalar, Node], ...]:
    base = root.get(section.raw)
    if base is None:
        return (*root.entries, (section, over))
    return tuple((key, laid_over(base, over) if key.raw == section.raw else value) for key, value in root.entries)
