"""Where a long text is cut: at sentence ends, so that an edit moves no other cut.

Sentences are found by sentencex (Wikimedia). A text above its limit is cut in two at one sentence end, chosen by
a digest of the words behind it, and each half again: what is written elsewhere has no say in it. So the pieces of an
edited text are those of before but for the one that was edited (the idea is that of content-defined chunking).
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_CLAUSE: Final = re.compile(r"[;:—–][\"'”’»)]*\s+|,[\"'”’»)]*\s+|[，；：、]")
_INITIAL: Final = re.compile(r"(?:^|[\s(“\"«])[^\W\d_a-zß-ÿ]\.\s+$")
_OPENING: Final = re.compile(r"[\"'“‘«(\[–—…-]*\s?(.)", re.DOTALL)
_SPACE: Final = re.compile(r"\s+")
_DECIDES: Final = 24
# A piece of fewer characters is not made while there is another way: it would come out as noise.
_TINY: Final = 15


def sentence_ends(text: str, language: str) -> list[int]:
    """The offsets at which a sentence ends and another begins, white space counted to the one before."""
    from sentencex import get_sentence_boundaries

    main = language.partition("-")[0].lower() or "en"
    ends = [int(found["end_index"]) for found in get_sentence_boundaries(main, text)]
    return [end for end in ends if 0 < end < len(text) and _is_end(text, end)]


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
    inside = {offset for start, end in whole for offset in range(start + 1, end)}
    ranks = [
        [offset for offset in sentence_ends(text, language) if offset not in inside],
        [match.end() for match in _CLAUSE.finditer(text) if match.end() not in inside],
        [match.end() for match in _SPACE.finditer(text) if match.end() not in inside],
        [offset for offset in range(1, len(text)) if offset not in inside],
    ]
    return _halved(text, 0, len(text), most, ranks)


def _halved(text: str, start: int, end: int, most: int, ranks: Sequence[Collection[int]]) -> list[int]:
    if len(text[start:end].strip()) <= most:
        return []
    for rank, guard in ((0, most // 4), (0, _TINY), (1, most // 4), (2, most // 4), (0, 1), (1, 1), (2, 1)):
        inner = [offset for offset in ranks[rank] if start + guard <= offset <= end - guard]
        if inner:
            cut = max(inner, key=lambda offset: (text[offset - 2 : offset] == "\n\n", _lot(text, offset)))
            break
    else:
        cut = max((offset for offset in ranks[3] if start < offset <= start + most), default=0)
    if not cut:
        return []
    return [*_halved(text, start, cut, most, ranks), cut, *_halved(text, cut, end, most, ranks)]


def _lot(text: str, offset: int) -> bytes:
    """What decides between two places: the words that follow."""
    return hashlib.sha256(text[offset : offset + _DECIDES].encode()).digest()
