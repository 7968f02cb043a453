"""What only the whole manifest can tell: names, cycles, files, and paths that must not meet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fishpipe.errors import Problem, Span, did_you_mean
from fishpipe.manifest.model import Asset, CreatedVoice, Inclusion, Manifest, Output, Script, Segment, Speech
from fishpipe.manifest.paths import describe, is_inside, kind_of, near_name, real

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MOST_ITEMS: Final = 1_000_000
DEEPEST: Final = 50


def crosscheck(manifest: Manifest, known_scripts: Collection[str], *, allow_outside: bool) -> list[Problem]:
    """Problems that no single value shows; `known_scripts` are declared, if with problems of their own."""
    return [
        *_inclusions(manifest, known_scripts),
        *_twins(manifest),
        *_assets(manifest, allow_outside=allow_outside),
        *_outputs(manifest, allow_outside=allow_outside),
        *_store(manifest),
        *_copies(manifest),
    ]


def _copies(manifest: Manifest) -> Iterator[Problem]:
    """What an output of `mode: copy` cannot copy: known before anything is paid."""
    for script in manifest.scripts.values():
        for output in (output for output in script.outputs if output.mode == "copy"):
            for inner in _with_inclusions(manifest, script):
                beds = [("bed", under.bed) for under in inner.beds]
                beds += [("room_tone", inner.room_tone)] if inner is script and inner.room_tone else []
                for what, bed in beds:
                    message = f"{what} is mixed in, and mode: copy (at {output.span}) joins frames as they are"
                    yield Problem(bed.span, message, "keep one of them")
                yield from _other_rates(inner, output)


def _other_rates(script: Script, output: Output) -> Iterator[Problem]:
    for segment in script.segments:
        speech = segment.body
        if not isinstance(speech, Speech) or speech.settings.api != "tts" or speech.settings.format != "mp3":
            continue
        if speech.settings.sample_rate != output.sample_rate:
            rates = f"{output.sample_rate} Hz; this line is asked for at {speech.settings.sample_rate} Hz"
            place = speech.places.get("sample_rate", segment.span)
            yield Problem(place, f"mode: copy (at {output.span}) joins frames of {rates}", "give both one sample_rate")


def _with_inclusions(manifest: Manifest, script: Script) -> list[Script]:
    """A script, and those that are included in it, each once."""
    found, waiting = [script], [script]
    while waiting:
        for segment in waiting.pop().segments:
            inner = manifest.scripts.get(segment.body.script) if isinstance(segment.body, Inclusion) else None
            if inner is not None and inner not in found:
                found.append(inner)
                waiting.append(inner)
    return found


def _segments(manifest: Manifest) -> Iterator[Segment]:
    return (segment for script in manifest.scripts.values() for segment in script.segments)


def _twins(manifest: Manifest) -> Iterator[Problem]:
    """Voices of one sample are one voice at the service: it cannot be private and public."""
    first: dict[tuple[str, int, str], CreatedVoice] = {}
    for voice in manifest.voices.values():
        if not isinstance(voice, CreatedVoice):
            continue
        other = first.setdefault((voice.sample_url, voice.revision, voice.create), voice)
        if other.visibility != voice.visibility:
            message = (
                f'voices "{other.name}" and "{voice.name}" are one voice (the same sample_url), {other.visibility}'
            )
            hint = "give both one visibility, or one of them another revision"
            yield Problem(voice.places.get("visibility", voice.span), f"{message} and {voice.visibility}", hint)


def _inclusions(manifest: Manifest, known: Collection[str]) -> Iterator[Problem]:
    for segment in _segments(manifest):
        if segment.body.__class__ is Inclusion and segment.body.script not in known:
            hint = did_you_mean(segment.body.script, manifest.scripts) or "declare it under scripts"
            yield Problem(segment.span, f'no script "{segment.body.script}"', hint)
    found: list[Problem] = []
    expansions = _Expansions(manifest, found)
    items = 0
    for name, script in manifest.scripts.items():
        items += expansions.of(name, ())[0] * (len(script.outputs) + (len(script.files) > len(script.outputs)))
        if items > MOST_ITEMS:
            found.append(Problem(script.span, f"all outputs together have more than {MOST_ITEMS:,} segments"))
            break
    yield from found


class _Expansions:
    """How many items each script expands to, and how deep, so that a circle or a bomb is seen before it is followed."""

    def __init__(self, manifest: Manifest, problems: list[Problem]) -> None:
        self._manifest, self._problems = manifest, problems
        self._known: dict[str, tuple[int, int]] = {}

    def of(self, name: str, trail: tuple[str, ...]) -> tuple[int, int]:
        """(items, depth) of a script; what is wrong is reported once."""
        if name not in self._manifest.scripts or name in self._known:
            return self._known.get(name, (0, 0))
        items, depth = 0, 0
        for segment in self._manifest.scripts[name].segments:
            if segment.body.__class__ is not Inclusion and items < MOST_ITEMS:
                items += 1
                continue
            more, below = self._below(segment, (*trail, name))
            items, depth = items + more, max(depth, below)
            if items > MOST_ITEMS or depth > DEEPEST:
                what = f"more than {MOST_ITEMS:,} segments" if items > MOST_ITEMS else f"more than {DEEPEST} levels"
                self._problems.append(Problem(segment.span, f"script {name} expands to {what}"))
                items, depth = 0, 0
                break
        self._known[name] = (items, depth)
        return items, depth

    def _below(self, segment: Segment, trail: tuple[str, ...]) -> tuple[int, int]:
        if not isinstance(segment.body, Inclusion):
            return 1, 0
        target = segment.body.script
        if target in trail:
            circle = " → ".join([*trail[trail.index(target) :], target])
            message = f"scripts include each other in a circle: {circle}"
            self._problems.append(Problem(segment.span, message, "remove one of them"))
            return 0, 0
        if len(trail) > DEEPEST:
            return 0, DEEPEST
        items, depth = self.of(target, trail)
        return items, depth + 1


def _assets(manifest: Manifest, *, allow_outside: bool) -> Iterator[Problem]:
    for asset, span in _used(manifest):
        shown, kind = _shown(asset.shown), kind_of(asset.path)
        if kind == "impossible":
            yield Problem(span, f"audio {shown} {describe(kind)}")
        elif not allow_outside and not is_inside(asset.path, manifest.root):
            yield Problem(span, f"{shown} is outside of the project", "move it in, or use --allow-outside")
        elif kind != "file":
            hint = near_name(asset.path) if kind == "missing" else ""
            yield Problem(span, f"audio file {shown} {describe(kind)}", hint)


def _used(manifest: Manifest) -> Iterator[tuple[Asset, Span]]:
    return (pair for script in manifest.scripts.values() for pair in script.assets)


def _outputs(manifest: Manifest, *, allow_outside: bool) -> Iterator[Problem]:
    inputs = {real(path): "part of the manifest" for path in manifest.files}
    inputs |= {real(asset.path): f"an input ({span})" for asset, span in _used(manifest)}
    seen: dict[Path, Span] = {}
    folded: dict[str, Path] = {}
    for output in (output for script in manifest.scripts.values() for output in script.files):
        path, shown = real(output.path), _shown(output.shown)
        if path is None or kind_of(output.path) == "impossible":
            yield Problem(output.span, f"output {shown} is not a path that can be")
            continue
        same = folded.setdefault(str(path).casefold(), path)
        if path in seen and seen[path] == output.span:
            hint = "put {{ language }} or {{ matrix.NAME }} in it"
            yield Problem(output.span, f"several scripts that are made of one go to one path: {shown}", hint)
        elif same != path or path in seen:
            what = "" if same == path else " (where case does not count)"
            yield Problem(output.span, f"two outputs on one path{what}: {shown}", f"the first is at {seen[same]}")
        seen.setdefault(path, output.span)
        if path in inputs:
            yield Problem(output.span, f"output {shown} is {inputs[path]}", "choose another path")
        yield from _place(output, path, manifest.root, allow_outside=allow_outside)
        store = real(manifest.root / Path(manifest.store.folder).expanduser()) if manifest.store else None
        if store is not None and path.is_relative_to(store):
            yield Problem(
                output.span, f"output {shown} is inside of the store, which is for clips", "choose another path"
            )
    for path, span in seen.items():
        above = next((parent for parent in path.parents if parent in seen or kind_of(parent) == "file"), None)
        if above is not None:
            what = f"the output at {seen[above]}" if above in seen else "a file"
            yield Problem(span, f"the folder of this output is {what}", "choose another path")


def _store(manifest: Manifest) -> Iterator[Problem]:
    if manifest.store is None:
        return
    folder, shown = manifest.root / Path(manifest.store.folder).expanduser(), _shown(manifest.store.folder)
    kind, state = kind_of(folder), manifest.root / ".fishpipe"
    if "://" in manifest.store.folder:
        hint = "name a folder, such as store: clips, or where a share is mounted"
        yield Problem(manifest.store.span, f"store {shown} is an address; expected a folder", hint)
    elif kind not in ("folder", "missing"):
        yield Problem(manifest.store.span, f"store {shown} is {'a file' if kind == 'file' else 'no folder'}")
    elif is_inside(folder, state) or is_inside(manifest.root, folder):
        hint = "name a folder of its own, such as store: clips"
        yield Problem(manifest.store.span, f"store {shown} is where the project itself lies", hint)


def _place(output: Output, path: Path, root: Path, *, allow_outside: bool) -> Iterator[Problem]:
    state, shown, kind = real(root / ".fishpipe"), _shown(output.shown), kind_of(output.path)
    if not allow_outside and not is_inside(output.path, root):
        hint = "move it in, or use --allow-outside"
        yield Problem(output.span, f"output {shown} is outside of the project", hint)
    elif state is not None and path.is_relative_to(state):
        yield Problem(output.span, f"output {shown} is inside of .fishpipe, which is fishpipe's own")
    elif kind == "folder":
        yield Problem(output.span, f"output {shown} is a folder; expected a path of a file")
    elif kind in ("special", "unreadable"):
        yield Problem(output.span, f"output {shown} {describe(kind)}")


def _shown(path: str) -> str:
    """A path as it was written, on one line."""
    return path if path.isprintable() else json.dumps(path, ensure_ascii=True)
