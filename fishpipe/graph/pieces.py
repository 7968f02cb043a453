"""A long text in the pieces that were paid for: what is paid again is what no paid piece says. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from fishpipe.manifest.cues import performed, without_cues
from fishpipe.manifest.sentences import cuts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fishpipe.manifest.model import Speech

# Where a text may have been cut: behind a sign and spaces; and where it most likely was.
_CUTS: Final = re.compile(r"[^\w\s]\s+")
_ENDS: Final = re.compile(r"[.!?…。！？][\"'”’»)\]]*\s+")
_SLACK: Final = 100


def pieces_as_paid(
    whole: Speech, pieces: Sequence[Speech], language: str, is_paid: Callable[[Speech], bool]
) -> list[Speech]:
    """The pieces of a text that cost the least: those given, or others that were paid for.

    Where none of the given pieces is paid, only pieces that are all paid count: the text is new, or its limit is.
    """
    paid = [piece for piece in pieces if is_paid(piece)]
    if len(paid) == len(pieces):
        return list(pieces)
    found = _all_paid(whole, is_paid)
    if not found and paid:
        found = _mostly_paid(whole, pieces, language, is_paid)
    parts = [part_of(whole, start, end) for start, end in found]
    better = sum(len(part.text) for part in parts if is_paid(part)) > sum(len(piece.text) for piece in paid)
    return parts if better else list(pieces)


def part_of(whole: Speech, start: int, end: int) -> Speech:
    """The piece of a text from one offset to another, with its captions and what the lexicon put into it."""
    text = whole.text[start:end]
    lead = start + len(text) - len(text.lstrip())
    inside = tuple((a - lead, b - lead, word, written) for a, b, word, written in whole.respelled if start <= a < end)
    text = text.strip()
    shown, position = "", 0
    for a, b, _, written in inside:
        shown += text[position:a] + written
        position = b
    return replace(
        whole, text=text, shown=without_cues(shown + text[position:], whole.settings.model), respelled=inside
    )


def _offsets(whole: Speech, pattern: re.Pattern[str]) -> list[int]:
    """The offsets behind what a pattern finds, both ends of the text, and none inside of a cue or a respelling."""
    kept = [*performed(whole.text, whole.settings.model), *((a, b) for a, b, _, _ in whole.respelled)]
    inner = (match.end() for match in pattern.finditer(whole.text))
    return [0, *(at for at in inner if at < len(whole.text) and not any(a < at < b for a, b in kept)), len(whole.text)]


def _all_paid(whole: Speech, is_paid: Callable[[Speech], bool]) -> list[tuple[int, int]]:
    """The whole text in pieces that were all paid for; none where there are none."""
    ends = _offsets(whole, _CUTS)
    before: dict[int, int] = {0: 0}
    for number, start in enumerate(ends[:-1]):
        for end in ends[number + 1 :] if start in before else ():
            if end not in before and is_paid(part_of(whole, start, end)):
                before[end] = start
    if len(whole.text) not in before:
        return []
    places = [len(whole.text)]
    while places[0]:
        places.insert(0, before[places[0]])
    return list(pairwise(places))


def _mostly_paid(
    whole: Speech, pieces: Sequence[Speech], language: str, is_paid: Callable[[Speech], bool]
) -> list[tuple[int, int]]:
    """The text in pieces of which as much as can be was paid for; what is between them is cut anew."""
    longest = max(len(piece.text) for piece in pieces)
    ends = _offsets(whole, _ENDS)
    best: list[tuple[int, int | None]] = [(0, None)]
    for last, end in enumerate(ends[1:], 1):
        found: tuple[int, int | None] = (best[last - 1][0], None)
        for first in range(bisect_left(ends, end - longest - _SLACK), last):
            worth = best[first][0] + end - ends[first]
            if worth > found[0] and is_paid(part_of(whole, ends[first], end)):
                found = (worth, first)
        best.append(found)
    chain: list[tuple[int, int]] = []
    last = len(ends) - 1
    while last:
        begins = best[last][1]
        if begins is not None:
            chain.insert(0, (ends[begins], ends[last]))
        last = last - 1 if begins is None else begins
    made: list[tuple[int, int]] = []
    position = 0
    for start, end in [*chain, (len(whole.text), len(whole.text))]:
        if whole.text[position:start].strip():
            inner = [position + cut for cut in cuts(whole.text[position:start], longest, language)]
            made += pairwise([position, *inner, start])
        made += [(start, end)] if end > start else []
        position = end
    return made
