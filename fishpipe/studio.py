"""Takes: more renderings of a segment, the choice of one, and a reel to compare them by ear."""

from __future__ import annotations

import hashlib
import re
from statistics import median
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from fishpipe.audio.assemble import Stitcher
from fishpipe.audio.measure import measure
from fishpipe.errors import StoreError, UsageError, did_you_mean
from fishpipe.graph.steps import Item, OutputStep
from fishpipe.locking import pin_entry
from fishpipe.lockkeeper import clip_entries, save
from fishpipe.manifest.model import Edits, Micros, Output, Speech
from fishpipe.plan import PlanOptions, Reason, make_plan
from fishpipe.ports import ClipFile, Job, Level
from fishpipe.store.durable import written
from fishpipe.takes import Take, next_takes, takes_of
from fishpipe.targets import find_segments, scripts_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from fishpipe.errors import Span
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import ClipStep
    from fishpipe.manifest.model import Segment
    from fishpipe.ports import Made
    from fishpipe.project import Project, Session

_WHERE: Final = re.compile(r"(voice|script|id|model|text)(=|~)(.+)", re.DOTALL)
_NEAR, _APART = Micros(400_000), Micros(1_500_000)
# A louder reel would clip.
_CEILING: Final = -1.0
# The title of a reel begins so: a later one may take its place.
_REEL: Final = "Takes of"


class Line(Struct, frozen=True, kw_only=True):
    """A spoken segment and its step; `fixed_at` is where the manifest sets its take."""

    address: str
    step: ClipStep
    fixed_at: Span | None = None


def spoken(project: Project, session: Session, targets: Sequence[str], where: Sequence[str] = ()) -> list[Line]:
    """The lines that targets (segments or scripts) and filters mean, each once. Raises UsageError."""
    tests = [_test(text) for text in where]
    by_address = session.graph.spoken
    found: dict[str, Line] = {}
    for segment in _segments(project, targets):
        step = by_address.get(segment.address)
        if step is None or not isinstance(segment.body, Speech):
            if segment.address in targets:
                raise UsageError(f"{segment.address} ({segment.span}) is not a spoken text; it has no takes")
            continue
        if all(pattern.search(_value(name, segment, step)) for name, pattern in tests):
            fixed = segment.body.take is not None
            found[segment.address] = Line(
                address=segment.address, step=step, fixed_at=segment.body.places["take"] if fixed else None
            )
    if not found:
        raise UsageError("no spoken segment is meant; name one (episode-1/0007), or change --where")
    return list(found.values())


def _segments(project: Project, targets: Sequence[str]) -> Iterable[Segment]:
    scripts = project.manifest.scripts
    for target in targets or scripts:
        if named := scripts_named(project.manifest, target):
            yield from (segment for name in named for segment in scripts[name].segments)
        else:
            yield from find_segments(project.manifest, target)


def _test(text: str) -> tuple[str, re.Pattern[str]]:
    match = _WHERE.fullmatch(text)
    if match is None:
        name = re.split("[=~]", text)[0]
        hint = did_you_mean(name, ("voice", "script", "id", "model", "text")) or "such as voice=ana or text~harbour"
        raise UsageError(f"--where {text}: expected voice, script, id, model or text with = or ~; {hint}")
    try:
        return match[1], re.compile(rf"\A{re.escape(match[3])}\Z" if match[2] == "=" else match[3])
    except re.error as error:
        raise UsageError(f"--where {text}: {error}") from error


def _value(name: str, segment: Segment, step: ClipStep) -> str:
    script, _, label = segment.address.partition("/")
    voice = "+".join(speaker.name for speaker in step.speakers)
    return {"voice": voice, "script": script, "id": label, "model": step.model, "text": step.text}[name]


def retaking(project: Project, session: Session, lines: Sequence[Line], count: int, options: PlanOptions) -> Session:
    """The same project, with a plan that renders `count` more takes of each line's words."""
    taken = frozenset(step.fingerprint for step in session.graph.spoken.values())
    unmade = [line for line in lines if not any(t.is_made for t in takes_of(line.step, session.snapshot) if t.current)]
    if unmade:
        what = ", ".join(line.address for line in unmade[:5]) + (" and more" if len(unmade) > 5 else "")
        raise UsageError(f"not spoken yet: {what}; there is nothing to retake: fishpipe build")
    steps: dict[Fingerprint, ClipStep] = {}
    for step in {line.step.words: line.step for line in lines}.values():
        steps |= {more.fingerprint: more for more in next_takes(step, session.snapshot, taken, count)}
    steps = dict(sorted(steps.items(), key=lambda pair: pair[1].take))
    needed = {speaker.created for step in steps.values() for speaker in step.speakers}
    voices = {key: step for key, step in session.graph.voices.items() if key in needed}
    graph = replace(session.graph, clips=steps, outputs=(), lines={}, voices=voices)
    plan = make_plan(graph, session.snapshot, project.prices, options)
    clips = tuple(
        replace(speak, reason=Reason(code="retake", what=str(speak.step.take))) if speak.reason.code == "new" else speak
        for speak in plan.clips
    )
    fixed = {line.step.words for line in lines if line.fixed_at is not None}
    choosing = [key for key, step in steps.items() if step.words not in fixed] if count == 1 else []
    return replace(session, graph=graph, plan=replace(plan, clips=clips), choosing=tuple(choosing))


def choose(project: Project, session: Session, line: Line, number: int) -> Take:
    """Pin a take in the lock; it costs nothing. The project is held. Raises UsageError where there is no such take."""
    takes = takes_of(line.step, session.snapshot)
    chosen = next((take for take in takes if take.number == number), None)
    if chosen is None or not chosen.is_made:
        known = ", ".join(str(take.number) for take in takes if take.is_made) or "none"
        raise UsageError(f"{line.address} has no take {number}; known: {known}. More: fishpipe retake {line.address}")
    if line.fixed_at is not None:
        raise UsageError(f"{line.address}: the manifest sets its take at {line.fixed_at}; write take: {number} there")
    lock, keys = session.snapshot.lock, {line.step.fingerprint, chosen.step.fingerprint}
    entry = pin_entry(line.step.words, number, project.clock.now())
    pins = [] if number == lock.pins.get(line.step.words, 1) else [entry]
    entries = clip_entries(keys, lock, session.store, session.snapshot.calls)
    save(project.lock_path, lock, [*entries, *pins])
    return chosen


def measured(session: Session, take: Take) -> Level | None:
    """How long and loud a take is; None where its clip is not here, or damaged."""
    file = _file(session, take.step)
    data = file.path.read_bytes() if file else b""
    if file is None or hashlib.sha256(data).hexdigest() != file.digest:
        return None
    return measure(data, file.format, file.sample_rate)


def clip_of(session: Session, step: ClipStep) -> Path | None:
    """A step's clip on disk."""
    file = _file(session, step)
    return file.path if file else None


def _file(session: Session, step: ClipStep) -> ClipFile | None:
    digest = session.snapshot.clips.get(step.fingerprint)
    if digest is None:
        return None
    path = session.store.clip(step.fingerprint, digest, step.format)
    return ClipFile(path=path, digest=digest, format=step.format, sample_rate=step.sample_rate)


def reel(session: Session, line: Line, path: Path) -> Made:
    """All takes of a line that are here, each between its neighbours, at one level, written to `path`.

    Raises UsageError where no take is here, or `path` is neither .mp3 nor .wav.
    """
    kind = path.suffix.lower().removeprefix(".")
    _check_reel(session, path)
    takes = [take for take in takes_of(line.step, session.snapshot) if take.digest is not None]
    if not takes:
        raise UsageError(f"no take of {line.address} is here; build it first")
    before, after = _neighbours(session, line)
    steps = {step.fingerprint: step for step in (before, after, *(take.step for take in takes)) if step is not None}
    files = {key: file for key, step in steps.items() if (file := _file(session, step)) is not None}
    levels = {key: measure(file.path.read_bytes(), file.format, file.sample_rate) for key, file in files.items()}
    wanted = median(levels[take.step.fingerprint].lufs for take in takes)
    items: list[Item] = []
    for take in takes:
        group = [step for step in (before, take.step, after) if step is not None and step.fingerprint in files]
        for number, step in enumerate(group):
            gain = min(wanted - levels[step.fingerprint].lufs, _CEILING - levels[step.fingerprint].peak)
            edits = Edits(gap=_APART if number == len(group) - 1 else _NEAR, gain=round(gain, 2))
            title = f"take {take.number}" if number == 0 else None
            items.append(Item(address=step.address, span=step.span, edits=edits, clip=step.fingerprint, chapter=title))
    output = Output(path=path, shown=str(path), span=line.step.span, format=kind, bitrate=192)  # type: ignore[arg-type]
    made = OutputStep(output=output, script="", items=tuple(items), tags={"title": f"{_REEL} {line.address}"})
    try:
        return Stitcher(_Memory(), {}, written).assemble([Job(step=made, channels=1)], files)[0]
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def _check_reel(session: Session, path: Path) -> None:
    """A reel takes no other file's place: what is there must be one that says so in its tags."""
    if path.suffix.lower() not in (".mp3", ".wav"):
        raise UsageError(f"--reel {path}: expected a path that ends in .mp3 or .wav")
    if not path.parent.is_dir():
        raise UsageError(f"--reel {path}: there is no folder {path.parent}")
    ours = {step.output.path.resolve() for step in session.graph.outputs}
    if path.resolve() in ours or (path.exists() and _REEL.encode() not in path.read_bytes()[:4096]):
        raise UsageError(f"--reel {path} is a file already, and no reel; choose another name")


def _neighbours(session: Session, line: Line) -> tuple[ClipStep | None, ClipStep | None]:
    """The spoken lines before and after one, in its script."""
    pairs = session.graph.lines.get(line.address.partition("/")[0], ())
    keys = [key for _, key in pairs]
    at = next(number for number, (address, _) in enumerate(pairs) if address == line.address)
    clips = session.graph.clips
    return clips.get(keys[at - 1]) if at else None, clips.get(keys[at + 1]) if at + 1 < len(keys) else None


class _Memory:
    """Remembers cuts for one reel, and no units."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def unit(self, key: str) -> None:
        del key

    def touch_unit(self, key: str) -> None:
        del key

    def keep_unit(self, key: str, data: bytes) -> None:
        del key, data

    def recall(self, key: str) -> str | None:
        return self._known.get(key)

    def remember(self, values: Mapping[str, str]) -> None:
        self._known |= values
