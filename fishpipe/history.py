"""Which line of the last build became which line of this one, so that a change can be told from an insertion. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fishpipe.graph.fingerprints import Fingerprint

_UNNAMED: Final = re.compile(r"(\d+|(.+-)?[0-9a-f]{6}(-\d+)?)(\.\d+)*")
# Lists whose lengths multiply to no more are compared each with each.
_MOST_PAIRS: Final = 100_000
Lines = tuple[tuple[str, "Fingerprint"], ...]


def earlier_lines(now: Mapping[str, Lines], before: Mapping[str, Lines]) -> dict[str, Fingerprint]:
    """For each address whose fingerprint is not as last built: the fingerprint of the line that it replaces."""
    earlier: dict[str, Fingerprint] = {}
    for script, lines in now.items():
        old = before.get(script, ())
        if old and old != lines:
            earlier |= _replaced(lines, old)
    return earlier


def _replaced(new: Lines, old: Lines) -> dict[str, Fingerprint]:
    head = _common(new, old)
    tail = _common(new[head:][::-1], old[head:][::-1])
    middle, was = new[head : len(new) - tail], old[head : len(old) - tail]
    # An address is one line's alone: a name that is in both ends is in neither middle.
    named = {address: key for address, key in was if not _is_ordinal(address)}
    earlier = {address: named[address] for address, key in middle if address in named and named[address] != key}
    for i1, i2, j1, j2 in replacements([key for _, key in was], [key for _, key in middle]):
        for (_, key), (address, _) in zip(was[i1:i2], middle[j1:j2], strict=False):
            if _is_ordinal(address):
                earlier.setdefault(address, key)
    return earlier


def replacements(was: Sequence[str], now: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """(first, end) of what was, and of what stands in its place now, for each stretch that was replaced.

    What occurs once on both sides holds the two together (patience diff), so that long lists take a time that grows
    with their length; only short stretches between are compared each with each.
    """
    from difflib import SequenceMatcher

    begins = (0, 0)
    for i, j in [*_anchors(was, now), (len(was), len(now))]:
        old, new = was[begins[0] : i], now[begins[1] : j]
        if old and new:
            if len(old) * len(new) > _MOST_PAIRS:
                yield begins[0], i, begins[1], j
            else:
                for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
                    if tag == "replace":
                        yield begins[0] + i1, begins[0] + i2, begins[1] + j1, begins[1] + j2
        begins = (i + 1, j + 1)


def _anchors(was: Sequence[str], now: Sequence[str]) -> list[tuple[int, int]]:
    """Where the two go together: the longest run, in both orders, of what occurs once on both sides."""
    if len(was) * len(now) <= _MOST_PAIRS:
        return []
    counts, others = Counter(was), Counter(now)
    at = {key: number for number, key in enumerate(now) if others[key] == 1}
    pairs = [(i, at[key]) for i, key in enumerate(was) if counts[key] == 1 and key in at]
    return in_order(pairs)


def in_order(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """A longest run of pairs, in their order, whose second numbers rise (patience sorting)."""
    tails: list[int] = []
    at: list[int] = []
    previous: list[int] = []
    for number, (_, j) in enumerate(pairs):
        place = bisect_left(tails, j)
        tails[place : place + 1] = [j]
        at[place : place + 1] = [number]
        previous.append(at[place - 1] if place else -1)
    found: list[tuple[int, int]] = []
    number = at[-1] if at else -1
    while number >= 0:
        found.append(pairs[number])
        number = previous[number]
    return found[::-1]


def _is_ordinal(address: str) -> bool:
    """Whether an address is no name that its author gave: a number, or the words of a paragraph with their digest."""
    return _UNNAMED.fullmatch(address.rpartition("/")[2]) is not None


def _common(left: Sequence[tuple[str, str]], right: Sequence[tuple[str, str]]) -> int:
    count = 0
    for (_, one), (_, other) in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
