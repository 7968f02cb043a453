"""A text in the pieces that were paid for: what is paid again is what no paid piece says. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from fishpipe.manifest.cues import has_words, performed, without_cues

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fishpipe.manifest.model import Speech

Range = tuple[int, int]

# A text may have been cut behind any sign, and where it has none for so long, behind any word.
_SIGNS: Final = re.compile(r"[^\w\s]\s+|[。！？，；：、]")
_LONG: Final = 100
_WORDS: Final = re.compile(r"\s+")
# No piece that is looked for is longer.
_REACH: Final = 2000


def pieces_as_paid(
    whole: Speech, pieces: Sequence[Speech], language: str, is_paid: Callable[[str], bool]
) -> list[Speech]:
    """The pieces of a text that cost the least: those given, or others that were paid for.

    A text that is one piece stays one, unless all of it was paid for in others.
    """
    if all(is_paid(piece.text) for piece in pieces):
        return list(pieces)
    chain = _paid_chain(whole, is_paid)
    covered = sum(len(whole.text[start:end].strip()) for start, end in chain)
    gaps = [gap for gap in _gaps(whole, chain) if whole.text[gap[0] : gap[1]].strip()]
    if covered <= sum(len(piece.text) for piece in pieces if is_paid(piece.text)) or (gaps and len(pieces) == 1):
        return list(pieces)
    longest = max(len(piece.text) for piece in pieces)
    inner = [part for gap in gaps for part in _cut(whole, gap, longest, language)]
    return [part_of(whole, start, end) for start, end in _with_words(whole, sorted([*chain, *inner]))]


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
    shown = without_cues(shown + text[position:], whole.settings.model)
    return replace(whole, text=text, shown=shown, respelled=inside)


def _kept(whole: Speech) -> list[Range]:
    """What is never cut: cues and tags, and what the lexicon put into the text."""
    return [*performed(whole.text, whole.settings.model), *((a, b) for a, b, _, _ in whole.respelled)]


def _offsets(whole: Speech) -> list[int]:
    """Where the text may have been cut before, both of its ends included."""
    text, kept = whole.text, _kept(whole)
    ends = [0, *(match.end() for match in _SIGNS.finditer(text)), len(text)]
    for start, end in pairwise(ends.copy()):
        if end - start > _LONG:
            ends += [match.end() for match in _WORDS.finditer(text, start, end)]
    return sorted({at for at in ends if at in (0, len(text)) or not any(a < at < b for a, b in kept)})


def _paid_chain(whole: Speech, is_paid: Callable[[str], bool]) -> list[Range]:
    """Ranges of the text that were paid for, one behind the other, that cover as much of it as can be."""
    ends = _offsets(whole)
    best: list[tuple[int, int | None]] = [(0, None)]
    for last, end in enumerate(ends[1:], 1):
        found: tuple[int, int | None] = (best[last - 1][0], None)
        for first in range(bisect_left(ends, end - _REACH), last):
            worth = best[first][0] + end - ends[first]
            if worth > found[0] and is_paid(whole.text[ends[first] : end].strip()):
                found = (worth, first)
        best.append(found)
    chain: list[Range] = []
    last = len(ends) - 1
    while last:
        begins = best[last][1]
        if begins is not None:
            chain.insert(0, (ends[begins], ends[last]))
        last = last - 1 if begins is None else begins
    return chain


def _gaps(whole: Speech, chain: Sequence[Range]) -> list[Range]:
    edges = [0, *(edge for part in chain for edge in part), len(whole.text)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _cut(whole: Speech, gap: Range, longest: int, language: str) -> list[Range]:
    from fishpipe.manifest.sentences import cuts

    start, end = gap
    kept = [(max(a, start) - start, min(b, end) - start) for a, b in _kept(whole) if a < end and b > start]
    return list(pairwise([start, *(start + cut for cut in cuts(whole.text[start:end], longest, language, kept)), end]))


def _with_words(whole: Speech, parts: Sequence[Range]) -> list[Range]:
    """The parts; one that holds cues or signs alone goes with the one before, or else behind."""
    made: list[Range] = []
    speaks = True
    for start, end in parts:
        heard = has_words(part_of(whole, start, end).shown)
        if made and not (heard and speaks):
            made[-1] = (made[-1][0], end)
            speaks = speaks or heard
        else:
            made.append((start, end))
            speaks = heard
    return made
