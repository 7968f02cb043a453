"""A draft → the files of a project, as a person would write them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from fishpipe.importing.draft import Draft, Line, Prose, Scene, clean, language_of, slug
from fishpipe.importing.markdown import escaped_templates
from fishpipe.manifest.definitions import segment_fields
from fishpipe.manifest.nodes import Listing, Scalar
from fishpipe.manifest.source import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKUP: Final = re.compile(r"<(?=/?[A-Za-z][^<>]*>)")
_WIDTH: Final = 100
NARRATOR: Final = "narrator"


def files_of(draft: Draft) -> dict[str, str]:
    """Texts by their paths in the project: `fishpipe.yaml`, and a file a chapter of prose."""
    files: dict[str, str] = {}
    names: list[str] = []
    width = max(2, len(str(len(draft.chapters))))
    for number, chapter in enumerate(draft.chapters, 1):
        if isinstance(chapter, Prose):
            single = len(draft.chapters) == 1
            names.append(f"text/{'' if single else f'{number:0{width}d}-'}{slug(chapter.title or draft.title)}.md")
            files[names[-1]] = clean(chapter.markdown).strip() + "\n"
    lines = [*_head(draft), "", *_voices(draft), "", "scripts:", *_script(draft, names)]
    return {"fishpipe.yaml": "\n".join(lines) + "\n", **files}


def _head(draft: Draft) -> Iterator[str]:
    about = {"title": _literal(draft.title), "author": _literal(draft.author), "language": language_of(draft.language)}
    told = ", ".join(f"{name}: {scalar(value, flow=True)}" for name, value in about.items() if value)
    yield "# yaml-language-server: $schema=./schemas/fishpipe.schema.json"
    yield "fishpipe: 1"
    yield f"project: {{{told}}}"
    yield ""
    yield "# The sandbox speaks on this machine, for free. For Fish Audio's voices write `acedata`,"
    yield "# and put ACEDATACLOUD_API_TOKEN=... into .env"
    yield "provider: sandbox"


def _literal(text: str) -> str:
    """A title or a name that is no template."""
    return escaped_templates(clean(text))


def _voices(draft: Draft) -> Iterator[str]:
    speakers = draft.speakers
    narrated = not speakers or any(
        not line.speaker for chapter in draft.chapters if isinstance(chapter, Scene) for line in chapter.lines
    )
    names = {speaker: _voice_name(speaker) for speaker in speakers}
    if narrated:
        yield "defaults: {voice: narrator, gap: 500ms}" if not speakers else "defaults: {voice: narrator}"
        yield ""
    yield "# To fill in: the address of 10 to 30 seconds of clean speech that a voice is made of,"
    yield "# or in its place the id: of a voice at the service (fishpipe voices search NAME)."
    yield "voices:"
    for name in dict.fromkeys([*([NARRATOR] if narrated else []), *names.values()]):
        yield f"  {scalar(name)}: {{sample_url: https://example.com/samples/{quote(name)}.mp3}}"
    if names and not any(is_timed(chapter) for chapter in draft.chapters):
        yield ""
        yield "# Who speaks with which voice, and how: {voice: NAME, prosody: {speed: 0.95}}"
        yield "cast:"
        for speaker, name in names.items():
            yield f"  {scalar(speaker)}: {scalar(name)}"


def _voice_name(speaker: str) -> str:
    name = slug(speaker, "voice")
    return f"{name}-voice" if name in segment_fields() else name


def _script(draft: Draft, names: list[str]) -> Iterator[str]:
    script = slug(draft.title, "book")
    titles = [chapter.title for chapter in draft.chapters if chapter.title]
    yield f"  {script}:"
    if len(titles) > 1 or draft.levels > 1:
        yield "    outputs:"
        yield f"      - dist/{script}.m4b"
        yield '      - {path: "dist/{{ chapter.number | pad }}-{{ chapter.title | slug }}.mp3", split: chapter}'
    else:
        yield f"    output: dist/{script}.mp3"
    yield "    segments:"
    more = f"\n        chapters: {draft.levels}" if draft.levels != 1 else ""
    for name in [draft.file] if draft.file else names:
        yield f"      - text_file: {scalar(name)}{more}"
    for chapter in draft.chapters:
        if isinstance(chapter, Scene):
            yield from _scene(chapter, timed=is_timed(chapter))


def is_timed(chapter: Prose | Scene) -> bool:
    """Whether the silences between the lines are known."""
    return isinstance(chapter, Scene) and any(line.gap is not None for line in chapter.lines)


def _scene(scene: Scene, *, timed: bool) -> Iterator[str]:
    if scene.lead:
        yield f"      - pause: {_length(scene.lead)}"
    if timed or all(not line.speaker for line in scene.lines):
        yield from _segments(scene, "      ")
        return
    if scene.title:
        yield f"      - chapter: {scalar(_literal(scene.title))}"
        yield "        dialogue: |"
        yield from _dialogue(scene.lines, "          ")
    else:
        yield "      - dialogue: |"
        yield from _dialogue(scene.lines, "          ")


def _segments(scene: Scene, indent: str) -> Iterator[str]:
    title = scene.title
    for line in scene.lines:
        words = scalar(escaped(line.words))
        fields = [("chapter", scalar(title))] if title else []
        title = ""
        fields += [("text", words)] + ([("gap", _length(line.gap))] if line.gap is not None else [])
        if line.speaker:
            fields.insert(-1 if line.gap is not None else len(fields), ("voice", scalar(_voice_name(line.speaker))))
        if len(fields) == 1:
            yield f"{indent}- {words}"
            continue
        if len(fields) == 2 and line.speaker:
            yield f"{indent}- {scalar(_voice_name(line.speaker))}: {words}"
            continue
        for number, (name, value) in enumerate(fields):
            yield f"{indent}{'- ' if number == 0 else '  '}{name}: {value}"


def _dialogue(lines: tuple[Line, ...], indent: str) -> Iterator[str]:
    for line in lines:
        first, *rest = _wrapped(f"{line.speaker or NARRATOR}: {escaped(line.words)}")
        yield indent + first
        yield from (f"{indent}  {more}" for more in rest)


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _WIDTH:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _length(ms: int) -> str:
    return f"{ms / 1000:g}s" if ms >= 1000 else f"{ms}ms"


def escaped(text: str) -> str:
    """Words that are nothing but words: no markup, no cue, no template."""
    text = clean(text)
    text = re.sub(r"&(?=(?:lt|gt|amp|quot|apos);)", "&amp;", text)
    text = _MARKUP.sub("&lt;", text).replace("[", "(").replace("]", ")")
    return re.sub(r"\{\{|\{%|\{#", lambda match: f'{{{{ "{match[0]}" }}}}', text)


def scalar(text: str, *, flow: bool = False) -> str:
    """A text as YAML: plain where it reads so, else in double quotes."""
    text = clean(text)
    plain = re.fullmatch(r"[^\s{}\[\],#&*!|>'\"%@`?:-][^{}\[\]#\n]*(?<!\s)", text) and not (
        flow and re.search("[,]", text)
    )
    if plain and ": " not in text and not text.endswith(":"):
        node, problems = parse(f"- {text}", "x")
        item = node.items[0] if isinstance(node, Listing) and not problems else None
        if isinstance(item, Scalar) and item.value == text:
            return text
    return json.dumps(text, ensure_ascii=False)
