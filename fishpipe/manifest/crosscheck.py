"""What only the whole manifest can tell: names, cycles, files, and paths that must not meet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fishpipe.errors import Problem, Span, did_you_mean
from fishpipe.manifest.model import Asset, Inclusion, Manifest, Output, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def crosscheck(manifest: Manifest, *, allow_outside: bool) -> list[Problem]:
    """Problems that no single value shows."""
    return [
        *_inclusions(manifest),
        *_assets(manifest, allow_outside=allow_outside),
        *_outputs(manifest, allow_outside=allow_outside),
    ]


def _segments(manifest: Manifest) -> Iterator[Segment]:
    return (segment for script in manifest.scripts.values() for segment in script.segments)


def _inclusions(manifest: Manifest) -> Iterator[Problem]:
    for segment in _segments(manifest):
        if isinstance(segment.body, Inclusion) and segment.body.script not in manifest.scripts:
            hint = did_you_mean(segment.body.script, manifest.scripts) or "declare it under scripts"
            yield Problem(segment.span, f'no script "{segment.body.script}"', hint)
    done: set[str] = set()
    for name in manifest.scripts:
        yield from _cycles(manifest, name, (), done)


def _cycles(manifest: Manifest, name: str, trail: tuple[str, ...], done: set[str]) -> Iterator[Problem]:
    if name in done or name not in manifest.scripts:
        return
    for segment in manifest.scripts[name].segments:
        if isinstance(segment.body, Inclusion):
            target = segment.body.script
            if target in (*trail, name):
                circle = " → ".join([*(*trail, name)[(*trail, name).index(target) :], target])
                yield Problem(segment.span, f"scripts include each other in a circle: {circle}", "remove one of them")
            elif len(trail) > 50:
                yield Problem(segment.span, "scripts include each other more than 50 deep")
            else:
                yield from _cycles(manifest, target, (*trail, name), done)
    done.add(name)


def _inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def _assets(manifest: Manifest, *, allow_outside: bool) -> Iterator[Problem]:
    for segment in _segments(manifest):
        body = segment.body
        if not isinstance(body, Asset):
            continue
        if "\0" in body.shown or (not allow_outside and not _inside(body.path, manifest.root)):
            yield Problem(segment.span, f"{body.shown} is outside of the project", "move it in, or use --allow-outside")
        elif body.path.is_dir():
            yield Problem(segment.span, f"{body.shown} is a folder; expected an audio file")
        elif not body.path.is_file():
            names = [path.name for path in body.path.parent.iterdir()] if body.path.parent.is_dir() else []
            yield Problem(segment.span, f"audio file {body.shown} does not exist", did_you_mean(body.path.name, names))
        elif not os.access(body.path, os.R_OK):
            yield Problem(segment.span, f"audio file {body.shown} cannot be read", "check its permissions")


def _outputs(manifest: Manifest, *, allow_outside: bool) -> Iterator[Problem]:
    inputs = {path.resolve(): "part of the manifest" for path in manifest.files}
    inputs |= {s.body.path.resolve(): f"an input ({s.span})" for s in _segments(manifest) if isinstance(s.body, Asset)}
    seen: dict[Path, Span] = {}
    for output in (output for script in manifest.scripts.values() for output in script.outputs):
        path = output.path.resolve()
        if path in seen:
            yield Problem(output.span, f"two outputs on one path: {output.shown}", f"the first is at {seen[path]}")
        seen.setdefault(path, output.span)
        if path in inputs:
            yield Problem(output.span, f"output {output.shown} is {inputs[path]}", "choose another path")
        yield from _place(output, manifest.root, allow_outside=allow_outside)


def _place(output: Output, root: Path, *, allow_outside: bool) -> Iterator[Problem]:
    state = (root / ".fishpipe").resolve()
    if not allow_outside and not _inside(output.path, root):
        yield Problem(
            output.span, f"output {output.shown} is outside of the project", "move it in, or use --allow-outside"
        )
    elif output.path.resolve().is_relative_to(state):
        yield Problem(output.span, f"output {output.shown} is inside of .fishpipe, which is fishpipe's own")
    elif output.path.is_dir():
        yield Problem(output.span, f"output {output.shown} is a folder; expected a path of a file")
