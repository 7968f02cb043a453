"""The graph → dot or mermaid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fishpipe.report.prose import short
from fishpipe.shown import as_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fishpipe.graph.steps import Graph

_PLAIN: Final = " .,:/_-…"


def dot(graph: Graph) -> str:
    """For Graphviz."""
    names = {node: label for node, label, _ in _nodes(graph)}
    shapes = {"voice": "ellipse", "clip": "box", "output": "note"}
    lines = [f"  {node} [shape={shapes[kind]}, label={_quoted(label)}];" for node, label, kind in _nodes(graph)]
    edges = [f"  {source} -> {target};" for source, target in _edges(graph) if source in names]
    return "\n".join(["digraph fishpipe {", "  rankdir=LR;", *lines, *edges, "}"])


def mermaid(graph: Graph) -> str:
    """For Markdown."""
    brackets = {"voice": ("([", "])"), "clip": ("[", "]"), "output": ("[[", "]]")}
    lines = [f"  {node}{brackets[kind][0]}{_entity(label)}{brackets[kind][1]}" for node, label, kind in _nodes(graph)]
    edges = [f"  {source} --> {target}" for source, target in _edges(graph)]
    return "\n".join(["graph LR", *lines, *edges])


def _quoted(label: str) -> str:
    escaped = as_name(label).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _entity(label: str) -> str:
    """A label for mermaid, which takes `#` for the beginning of an entity, and some words for links and classes."""
    return f'"{"".join(char if char.isalnum() or char in _PLAIN else f"#{ord(char)};" for char in as_name(label))}"'


def _nodes(graph: Graph) -> Iterator[tuple[str, str, str]]:
    for key, voice in graph.voices.items():
        yield f"v{key[:12]}", voice.name, "voice"
    for voice_id, existing in graph.existing.items():
        yield f"e{voice_id[:12]}", existing.name, "voice"
    for key, clip in graph.clips.items():
        yield f"c{key[:12]}", f"{clip.uses[0].address}: {short(clip.text, 32)}", "clip"
    for number, step in enumerate(graph.outputs):
        yield f"o{number}", step.output.shown, "output"


def _edges(graph: Graph) -> Iterator[tuple[str, str]]:
    for key, clip in graph.clips.items():
        for speaker in clip.speakers:
            if speaker.created:
                yield f"v{speaker.created[:12]}", f"c{key[:12]}"
            elif speaker.id:
                yield f"e{speaker.id[:12]}", f"c{key[:12]}"
    for number, step in enumerate(graph.outputs):
        for clip_key in dict.fromkeys(item.clip for item in step.items if item.clip):
            yield f"c{clip_key[:12]}", f"o{number}"
