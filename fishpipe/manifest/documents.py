"""Markdown and plain text → blocks to be read aloud, each with its place. CommonMark by markdown-it-py."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.errors import Problem, Span
from fishpipe.manifest import nodes, source
from fishpipe.manifest.nodes import to_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markdown_it.token import Token

Kind = Literal["heading", "paragraph", "break", "code"]

_FRONT: Final = re.compile(r"\A---[ \t]*\n(?=\S)(.*?)(?:^|\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
# A comment of ours that looks like a heading.
_COMMENT: Final = re.compile(r"^[ \t]*#[ \t]*fishpipe:[ \t]*ignore[^\n]*$", re.MULTILINE)
_RULE: Final = re.compile(r"[ \t]*([*_#-])([ \t]*\1){2,}[ \t]*")
# Comments, styles, and the tags of HTML, whose words are read; others are left to the markup to judge.
_HTML: Final = (
    "a abbr address article aside b bdi bdo big blockquote br center cite code col colgroup dd del details dfn div "
    "dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i iframe img input ins kbd label li link "
    "main mark meta nav ol p picture pre q rp rt ruby samp section small source span strike strong summary sup "
    "table tbody td tfoot th thead time tr tt u ul var video wbr"
)
_TAG: Final = rf"</?(?:{'|'.join(_HTML.split())})(?=[\s/>])"
_UNREAD: Final = re.compile(
    rf"<!--.*?-->|<(script|style)\b.*?</\1>|{_TAG}(?:\"[^\"]*\"|'[^']*'|[^'\">])*>|<sub>|<!DOCTYPE[^>]*>",
    re.DOTALL | re.IGNORECASE,
)
# The same in a block of HTML, one after the other, each with the end that it has: behind the last of those it is not
# looked for. A tag holds no other outside of its quotes.
_UNREAD_BLOCKS: Final = (
    (re.compile(r"<!--.*?-->", re.DOTALL), "-->"),
    (re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE), "</script>"),
    (re.compile(r"<style\b.*?</style>", re.DOTALL | re.IGNORECASE), "</style>"),
    (re.compile(rf"{_TAG}(?:\"[^\"]{{0,500}}\"|'[^']{{0,500}}'|[^'\"<>])*>|<sub>|<!DOCTYPE[^>]*>", re.IGNORECASE), ">"),
)
_LONGEST: Final = 400_000
# What begins something that has an end of its own; without it, it is a sign in a text.
_BEGUN: Final = (("<!--", "-->"), ("<?", "?>"), ("<![CDATA[", "]]>"))
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*:(?://)?(?:www\.)?([^/?#]+).*", re.IGNORECASE | re.DOTALL)


class Block(Struct, frozen=True):
    """Something to read: a heading of a `level`, a paragraph, a break, or code; `notes` are footnotes named in it."""

    kind: Kind
    text: str
    span: Span
    level: int = 0
    notes: tuple[str, ...] = ()


class Document(Struct, frozen=True):
    """A file's blocks in order, its front matter, and its footnotes by name."""

    blocks: tuple[Block, ...]
    front: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Block] = field(default_factory=dict)


def read_document(text: str, file: str) -> tuple[Document, list[Problem]]:
    """The document of a text, and what is wrong with its front matter; `.md` and `.markdown` are CommonMark."""
    front, problems = _front(text, file)
    body = _COMMENT.sub(r"<!-- \g<0> -->", text)
    body = _FRONT.sub(lambda match: "\n" * match[0].count("\n"), body, count=1)
    is_markdown = file.lower().endswith((".md", ".markdown"))
    if is_markdown and (line := _overlong(body)):
        what = f"a paragraph of more than {_LONGEST:,} characters"
        return Document((), front), [*problems, Problem(Span(file, line), what, "part it by empty lines")]
    made = _Markdown(file).document(body) if is_markdown else Document(tuple(_plain(body, file)))
    return replace(made, front=front), problems


def _front(text: str, file: str) -> tuple[dict[str, Any], list[Problem]]:
    found = _FRONT.match(text)
    if found is None:
        return {}, []
    node, problems = source.parse(found[1], file)
    problems = [replace(p, span=replace(p.span, line=p.span.line + 1)) for p in problems]
    if isinstance(node, nodes.Mapping):
        return {raw: to_data(value) for raw, _, value in node}, problems
    if node is not None and not problems:
        problems.append(Problem(Span(file, 2), "the front matter is no map", "write NAME: VALUE lines between the ---"))
    return {}, problems


def _plain(text: str, file: str) -> Iterator[Block]:
    """Paragraphs between empty lines; a line of stars is a break."""
    lines: list[str] = []
    first = 0
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip() and not _RULE.fullmatch(line):
            first = first if lines else number
            lines.append(line.strip())
            continue
        if lines:
            yield Block("paragraph", " ".join(lines), Span(file, first))
            lines = []
        if line.strip():
            yield Block("break", "", Span(file, number))


def _without_html(text: str) -> str:
    """A block of HTML without what is not read, in a time that grows with its length alone."""
    for pattern, end in _UNREAD_BLOCKS:
        last = text.lower().rfind(end) + len(end)
        if last >= len(end):
            text = pattern.sub(" ", text[:last]) + text[last:]
    return text


def _ended(text: str) -> str:
    """A text in which all that begins something ends it: what does not is a sign, and no parser looks for its end."""
    for begin, end in _BEGUN:
        last = text.rfind(end) + 1
        text = text[:last] + text[last:].replace(begin, f"\\{begin}")
    return text


def _overlong(text: str) -> int:
    """The line of a paragraph that is longer than a parser of Markdown can take; 0 where there is none."""
    first = size = 0
    for number, line in enumerate(text.split("\n"), 1):
        first, size = (number, 0) if not line.strip() else (first, size + len(line) + 1)
        if size > _LONGEST:
            return first + 1
    return 0


class _Markdown:
    """One file's tokens → blocks. Each method takes the token of its name, and yields the block that it ends."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.notes: dict[str, Block] = {}
        self._note = ""
        self._level = 0
        self._cells: list[str] | None = None
        self._named: list[str] = []

    def document(self, text: str) -> Document:
        """The document of a text without front matter."""
        from markdown_it import MarkdownIt
        from mdit_py_plugins.footnote import footnote_plugin

        parser = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(footnote_plugin)
        tokens = parser.parse(_ended(text))
        return Document(tuple(block for token in tokens for block in self._block(token)), notes=self.notes)

    def _block(self, token: Token) -> Iterator[Block]:
        span = Span(self.file, (token.map or [0])[0] + 1)
        match token.type:
            case "hr":
                yield Block("break", "", span)
            case "fence" | "code_block" if not self._note:
                yield Block("code", _escaped(token.content.strip()), span)
            case "html_block":
                words = unescape(" ".join(_without_html(token.content).split()))
                if words:
                    yield Block("paragraph", words, span)
            case "inline":
                yield from self._words(token, span)
            case "tr_close":
                row = ", ".join(cell for cell in self._cells or () if cell)
                self._cells, named = None, tuple(self._named)
                self._named = []
                if self._note:
                    self._noted(row, self._row)
                elif row:
                    yield Block("paragraph", row, self._row, 0, named)
            case _:
                self._enter(token, span)

    def _enter(self, token: Token, span: Span) -> None:
        """Take note of where we are."""
        match token.type:
            case "footnote_open":
                self._note = _name(token)
            case "footnote_close":
                self._note = ""
            case "heading_open" | "heading_close":
                self._level = int(token.tag[1:]) if token.nesting == 1 else 0
            case "tr_open":
                self._cells, self._row = [], span
            case _:
                pass

    def _words(self, token: Token, span: Span) -> Iterator[Block]:
        words, named = _inline(token.children or [])
        if self._cells is not None:
            self._cells.append(words)
            self._named += named
        elif self._note:
            self._noted(words, span)
        elif words:
            kind: Kind = "heading" if self._level else "paragraph"
            yield Block(kind, words, span, self._level, tuple(named))

    def _noted(self, words: str, span: Span) -> None:
        before = self.notes.get(self._note)
        self.notes[self._note] = (
            replace(before, text=f"{before.text} {words}") if before else Block("paragraph", words, span)
        )


def _name(token: Token) -> str:
    """A footnote's name, or its number where it was written in place."""
    return str(token.meta.get("label") or token.meta["id"])


def _inline(children: Sequence[Token]) -> tuple[str, list[str]]:
    """The words of a paragraph, and the footnotes that it names; what is struck out is not read."""
    words: list[str] = []
    notes: list[str] = []
    struck, link = 0, ""
    for child in children:
        if child.type in ("s_open", "s_close"):
            struck += child.nesting
        elif child.type in ("link_open", "link_close"):
            link = child.info if child.nesting == 1 else ""
        elif child.type == "footnote_ref":
            notes.append(_name(child))
        elif not struck:
            words.append(_read(child, is_address=link == "auto"))
    text = re.sub(r"^\[[ xX]\] ", "", "".join(words).strip())
    # HTML's own <sub> has no alias.
    return (text if "<sub " in text else text.replace("</sub>", "")), notes


def _read(token: Token, *, is_address: bool) -> str:
    """What is read of one token within a paragraph; of an address, the host."""
    match token.type:
        case "text" | "text_special" | "code_inline":
            found = _ADDRESS.fullmatch(token.content) if is_address else None
            return _escaped(found[1] if found else token.content)
        case "softbreak":
            return " "
        case "hardbreak":
            return "\n"
        case "html_inline":
            is_unread = _UNREAD.fullmatch(token.content) is not None
            return token.content if not is_unread else " " if token.content.startswith("<br") else ""
        case _:
            return ""


def _escaped(text: str) -> str:
    """Text that is no markup, whatever signs are in it."""
    return re.sub(r"&(?=(?:lt|gt|amp|quot|apos);)", "&amp;", text).replace("<", "&lt;")
