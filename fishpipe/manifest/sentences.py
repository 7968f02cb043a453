"""Where a long text is cut: at sentence ends, so that an edit moves no other cut.

Sentences are found by sentencex (Wikimedia). A text above its limit is cut in two at one sentence end, chosen by
a digest of the words behind it, and each half again: what is written elsewhere has no say in it. So the pieces of an
edited text are those of before but for the one that was edited (the idea is that of content-defined chunking).
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Final

from fishpipe.manifest.definitions import main_language

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CLAUSE: Final = re.compile(r"[;:—–][\"'”’»)]*\s+|,[\"'”’»)]*\s+|[，；：、]")
_INITIAL: Final = re.compile(r"(?:^|[\s(“\"«])[^\W\d_a-zß-ÿ]\.\s+$")
_OPENING: Final = re.compile(r"[\"'“‘«(\[–—…-]*\s?(.)", re.DOTALL)
_SPACE: Final = re.compile(r"\s+")
_DECIDES: Final = 24
_DECIDES_ALIKE: Final = 240
# A piece of fewer characters is not made while there is another way: it would come out as noise.
_TINY: Final = 15
_MOST_AT_ONCE: Final = 40_000


def sentence_ends(text: str, language: str) -> list[int]:
    """The offsets at which a sentence ends and another begins, white space counted to the one before."""
    from sentencex import get_sentence_boundaries

    tongue = main_language(language) or "en"
    ends: list[int] = []
    start = 0
    while start < len(text):
        stop = _stop(text, start)
        found = get_sentence_boundaries(tongue, text[start:stop])
        ends += [start + end for sentence in found if (end := int(sentence["end_index"])) < stop - start]
        start = stop
    return [end for end in ends if end > 0 and _is_end(text, end)]


def _stop(text: str, start: int) -> int:
    """Where to look up to at one time: what has no sentence end takes sentencex a time that grows with its square."""
    stop = start + _MOST_AT_ONCE
    if stop >= len(text):
        return len(text)
    return max(text.rfind("\n", start, stop), text.rfind(" ", start, stop), start + _MOST_AT_ONCE // 2)


def _is_end(text: str, end: int) -> bool:
    """Whether a sentence is over: not behind an initial (M. Dupont), which sentencex does not know in all languages.

    Nor where it goes on in small letters (thump! thump!), or with the quote that closes it.
    """
    following = _OPENING.match(text, end)
    if following and (following[1].islower() or following[1] in "”’»)]"):
        return False
    return (text[end - 1].isspace() and not _INITIAL.search(text[max(0, end - 8) : end])) or text[end - 1] in "。！？"


def cuts(text: str, most: int, language: str, whole: Sequence[tuple[int, int]] = ()) -> list[int]:
    """The offsets to cut a text at, so that no piece has more than `most` characters.

    Sentence ends come first; where a sentence is too long, clauses, then spaces. None lies inside of one of the
    `whole` ranges.
    """
    if len(text) <= most:
        return []
    cutter = _Cutter(text, most, language, whole)
    places, waiting = [], [(0, len(text))]
    while waiting:
        start, end = waiting.pop()
        cut = cutter.cut(start, end)
        if cut:
            places.append(cut)
            waiting += [(start, cut), (cut, end)]
    return sorted(places)


class _Cutter:
    """Finds the place to cut a part of one text at."""

    def __init__(self, text: str, most: int, language: str, whole: Sequence[tuple[int, int]]) -> None:
        self.text, self.most, self.language = text, most, language
        self._inside = {offset for start, end in whole for offset in range(start + 1, end)}
        self._lots: dict[int, tuple[bool, bytes, bytes]] = {}

    @cached_property
    def sentences(self) -> list[int]:
        """Where sentences end."""
        return self._outside(sentence_ends(self.text, self.language))

    @cached_property
    def clauses(self) -> list[int]:
        """Where clauses end."""
        return self._outside(match.end() for match in _CLAUSE.finditer(self.text))

    @cached_property
    def spaces(self) -> list[int]:
        """Where words begin."""
        return self._outside(match.end() for match in _SPACE.finditer(self.text))

    def _outside(self, offsets: Iterable[int]) -> list[int]:
        return [offset for offset in offsets if offset not in self._inside]

    def cut(self, start: int, end: int) -> int:
        """Where to cut; 0 where a part is short enough, or cannot be cut."""
        if end - start <= self.most or len(self.text[start:end].strip()) <= self.most:
            return 0
        for name, guard in (
            *(("sentences", self.most // 4), ("sentences", _TINY), ("clauses", self.most // 4)),
            *(("spaces", self.most // 4), ("sentences", 1), ("clauses", 1), ("spaces", 1)),
        ):
            offsets: list[int] = getattr(self, name)
            first, last = bisect_left(offsets, start + guard), bisect_right(offsets, end - guard)
            if first < last:
                middle = (start + end) // 2
                return max(offsets[first:last], key=lambda offset: (*self._lot(offset), -abs(middle - offset)))
        hard = next((at for at in range(start + self.most, start, -1) if at not in self._inside), 0)
        return hard or next((at for at in range(start + self.most, end) if at not in self._inside), 0)

    def _lot(self, offset: int) -> tuple[bool, bytes, bytes]:
        """What decides between two places: a paragraph's end, then the words that follow; more of them where alike."""
        if offset not in self._lots:
            near, far = (self.text[offset : offset + reach].encode() for reach in (_DECIDES, _DECIDES_ALIKE))
            is_paragraph = self.text[offset - 2 : offset] == "\n\n"
            self._lots[offset] = (is_paragraph, hashlib.sha256(near).digest(), hashlib.sha256(far).digest())
        return self._lots[offset]
