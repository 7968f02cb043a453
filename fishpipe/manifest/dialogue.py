"""A dialogue → its lines: `NAME: words`, with (directions) for the speaker.

A line that begins with no name goes on with the one before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from fishpipe.errors import Span, did_you_mean
from fishpipe.manifest.nodes import Mapping, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from fishpipe.manifest.nodes import Node

_HEAD: Final = re.compile(r"([^\s()\[\]#\"'“‘][^()\[\]\"“”]*)((?:\([^()]*\)\s*)*)")
_DIRECTION: Final = re.compile(r"\s*\(([^()]*)\)\s*([,.;:!?…]?)")
# A name with its directions is no longer than this.
_LONGEST: Final = 120


class Line(Struct, frozen=True):
    """One speaker's words; `number` is the line of the block that it begins on, from 0."""

    name: str
    words: str
    number: int


def lines_of(text: str, is_known: Callable[[str], bool]) -> Iterator[Line]:
    """The lines of a dialogue. What comes before the first name has the name "".

    A name that is not known is one where it looks like one: a few words, each with a capital, on a line that is not
    indented. A paragraph in brackets is a stage direction, and what follows a # a comment: neither is spoken.
    """
    open_line: Line | None = None
    is_fresh = True
    for number, written in enumerate(text.split("\n")):
        words = written.strip()
        if words.startswith("# ") or (is_fresh and _is_stage_direction(words)):
            continue
        is_fresh = not words
        named = _named(words, is_known, is_indented=written[:1].isspace())
        if named:
            if open_line is not None:
                yield open_line
            open_line = Line(*named, number)
        elif words:
            before = open_line or Line("", "", number)
            open_line = replace(before, words=f"{before.words} {words}".strip())
    if open_line is not None:
        yield open_line


def _is_stage_direction(words: str) -> bool:
    return re.fullmatch(r"\([^()]*\)|\[[^\[\]]*\]", words) is not None


def _named(line: str, is_known: Callable[[str], bool], *, is_indented: bool) -> tuple[str, str] | None:
    """(name, words) of a line that begins with who says it; a known name may stand behind a dash."""
    colon = min((at for at in (line.find(":", 0, _LONGEST), line.find("：", 0, _LONGEST)) if at >= 0), default=-1)
    head = _HEAD.fullmatch(line[: max(colon, 0)].removeprefix("- ").strip())
    if head is None:
        return None
    name, rest = head[1].strip(), line[colon + 1 :]
    looks_so = not is_indented and rest[:1].strip() == "" and not line.startswith("- ") and _looks_named(name)
    if not (is_known(name) or looks_so):
        return None
    return name, f"{head[2].strip()} {rest.strip()}".strip()


def _looks_named(name: str) -> bool:
    parts = name.split()
    return len(parts) <= 4 and all(not part[0].islower() for part in parts)


def directed(words: str) -> str:
    """Words with each (direction) as a cue of the markup; a stop behind one goes back to the word before it."""
    from html import escape

    marked = _DIRECTION.sub(lambda m: f'{m[2]} <cue name="{escape(m[1].strip())}" direction="yes"/> ', words)
    return re.sub(r" {2,}", " ", marked).strip()


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
    is_known = known is not None and "\n" not in text.raw
    if is_known and sum(text.raw.count(f"{name}:") for name in [*voices, *cast]) > 1:
        say(
            text.span,
            "this dialogue is one line, and several speak in it",
            "write dialogue: |, so that lines stay lines",
        )
    for said in lines_of(text.raw, lambda name: name in voices or name.casefold() in roles):
        role = roles.get(said.name) or roles.get(said.name.casefold())
        at = line(text, said.number, said.name or said.words[:20])
        if known and role is None and said.name not in voices:
            what = f'"{said.name}" is neither in the cast nor a voice' if said.name else "this line has no speaker"
            near = did_you_mean(said.name, [*cast, *voices]) if said.name else "begin it with NAME:"
            say(at, what, near or f"add it to cast: {{{said.name}: VOICE}}, or indent the line, if it goes on")
        words = directed(said.words)
        if not words:
            say(at, f"{said.name} says nothing", "give it words, or remove the line")
            continue
        part += 1
        kind = "cast" if role is not None else "voice"
        made = replace(common, span=at).having(line=part, goes_on=part > 1, **{kind: role or said.name})
        if known and role is None and said.name not in voices:
            made = replace(made.without(kind), dropped=frozenset({"voice"}))
        entries = [entry for entry in kept if part == 1 or entry[0].raw != "chapter"]
        spoken = (Scalar(at, "text", "text"), Scalar(at, words, words))
        yield replace(made, entries=(spoken, *entries, *made.entries))
