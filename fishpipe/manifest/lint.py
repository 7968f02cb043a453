"""What a manifest may say, and probably does not mean: found before it is paid for. Pure.

Each finding has a code, which `# fishpipe: ignore[CODE]` on its line (or alone above it) accepts.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final

import langcodes
from msgspec import Struct

from fishpipe.errors import Problem, Span, did_you_mean
from fishpipe.manifest.definitions import main_language
from fishpipe.manifest.model import CreatedVoice, ExistingVoice, Inclusion, Segment, Speech
from fishpipe.manifest.places import IGNORED, Places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fishpipe.manifest.model import Manifest

CODES: Final[Mapping[str, str]] = {
    "cue-swallowed": "words in brackets that the model performs or leaves out, and does not speak",
    "cue-misplaced": "an emotion of s1 that does not begin its sentence",
    "cue-unknown": "a word in parentheses that s1 speaks",
    "cue-foreign": "a cue of another model",
    "cue-unbalanced": "a bracket that is not closed",
    "cue-crowded": "more cues in a sentence than a model follows",
    "cue-dropped": "a direction that the model has no cue for",
    "speaker-missing": "a voice of several that has no place in its text",
    "tag-unpaired": "a phoneme tag without its other half",
    "tag-unknown": "a tag that no model knows",
    "too-long": "a text that is cut within a sentence, or cannot be cut",
    "lone-word": "a single word, which often comes out as noise",
    "no-words": "a text without a letter or a digit",
    "unused-voice": "a voice that nothing is spoken with",
    "unused-lexicon": "an entry of the lexicon that no text has",
    "unreachable-script": "a script that has no output, and that no other includes",
    "language-mismatch": "a text in another language than it says, or than its voice has",
    "near-duplicate": "a text that differs from another in signs alone, and is paid for twice",
    "trailing-space": "spaces at the end of a line of text, which make it another text",
    "invisible-sign": "a sign that nobody sees, and that makes it another text",
    "unknown-code": "a comment that accepts what no finding is called",
}
_SIGNS: Final = {
    **dict.fromkeys(map(ord, "“”„«»"), '"'),
    **dict.fromkeys(map(ord, "‘’‚‹›"), "'"),
    **dict.fromkeys(map(ord, "–—‐‑"), "-"),
    0xA0: " ",
}
_INVISIBLE: Final = re.compile("[\u00ad\u200b\u2060\ufeff]")
_TRAILING: Final = re.compile(r"(?<![ \t])[ \t]+(?=\n)")
_SCRIPTS: Final[Mapping[str, tuple[str, ...]]] = {
    "Latn": ("LATIN",),
    "Cyrl": ("CYRILLIC",),
    "Grek": ("GREEK",),
    "Arab": ("ARABIC",),
    "Hebr": ("HEBREW",),
    "Deva": ("DEVANAGARI",),
    "Thai": ("THAI",),
    "Hans": ("CJK", "LATIN"),
    "Hant": ("CJK", "LATIN"),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA", "LATIN"),
    "Kore": ("HANGUL", "CJK", "LATIN"),
}
# A text is of another script where more of its letters are than this.
_FOREIGN: Final = 0.3


class Fix(Struct, frozen=True):
    """Words at a place, and what is to stand there instead."""

    span: Span
    old: str
    new: str


class Lint(Struct, frozen=True):
    """A finding, and the fix where there is a safe one.

    `otherwise` is another fix with the same effect, for where this one would change what is paid for.
    """

    problem: Problem
    fix: Fix | None = None
    otherwise: Fix | None = None


def lint(manifest: Manifest) -> list[Lint]:
    """All findings that no comment accepts, in the order of the files."""
    places = Places(manifest.texts)
    found = [*_warned(manifest, places), *_segments(manifest, places), *_twice(manifest, places)]
    found += [*_unused(manifest), *_codes(manifest)]
    kept = {(one.problem, one.fix): one for one in found if not places.ignores(one.problem.span, one.problem.code)}
    return sorted(kept.values(), key=lambda one: one.problem)


def _warned(manifest: Manifest, places: Places) -> Iterator[Lint]:
    """What the loader has found in the cues; one of another model is written as this one has it."""
    for problem in manifest.warnings:
        written = _written(places, problem.span)
        wanted = re.fullmatch(r"write ([(\[].*[)\]])", problem.hint)
        fixes = problem.code == "cue-foreign" and wanted is not None and written[:1] in ("(", "[")
        yield Lint(problem, fix=Fix(problem.span, written, wanted[1]) if fixes and wanted else None)


def _written(places: Places, span: Span) -> str:
    lines = places.lines(span.file)
    line = lines[span.line - 1] if 0 < span.line <= len(lines) else ""
    return line[span.column - 1 : span.column - 1 + span.length]


def _spoken(manifest: Manifest) -> Iterator[tuple[Segment, Speech]]:
    for script in manifest.scripts.values():
        for segment in script.segments:
            if isinstance(segment.body, Speech):
                yield segment, segment.body


def _segments(manifest: Manifest, places: Places) -> Iterator[Lint]:
    for segment, speech in _spoken(manifest):
        at, shown = segment.span, speech.shown or speech.text
        words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", shown)
        if not words:
            hint = "give it words, or remove it"
            yield Lint(Problem(at, f'"{shown[:20]}" has no words: it comes out as noise', hint, "no-words"))
        elif len(words) == 1:
            message = f'"{shown[:40]}" is a single word, which often comes out as noise'
            yield Lint(Problem(at, message, "lead it in, or join it to the line beside it", "lone-word"))
        yield from _signs(segment, speech, places)
        yield from _tongues(segment, speech, manifest)


def _signs(segment: Segment, speech: Speech, places: Places) -> Iterator[Lint]:
    """What nobody sees, and what makes another text of it."""
    seen: Counter[str] = Counter()
    for sign in _INVISIBLE.findall(speech.text):
        place = places.find(segment.span, sign, seen[sign])
        seen[sign] += 1
        message = f"an invisible sign (U+{ord(sign):04X}) makes this another text"
        fix = Fix(place, sign, "") if place is not segment.span else None
        yield Lint(Problem(place, message, "remove it", "invisible-sign"), fix)
    if _TRAILING.search(speech.text):
        message = "spaces at the end of a line make this another text"
        for place, spaces in _lines_with_spaces(segment.span, speech.text.count("\n"), places):
            fix = Fix(place, spaces, "") if spaces else None
            yield Lint(Problem(place, message, "remove them", "trailing-space"), fix)


def _lines_with_spaces(span: Span, breaks: int, places: Places) -> list[tuple[Span, str]]:
    """Where the lines of a block value end in spaces; the value itself where that cannot be told."""
    lines = places.lines(span.file)
    found = []
    for number in range(span.line + 1, min(span.line + breaks + 1, len(lines)) + 1):
        line = lines[number - 1]
        bare = line.rstrip(" \t")
        if bare and bare != line:
            found.append((Span(span.file, number, len(bare) + 1, len(line) - len(bare)), line[len(bare) :]))
    return found or [(span, "")]


def _tongues(segment: Segment, speech: Speech, manifest: Manifest) -> Iterator[Lint]:
    language = segment.language
    if not language:
        return
    for voice in speech.voices:
        others = [name.partition(".")[2] for name in manifest.voices if name.startswith(f"{voice.name}.")]
        home = manifest.project.language or ""
        if others and main_language(language) != main_language(home):
            message = f"{voice.name} has no voice for {language}; it has {', '.join(sorted(others))}"
            hint = f"add languages: {{{language}: …}} to voices.{voice.name}"
            yield Lint(Problem(segment.span, message, hint, "language-mismatch"))
    foreign = _foreign(speech.shown or speech.text, language)
    if foreign:
        message = f"this is to be {language}, and has {foreign} letters"
        yield Lint(Problem(segment.span, message, "set its language:", "language-mismatch"))


def _foreign(text: str, language: str) -> str:
    """The script of a text that its language is not written in, or ""."""
    own = _SCRIPTS.get(_script_of(language))
    letters = [char for char in text if char.isalpha()]
    if own is None or not letters or text.isascii():
        return ""
    names = Counter(unicodedata.name(char, "").partition(" ")[0] for char in letters)
    most, count = names.most_common(1)[0]
    return most.capitalize() if most not in own and count > _FOREIGN * len(letters) else ""


def _script_of(language: str) -> str:
    try:
        return langcodes.Language.get(language).maximize().script or ""
    except (LookupError, ValueError):
        return ""


def _twice(manifest: Manifest, places: Places) -> Iterator[Lint]:
    """Texts that are alike to a listener, and two to the service."""
    first: dict[tuple[object, ...], tuple[Segment, Speech]] = {}
    for segment, speech in _spoken(manifest):
        alike = " ".join(unicodedata.normalize("NFKC", speech.text.translate(_SIGNS)).replace("…", "...").split())
        key = (alike, tuple(voice.name for voice in speech.voices), speech.settings, speech.take)
        other, before = first.setdefault(key, (segment, speech))
        if before.text == speech.text:
            continue
        fix = _rewritten(segment, speech.text, before.text, places)
        otherwise = _rewritten(other, before.text, speech.text, places)
        message = f"this differs from {other.address} ({other.span}) in its signs alone, and is paid for as well"
        problem = Problem(segment.span, message, "write both alike", "near-duplicate")
        yield Lint(problem, fix, otherwise)


def _rewritten(segment: Segment, old: str, new: str, places: Places) -> Fix | None:
    """A text as another is written, where it stands as it is on a line."""
    place = places.find(segment.span, old)
    clean = "\n" not in new and not any(sign in new and sign not in old for sign in "\"'")
    return Fix(place, old, new) if clean and place is not segment.span else None


def _codes(manifest: Manifest) -> Iterator[Lint]:
    """Comments that accept what no finding is called."""
    for file, text in manifest.texts.items():
        for number, line in enumerate(text.split("\n") if "fishpipe:" in text else (), 1):
            for found in IGNORED.finditer(line):
                for name in re.finditer(r"[\w-]+", found[1] or ""):
                    if name[0] not in CODES:
                        place = Span(file, number, found.start(1) + name.start() + 1, len(name[0]))
                        hint = did_you_mean(name[0], CODES) or "fishpipe lint --codes lists them"
                        yield Lint(Problem(place, f'no finding is called "{name[0]}"', hint, "unknown-code"))


def _unused(manifest: Manifest) -> Iterator[Lint]:
    used = {voice.name for _, speech in _spoken(manifest) for voice in speech.voices}
    used |= {name.partition(".")[0] for name in used}
    for name, voice in manifest.voices.items():
        if name not in used and isinstance(voice, CreatedVoice | ExistingVoice) and "." not in name:
            yield Lint(
                Problem(voice.span, f'nothing is spoken with voice "{name}"', "remove it, or use it", "unused-voice")
            )
    for word, span in manifest.lexicon.items():
        if word not in manifest.respelled:
            yield Lint(Problem(span, f'no text has "{word}"', "remove it, or mend its case", "unused-lexicon"))
    reached = {
        s.body.script for script in manifest.scripts.values() for s in script.segments if isinstance(s.body, Inclusion)
    }
    families = {script.family for name, script in manifest.scripts.items() if script.files or name in reached}
    for script in manifest.scripts.values():
        if script.family not in families:
            message = f"script {script.family} has no output, and no other script includes it"
            yield Lint(Problem(script.span, message, "add output:, or remove it", "unreachable-script"))


def fixed(texts: Mapping[str, str], fixes: Iterable[Fix]) -> dict[str, str]:
    """The files that some fixes change, by name, with their new texts; a place that is not as it was is left alone."""
    made: dict[str, list[str]] = {}
    for fix in sorted(set(fixes), key=lambda fix: (fix.span.file, fix.span.line, -fix.span.column)):
        lines = made.setdefault(fix.span.file, texts[fix.span.file].split("\n"))
        line, at = lines[fix.span.line - 1], fix.span.column - 1
        if line[at : at + len(fix.old)] == fix.old:
            lines[fix.span.line - 1] = line[:at] + fix.new + line[at + len(fix.old) :]
    return {name: "\n".join(lines) for name, lines in made.items() if "\n".join(lines) != texts[name]}
