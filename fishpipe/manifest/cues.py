"""Cues in a text: what a model performs instead of speaking, and what it would swallow that was meant to be heard.

s1 knows a fixed set in parentheses (Fish Audio's emotion reference and the model card of s1-mini, read in 2026),
emotions at the start of a sentence only. The s2 family takes free directions in square brackets, anywhere.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

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
# What authors write where s1 has another word for it.
_MEANT: Final = {
    "pause": "break",
    "long pause": "long-break",
    "crying": "crying loudly",
    "laughter": "laughing",
    "laughs": "laughing",
    "sighs": "sighing",
    "whisper": "whispering",
    "whispers": "whispering",
    "shouts": "shouting",
    "breathes": "breath",
}
_ROUND: Final = re.compile(r"\(([^()\n]{1,60})\)")
_UNCLOSED: Final = re.compile(r"\(([a-z][a-z -]{2,20})(?=[^()]*(?:\(|$))")
_SQUARE: Final = re.compile(r"\[([^\[\]\n]{0,300})\](\(?)")
_TAG: Final = re.compile(r"<\|([^|>\n]{1,40})\|>")
_PHONEMES: Final = re.compile(r"<\|phoneme_start\|>(?:(?!<\|phoneme).)*<\|phoneme_end\|>", re.DOTALL)
_SENTENCE: Final = re.compile(r"[.!?…][\"'”’»)]*\s+|[。！？]|\n+")
_PROSE: Final = re.compile(r"[:;.!?/=@#_<>{}|]")
_EDITORIAL: Final = {"sic", "citation needed", "redacted", "inaudible", "unintelligible", "emphasis added"}
_REFERENCE: Final = re.compile(r"(note|footnote|fig|figure|table|ref|page|p|pp|chapter|ch|section|see|vol)\b.*\d")
_LONGEST_CUE: Final = 20
_SPACE_AND_QUOTES: Final = " \t\"'“”‘’«»„([{-–—"
_ENDS: Final = ".!?…。！？:;)]\n"


class Finding(Struct, frozen=True):
    """Something in a text that is wrong (`fatal`), or probably is; `words` stand at `start`, `code` names it."""

    words: str
    start: int
    message: str
    hint: str = ""
    fatal: bool = False
    code: str = ""


def check_cues(text: str, model: str, speakers: int) -> Iterator[Finding]:
    """What to say of a text that `model` is to speak with so many voices."""
    yield from _tags(text, model, speakers)
    yield from _s1(text) if model == "s1" else _s2(text, model)


def _tags(text: str, model: str, speakers: int) -> Iterator[Finding]:
    names = {match[1]: match.start() for match in reversed(list(_TAG.finditer(text)))}
    spoken = {int(name[8:]) for name in names if re.fullmatch(r"speaker:\d{1,3}", name)}
    if speakers > 1 and model == "s1":
        yield Finding("", 0, f"s1 speaks with one voice; this text has {speakers}", "use model: s2-pro", fatal=True)
    for number in sorted(spoken):
        tag = f"<|speaker:{number}|>"
        at = text.find(tag)
        if model == "s1":
            yield Finding(tag, at, f"{tag} is for the s2 models; the model here is s1", "use model: s2-pro", fatal=True)
        elif number >= speakers:
            have = "no voice" if not speakers else "1 voice" if speakers == 1 else f"{speakers} voices"
            hint = "name them in order: voice: [first, second]"
            yield Finding(tag, at, f"{tag} has no voice: this text has {have}, counted from 0", hint, fatal=True)
    silent = [str(number) for number in range(speakers) if number not in spoken] if speakers > 1 else []
    if silent:
        tags = " and ".join(f"<|speaker:{number}|>" for number in silent)
        hint = "mark where each begins, or name one voice"
        yield Finding("", 0, f"this text has {speakers} voices and no {tags}", hint, code="speaker-missing")
    rest = _PHONEMES.sub("", text)
    if "<|phoneme_" in rest:
        hint = "write <|phoneme_start|>HH AH L OW<|phoneme_end|>"
        yield Finding(
            "<|phoneme_", text.find("<|phoneme_"), "phoneme tags do not come in pairs", hint, code="tag-unpaired"
        )
    for name, at in names.items():
        if not re.fullmatch(r"speaker:\d{1,3}|phoneme_start|phoneme_end", name):
            hint = "known: speaker:N phoneme_start phoneme_end"
            yield Finding(f"<|{name}|>", at, f"no tag <|{name}|> is known", hint, code="tag-unknown")


def _s1(text: str) -> Iterator[Finding]:
    cues = []
    for match in _ROUND.finditer(text):
        cue, at_start = match[1].strip().lower(), _begins_sentence(text, match.start())
        if cue in CUES:
            cues.append(match)
        if cue in EMOTIONS and not at_start:
            hint = "move it there, or leave the brackets out to have it spoken"
            message = f"s1 takes {match[0]} as a cue, and only at the start of a sentence"
            yield Finding(match[0], match.start(), message, hint, code="cue-misplaced")
        elif cue not in CUES and at_start and (meant := meant_cue(cue)):
            hint = f"did you mean ({meant})?"
            yield Finding(
                match[0], match.start(), f"{match[0]} is no cue of s1, and is spoken", hint, code="cue-unknown"
            )
    for match in _SQUARE.finditer(text):
        cue = match[1].strip().lower()
        meant = cue if cue in CUES else meant_cue(cue)
        hint = f"write ({meant})" if meant else "use model: s2-pro for free cues, or a cue of its set: (excited)"
        if _is_cue(text, match):
            message = f"{match[0]} is a cue for the s2 models; the model here is s1"
            yield Finding(match[0], match.start(), message, hint, code="cue-foreign")
    for match in _UNCLOSED.finditer(text):
        if match[1].strip().lower() in CUES:
            yield Finding(
                match[0], match.start(), f'"{match[0]}" is not closed', f"write {match[0]})", code="cue-unbalanced"
            )
    yield from _crowded(text, cues)


def _s2(text: str, model: str) -> Iterator[Finding]:
    cues = []
    for match in _SQUARE.finditer(text):
        if _is_cue(text, match):
            cues.append(match)
        else:
            words = f"[{match[1]}]"
            hint = (
                "to have it spoken, leave the brackets out; if it is a cue, say so: # fishpipe: ignore[cue-swallowed]"
            )
            message = f"{model} takes {words[:60]} as a cue and does not speak it"
            yield Finding(words, match.start(), message, hint, code="cue-swallowed")
    rest = _SQUARE.sub("", text)
    sign = next((sign for sign in "[]" if sign in rest), "")
    if sign:
        message = f'a "{sign}" stands alone: {model} reads brackets as cues'
        yield Finding(sign, text.find(sign), message, "close it, or leave it out", code="cue-unbalanced")
    for match in _ROUND.finditer(text):
        if match[1] in CUES and _begins_sentence(text, match.start()):
            message = f"{match[0]} is a cue for s1; {model} speaks it"
            yield Finding(match[0], match.start(), message, f"write [{match[1]}]", code="cue-foreign")
    yield from _crowded(text, cues)


def performed(text: str, model: str) -> list[tuple[int, int]]:
    """The (start, end) of all that a model performs or reads as a sign: cues and tags, which nobody is shown."""
    spans = [match.span() for match in _PHONEMES.finditer(text)] if "<|" in text else []
    found = [match.span() for match in _TAG.finditer(text)] if "<|" in text else []
    if model == "s1" and "(" in text:
        found += [match.span() for match in _ROUND.finditer(text) if match[1].strip().lower() in CUES]
    elif model not in ("s1", "fish-tts") and "[" in text:
        found += [(match.start(), match.end() - len(match[2])) for match in _SQUARE.finditer(text)]
    spans += [(start, end) for start, end in found if not any(a <= start < b for a, b in spans)]
    return sorted(spans)


def has_words(text: str) -> bool:
    """Whether a text has a letter or a digit: signs alone come out as noise."""
    return any(char.isalnum() for char in text)


def tidied(text: str) -> str:
    """What captions show, without the spaces that cues leave behind."""
    return re.sub(r"[ \t]{2,}", " ", text).strip()


def without_cues(text: str, model: str) -> str:
    """A text as captions show it."""
    kept, position = "", 0
    for start, end in performed(text, model):
        kept += text[position:start]
        position = end
    return tidied(kept + text[position:])


def _begins_sentence(text: str, at: int) -> bool:
    """Whether nothing but spaces and opening quotes lies between a place and the end of what is before it."""
    while at and text[at - 1] in _SPACE_AND_QUOTES:
        at -= 1
    return at == 0 or text[at - 1] in _ENDS


def _is_cue(text: str, match: re.Match[str]) -> bool:
    """Whether bracketed words read as a direction: some words in small letters, without stops and references."""
    bare = match[1].strip()
    small = bare.casefold()
    if small in CUES or small in _MEANT:
        return True
    grown_to_a_word = match.start() > 0 and text[match.start() - 1].isascii() and text[match.start() - 1].isalnum()
    if match[2] or grown_to_a_word or not any(char.isalpha() for char in bare):
        return False
    named = bare[:1].isascii() and bare[:1].isupper() and not _is_stage_word(small)
    strange = bool(_PROSE.search(bare)) or small in _EDITORIAL or bool(_REFERENCE.match(small))
    return not (named or strange or len(bare.split()) > _LONGEST_CUE)


def _is_stage_word(small: str) -> bool:
    """Whether words in capitals are a direction all the same: [Applause], [Whispers softly]."""
    stems = ("laugh", "whisper", "sigh", "paus", "applau", "breath", "cough", "shout", "scream", "cry", "sob", "chuckl")
    more = ("gasp", "groan", "yawn", "music", "sing", "soft", "loud", "quiet", "slow", "fast", "angr", "happ", "sad")
    return any(word.startswith((*stems, *more)) for word in small.split())


def spelled_cue(word: str) -> str:
    """The cue of s1 that a word is, or is another word for; "" where it is none."""
    return word if word in CUES else _MEANT.get(word, "")


def meant_cue(cue: str) -> str:
    """The cue of s1 that a word is meant for, or ""."""
    from difflib import get_close_matches

    near = get_close_matches(cue, CUES, n=1, cutoff=0.85) if len(cue) > 5 else []
    return _MEANT.get(cue) or (near[0] if near else "")


def _crowded(text: str, cues: list[re.Match[str]]) -> Iterator[Finding]:
    """Too many cues in one sentence; the first sentence that has them."""
    if len(cues) <= MOST:
        return
    ends = [match.end() for match in _SENTENCE.finditer(text)]
    counts = Counter(bisect_right(ends, match.start()) for match in cues)
    sentence, number = max(counts.items(), key=lambda pair: pair[1])
    if number > MOST:
        last = next(match for match in reversed(cues) if bisect_right(ends, match.start()) == sentence)
        message = f"{number} cues in one sentence; more than {MOST} make it unsteady"
        yield Finding(last[0], last.start(), message, "drop some", code="cue-crowded")
