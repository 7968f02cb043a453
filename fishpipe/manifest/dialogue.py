"""A dialogue → its lines: `NAME: words`, with (directions) for the speaker.

A line that begins with no name goes on with the one before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Final

from fishpipe.errors import Span, did_you_mean
from fishpipe.manifest.nodes import Mapping, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from fishpipe.manifest.nodes import Node

_NAMED: Final = re.compile(
    r"(?P<name>[^\s:()\[\]#\"'“‘][^:()\[\]\"“”]{0,60}?)\s*(?P<direction>\([^()]*\))?\s*[:：](?:\s+|$)(?P<words>.*)"
)
_DIRECTION: Final = re.compile(r"\s*\(([^()]*)\)\s*([,.;:!?…]?)")


@dataclass(frozen=True, slots=True)
class Line:
    """One speaker's words; `number` is the line of the block that it begins on, from 0."""

    name: str
    words: str
    number: int


def lines_of(text: str, is_known: Callable[[str], bool]) -> Iterator[Line]:
    """The lines of a dialogue. What comes before the first name has the name "".

    A name that is not known is one where it looks like one: a few words, each with a capital.
    """
    open_line: Line | None = None
    for number, written in enumerate(text.split("\n")):
        found = _NAMED.fullmatch(written.strip())
        if found and (is_known(found["name"]) or _looks_named(found["name"])):
            if open_line is not None:
                yield open_line
            words = f"{found['direction'] or ''} {found['words']}".strip()
            open_line = Line(found["name"], words, number)
        elif written.strip():
            before = open_line or Line("", "", number)
            open_line = replace(before, words=f"{before.words} {written.strip()}".strip())
    if open_line is not None:
        yield open_line


def _looks_named(name: str) -> bool:
    parts = name.split()
    return len(parts) <= 4 and all(not part[0].islower() for part in parts)


def directed(words: str) -> str:
    """Words with each (direction) as a cue of the markup; a stop behind one goes back to the word before it."""
    return _DIRECTION.sub(lambda m: f'{m[2]} <cue name="{escape(m[1].strip())}" direction="yes"/> ', words).strip()


def spread_dialogue(
    node: Mapping,
    known: tuple[Collection[str], Collection[str]] | None,
    line: Callable[[Scalar, int, str], Span],
    say: Callable[[Span, str, str], None],
) -> Iterator[Node]:
    """The lines of a dialogue's node as segments; `known` are the voices and the cast, None where all may be."""
    text = node.get("dialogue")
    if not isinstance(text, Scalar):
        return
    voices, cast = known or ((), ())
    roles = {name.casefold(): name for name in cast} | {name: name for name in cast}
    common = node.without("dialogue", "id", "chapter", "language")
    kept = [(key, value) for key, value in node.entries if key.raw in ("id", "chapter", "language")]
    part = 0
    for said in lines_of(text.raw, lambda name: name in voices or name.casefold() in roles):
        role = roles.get(said.name) or roles.get(said.name.casefold())
        at = line(text, said.number, said.name or said.words[:20])
        if known and role is None and said.name not in voices:
            what = f'"{said.name}" is neither in the cast nor a voice' if said.name else "this line has no speaker"
            near = did_you_mean(said.name, [*cast, *voices]) if said.name else "begin it with NAME:"
            say(at, what, near or f"add it to cast: {{{said.name}: VOICE}}")
        words = directed(said.words)
        if not re.sub(r"<cue [^>]*>", "", words).strip(" .,;:!?…"):
            continue
        part += 1
        kind = "cast" if role is not None else "voice"
        made = replace(common, span=at).having(line=part, goes_on=part > 1, **{kind: role or said.name})
        if known and role is None and said.name not in voices:
            made = replace(made.without(kind), dropped=frozenset({"voice"}))
        entries = [entry for entry in kept if part == 1 or entry[0].raw != "chapter"]
        spoken = (Scalar(at, "text", "text"), Scalar(at, words, words))
        yield replace(made, entries=(spoken, *entries, *made.entries))
