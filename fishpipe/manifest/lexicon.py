"""The lexicon: how words are spoken. It changes what is sent, and never what is shown.

Words and phrases are found whole, the longest first, and each place of a text is replaced once; then the patterns,
in their order, in what the words left.
"""

from __future__ import annotations

import math
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct, field

from fishpipe.errors import Span, did_you_mean
from fishpipe.manifest import nodes
from fishpipe.manifest.definitions import main_language
from fishpipe.manifest.markup import phoneme_problem
from fishpipe.manifest.nodes import Listing, Scalar, to_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Say = Callable[[Span, str, str], None]

Case = Literal["exact", "any", "smart"]

# A pattern that needs longer than this for one text is one that never ends; in seconds.
_PATIENCE: Final = 0.5
# What a pattern may be: its characters, the repetitions that it counts, and what these come to where they are nested.
_LONGEST_PATTERN: Final = 500
_MOST_REPEATED: Final = 1_000
_MOST_NESTED: Final = 10_000
_MOST_PATTERNS: Final = 1_000
_COUNTED: Final = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_APOSTROPHE: Final = re.compile("\\\\?'|’")
_PLAIN: Final = re.compile("['’]")
# Where words are not set apart by spaces, a word may stand anywhere.
_WITHOUT_SPACES: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTER: Final = rf"[^\W{_WITHOUT_SPACES}]"
_UNSPACED: Final = rf"[{_WITHOUT_SPACES}]"


class Entry(Struct, frozen=True, gc=False):
    """How a `word` (or what a pattern finds) is spoken: a respelling, or phonemes; where it is written is `span`."""

    word: str
    span: Span
    say: str
    phonemes: bool = False
    case: Case = "smart"
    languages: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()

    @property
    def is_pattern(self) -> bool:
        """Whether the word is a regular expression: /…/."""
        return len(self.word) > 2 and self.word[0] == self.word[-1] == "/"

    @property
    def first_word(self) -> str:
        """A word that each text has that this is found in; none for a pattern."""
        return "" if self.is_pattern else _PLAIN.split(self.word.split()[0].casefold())[0]

    @property
    def source(self) -> str:
        """The regular expression that finds it; never inside of a longer word."""
        import regex

        is_exact = self.case == "exact" or (self.case == "smart" and self.word != self.word.lower())
        flags = "" if is_exact else "(?i)"
        if self.is_pattern:
            return f"{'' if self.case != 'any' else flags}(?<!{_LETTER})(?:{self.word[1:-1]})(?!{_LETTER})"
        words = r"\s+".join(_APOSTROPHE.sub("['’]", regex.escape(part)) for part in self.word.split())
        before = "" if regex.match(_UNSPACED, self.word[0]) else f"(?<!{_LETTER})"
        after = "" if regex.match(_UNSPACED, self.word[-1]) else f"(?!{_LETTER})"
        return f"{flags}{before}{words}{after}"

    def speaks(self, language: str, voices: Sequence[str]) -> bool:
        """Whether it holds for a language and the voices of a text."""
        main = main_language(language)
        tongues = [tongue.casefold() for tongue in self.languages]
        spoken = not tongues or language.casefold() in tongues or main in tongues
        return spoken and (not self.voices or any(voice in self.voices for voice in voices))


class Stretch(Struct, frozen=True):
    """A stretch of a text, or what stands in its place: `entry` says why."""

    written: str
    said: str
    entry: Entry | None = None


class Lexicon(Struct):
    """All entries; `used` are the words of those that a text had.

    The patterns have `patience` (seconds of CPU) for all texts, and so many `looks` may be taken for words in texts.
    """

    entries: tuple[Entry, ...] = ()
    used: set[str] = field(default_factory=set)
    patience: float = 5.0
    looks: int = 50_000_000
    _chosen: dict[tuple[str, tuple[str, ...]], list[tuple[Entry, str]]] = field(default_factory=dict)

    def respell(self, text: str, language: str, voices: tuple[str, ...]) -> list[Stretch]:
        """A text in stretches; those without an entry are spoken as they are. Raises TimeoutError."""
        stretches = [Stretch(text, text)]
        folded = text.casefold()
        chosen = self._for(language, voices)
        self.looks -= len(chosen) * (1 + len(text) // 100)
        if self.looks < 0:
            raise TimeoutError("the lexicon")
        for entry, first in chosen:
            if first in folded:
                pattern = _compiled(entry.source)
                began = time.thread_time() if entry.is_pattern else 0.0
                stretches = [one for stretch in stretches for one in _replaced(stretch, pattern, entry)]
                self.patience -= time.thread_time() - began if entry.is_pattern else 0.0
                if self.patience < 0:
                    raise TimeoutError("a pattern of the lexicon")
        self.used |= {stretch.entry.word for stretch in stretches if stretch.entry}
        return [stretch for stretch in stretches if stretch.written or stretch.said]

    def _for(self, language: str, voices: tuple[str, ...]) -> list[tuple[Entry, str]]:
        """What may be found in a text: (entry, a word that the text then has)."""
        key = (language, voices)
        if key not in self._chosen:
            found = [entry for entry in self.entries if entry.speaks(language, voices)]
            # Of two entries of one word, the one that says where it holds is meant.
            found.sort(
                key=lambda e: (e.is_pattern, not e.is_pattern and -len(e.word), -bool(e.languages) - bool(e.voices))
            )
            self._chosen[key] = [(entry, entry.first_word) for entry in found]
        return self._chosen[key]


@lru_cache(maxsize=10_000)
def _compiled(source: str) -> Any:  # noqa: ANN401
    import regex

    return regex.compile(source)


def _replaced(stretch: Stretch, pattern: Any, entry: Entry) -> Iterator[Stretch]:  # noqa: ANN401
    if stretch.entry is not None:
        yield stretch
        return
    position = 0
    for match in _found(pattern, stretch.written):
        if match.end() == match.start():
            continue
        before = stretch.written[position : match.start()]
        yield Stretch(before, before)
        said = match.expand(entry.say) if entry.is_pattern and not entry.phonemes else entry.say
        yield Stretch(match[0], said, entry)
        position = match.end()
    rest = stretch.written[position:]
    yield Stretch(rest, rest)


def _found(pattern: Any, text: str) -> Iterator[Any]:  # noqa: ANN401
    try:
        yield from pattern.finditer(text, timeout=_PATIENCE)
    except TimeoutError:
        raise TimeoutError("a pattern of the lexicon") from None


def read_lexicon(section: nodes.Node | None, voices: Iterable[str], say: Say) -> Lexicon:
    """The lexicon of a checked section; what is wrong with an entry is told, and the entry left out."""
    known = list(voices)
    entries = []
    for word, key, node in section if isinstance(section, nodes.Mapping) else ():
        for item in node.items if isinstance(node, Listing) else (node,):
            made = _entry(word, key, item, known, say)
            if made is not None:
                entries.append(made)
    for entry in [entry for entry in entries if entry.is_pattern][_MOST_PATTERNS : _MOST_PATTERNS + 1]:
        say(entry.span, f"more than {_MOST_PATTERNS:,} patterns", "write words in the place of patterns")
    return Lexicon(tuple(entries))


def _entry(word: str, key: Scalar, node: nodes.Node, known: Sequence[str], say: Say) -> Entry | None:
    data: dict[str, Any] = {"say": node.raw} if isinstance(node, Scalar) else to_data(node)
    sounds = data.get("phonemes")
    if "say" not in data and sounds is None:
        return None
    made = Entry(
        word=word.strip(),
        span=key.span,
        say=str(data.get("say", sounds)),
        phonemes=sounds is not None,
        case=data.get("case", "smart"),
        languages=_several(data.get("language")),
        voices=_several(data.get("voice")),
    )
    if not made.word:
        say(key.span, "an entry of the lexicon has no word", "")
        return None
    for voice in made.voices:
        if voice not in known:
            say(_place(node, "voice"), f'no voice "{voice}"', did_you_mean(voice, known) or "declare it under voices")
    if sounds is not None and (problem := phoneme_problem(str(sounds))):
        say(_place(node, "phonemes"), *problem)
        return None
    return made if _compiles(made, key.span, say) else None


def _place(node: nodes.Node, name: str) -> Span:
    found = node.get(name) if isinstance(node, nodes.Mapping) else None
    return (found or node).span


def _compiles(entry: Entry, at: Span, say: Say) -> bool:
    import regex

    if not entry.is_pattern:
        return True
    if wrong := _too_costly(entry.word):
        say(at, f"{entry.word[:40]} {wrong}", "simplify it")
        return False
    try:
        regex.compile(entry.word[1:-1])
        pattern = regex.compile(entry.source)
        if not entry.phonemes:
            _check_template(pattern, entry.say)
    except (regex.error, IndexError, OverflowError, RecursionError) as error:
        say(at, f"{entry.word} is no regular expression: {error}", r"write /WORDS/, with \1 in say: for its groups")
        return False
    return True


def _too_costly(pattern: str) -> str:
    """What makes a pattern one that is not compiled; "" for others."""
    counts = [int(part or 0) for found in _COUNTED.finditer(pattern) for part in found.groups() if len(part or "") < 10]
    long = any(len(part or "") >= 10 for found in _COUNTED.finditer(pattern) for part in found.groups())
    if len(pattern) > _LONGEST_PATTERN:
        return f"has more than {_LONGEST_PATTERN} characters"
    if long or max(counts, default=0) > _MOST_REPEATED or math.prod(max(count, 1) for count in counts) > _MOST_NESTED:
        return f"repeats more than {_MOST_REPEATED:,} times, or {_MOST_NESTED:,} in all"
    return ""


def _check_template(pattern: Any, say: str) -> None:  # noqa: ANN401
    """Raise IndexError where a respelling names a group that the pattern does not have, or has another escape."""
    import regex

    odd = regex.search(r"\\(?!\d|g<\w+>|\\)", say)
    if odd:
        raise IndexError(f"its respelling has {say[odd.start() : odd.start() + 2]}; write \\1 or \\g<name>")
    for group in regex.findall(r"\\(\d+)|\\g<(\w+)>", say):
        name = group[0] or group[1]
        if name.isdigit() and int(name) > pattern.groups:
            raise IndexError(f"it has no group {name}")
        if not name.isdigit() and name not in pattern.groupindex:
            raise IndexError(f'it has no group "{name}"')


def _several(data: object) -> tuple[str, ...]:
    return () if data is None else tuple(map(str, data)) if isinstance(data, list) else (str(data),)
