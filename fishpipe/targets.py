"""Targets → which scripts, outputs and clips are meant. Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from fishpipe.errors import UsageError, did_you_mean
from fishpipe.graph.build import build_graph
from fishpipe.manifest.definitions import is_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.graph.steps import Graph, Known, Realm
    from fishpipe.manifest.model import Manifest, Output, Segment

_PLACE: Final = re.compile(r"(.+):(\d+)(?::\d+)?")


def select(
    manifest: Manifest,
    realm: Realm,
    targets: Sequence[str],
    known: Known | None = None,
) -> Graph:
    """The graph of the targets: scripts, output paths, segment addresses or places; all outputs for none.

    Raises UsageError for a target that is nothing of these.
    """
    if not targets:
        return build_graph(manifest, realm, known=known)
    scripts: dict[str, None] = {}
    outputs: set[str] = set()
    addresses: set[str] = set()
    for target in targets:
        if named := scripts_named(manifest, target):
            scripts |= dict.fromkeys(named)
            outputs |= {str(output.path) for name in named for output in manifest.scripts[name].files}
        elif found := _output(manifest, target):
            scripts[found[0]] = None
            outputs.add(str(found[1].path))
        else:
            segments = find_segments(manifest, target)
            scripts |= {segment.address.partition("/")[0]: None for segment in segments}
            addresses |= {segment.address for segment in segments} | {segment.line for segment in segments}
    graph = build_graph(manifest, realm, list(scripts), known)
    steps = tuple(step for step in graph.outputs if str(step.output.path) in outputs)
    whole = {name for target in targets for name in scripts_named(manifest, target)}
    wanted = {item.clip for step in steps for item in step.items if item.clip}
    clips = {
        key: step
        for key, step in graph.clips.items()
        if key in wanted or any(use.address in addresses or use.script in whole for use in step.uses)
    }
    needed = {speaker.created for clip in clips.values() for speaker in clip.speakers}
    voices = {key: step for key, step in graph.voices.items() if key in needed}
    return replace(graph, outputs=steps, clips=clips, voices=voices)


def scripts_named(manifest: Manifest, target: str) -> list[str]:
    """The scripts of a name: that one, or all that were made of it, or those of a pattern (ch-*)."""
    if target in manifest.scripts:
        return [target]
    family = [name for name, script in manifest.scripts.items() if script.family == target]
    if family or not is_pattern(target):
        return family
    return [n for n, s in manifest.scripts.items() if fnmatchcase(n, target) or fnmatchcase(s.family, target)]


def find_segments(manifest: Manifest, target: str) -> list[Segment]:
    """The segments of an address (``episode-1/opening``, ``episode-1/7``) or a place (``fishpipe.yaml:42``).

    Several, where a line is spoken in pieces. Raises UsageError.
    """
    segments = {s.address: s for script in manifest.scripts.values() for s in script.segments}
    script, _, label = target.partition("/")
    for address in (target, f"{script}/{label:0>4}"):
        if address in segments:
            return [segments[address]]
        parts = (segment for segment in segments.values() if f"{segment.line}.".startswith(f"{address}."))
        if pieces := list(parts):
            return pieces
    place = _PLACE.fullmatch(target)
    if place:
        name, line = PurePath(place[1]).name, int(place[2])
        before = [s for s in segments.values() if PurePath(s.span.file).name == name and s.span.line <= line]
        if before:
            nearest = max(before, key=lambda segment: segment.span.line)
            return [segment for segment in before if segment.line == nearest.line]
    if named := (scripts_named(manifest, target) or [found[0] for found in [_output(manifest, target)] if found]):
        first = next(iter(manifest.scripts[named[0]].segments)).address
        raise UsageError(f"{target} is no segment; name one of script {named[0]}, such as {first}")
    known = [*manifest.scripts, *segments, *(o.shown for s in manifest.scripts.values() for o in s.outputs)]
    hint = (
        did_you_mean(target, known)
        or "expected a script, an output, an address (episode-1/0007) or a place (fishpipe.yaml:42)"
    )
    raise UsageError(f'no target "{target}"; {hint}')


def _output(manifest: Manifest, target: str) -> tuple[str, Output] | None:
    for name, script in manifest.scripts.items():
        for output in script.files:
            if target == output.shown or PurePath(target) == PurePath(str(output.path)):
                return name, output
    return None
