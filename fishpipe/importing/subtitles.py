"""Subtitles: SRT, VTT and what else pysubs2 reads; the silences between the cues become gaps."""

from __future__ import annotations

import re
import warnings
from html import unescape
from typing import TYPE_CHECKING, Final

from fishpipe.importing.draft import Draft, Line, Scene
from fishpipe.manifest.cues import has_words

if TYPE_CHECKING:
    from pathlib import Path

_VOICE: Final = re.compile(r"<v(?:\.[\w.]+)?\s+([^<>]+)>")
_NAMED: Final = re.compile(r"(?:- ?)?([A-Z][\w .'’-]{0,30}):\s+(.+)", re.DOTALL)
_NOISE: Final = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|[♪♫]+[^♪♫]*[♪♫]+|[♪♫]+")
_STYLE: Final = re.compile(r"\{\\[^{}]*\}|</?[a-z][\w.]*(?:\s(?:\"[^\"]*\"|[^<>\"])*)?>|<\d[\d:.]*>")
_DAMAGED: Final = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
# A cue of more characters is no cue.
_LONGEST: Final = 2000
# Silences that the manifest can say: up to a day, in ms.
_LONGEST_GAP: Final = 24 * 3600 * 1000


def read_subtitles(text: str, path: Path) -> Draft:
    """Each cue a line; sounds in brackets and songs are left out. Raises ValueError."""
    import pysubs2

    try:
        # In VTT, a tag says who speaks: <v NAME>.
        options = {"format_": "vtt", "keep_unknown_html_tags": True} if path.suffix.lower() == ".vtt" else {}
        with warnings.catch_warnings():
            # What it warns of is left out of the cues.
            warnings.simplefilter("ignore")
            cues = pysubs2.SSAFile.from_string(text, **options)
    except (pysubs2.exceptions.Pysubs2Error, *_DAMAGED) as error:
        raise ValueError(f"{path}: no subtitles that can be read: {str(error) or type(error).__name__}") from error
    ordered = (cue for cue in sorted(cues, key=lambda cue: cue.start) if not cue.is_comment)
    spoken = [(cue.start, cue.end, *said) for cue in ordered for said in _speeches(cue.text)]
    spoken = [cue for cue in spoken if has_words(cue[3])]
    lines = []
    for number, (_, end, name, words) in enumerate(spoken):
        following = spoken[number + 1][0] if number + 1 < len(spoken) else None
        lines.append(Line(name, words, None if following is None else min(max(0, following - end), _LONGEST_GAP)))
    lead = min(spoken[0][0], _LONGEST_GAP) if spoken else 0
    return Draft(title=path.stem, chapters=(Scene("", tuple(lines), lead=lead),))


def _speeches(text: str) -> list[tuple[str, str]]:
    """(name, words) of a cue; lines that begin with dashes are two speakers'."""
    text = text[:_LONGEST]
    lines = re.split(r"\\[Nn]", text)
    dashed = len(lines) > 1 and all(line.lstrip().startswith(("-", "–")) for line in lines)
    return [_said(line) for line in lines] if dashed else [_said(text)]


def _said(text: str) -> tuple[str, str]:
    """(name, words) of a cue."""
    voice = _VOICE.search(text)
    plain = _STYLE.sub("", text.replace("\\N", " ").replace("\\n", " ").replace("\\h", " "))
    plain = " ".join(unescape(_NOISE.sub(" ", plain)).split())
    named = None if voice else _NAMED.fullmatch(plain)
    if named:
        return named[1], named[2]
    return (unescape(voice[1]).strip() if voice else ""), re.sub(r"^[-–] ?", "", plain)
