"""Inline SSML in a text → tokens: words, cues, breaks and ways of speaking.

A subset of W3C's Speech Synthesis Markup Language 1.1, and `<cue name="…"/>` of ours. A `<` that begins no tag is text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from fishpipe.errors import did_you_mean
from fishpipe.manifest.cues import Finding
from fishpipe.manifest.definitions import main_language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ELEMENT: Final = r"<(?P<close>/?)(?P<name>[A-Za-z][\w-]*)(?=[\s/>])(?P<rest>[^<>]*?)(?P<empty>/?)>"
_TAG: Final = re.compile(_ELEMENT)
_TAG_OR_COMMENT: Final = re.compile(rf"{_ELEMENT}|<!--.*?-->", re.DOTALL)
# So many slips of one text are told.
_MOST_TOLD: Final = 20
_ATTRIBUTE: Final = re.compile(r"\s*([\w:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')\s*")
_ENTITY: Final = re.compile(r"&(lt|gt|amp|quot|apos);")
_ENTITIES: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
# Each element with its attributes; those in `_EMPTY` hold no words.
_ELEMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "break": ("time", "strength"),
    "sub": ("alias",),
    "say-as": ("interpret-as",),
    "phoneme": ("alphabet", "ph"),
    "emphasis": ("level",),
    "prosody": ("rate", "volume"),
    "cue": ("name", "direction"),
    "speak": (),
    "p": (),
    "s": (),
}
_HTML: Final = dict.fromkeys(("b", "i", "em", "strong"), "did you mean <emphasis>?") | {
    "br": 'did you mean <break time="300ms"/>?'
}
_EMPTY: Final = ("break", "cue")
_STRENGTHS: Final = ("none", "x-weak", "weak", "medium", "strong", "x-strong")
_LEVELS: Final = ("strong", "moderate", "none", "reduced")
# SSML's words for a rate (factors) and a volume (dB).
_RATES: Final = {"x-slow": 0.6, "slow": 0.8, "medium": 1.0, "default": 1.0, "fast": 1.2, "x-fast": 1.5}
_VOLUMES: Final = {"x-soft": -12.0, "soft": -6.0, "medium": 0.0, "default": 0.0, "loud": 6.0, "x-loud": 12.0}
_SPELLED: Final = ("characters", "spell-out", "verbatim", "digits", "telephone")
_AS_IS: Final = ("cardinal", "number", "date", "time", "currency", "unit", "fraction", "address")
_TIME: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s)")
_LONGEST: Final = 600_000_000
_ORDINALS: Final = {"de": "{}.", "fr": "{}e", "es": "{}.º", "it": "{}º", "pt": "{}º", "nl": "{}e"}


class Style(NamedTuple):
    """A way of speaking: a factor of the speed, and dB."""

    speed: float = 1.0
    volume: float = 0.0


PLAIN: Final = Style()


class Words(Struct, frozen=True):
    """Text as it is written."""

    text: str
    start: int
    style: Style = PLAIN


class Instead(Struct, frozen=True):
    """Text that is `shown`, and spoken as something else: words, or `phonemes` in an alphabet of the models."""

    shown: str
    spoken: str
    start: int
    style: Style = PLAIN
    phonemes: bool = False


class Cue(Struct, frozen=True):
    """A cue by its bare name; a `direction` is one that a model may be without."""

    name: str
    start: int
    style: Style = PLAIN
    direction: bool = False


class Break(Struct, frozen=True):
    """A pause of so many microseconds, or (None) as long as the model thinks right: weak, medium or strong."""

    micros: int | None
    strength: str
    style: Style = PLAIN


Token = Words | Instead | Cue | Break


def is_plain(text: str) -> bool:
    """Whether a text has neither tags nor entities."""
    return "<" not in text and "&" not in text


def tokens_of(text: str, language: str) -> tuple[list[Token], list[Finding]]:
    """The tokens of a text, and what is wrong with its markup; `language` decides how ordinals are written."""
    parser = _Parser(text, language)
    parser.parse()
    return parser.tokens, parser.findings


def unescaped(text: str) -> str:
    """Text with the five entities of XML as the signs that they stand for."""
    return _ENTITY.sub(lambda match: _ENTITIES[match[1]], text)


def _tags(text: str) -> Iterator[re.Match[str]]:
    """The tags and comments of a text; behind the last end of a comment, none is looked for."""
    last, end = text.rfind("-->") + 3, 0
    for match in _TAG_OR_COMMENT.finditer(text, 0, last) if last >= 3 else ():
        end = match.end()
        yield match
    yield from _TAG.finditer(text, end)


class _Open(NamedTuple):
    name: str
    match: re.Match[str]
    attributes: Mapping[str, str]
    first: int
    style: Style


class _Parser:
    def __init__(self, text: str, language: str) -> None:
        self.text, self.language = text, language
        self.tokens: list[Token] = []
        self.findings: list[Finding] = []
        self._open: list[_Open] = []
        self._style = PLAIN
        self._unknown: set[str] = set()

    def parse(self) -> None:
        position = 0
        for match in _tags(self.text):
            self._words(position, match.start())
            position = match.end()
            if match["name"] is None:
                self.tokens.append(Break(None, "none", self._style))
                continue
            if match["close"]:
                self._leave(match)
            else:
                self._enter(match)
        self._words(position, len(self.text))
        for left in self._open:
            self._say(left.match, f"<{left.name}> is not closed", f"close it with </{left.name}>")

    def _say(self, match: re.Match[str], message: str, hint: str = "") -> None:
        if len(self.findings) < _MOST_TOLD:
            self.findings.append(Finding(match[0], match.start(), message, hint, fatal=True))

    def _words(self, start: int, end: int) -> None:
        if end > start:
            self.tokens.append(Words(unescaped(self.text[start:end]), start, self._style))

    def _enter(self, match: re.Match[str]) -> None:
        name = match["name"]
        if name not in _ELEMENTS:
            self._unknown.add(name)
            if len(self.findings) >= _MOST_TOLD:
                return
            near = _HTML.get(name) or did_you_mean(name, _ELEMENTS) or f"known: {' '.join(_ELEMENTS)}"
            self._say(match, f"no element <{name}> is known", f"{near}; for the sign itself write &lt;")
            return
        attributes = self._attributes(match, name)
        if attributes is None:
            return
        if name in _EMPTY:
            self._empty(match, name, attributes)
            if not match["empty"]:
                self._open.append(_Open(name, match, {}, len(self.tokens), self._style))
        elif not match["empty"]:
            self._open.append(_Open(name, match, attributes, len(self.tokens), self._style))
            if name == "prosody":
                self._style = self._prosody(match, attributes)
            elif name == "emphasis" and attributes.get("level", "moderate") in ("strong", "moderate"):
                self.tokens.append(Cue("emphasis", match.start(), self._style, direction=True))
        elif name == "sub":
            self._say(match, "<sub/> has no words", f'write <sub alias="{attributes.get("alias", "…")}">WORDS</sub>')

    def _attributes(self, match: re.Match[str], name: str) -> dict[str, str] | None:
        found: dict[str, str] = {}
        position, rest = 0, match["rest"].strip()
        while position < len(rest):
            pair = _ATTRIBUTE.match(rest, position)
            if pair is None:
                self._say(
                    match, f'<{name}> has "{rest[position:].strip()[:40]}"', 'attributes are written NAME="VALUE"'
                )
                return None
            found[pair[1]] = unescaped(pair[2] if pair[2] is not None else pair[3])
            position = pair.end()
        for one in found:
            if one not in _ELEMENTS[name]:
                own = _ELEMENTS[name]
                pitch = "no model of Fish takes it; leave it out" if one in ("pitch", "range", "contour") else ""
                near = pitch or did_you_mean(one, own) or (f"it takes {' and '.join(own)}" if own else "it takes none")
                self._say(match, f'<{name}> has no attribute "{one}"', near)
        return found

    def _one_of(self, match: re.Match[str], name: str, value: str, known: tuple[str, ...]) -> bool:
        if value in known:
            return True
        self._say(match, f'{name} is "{value}"; expected {", ".join(known)}', did_you_mean(value, known))
        return False

    def _empty(self, match: re.Match[str], name: str, attributes: Mapping[str, str]) -> None:
        if name == "break":
            strength = attributes.get("strength", "medium")
            if "time" in attributes:
                self._pause(match, attributes["time"])
            elif self._one_of(match, "strength", strength, _STRENGTHS):
                self.tokens.append(Break(None, strength, self._style))
        elif attributes.get("name", "").strip(" ()[]"):
            direction = "direction" in attributes
            self.tokens.append(Cue(attributes["name"].strip(" ()[]"), match.start(), self._style, direction=direction))
        else:
            self._say(match, "<cue> has no name", 'write <cue name="whispering"/>')

    def _pause(self, match: re.Match[str], written: str) -> None:
        time = _TIME.fullmatch(written.strip())
        micros = round(float(time[1]) * {"ms": 1000, "s": 1_000_000}[time[2]]) if time else 0
        if time is None:
            self._say(match, f'time is "{written}"; expected a length such as 500ms or 1.5s')
        elif micros > _LONGEST:
            self._say(match, f"a break of {written} is longer than 10 minutes", "")
        elif micros:
            self.tokens.append(Break(micros, "", self._style))

    def _prosody(self, match: re.Match[str], attributes: Mapping[str, str]) -> Style:
        speed = self._amount(match, "rate", attributes.get("rate", "default"), _RATES, _rate)
        volume = self._amount(match, "volume", attributes.get("volume", "default"), _VOLUMES, _decibels)
        return Style(round(self._style.speed * speed, 4), round(self._style.volume + volume, 4))

    def _amount(
        self,
        match: re.Match[str],
        name: str,
        written: str,
        words: Mapping[str, float],
        read: Callable[[str], float | None],
    ) -> float:
        value = words[written] if written in words else read(written)
        if value is None:
            example = "90%" if name == "rate" else "+3dB"
            self._say(match, f'{name} is "{written}"; expected {", ".join(words)}, or such as {example}')
            return words["default"]
        return value

    def _leave(self, match: re.Match[str]) -> None:
        name = match["name"]
        if not any(left.name == name for left in self._open):
            if name not in self._unknown:
                self._say(match, f"</{name}> closes nothing", "remove it, or write &lt; for the sign")
            return
        while (opened := self._open.pop()).name != name:
            self._say(opened.match, f"<{opened.name}> is not closed before </{name}>", f"add </{opened.name}>")
        self._style = opened.style
        if name in ("sub", "say-as", "phoneme"):
            inner = self.tokens[opened.first :]
            self.tokens[opened.first :] = self._replaced(opened, "".join(t.text for t in inner if isinstance(t, Words)))
            if any(not isinstance(token, Words) for token in inner):
                self._say(opened.match, f"<{name}> holds words alone", "move the elements out of it")

    def _replaced(self, opened: _Open, shown: str) -> list[Token]:
        start, attributes = opened.match.start(), opened.attributes
        plain = Words(shown, start, self._style)
        if opened.name == "sub":
            if "alias" not in attributes:
                self._say(opened.match, "<sub> has no alias", 'write <sub alias="SPOKEN">WRITTEN</sub>')
            return [Instead(shown, attributes.get("alias", shown), start, self._style)]
        if opened.name == "phoneme":
            return [self._phonemes(opened, shown)]
        kind = attributes.get("interpret-as", "")
        if kind in _SPELLED:
            signs = [sign for sign in shown if sign.isalnum() or (sign == "+" and kind == "telephone")]
            return [Instead(shown, " ".join(signs), start, self._style)]
        if kind == "ordinal":
            spoken = ordinal(shown.strip(), self.language)
            if spoken is None:
                self._say(opened.match, f'"{shown}" has no ordinal here', 'write it out: <sub alias="third">3</sub>')
            return [Instead(shown, spoken or shown, start, self._style)]
        self._one_of(opened.match, "interpret-as", kind, (*_SPELLED, "ordinal", *_AS_IS))
        return [plain]

    def _phonemes(self, opened: _Open, shown: str) -> Token:
        sounds, alphabet = opened.attributes.get("ph", "").strip(), opened.attributes.get("alphabet", "")
        problem = phoneme_problem(sounds, alphabet.removeprefix("x-").removeprefix("cmu-"))
        if problem:
            self._say(opened.match, *problem)
        return Instead(shown, sounds, opened.match.start(), self._style, phonemes=True)


def phoneme_problem(sounds: str, alphabet: str = "") -> tuple[str, str] | None:
    """What is wrong with phonemes, and the cure: the models know English Arpabet and Chinese pinyin."""
    hint = "write English in Arpabet: HH AH0 L OW1, or Chinese in pinyin with tone numbers: ni3 hao3"
    if alphabet not in ("", "arpabet", "pinyin"):
        return f'phonemes in "{alphabet}" are not known to the models', hint
    is_arpabet = re.fullmatch(r"[A-Z]{1,2}[0-2]?( [A-Z]{1,2}[0-2]?)*", sounds) and alphabet != "pinyin"
    is_pinyin = re.fullmatch(r"[a-zü:]+[1-5]( [a-zü:]+[1-5])*", sounds) and alphabet != "arpabet"
    return None if is_arpabet or is_pinyin else (f'"{sounds[:40]}" are no phonemes', hint)


def ordinal(number: str, language: str) -> str | None:
    """A whole number as the ordinal that a model reads: 3rd, 3., 3e; None where that is not known."""
    if not re.fullmatch(r"[0-9]+", number):
        return None
    main = main_language(language)
    if main in ("", "en"):
        teen = number[-2:] in ("11", "12", "13")
        return number + ("th" if teen else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th"))
    return _ORDINALS[main].format(number) if main in _ORDINALS else None


def _rate(written: str) -> float | None:
    percent = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", written)
    if percent:
        return float(percent[1]) / 100
    change = re.fullmatch(r"([+-]\d{1,3}(?:\.\d+)?)%", written)
    if change:
        return 1 + float(change[1]) / 100
    return float(written) if re.fullmatch(r"\d(?:\.\d+)?", written) else None


def _decibels(written: str) -> float | None:
    found = re.fullmatch(r"([+-]?\d{1,2}(?:\.\d+)?)dB", written)
    return float(found[1]) if found else None
