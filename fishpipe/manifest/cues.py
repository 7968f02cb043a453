"""Cues in a text: what a model performs instead of speaking, and what it would swallow that was meant to be heard.

s1 knows a fixed set in parentheses (Fish Audio's emotion reference and the model card of s1-mini, read in 2026),
emotions at the start of a sentence only. The s2 family takes free directions in square brackets, anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fishpipe.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

EMOTIONS: Final = frozenset(
    [
        "happy",
        "sad",
        "angry",
        "excited",
        "calm",
        "nervous",
        "confident",
        "surprised",
        "satisfied",
        "delighted",
        "scared",
        "worried",
        "upset",
        "frustrated",
        "depressed",
        "empathetic",
        "embarrassed",
        "disgusted",
        "moved",
        "proud",
        "relaxed",
        "grateful",
        "curious",
        "sarcastic",
        "disdainful",
        "unhappy",
        "anxious",
        "hysterical",
        "indifferent",
        "uncertain",
        "doubtful",
        "confused",
        "disappointed",
        "regretful",
        "guilty",
        "ashamed",
        "jealous",
        "envious",
        "hopeful",
        "optimistic",
        "pessimistic",
        "nostalgic",
        "lonely",
        "bored",
        "contemptuous",
        "sympathetic",
        "compassionate",
        "determined",
        "resigned",
        "impatient",
        "scornful",
        "panicked",
        "furious",
        "reluctant",
        "keen",
        "interested",
        "joyful",
        "disapproving",
        "negative",
        "denying",
        "astonished",
        "serious",
        "conciliative",
        "comforting",
        "sincere",
        "sneering",
        "hesitating",
        "yielding",
        "painful",
        "awkward",
        "amused",
    ]
)
ANYWHERE: Final = frozenset(
    """
    in a hurry tone|shouting|screaming|whispering|soft tone|laughing|chuckling|sobbing|crying loudly|sighing|panting
    |groaning|gasping|yawning|snoring|crowd laughing|background laughter|audience laughing|break|long-break|breath
    |laugh|cough|lip-smacking|sigh
    """.replace("\n    |", "|")
    .strip()
    .split("|")
)
CUES: Final = EMOTIONS | ANYWHERE
MOST: Final = 3
_ROUND: Final = re.compile(r"\(([^()\n]{1,60})\)")
_SQUARE: Final = re.compile(r"\[([^\[\]\n]{0,300})\](\(?)")
_TAG: Final = re.compile(r"<\|([^|>\n]{1,40})\|>")
_START: Final = re.compile(r"(^|[.!?…。！？:;\n][\"'”’»)\]]*\s*|[\)\]]\s*)$")
_SENTENCE: Final = re.compile(r"(?<=[.!?…。！？])\s+|\n+")
_PROSE: Final = re.compile(r"[0-9:;.!?/=@#_<>{}|]|^\s*$")
_EDITORIAL: Final = {"sic", "citation needed", "redacted", "inaudible", "unintelligible", "emphasis added"}
_LONGEST_CUE: Final = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a text that is wrong (`fatal`), or probably is; `words` is where."""

    words: str
    message: str
    hint: str = ""
    fatal: bool = False


def check_cues(text: str, model: str, speakers: int) -> Iterator[Finding]:
    """What to say of a text that `model` is to speak with so many voices."""
    yield from _tags(text, model, speakers)
    yield from _s1(text) if model == "s1" else _s2(text, model)


def _tags(text: str, model: str, speakers: int) -> Iterator[Finding]:
    names = [match[1] for match in _TAG.finditer(text)]
    spoken = {int(name[8:]) for name in names if re.fullmatch(r"speaker:\d{1,3}", name)}
    if speakers > 1 and model == "s1":
        yield Finding("", f"s1 speaks with one voice; this text has {speakers}", "use model: s2-pro", fatal=True)
    for number in sorted(spoken):
        tag = f"<|speaker:{number}|>"
        if model == "s1":
            yield Finding(tag, f"{tag} is for the s2 models; the model here is s1", "use model: s2-pro", fatal=True)
        elif number >= speakers:
            have = "no voice" if not speakers else "1 voice" if speakers == 1 else f"{speakers} voices"
            hint = "name them in order: voice: [first, second]"
            yield Finding(tag, f"{tag} has no voice: this text has {have}, counted from 0", hint, fatal=True)
    silent = [str(number) for number in range(speakers) if number not in spoken] if speakers > 1 else []
    if silent:
        tags = " and ".join(f"<|speaker:{number}|>" for number in silent)
        yield Finding("", f"this text has {speakers} voices and no {tags}", "mark where each begins, or name one voice")
    if names.count("phoneme_start") != names.count("phoneme_end"):
        hint = "write <|phoneme_start|>HH AH L OW<|phoneme_end|>"
        yield Finding("<|phoneme_", "phoneme tags do not come in pairs", hint)
    for name in names:
        if not re.fullmatch(r"speaker:\d{1,3}|phoneme_start|phoneme_end", name):
            yield Finding(f"<|{name}|>", f"no tag <|{name}|> is known", "known: speaker:N phoneme_start phoneme_end")


def _s1(text: str) -> Iterator[Finding]:
    for match in _ROUND.finditer(text):
        cue, at_start = match[1].strip().lower(), bool(_START.search(text[: match.start()]))
        if cue in EMOTIONS and not at_start:
            hint = "move it there, or leave the brackets out to have it spoken"
            yield Finding(match[0], f"s1 takes {match[0]} as a cue, and only at the start of a sentence", hint)
        elif cue not in CUES and at_start and (near := did_you_mean(cue, CUES)) and " " not in cue:
            yield Finding(match[0], f"{match[0]} is no cue of s1, and is spoken", near.replace('"', ""))
    for match in _SQUARE.finditer(text):
        cue = match[1].strip().lower()
        hint = f"write ({cue})" if cue in CUES else "use model: s2-pro for free cues, or a cue of its set: (excited)"
        if _is_cue(match[1]):
            yield Finding(match[0], f"{match[0]} is a cue for the s2 models; the model here is s1", hint)
    yield from _crowded(text, [match[0] for match in _ROUND.finditer(text) if match[1].strip().lower() in CUES])


def _s2(text: str, model: str) -> Iterator[Finding]:
    cues = []
    for match in _SQUARE.finditer(text):
        if match[2] or not _is_cue(match[1]):
            words = match[0].removesuffix("(")
            hint = "to have it spoken, leave the brackets out; a cue is a few small words: [whispering]"
            yield Finding(words, f"{model} takes {words[:60]} as a cue and does not speak it", hint)
        else:
            cues.append(match[0])
    rest = _SQUARE.sub("", text)
    if "[" in rest or "]" in rest:
        sign = "[" if "[" in rest else "]"
        yield Finding(sign, f'a "{sign}" stands alone: {model} reads brackets as cues', "close it, or leave it out")
    for match in _ROUND.finditer(text):
        cue = match[1].strip().lower()
        if cue in CUES and _START.search(text[: match.start()]):
            yield Finding(match[0], f"{match[0]} is a cue for s1; {model} speaks it", f"write [{cue}]")
    yield from _crowded(text, cues)


def _is_cue(words: str) -> bool:
    """Whether bracketed words read as a direction: a few, in small letters, without digits and stops."""
    bare = words.strip()
    capital = bare[:1].isascii() and bare[:1].isupper()
    known = bare.lower() in CUES
    strange = bool(_PROSE.search(bare)) or bare.lower() in _EDITORIAL or len(bare.split()) > _LONGEST_CUE
    return known or not (capital or strange)


def _crowded(text: str, cues: list[str]) -> Iterator[Finding]:
    if len(cues) <= MOST:
        return
    for sentence in _SENTENCE.split(text):
        held = [cue for cue in cues if cue in sentence]
        number = sum(sentence.count(cue) for cue in set(held))
        if number > MOST:
            yield Finding(held[-1], f"{number} cues in one sentence; more than {MOST} make it unsteady", "drop some")
