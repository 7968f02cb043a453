"""Which line of the last build became which line of this one, so that a change can be told from an insertion. Pure."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fishpipe.graph.fingerprints import Fingerprint

_UNNAMED: Final = re.compile(r"(\d+|(.+-)?[0-9a-f]{6}(-\d+)?)(\.\d+)*")
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
    named = {address: key for address, key in old if not _is_ordinal(address)}
    earlier = {address: named[address] for address, key in new if address in named and named[address] != key}
    head = _common(new, old)
    tail = _common(new[head:][::-1], old[head:][::-1])
    middle, was = new[head : len(new) - tail], old[head : len(old) - tail]
    matcher = SequenceMatcher(None, [key for _, key in was], [key for _, key in middle], autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "replace":
            for (_, key), (address, _) in zip(was[i1:i2], middle[j1:j2], strict=False):
                if _is_ordinal(address):
                    earlier.setdefault(address, key)
    return earlier


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
