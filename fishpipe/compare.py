"""Two states of a manifest, line by line: what was added, removed, changed and moved. Pure."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct, field
from msgspec.structs import asdict

from fishpipe.history import in_order
from fishpipe.manifest.model import Asset, Inclusion, Pause, Speech

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fishpipe.errors import Span
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import ClipStep, Graph
    from fishpipe.manifest.model import Edits, Manifest, Segment

ChangeKind = Literal["added", "removed", "changed", "moved"]
# Lines whose words are less alike than this are two lines, not one that changed.
_ALIKE: Final = 0.5
# Where more lines than these would have to be compared with each other, they are paired by their order.
_MOST_PAIRS: Final = 900
_OTHERWISE_SAID: Final = ("text", "prompt")


class Line(Struct, frozen=True, kw_only=True):
    """A segment as it is compared: its words (or file, or pause, or script), who speaks, and all settings by name.

    `step` is what is paid for it; `named` says that its id is its own and no ordinal.
    """

    address: str
    span: Span
    kind: Literal["text", "audio", "pause", "script"]
    words: str
    voice: str
    settings: Mapping[str, str]
    take: int
    named: bool
    step: ClipStep | None

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for lines that are heard the same."""
        return self.kind, self.words, self.voice, self.take, tuple(sorted(self.settings.items()))


class Change(Struct, frozen=True, kw_only=True):
    """What became of one line. `what` lists words, voice, settings, take and order, as they differ."""

    kind: ChangeKind
    script: str
    before: Line | None
    after: Line | None
    what: tuple[str, ...] = ()

    @property
    def line(self) -> Line:
        """The line as it is, or else was."""
        line = self.after or self.before
        assert line is not None  # noqa: S101  (one of both is there)
        return line

    @property
    def settings(self) -> list[tuple[str, str, str]]:
        """(name, before, after) of each setting that differs."""
        if self.before is None or self.after is None:
            return []
        old, new = self.before.settings, self.after.settings
        names = sorted(old.keys() | new.keys())
        return [(n, old.get(n, "unset"), new.get(n, "unset")) for n in names if old.get(n) != new.get(n)]


class State(Struct, frozen=True, kw_only=True):
    """A manifest at one moment: each script's lines, and how long it lasts in seconds (None where nobody knows)."""

    scripts: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)
    seconds: Mapping[str, float | None] = field(default_factory=dict)


def state_of(
    manifest: Manifest, graph: Graph, lengths: Mapping[Fingerprint, float], assets: Mapping[str, float]
) -> State:
    """The lines of all scripts; `graph` has them all. `lengths` and `assets` (by path as written) are in seconds."""
    steps = {use.address: step for step in graph.clips.values() for use in step.uses}
    scripts = {
        name: tuple(_line(segment, steps.get(segment.address)) for segment in script.segments)
        for name, script in manifest.scripts.items()
    }
    clock = _Clock(manifest, steps, lengths, assets)
    return State(scripts=scripts, seconds={name: clock.script(name) for name in manifest.scripts})


def compare(before: State, after: State) -> list[Change]:
    """All changes, script by script, in the order of the newer state."""
    changes: list[Change] = []
    for name in [*after.scripts, *(name for name in before.scripts if name not in after.scripts)]:
        changes += _script(name, before.scripts.get(name, ()), after.scripts.get(name, ()))
    return changes


def _line(segment: Segment, step: ClipStep | None) -> Line:
    body, settings = segment.body, dict(_edits(segment.edits))
    kind: Literal["text", "audio", "pause", "script"] = "text"
    words = voice = ""
    if isinstance(body, Speech) and step is not None:
        words, voice = step.text, "+".join(speaker.name for speaker in step.speakers)
        settings |= dict(_flat("", {**step.body, "model": step.model, "api": step.api}))
    elif isinstance(body, Asset):
        kind, words = "audio", body.shown
        settings |= {"start": _time(body.start), "end": "" if body.end is None else _time(body.end)}
    elif isinstance(body, Pause):
        kind, words = "pause", _time(body.duration)
    elif isinstance(body, Inclusion):
        kind, words = "script", body.script
    if segment.at is not None:
        settings["at"] = _time(segment.at)
    for name in ("chapter", "caption"):
        if getattr(segment, name):
            settings[name] = getattr(segment, name)
    return Line(
        address=segment.address,
        span=segment.span,
        kind=kind,
        words=words,
        voice=voice,
        settings=settings,
        take=step.take if step else 1,
        named=not segment.address.rpartition("/")[2].isdigit(),
        step=step,
    )


_TIMES: Final = ("gap", "fade_in", "fade_out", "crossfade", "overlap")


def _gap(edits: Edits) -> float:
    """Seconds from the end of a sound to the next; less than none where they overlap."""
    return (-max(edits.overlap, edits.crossfade) or edits.gap) / 1e6


def _edits(edits: Edits) -> Iterator[tuple[str, str]]:
    for name, value in asdict(edits).items():
        yield name, _time(value) if name in _TIMES else str(value)


def _flat(prefix: str, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        elif prefix or name not in _OTHERWISE_SAID:
            yield f"{prefix}{name}", str(value)


def _time(micros: int) -> str:
    return f"{micros // 1000}ms" if micros % 1_000_000 else f"{micros // 1_000_000}s"


def _script(name: str, old: Sequence[Line], new: Sequence[Line]) -> Iterator[Change]:
    pairs = _pairs(old, new)
    steady = {i for i, _ in in_order(sorted(pairs.items()))}
    matched = {j: i for i, j in pairs.items()}
    removed = [
        Change(kind="removed", script=name, before=old[i], after=None) for i in range(len(old)) if i not in pairs
    ]
    for j, line in enumerate(new):
        i = matched.get(j)
        if i is None:
            yield Change(kind="added", script=name, before=None, after=line)
            continue
        what = _what(old[i], line, moved=i not in steady)
        if what:
            kind: ChangeKind = "moved" if what == ("order",) else "changed"
            yield Change(kind=kind, script=name, before=old[i], after=line, what=what)
    yield from removed


def _what(old: Line, new: Line, *, moved: bool) -> tuple[str, ...]:
    differs = {
        "words": (old.kind, old.words) != (new.kind, new.words),
        "voice": old.voice != new.voice,
        "settings": dict(old.settings) != dict(new.settings),
        "take": old.take != new.take,
        "order": moved,
    }
    return tuple(name for name, is_so in differs.items() if is_so)


def _pairs(old: Sequence[Line], new: Sequence[Line]) -> dict[int, int]:
    """Which old line became which new one, by index: by id, by being equal, by being alike."""
    ids = {line.address: j for j, line in enumerate(new) if line.named}
    pairs = {i: ids[line.address] for i, line in enumerate(old) if line.named and line.address in ids}
    taken = set(pairs.values())
    left = [i for i in range(len(old)) if i not in pairs]
    right = [j for j in range(len(new)) if j not in taken]
    matcher = SequenceMatcher(None, [old[i].identity for i in left], [new[j].identity for j in right], autojunk=False)
    blocks = matcher.get_opcodes()
    for tag, i1, i2, j1, j2 in blocks:
        if tag == "equal":
            pairs |= dict(zip(left[i1:i2], right[j1:j2], strict=True))
    taken = set(pairs.values())
    spare: dict[tuple[Any, ...], list[int]] = {}
    for j in right:
        if j not in taken:
            spare.setdefault(new[j].identity, []).append(j)
    for i in left:
        if i not in pairs and spare.get(old[i].identity):
            pairs[i] = spare[old[i].identity].pop(0)
    taken = set(pairs.values())
    for tag, i1, i2, j1, j2 in blocks:
        if tag == "replace":
            gone, come = ([i for i in left[i1:i2] if i not in pairs], [j for j in right[j1:j2] if j not in taken])
            pairs |= _alike(old, new, gone, come)
    return pairs


def _alike(old: Sequence[Line], new: Sequence[Line], left: list[int], right: list[int]) -> dict[int, int]:
    """Lines of one place that are alike, in order; where as many went as came, each is the one that came for it."""
    if len(left) == len(right) or len(left) * len(right) > _MOST_PAIRS:
        return {i: j for i, j in zip(left, right, strict=False) if old[i].kind == new[j].kind}
    pairs: dict[int, int] = {}
    for j in right:
        scores = [(_likeness(old[i], new[j]), -i) for i in left if i not in pairs]
        best, at = max(scores, default=(0.0, 0))
        if best >= _ALIKE:
            pairs[-at] = j
    return pairs


def _likeness(old: Line, new: Line) -> float:
    if old.kind != new.kind:
        return 0.0
    matcher = SequenceMatcher(None, old.words, new.words)
    return matcher.ratio() if matcher.quick_ratio() >= _ALIKE else 0.0


class _Clock:
    """How long scripts last, about: clips and pauses, with the gaps between them."""

    def __init__(
        self,
        manifest: Manifest,
        steps: Mapping[str, ClipStep],
        lengths: Mapping[Fingerprint, float],
        assets: Mapping[str, float],
    ) -> None:
        self._manifest, self._steps, self._lengths, self._assets = manifest, steps, lengths, assets
        self._known: dict[str, float | None] = {}

    def script(self, name: str) -> float | None:
        if name not in self._known:
            parts = [self._segment(segment) for segment in self._manifest.scripts[name].segments]
            segments = self._manifest.scripts[name].segments
            gaps = [_gap(segment.edits) for segment in segments if not isinstance(segment.body, Pause)]
            known = [part for part in parts if part is not None]
            self._known[name] = sum(known) + sum(gaps[:-1]) if len(known) == len(parts) else None
        return self._known[name]

    def _segment(self, segment: Segment) -> float | None:
        body = segment.body
        if isinstance(body, Pause):
            return body.duration / 1e6
        if isinstance(body, Inclusion):
            return self.script(body.script)
        if isinstance(body, Asset):
            end = body.end / 1e6 if body.end is not None else self._assets.get(body.shown)
            return None if end is None else end - body.start / 1e6
        step = self._steps[segment.address]
        return self._lengths.get(step.fingerprint)
