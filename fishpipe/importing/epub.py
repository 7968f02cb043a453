"""EPUB 2 and 3 → chapters of Markdown: the reading order, without covers, contents and the like.

The container by zipfile, its XML and XHTML by Beautiful Soup (whose parser knows no entities to expand), the
Markdown by markdownify.
"""

from __future__ import annotations

import lzma
import posixpath
import re
import struct
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from fishpipe.importing.draft import Draft, Prose
from fishpipe.importing.markdown import escaped_templates
from fishpipe.manifest.cues import has_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_BYTES: Final = 64_000_000
_DAMAGED: Final = (zlib.error, lzma.LZMAError, struct.error, RecursionError)
# Stands where the number of a note was, so that the space before it goes, too.
_NOTE: Final = "\ue000"
_LEFT_OUT: Final = re.compile(
    r"(the )?(cover|title ?page|half ?title|copyright|imprint|colophon|(table of )?contents|toc|dedication|epigraph|"
    r"landmarks?|acknowledge?ments|about the (author|publisher)|also by.*|list of illustrations|index|nav|"
    r"project gutenberg.*|.*gutenberg.*licen[cs]e.*|licen[cs]e|inhalt|inhaltsverzeichnis|impressum|widmung|titelei)",
    re.IGNORECASE,
)
# Structural semantics of EPUB that are no part of the text (EPUB SSV 1.1), and Project Gutenberg's own frames.
_TYPES: Final = frozenset(
    [
        "cover",
        "titlepage",
        "halftitlepage",
        "copyright-page",
        "imprint",
        "colophon",
        "toc",
        "landmarks",
        "loi",
        "lot",
        "dedication",
        "epigraph",
        "acknowledgments",
        "contributors",
        "other-credits",
        "errata",
        "index",
        "noteref",
        "pagebreak",
    ]
)
_FRAMES: Final = ("pg-header", "pg-footer", "pg-machine-header", "pg-start-separator", "pg-end-separator")
_MARKS: Final = ("epub:type", "role", "id", "class")
_HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")


def read_epub(path: Path) -> Draft:
    """A book: a chapter for each document of the spine that begins one. Raises ValueError for what is no EPUB."""
    try:
        with zipfile.ZipFile(path) as book:
            return _Book(book).draft(path.stem)
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, EOFError, *_DAMAGED) as error:
        raise ValueError(f"{path} is no EPUB that can be read: {error}") from error


def _ended(data: bytes) -> bytes:
    """XHTML in which all that begins something ends it: the parser looks for no end that is not there."""
    for begin, end in ((b"<!--", b"-->"), (b"<?", b"?>"), (b"<![CDATA[", b"]]>"), (b"<!", b">"), (b"<", b">")):
        last = data.rfind(end) + 1
        data = data[:last] + data[last:].replace(begin, b"&lt;" + begin[1:])
    return data


class _Book:
    def __init__(self, book: zipfile.ZipFile) -> None:
        self._book = book
        self._left = _MOST_BYTES
        self._names = frozenset(book.namelist())
        container = self._soup("META-INF/container.xml")
        root = container.find("rootfile")
        if root is None:
            raise KeyError("its container names no package")
        self._package = str(root["full-path"])
        self._opf = self._soup(self._package)

    def _soup(self, name: str) -> Any:  # noqa: ANN401
        from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
        from bs4.exceptions import ParserRejectedMarkup

        info = self._book.getinfo(name)
        self._left -= info.file_size
        if self._left < 0:
            raise KeyError("it holds more than 200 MB of text")
        with warnings.catch_warnings():
            # It warns of XML that is read as HTML: the few names that we look for are the same in both.
            warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
            try:
                return BeautifulSoup(_ended(self._book.read(info)), "html.parser")
            except (ParserRejectedMarkup, AssertionError, ValueError, LookupError, RecursionError) as error:
                raise KeyError(f"{name} cannot be read: {str(error) or type(error).__name__}") from error

    def draft(self, stem: str) -> Draft:
        """The whole book."""
        about = {name: self._about(name) for name in ("title", "creator", "language")}
        chapters: list[Prose] = []
        titles = self._titles()
        for name in self._spine():
            soup = self._soup(name)
            title = titles.get(name, "")
            if self._is_left_out(soup, name, title):
                continue
            _clean(soup)
            words = _markdown(soup.body or soup)
            heading = _heading(soup) or title
            if not has_words(words) or _LEFT_OUT.fullmatch(heading):
                continue
            if not heading and chapters:
                before = chapters.pop()
                chapters.append(Prose(before.title, f"{before.markdown}\n\n{words}"))
                continue
            heading = heading or about["title"] or stem
            chapters.append(Prose(heading, _headed(words, heading)))
        return Draft(
            title=about["title"] or stem, author=about["creator"], language=about["language"], chapters=tuple(chapters)
        )

    def _about(self, name: str) -> str:
        found = self._opf.find(f"dc:{name}")
        return " ".join(found.get_text().split()) if found is not None else ""

    def _href(self, href: str, base: str = "") -> str:
        return posixpath.normpath(
            posixpath.join(posixpath.dirname(base or self._package), unquote(href.partition("#")[0]))
        )

    def _spine(self) -> Iterator[str]:
        """The documents in reading order; those that are not linear are left out."""
        items = {item.get("id"): item for item in self._opf.find_all("item")}
        for ref in self._opf.find_all("itemref"):
            item = items.pop(ref.get("idref"), None)
            if (
                item is None
                or not item.get("href")
                or ref.get("linear") == "no"
                or "nav" in str(item.get("properties", "")).split()
            ):
                continue
            name = self._href(str(item["href"]))
            if "html" in str(item.get("media-type", "")) and name in self._names:
                yield name

    def _titles(self) -> dict[str, str]:
        """What the table of contents calls each document: the first entry that leads into it."""
        titles: dict[str, str] = {}
        for item in self._opf.find_all("item"):
            is_nav = "nav" in str(item.get("properties", "")).split()
            is_toc = is_nav or "dtbncx" in str(item.get("media-type", ""))
            if not is_toc or not item.get("href") or self._href(str(item["href"])) not in self._names:
                continue
            name = self._href(str(item["href"]))
            soup = self._soup(name)
            links = soup.find_all("a", href=True) if is_nav else soup.find_all("navpoint")
            for link in links:
                content = link if is_nav else link.find("content")
                label = link if is_nav else link.find("text")
                if content is None or label is None:
                    continue
                target = self._href(str(content.get("href") or content.get("src")), name)
                titles.setdefault(target, " ".join(label.get_text().split()))
        return titles

    def _is_left_out(self, soup: Any, name: str, title: str) -> bool:  # noqa: ANN401
        guide = {
            self._href(str(r["href"])): str(r.get("type", "")) for r in self._opf.find_all("reference") if r.get("href")
        }
        if guide.get(name, "text") not in (
            "text",
            "start",
            "bodymatter",
            "preface",
            "foreword",
            "notes",
            "bibliography",
        ):
            return True
        whole = [soup.body, *(soup.body.find_all("section", recursive=False) if soup.body else [])]
        kinds = {kind for part in whole if part is not None for kind in str(part.get("epub:type", "")).split()}
        stem = re.sub(r"[\W_\d]+", " ", posixpath.splitext(posixpath.basename(name))[0]).strip()
        return bool(kinds & _TYPES or _LEFT_OUT.fullmatch(stem) or (title and _LEFT_OUT.fullmatch(title)))


def _clean(soup: Any) -> None:  # noqa: ANN401
    """Take out what is not read: notes' numbers, page numbers, pictures, and the frames of who made the file."""
    for found in soup.find_all(["script", "style", "nav", "aside", "img", "svg", "audio", "video"]):
        found.decompose()
    for found in soup.find_all(lambda tag: any(tag.get(name) for name in _MARKS)):
        if found.decomposed:
            continue
        kinds = {*str(found.get("epub:type", "")).split(), str(found.get("role", "")).removeprefix("doc-")}
        names = {str(found.get("id", "")), *found.get("class", [])}
        if kinds & _TYPES or names & {*_FRAMES, "pagenum", "pageno", "footnote-ref"}:
            found.replace_with(_NOTE) if "noteref" in kinds else found.decompose()
    for found in soup.find_all("sup"):
        is_link = found.find("a") is not None or found.find_parent("a") is not None
        if is_link and len(found.get_text().strip(" []()")) <= 4:
            (found.find_parent("a") or found).replace_with(_NOTE)
    for found in soup.find_all("pre"):
        found.name = "p"


def _heading(soup: Any) -> str:  # noqa: ANN401
    found = soup.find(_HEADINGS)
    return " ".join(found.get_text(" ").split()) if found is not None else ""


def _markdown(soup: Any) -> str:  # noqa: ANN401
    from markdownify import MarkdownConverter

    words = MarkdownConverter(
        heading_style="ATX", bullets="-", strip=["a"], escape_misc=True, strong_em_symbol="*"
    ).convert_soup(soup)
    lines = (line.rstrip() for line in words.replace("\u00a0", " ").split("\n"))
    words = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    words = re.sub(rf" *{_NOTE}", "", words)
    return escaped_templates(re.sub(r"\\?\[", "(", re.sub(r"\\?\]", ")", words)))


def _headed(words: str, heading: str) -> str:
    """A chapter that begins with a heading of the first level, its title; the others are a level below at the least.

    Words before the first heading stay where they are, and the heading with them.
    """
    lines = words.split("\n")
    first = next((n for n, line in enumerate(lines) if line.startswith("#")), None)
    before = any(line.strip() for line in lines[: first or 0])
    if first is not None and not before and _flat(lines[first]) in _flat(heading):
        del lines[first]
    lines = [re.sub(r"^#(?=\s)", "##", line) for line in lines]
    return f"# {escaped_templates(heading)}\n\n" + "\n".join(lines).strip()


def _flat(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
