"""Graph × snapshot → plan: what a build would do, why, and for how much. Pure.

The plan is complete before any voice exists: a clip's fingerprint holds its voice's fingerprint, not an id.
Each action carries its reason and its cost as data; prose is made at the edge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.graph.fingerprints import Fingerprint, description
from fishpipe.history import earlier_lines
from fishpipe.locking import locked_row
from fishpipe.recipes import recipe
from fishpipe.snapshot import IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fishpipe.graph.steps import ClipStep, Graph, OutputStep, VoiceStep
    from fishpipe.manifest.model import Prices
    from fishpipe.snapshot import CallRow, Snapshot

InDoubt = Literal["ask", "retry", "skip"]
# How often a call in doubt is made again without anybody's word, over all builds: one whose answer was never read,
# and one that was paid for and cannot be fetched.
MOST_RETRIES: Final = {"intended": 3, "lost": 1}
# A text with more words of the lexicon than these is not asked whether they alone have changed.
_MOST_RESPELLED: Final = 20
ReasonCode = Literal[
    "new",
    "changed",
    "lexicon",
    "voice changed",
    "in doubt",
    "refused before",
    "failed before",
    "clip missing",
    "paid for",
    "forced",
    "forgotten",
    "output missing",
    "output edited",
    "segments changed",
    "clips to come",
    "locked, not here",
    "not the lock's clip",
    "left with git-lfs",
    "retake",
]


class Reason(Struct, frozen=True, kw_only=True, gc=False):
    """Why an action is needed; `before` and `after` of what changed, `what` names it.

    `dropped_take` is the take that was chosen for the words before, and that the new ones do not have.
    """

    code: ReasonCode
    what: str = ""
    before: str = ""
    after: str = ""
    dropped_take: int = 0


class Cost(Struct, frozen=True, kw_only=True, gc=False):
    """What an action is billed by: `bytes` of text, `usd` as an estimate, and how many calls have no known price."""

    bytes: int = 0
    usd: float = 0.0
    unpriced: int = 0


class CreateVoice(Struct, frozen=True, kw_only=True, gc=False):
    """Pay for a voice (one whose creation is in doubt is looked up first)."""

    step: VoiceStep
    reason: Reason
    cost: Cost


class Speak(Struct, frozen=True, kw_only=True, gc=False):
    """Pay for a clip."""

    step: ClipStep
    reason: Reason
    cost: Cost


class Collect(Struct, frozen=True, kw_only=True, gc=False):
    """Fetch what is paid for already, or look for a voice that may be, and then has cost `cost`."""

    step: ClipStep | VoiceStep
    reason: Reason
    row: CallRow
    cost: Cost = field(default_factory=Cost)


class Held(Struct, frozen=True, kw_only=True, gc=False):
    """A call that waits for a decision; what needs it is not built. It may have cost `cost`."""

    step: ClipStep | VoiceStep
    reason: Reason
    row: CallRow
    cost: Cost


class Missing(Struct, frozen=True, kw_only=True, gc=False):
    """A clip that the lock names, and that neither the clips here nor a task can give; again it would cost `cost`."""

    step: ClipStep
    reason: Reason
    cost: Cost


class Stitch(Struct, frozen=True, kw_only=True, gc=False):
    """Make an output of its clips."""

    step: OutputStep
    reason: Reason


class Differing(Struct, frozen=True, kw_only=True):
    """A voice that the service keeps with other `fields` than the manifest says: not heard, and nothing is done."""

    step: VoiceStep
    fields: tuple[str, ...]


class Plan(Struct, frozen=True, kw_only=True):
    """All that a build would do; empty where all is up to date."""

    voices: tuple[CreateVoice, ...] = ()
    clips: tuple[Speak, ...] = ()
    collect: tuple[Collect, ...] = ()
    held: tuple[Held, ...] = ()
    stitches: tuple[Stitch, ...] = ()
    reused: int = 0
    fresh: tuple[OutputStep, ...] = ()
    differing: tuple[Differing, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.voices or self.clips or self.collect or self.held or self.stitches or self.missing)

    @property
    def is_stitching(self) -> bool:
        """Whether all that is to do needs no service."""
        return not (self.voices or self.clips or self.collect or self.held)

    @property
    def paid(self) -> tuple[CreateVoice | Speak, ...]:
        """The actions that cost money."""
        return (*self.voices, *self.clips)

    @property
    def free_part(self) -> Plan:
        """The part of it that costs nothing: what is paid for is collected, and stitched as far as it goes."""
        return replace(self, voices=(), clips=())

    @property
    def cost(self) -> Cost:
        """Of all paid actions together."""
        costs = [action.cost for action in self.paid]
        return Cost(
            bytes=sum(cost.bytes for cost in costs),
            usd=sum(cost.usd for cost in costs),
            unpriced=sum(cost.unpriced for cost in costs),
        )


class PlanOptions(Struct, frozen=True, kw_only=True):
    """How a build was asked for: `force` stitches all again, `replace_locked` pays for clips that are lost."""

    force: bool = False
    in_doubt: InDoubt = "ask"
    replace_locked: bool = False


def make_plan(graph: Graph, snapshot: Snapshot, prices: Prices, options: PlanOptions | None = None) -> Plan:
    """Compare what the graph needs with what there is."""
    return _Planner(graph, snapshot, prices, options or PlanOptions()).plan()


class _Planner:
    def __init__(self, graph: Graph, snapshot: Snapshot, prices: Prices, options: PlanOptions) -> None:
        self.graph, self.snapshot, self.prices, self.options = graph, snapshot, prices, options
        self.earlier = earlier_lines(graph.lines, snapshot.lines)
        self.held: list[Held] = []
        self.collect: list[Collect] = []
        self.missing: list[Missing] = []

    def plan(self) -> Plan:
        reused = sum(1 for key in self.graph.clips if key in self.snapshot.clips)
        clips = tuple(self._clips())
        voices = tuple(self._voices({speaker.created for clip in clips for speaker in clip.step.speakers}))
        stitches, fresh = self._outputs()
        return Plan(
            voices=voices,
            clips=clips,
            collect=tuple(self.collect),
            held=tuple(self.held),
            stitches=stitches,
            fresh=fresh,
            reused=reused,
            differing=tuple(self._differing()),
            missing=tuple(self.missing),
        )

    def _clips(self) -> Iterator[Speak]:
        for key in self.graph.clips:
            if key in self.snapshot.clips:
                continue
            step = self.graph.clips[key]
            row = self.snapshot.calls.get(key)
            cost = self._clip_cost(step)
            if key in self.snapshot.lock.clips:
                yield from self._locked(step, row, cost)
            elif row is not None and self._collectable(row):
                self.collect.append(Collect(step=step, reason=self._collecting(row), row=row))
            elif key in self.snapshot.pointers and not self.options.replace_locked:
                self.missing.append(Missing(step=step, reason=Reason(code="left with git-lfs"), cost=cost))
            elif row is not None and self._holds(row):
                self.held.append(Held(step=step, reason=self._again(row), row=row, cost=cost))
            else:
                yield Speak(step=step, reason=self._again(row) if row else self._why(step), cost=cost)

    def _locked(self, step: ClipStep, row: CallRow | None, cost: Cost) -> Iterator[Speak]:
        """A clip that the lock names and that is not here: its task may give it again, or a person's word pay it."""
        key, lock = step.fingerprint, self.snapshot.lock
        lost = row is not None and row.state == "lost"
        if row is None or lost or (row.state == "stored" and row.digest != lock.clips[key]):
            row = locked_row(step, lock)
        reason = Reason(code="locked, not here")
        if key in self.snapshot.others:
            reason = Reason(code="not the lock's clip", before=lock.clips[key], after=self.snapshot.others[key])
            self.missing.append(Missing(step=step, reason=reason, cost=cost))
        elif self._collectable(row) and not (lost and self.options.replace_locked):
            self.collect.append(Collect(step=step, reason=self._collecting(row), row=row))
        elif self.options.replace_locked:
            yield Speak(step=step, reason=reason, cost=cost)
        else:
            self.missing.append(Missing(step=step, reason=reason, cost=cost))

    def _voices(self, needed: set[Fingerprint | None]) -> Iterator[CreateVoice]:
        for key, step in self.graph.voices.items():
            row = self.snapshot.calls.get(key)
            if row is not None and row.state in ("submitted", "created"):
                self.collect.append(Collect(step=step, reason=Reason(code="paid for"), row=row))
            elif key not in needed or (row is not None and row.state == "trained"):
                continue
            elif row is not None and self._holds(row):
                reason = self._again(row)
                if reason.code == "in doubt":
                    self.collect.append(Collect(step=step, reason=reason, row=row, cost=self._voice_cost()))
                else:
                    self.held.append(Held(step=step, reason=reason, row=row, cost=self._voice_cost()))
            else:
                reason = self._again(row) if row else Reason(code="new")
                yield CreateVoice(step=step, reason=reason, cost=self._voice_cost())

    def _differing(self) -> Iterator[Differing]:
        for key, step in self.graph.voices.items():
            row = self.snapshot.calls.get(key)
            if row is None or row.state not in ("created", "trained") or not row.described:
                continue
            wanted = description(step.voice)
            names = sorted(name for name in {*wanted, *row.described} if wanted.get(name) != row.described.get(name))
            if names:
                yield Differing(step=step, fields=tuple(names))

    @staticmethod
    def _collectable(row: CallRow) -> bool:
        if row.state in IN_FLIGHT:
            return True
        return row.state == "stored" and bool(row.task_id or row.url)

    @staticmethod
    def _collecting(row: CallRow) -> Reason:
        return Reason(code="clip missing" if row.state == "stored" else "paid for")

    def _clip_cost(self, step: ClipStep) -> Cost:
        price = self.prices.of(step.model)
        return (
            Cost(bytes=step.bytes, unpriced=1)
            if price is None
            else Cost(bytes=step.bytes, usd=step.bytes * price / 1e6)
        )

    def _voice_cost(self) -> Cost:
        price = self.prices.voice
        return Cost(unpriced=1) if price is None else Cost(usd=price)

    def _holds(self, row: CallRow) -> bool:
        if row.state == "failed":
            return row.charged != "no" and self.options.in_doubt != "retry"
        if row.state not in MOST_RETRIES or self.options.in_doubt == "retry":
            return False
        # A build that was stopped or killed is no reason to stop here: only what the service did counts.
        killed = row.state == "intended" and row.error is None
        spent = not killed and self.snapshot.retried.get(row.fingerprint, 0) >= MOST_RETRIES[row.state]
        return spent or self.options.in_doubt == "skip"

    @staticmethod
    def _again(row: CallRow) -> Reason:
        codes: dict[str, ReasonCode] = {
            "failed": "failed before",
            "refused": "refused before",
            "stored": "clip missing",
            "forgotten": "forgotten",
        }
        code = codes.get(row.state, "in doubt")
        return Reason(code=code, what=row.error or "")

    def _why(self, step: ClipStep) -> Reason:
        """What changed since the line was last built, or that it is new."""
        before = next((self.earlier[use.address] for use in step.uses if use.address in self.earlier), None)
        row = self.snapshot.calls.get(before) if before else None
        if row is None:
            return Reason(code="new")
        reason = _difference(row.record, step)
        return replace(reason, dropped_take=int(row.record.get("take", 1)) if step.take == 1 else 0)

    def _outputs(self) -> tuple[tuple[Stitch, ...], tuple[OutputStep, ...]]:
        stitches, fresh = [], []
        for step in self.graph.outputs:
            reason = self._stale(step)
            if reason is None:
                fresh.append(step)
            else:
                stitches.append(Stitch(step=step, reason=reason))
        return tuple(stitches), tuple(fresh)

    def _stale(self, step: OutputStep) -> Reason | None:
        path = str(step.output.path)
        row = self.snapshot.outputs.get(path)
        wanted = recipe(step, self.snapshot)
        file = self.snapshot.files.get(path, "absent")
        if wanted is None:
            missing = {item.clip for item in step.items if item.clip and item.clip not in self.snapshot.clips}
            return Reason(code="clips to come", what=str(len(missing)))
        if self.options.force:
            return Reason(code="forced")
        if row is None or file == "absent":
            return Reason(code="output missing" if row else "new")
        if row.recipe != wanted:
            return Reason(code="segments changed")
        return Reason(code="output edited") if file == "edited" else None


def _difference(before: Mapping[str, Any], step: ClipStep) -> Reason:
    after = step.record
    text = "text" if step.api == "tts" else "prompt"
    old, new = before.get("body", {}), step.body
    if old.get(text) != new.get(text):
        was, now = str(old.get(text, "")), str(new.get(text, ""))
        words = _respelled_otherwise(was, now, step)
        return Reason(code="lexicon" if words else "changed", what=words or "text", before=was, after=now)
    if before.get("voice") != after.get("voice"):
        return Reason(code="voice changed", what=" and ".join(speaker.name for speaker in step.speakers))
    others = ({"model": record.get("model"), "take": record.get("take", 1)} for record in (before, after))
    for name, was, now in _changes({**old, **next(others)}, {**new, **next(others)}):
        return Reason(code="changed", what=name, before=was, after=now)
    return Reason(code="new")


def _respelled_otherwise(was: str, now: str, step: ClipStep) -> str:
    """The words of the lexicon that are all that two texts differ in; "" where something else does."""
    if not 0 < len(step.respelled) <= _MOST_RESPELLED:
        return ""
    pattern, at = "", 0
    for start, end, _, _ in step.respelled:
        pattern += f"{re.escape(now[at:start])}(.+?)"
        at = end
    found = re.fullmatch(pattern + re.escape(now[at:]), was, re.DOTALL)
    spoken = zip(found.groups() if found else (), step.respelled, strict=False)
    return ", ".join(dict.fromkeys(word for before, (start, end, word, _) in spoken if before != now[start:end]))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) or isinstance(now, dict):
            yield from _changes(was or {}, now or {})
        elif was != now:
            yield name, "unset" if was is None else str(was), "unset" if now is None else str(now)
