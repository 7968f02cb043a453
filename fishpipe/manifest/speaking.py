"""One text → what is sent, piece by piece, and what captions show of it.

The order: markup, then the lexicon in what is left as words, then cues as the model writes them, then cuts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.errors import did_you_mean
from fishpipe.manifest import markup
from fishpipe.manifest.cues import CUES, Finding, has_words, meant_cue, performed, spelled_cue, tidied
from fishpipe.manifest.markup import PLAIN, Break, Cue, Instead, Style, Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fishpipe.manifest.lexicon import Entry, Lexicon
    from fishpipe.manifest.model import Respelled

# What a text without any of these has nothing to say to this module.
_SIGNS: Final = re.compile(r"[<&\[(]|  ")
_S1_BREAKS: Final = {
    "x-weak": "",
    "weak": "(break)",
    "medium": "(break)",
    "strong": "(long-break)",
    "x-strong": "(long-break)",
}
_S2_BREAKS: Final = {
    "x-weak": "",
    "weak": "[short pause]",
    "medium": "[pause]",
    "strong": "[long pause]",
    "x-strong": "[long pause]",
}
# A model without cues gets silence instead; lengths as the older speech engines have them.
_SILENCES: Final = {"x-weak": 100_000, "weak": 250_000, "medium": 400_000, "strong": 700_000, "x-strong": 1_200_000}


class Asked(Struct, frozen=True):
    """How a text is to be spoken: `model` is s1, an s2, or fish-tts; it is cut above `most` characters (0: never)."""

    model: str
    language: str
    voices: tuple[str, ...]
    most: int


class Run(Struct, frozen=True):
    """A stretch of what is sent and shown; one that is not `plain` cannot be cut."""

    sent: str
    shown: str
    plain: bool = False
    entry: Entry | None = None

    @property
    def measured(self) -> str:
        """What counts for the length, and decides where to cut: a new respelling of a word moves no cut."""
        return self.shown if self.entry else self.sent


class Piece(Struct, frozen=True):
    """Words for one call; `respelled` is what the lexicon put into it."""

    sent: str
    shown: str
    style: Style = PLAIN
    respelled: tuple[Respelled, ...] = ()


class Silence(Struct, frozen=True):
    """A pause between two calls, in microseconds."""

    micros: int


class Spoken(Struct):
    """The pieces of a text, in order, and what is to say of it; `whole` is it uncut, where it was only too long."""

    pieces: list[Piece | Silence] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    whole: Piece | None = None


def is_marked(text: str) -> bool:
    """Whether a text has signs of markup, cues or references: otherwise it is sent and shown as it stands."""
    return _SIGNS.search(text) is not None


def speak(text: str, asked: Asked, lexicon: Lexicon) -> Spoken:
    """What a text becomes. Raises TimeoutError where a pattern of the lexicon never ends."""
    made = Spoken()
    is_short = not asked.most or len(text) <= asked.most
    if is_short and not lexicon.entries and not is_marked(text):
        made.pieces += [Piece(text.strip(), text.strip())] if text.strip() else []
        return made
    tokens: Sequence[markup.Token] = [Words(text, 0)]
    if not markup.is_plain(text):
        tokens, made.findings = markup.tokens_of(text, asked.language)
    for group in _trimmed(_groups(tokens, asked)):
        if isinstance(group, Silence):
            made.pieces.append(group)
            continue
        runs = [run for token in group for run in _runs(token, asked, lexicon, made.findings)]
        piece = _piece(runs, group[0].style)
        if not piece.sent:
            continue
        before = next((n for n in reversed(range(len(made.pieces))) if isinstance(made.pieces[n], Piece)), None)
        if before is not None and not has_words(piece.shown) and piece.sent == piece.shown:
            # Signs alone are noise in a call of their own: they belong to the words before.
            made.pieces[before] = _joined(made.pieces[before], piece)
            continue
        cut = _cut(runs, group[0].style, asked)
        made.pieces += cut or [piece]
        made.whole = piece if len(cut) == len(made.pieces) and cut else None
    return made


def _groups(tokens: Sequence[markup.Token], asked: Asked) -> Iterator[Silence | list[markup.Token]]:
    """Tokens that are spoken in one call, and the silences between."""
    group: list[markup.Token] = []
    for token in tokens:
        is_timed = isinstance(token, Break) and token.micros is not None
        silent = is_timed or (asked.model == "fish-tts" and isinstance(token, Break) and token.strength in _SILENCES)
        if group and (silent or token.style != group[0].style):
            yield group
            group = []
        if not silent:
            group.append(token)
        elif isinstance(token, Break) and (length := token.micros or _SILENCES.get(token.strength)):
            yield Silence(length)
    if group:
        yield group


def _trimmed(groups: Iterable[Silence | list[markup.Token]]) -> Iterator[Silence | list[markup.Token]]:
    """The groups; a break at the end of one is silence, since the ends of clips are trimmed."""
    for group in groups:
        if isinstance(group, Silence):
            yield group
            continue
        behind = []
        while len(group) > 1 and (isinstance(group[-1], Break) or _is_blank(group[-1])):
            last = group.pop()
            if isinstance(last, Break) and last.strength in _SILENCES:
                behind.append(Silence(_SILENCES[last.strength]))
        yield group
        yield from reversed(behind)


def _is_blank(token: markup.Token) -> bool:
    return isinstance(token, Words) and not token.text.strip()


def _runs(token: markup.Token, asked: Asked, lexicon: Lexicon, findings: list[Finding]) -> Iterator[Run]:
    match token:
        case Words(text=text):
            position = 0
            for start, end in performed(text, asked.model):
                yield from _words(text[position:start], asked, lexicon)
                yield Run(text[start:end], "")
                position = end
            yield from _words(text[position:], asked, lexicon)
        case Instead(shown=shown, spoken=spoken, phonemes=True):
            if asked.model == "fish-tts":
                findings.append(
                    Finding(
                        "<phoneme",
                        token.start,
                        "api: audios takes no phonemes",
                        "respell it: <sub alias=…>",
                        fatal=True,
                    )
                )
            yield Run(_phonemes(spoken), shown)
        case Instead(shown=shown, spoken=spoken):
            yield Run(spoken, shown)
        case Cue():
            yield Run(_cue(token, asked.model, findings), "")
        case Break(strength=strength):
            breaks = _S1_BREAKS if asked.model == "s1" else _S2_BREAKS
            yield Run(breaks.get(strength, ""), "")


def _words(text: str, asked: Asked, lexicon: Lexicon) -> Iterator[Run]:
    if not lexicon.entries or not text.strip():
        yield Run(text, text, plain=True)
        return
    for stretch in lexicon.respell(text, asked.language, asked.voices):
        if stretch.entry is None or (stretch.entry.phonemes and asked.model == "fish-tts"):
            yield Run(stretch.written, stretch.written, plain=True)
        else:
            said = _phonemes(stretch.said) if stretch.entry.phonemes else stretch.said
            yield Run(said, stretch.written, entry=stretch.entry)


def _phonemes(sounds: str) -> str:
    return f"<|phoneme_start|>{sounds}<|phoneme_end|>"


def _cue(cue: Cue, model: str, findings: list[Finding]) -> str:
    """A cue in the model's own signs; one that it does not have is told, or left out where it was a direction."""
    bare = cue.name.lower()
    if model == "fish-tts":
        if not cue.direction:
            findings.append(
                Finding("<cue", cue.start, "api: audios has no cues", "remove it, or use api: tts", fatal=True)
            )
        return ""
    if model != "s1":
        return f"[{cue.name}]"
    known = spelled_cue(bare) or (meant_cue(bare) if cue.direction else "")
    if known and not (cue.direction and known == "emphasis"):
        return f"({known})"
    if not cue.direction:
        near = did_you_mean(bare, CUES) or "use model: s2-pro for free cues"
        findings.append(Finding(f'"{cue.name}"', cue.start, f'"{cue.name}" is no cue of s1', near, fatal=True))
    else:
        hint = "use model: s2-pro for free directions"
        findings.append(
            Finding(
                f"({cue.name})", cue.start, f"s1 has no cue for {cue.name}: it is left out", hint, code="cue-dropped"
            )
        )
    return ""


def _piece(runs: Sequence[Run], style: Style) -> Piece:
    runs = _without_double_spaces(runs)
    sent = "".join(run.sent for run in runs)
    lead, at = len(sent) - len(sent.lstrip()), 0
    respelled = []
    for run in runs:
        if run.entry is not None or (run.shown and run.shown != run.sent):
            word = run.entry.word if run.entry else ""
            respelled.append((at - lead, at - lead + len(run.sent), word, run.shown))
        at += len(run.sent)
    shown = tidied("".join(run.shown for run in runs))
    return Piece(sent.strip(), shown, style, tuple(respelled))


def _without_double_spaces(runs: Sequence[Run]) -> list[Run]:
    """The runs, where a mark that sends nothing leaves no second space behind."""
    kept: list[Run] = []
    ends_in_space = after_nothing = False
    for run in runs:
        if not run.sent and not run.shown:
            after_nothing = True
            continue
        is_double = after_nothing and ends_in_space and run.plain and run.sent[:1] == " "
        kept.append(replace(run, sent=run.sent[1:], shown=run.shown[1:]) if is_double else run)
        ends_in_space, after_nothing = run.sent[-1:] == " ", False
    return kept


def _joined(words: Piece | Silence, signs: Piece) -> Piece:
    assert isinstance(words, Piece)  # noqa: S101  (it was chosen so)
    return replace(words, sent=words.sent + signs.sent, shown=words.shown + signs.shown)


def _cut(runs: Sequence[Run], style: Style, asked: Asked) -> list[Piece]:
    """The pieces of what is too long for one call; none where it is not."""
    length = sum(len(run.measured) for run in runs)
    if not asked.most or length <= asked.most:
        return []
    whole, at = [], 0
    for run in runs:
        if not run.plain:
            whole.append((at, at + len(run.measured)))
        at += len(run.measured)
    from fishpipe.manifest.sentences import cuts

    places = cuts("".join(run.measured for run in runs), asked.most, asked.language, whole)
    parts: list[list[Run]] = []
    for part in _parted(runs, places):
        # Cues and signs alone are noise in a call of their own: they stay with the words beside them.
        if parts and not (_has_words(part) and _has_words(parts[-1])):
            parts[-1] += part
        else:
            parts.append(part)
    pieces = [piece for piece in (_piece(part, style) for part in parts) if piece.sent]
    return pieces if len(pieces) > 1 else []


def _has_words(runs: Sequence[Run]) -> bool:
    return any(has_words(run.shown) for run in runs)


def _parted(runs: Sequence[Run], places: Sequence[int]) -> Iterator[list[Run]]:
    """The runs between the places; only plain ones are cut within."""
    part: list[Run] = []
    waiting, at = list(places), 0
    for run in runs:
        rest = run
        while waiting and at < waiting[0] <= at + len(rest.measured):
            head = waiting.pop(0) - at
            at += head
            if head == len(rest.measured):
                part.append(rest)
                rest = Run("", "", plain=True)
            else:
                part.append(replace(rest, sent=rest.sent[:head], shown=rest.shown[:head]))
                rest = replace(rest, sent=rest.sent[head:], shown=rest.shown[head:])
            yield part
            part = []
        part.append(rest)
        at += len(rest.measured)
    yield part
