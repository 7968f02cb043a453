"""A text file's blocks → segments: paragraphs, chapters, pauses. A paragraph is named by its words, not its place."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from fishpipe.manifest.nodes import Mapping, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fishpipe.manifest.documents import Block, Document
    from fishpipe.manifest.nodes import Node

_OWN: Final = ("text_file", "headings", "chapters", "code", "footnotes", "scene_break", "id", "chapter")
_SCENE_BREAK: Final = "2s"


def spread_document(node: Mapping, document: Document, rendered: Callable[[Scalar], Scalar | None]) -> Iterator[Node]:
    """The segments of a text file's node; `rendered` evaluates the templates in a paragraph."""
    options = {name: _option(node, name) for name in _OWN}
    title = options["chapter"]
    prefix = f"{options['id']}." if options["id"] else ""
    common = node.without(*_OWN)
    part = breaks = 0
    for block in _arranged(document, options):
        if block.kind == "heading" and block.level <= int(options["chapters"] or 0):
            title = block.text
            if options["headings"] == "skip":
                continue
        more: dict[str, Any] = {"chapter": title} if title else {}
        part += 1
        if block.kind == "break":
            breaks += 1
            more |= {"pause": str(options["scene_break"]), "id": f"{prefix}break-{breaks}", "named": True}
            yield Mapping(block.span, ()).having(goes_on=part > 1, **more)
            title = None
            continue
        words = rendered(Scalar(block.span, block.text, block.text))
        if words is None or not str(words.raw).strip():
            part -= 1
            continue
        title = None
        more |= {"id": prefix + label(words.raw), "named": True}
        made = replace(common, span=block.span).having(goes_on=part > 1, **more)
        yield replace(made, entries=((Scalar(block.span, "text", "text"), words), *made.entries))


def label(text: str) -> str:
    """A paragraph's name: its first words, and a digest of all of them (six digits of sha256)."""
    text = unicodedata.normalize("NFC", text).strip()
    # Behind the last > no tag ends, and each < would look for one.
    end = text.rfind(">") + 1
    words = re.findall(r"\w+", f"{re.sub(r'<[^>]*>', ' ', text[:end])}{text[end:]}".casefold())[:4]
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return "-".join([*words, digest])[-60:].lstrip("-")


def _option(node: Mapping, name: str) -> Any:  # noqa: ANN401
    found = node.get(name)
    value = found.value if isinstance(found, Scalar) else None
    defaults = {"headings": "speak", "chapters": 1, "code": "skip", "footnotes": "skip", "scene_break": _SCENE_BREAK}
    return defaults.get(name) if value is None else value


def _arranged(document: Document, options: dict[str, Any]) -> Iterator[Block]:
    """The blocks that are heard, with the footnotes where they are asked for."""
    at_end: list[Block] = []
    read: set[str] = set()
    for block in document.blocks:
        if block.kind == "code" and options["code"] == "skip":
            continue
        yield block
        named = dict.fromkeys(block.notes)
        notes = [document.notes[name] for name in named if name in document.notes and name not in read]
        read.update(block.notes)
        if options["footnotes"] == "after":
            yield from notes
        elif options["footnotes"] == "end":
            at_end += notes
    yield from at_end
