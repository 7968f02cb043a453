"""The renderings of a segment's words: which there are, which is used, which number comes next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from fishpipe.graph.fingerprints import words_of
from fishpipe.lock import MOST_TAKES
from fishpipe.snapshot import IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fishpipe.graph.fingerprints import Digest, Fingerprint
    from fishpipe.graph.steps import ClipStep, Graph
    from fishpipe.snapshot import CallRow, Calls, Snapshot

# Numbers are looked for until so many in a row are unknown.
_GAP: Final = 20


class Take(Struct, frozen=True, kw_only=True):
    """One rendering: its step, its clip's digest (None where it is not here), and whether it is the one in use."""

    step: ClipStep
    digest: Digest | None
    row: CallRow | None
    locked: bool
    current: bool

    @property
    def number(self) -> int:
        """From 1."""
        return self.step.take

    @property
    def is_made(self) -> bool:
        """Whether it was rendered to its end, here or elsewhere."""
        return self.digest is not None or self.locked


def takes_of(step: ClipStep, snapshot: Snapshot) -> list[Take]:
    """All renderings of a step's words that ledger, lock or clips know; the current one in any case."""
    found, unknown, number = [], 0, 0
    while (unknown < _GAP or number < step.take) and number < MOST_TAKES:
        number += 1
        take = _take(step if number == step.take else step.at_take(number), snapshot, current=number == step.take)
        is_known = take.is_made or take.row is not None
        unknown = 0 if is_known else unknown + 1
        if is_known or take.current:
            found.append(take)
    return found


def _take(step: ClipStep, snapshot: Snapshot, *, current: bool) -> Take:
    key = step.fingerprint
    return Take(
        step=step,
        digest=snapshot.clips.get(key),
        row=snapshot.calls.get(key),
        locked=key in snapshot.lock.clips,
        current=current,
    )


def next_takes(step: ClipStep, snapshot: Snapshot, taken: frozenset[Fingerprint], count: int) -> list[ClipStep]:
    """The steps of `count` more renderings: first those that were begun and not finished, then new numbers.

    `taken` are fingerprints that lines of the manifest ask for by number.
    """
    known = {take.number: take for take in takes_of(step, snapshot)}
    free = (n for n in range(1, MOST_TAKES + 1) if n not in known or not (known[n].is_made or known[n].current))
    steps = (step.at_take(number) for number in free)
    chosen: list[ClipStep] = []
    for other in steps:
        if len(chosen) == count:
            break
        if other.fingerprint not in taken and (other.take != 1 or 1 in known):
            chosen.append(other)
    return chosen


def with_open_takes(graph: Graph, calls: Calls) -> Graph:
    """A graph with the takes of its words that are paid for and not fetched yet: a build collects them."""
    rows = [row for row in calls.of(states=IN_FLIGHT) if row.kind == "clip" and row.fingerprint not in graph.clips]
    if not rows:
        return graph
    by_words = {step.words: step for step in graph.clips.values()}
    found = ((row, by_words.get(words_of(row.record))) for row in rows)
    more = {row.fingerprint: s.at_take(int(row.record.get("take", 1))) for row, s in found if s is not None}
    return replace(graph, clips={**graph.clips, **more}) if more else graph


def sharing(step: ClipStep, address: str) -> Iterator[str]:
    """The other segments that are spoken with the same words, and so the same take."""
    return (use.address for use in step.uses if use.address != address)
