"""Imports: each format becomes a project that validates with no hand work, and says all of the text in order."""

from __future__ import annotations

import html
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fishpipe.importing.writer import escaped, scalar
from fishpipe.manifest import source
from fishpipe.manifest.load import load
from fishpipe.manifest.nodes import to_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result

    Cli = Callable[..., Result]

CHAPTERS = {
    "Down the Hole": [
        "Alice was [very] tired & *bored* of <sitting>.",
        "1. is no list, “said” {{ nobody }}.",
        "# no heading",
    ],
    "The Pool": ["It was 3 < 4 o'clock: a fine_day_here.", "- She swam.", "Then she left."],
}
SPOKEN = [
    *(
        "Down the Hole",
        "Alice was (very) tired & *bored* of <sitting>.",
        "1. is no list, “said” { { nobody }}.",
        "# no heading",
    ),
    *("The Pool", "It was 3 < 4 o'clock: a fine_day_here.", "- She swam.", "Then she left."),
]


def texts(manifest: str) -> list[str]:
    made = load(Path(manifest))
    return [s.body.text for script in made.scripts.values() for s in script.segments if hasattr(s.body, "text")]


def imported(cli: Cli, name: str, *arguments: str) -> list[str]:
    done = cli("import", name, "made", *arguments)
    assert done.code == 0, done
    valid = cli("validate", "made")
    assert valid.code == 0, valid
    assert Path("made/fishpipe.yaml").read_text("utf-8").startswith("# yaml-language-server: $schema=./schemas/")
    again = cli("import", name, "made", *arguments)
    assert (again.code, "exists already" in again.err) == (2, True)
    return texts("made/fishpipe.yaml")


def epub(path: str, *, old: bool = False) -> None:
    pages = {"cover": "<img src='c.png'/>", "title": "<h1>The Book</h1><p>by Me</p>", "copyright": "<p>All rights.</p>"}
    numbered = enumerate(CHAPTERS.items(), 1)
    for number, (title, paragraphs) in numbered:
        note = '<sup><a epub:type="noteref" href="#n">1</a></sup>' if number == 1 else ""
        words = "".join(f"<p>{html.escape(words)}{note}</p>" for words in paragraphs)
        pages[f"c{number}"] = f'<h2><span id="page1" epub:type="pagebreak">12</span>{title}</h2>{words}'
    pages["c2"], pages["c2b"] = pages["c2"].rsplit("<p>", 1)[0], "<p>" + pages["c2"].rsplit("<p>", 1)[1]
    pages["license"] = "<h2>THE FULL PROJECT GUTENBERG LICENSE</h2><p>Words.</p>"
    items = "".join(f'<item id="{n}" href="text/{n}%20x.xhtml" media-type="application/xhtml+xml"/>' for n in pages)
    spine = "".join(f'<itemref idref="{name}"/>' for name in pages)
    links = "".join(f'<li><a href="text/{n}%20x.xhtml#x">{n}</a></li>' for n in ("cover", "title", "copyright"))
    nav = '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
    about = "<dc:title>The Book &amp; more</dc:title><dc:creator>Me</dc:creator><dc:language>en-GB</dc:language>"
    guide = '<guide><reference type="title-page" href="text/title%20x.xhtml"/></guide>' if old else ""
    with zipfile.ZipFile(path, "w") as book:
        book.writestr(
            "META-INF/container.xml", '<container><rootfiles><rootfile full-path="O/c.opf"/></rootfiles></container>'
        )
        book.writestr(
            "O/c.opf",
            f"<package><metadata>{about}</metadata><manifest>{nav}{items}</manifest><spine>{spine}</spine>{guide}</package>",
        )
        book.writestr("O/nav.xhtml", f'<html><body><nav epub:type="toc"><ol>{links}</ol></nav></body></html>')
        for name, words in pages.items():
            kind = ' epub:type="titlepage"' if name == "title" and not old else ""
            book.writestr(f"O/text/{name} x.xhtml", f"<?xml version='1.0'?><html><body{kind}>{words}</body></html>")


@pytest.mark.parametrize("old", [True, False])
def test_a_whole_epub(old: bool, cli: Cli) -> None:
    epub("book.epub", old=old)
    assert imported(cli, "book.epub") == SPOKEN
    made = load(Path("made/fishpipe.yaml"))
    assert (made.project.title, made.project.author, made.project.language) == ("The Book & more", "Me", "en-GB")
    assert [output.shown for output in made.scripts["the-book-more"].outputs] == [
        "dist/the-book-more.m4b", "dist/01-down-the-hole.mp3", "dist/02-the-pool.mp3",
    ]  # fmt: skip


def test_markdown_is_copied_or_read_where_it_lies(cli: Cli) -> None:
    text = "---\ntitle: The Book\nauthor: Me\n---\n# The Book\n\n## One\n\nWords here.\n\n## Two\n\nMore words.\n"
    Path("book.md").write_text(text, "utf-8")
    assert imported(cli, "book.md") == ["The Book", "One", "Words here.", "Two", "More words."]
    assert [s.chapter for s in load(Path("made/fishpipe.yaml")).scripts["the-book"].segments] == [
        "The Book", "One", None, "Two", None,
    ]  # fmt: skip
    assert cli("import", "book.md", ".").code == 0
    assert "- text_file: book.md\n        chapters: 2" in Path("fishpipe.yaml").read_text("utf-8")
    assert Path("book.md").read_text("utf-8") == text


def test_json_of_chapters_and_of_turns(cli: Cli) -> None:
    data = {"title": "T", "language": "en", "chapters": [{"title": t, "paragraphs": p} for t, p in CHAPTERS.items()]}
    Path("book.json").write_text(json.dumps(data), "utf-8")
    assert imported(cli, "book.json") == SPOKEN
    turns = [
        {"speaker": "Host", "text": "Hello: [you] there."},
        {"speaker": "Guest", "text": "Hi! It's 3 < 4."},
        "And so on.",
    ]
    Path("talk.json").write_text(json.dumps({"title": "Talk", "beats": turns}), "utf-8")
    assert cli("import", "talk.json").code == 0
    assert texts("talk/fishpipe.yaml") == ["Hello: [you] there.", "Hi! It's 3 < 4.", "And so on."]


PLAY = """ACT I

Scene. A room in a flat.

LANE is arranging tea.

ALGERNON. Did you hear what I was playing, Lane?

LANE. [Bowing.] I didn't think it polite
to listen, sir.

[Enter Jack.]

ALGERNON. How are you, my dear Ernest?

DR. CHASUBLE. (sternly) Pleasure! Pleasure: what else?

ACT II

LANE. Mr. Worthing, sir.

ALGERNON. Show him in.

DR. CHASUBLE. At once, at once.
"""


def test_a_play_has_a_cast(cli: Cli) -> None:
    Path("play.txt").write_text(PLAY, "utf-8")
    assert imported(cli, "play.txt") == [
        "Did you hear what I was playing, Lane?",
        "[Bowing.] I didn't think it polite to listen, sir.",
        "How are you, my dear Ernest?",
        "[sternly] Pleasure! Pleasure: what else?",
        "Mr. Worthing, sir.",
        "Show him in.",
        "At once, at once.",
    ]
    made = load(Path("made/fishpipe.yaml"))
    assert list(made.voices) == ["algernon", "lane", "dr-chasuble"]
    assert [s.chapter for s in made.scripts["play"].segments if s.chapter] == [
        "ACT I, Scene. A room in a flat.",
        "ACT II",
    ]


LINES = """The Play

by Me

CHARACTERS

ALGERNON, a man

ACT I

SCENE 1

A room. [Pouring tea.]

ALGERNON. Good morning. It is
late.
LADY BRACK. (angrily) Nonsense!

MR. SMITH. Hello there.

ALGERNON. ... and so on.

LADY BRACK. Yes. No.
"""


def test_a_play_line_by_line(cli: Cli) -> None:
    Path("play.txt").write_text(LINES, "utf-8")
    assert imported(cli, "play.txt") == [
        "Good morning. It is late.", "[angrily] Nonsense!", "Hello there.", "... and so on.", "Yes. No.",
    ]  # fmt: skip
    Path("two.txt").write_text(
        "ANNA: Who is there?\nBEN: (softly) Only me.\nANNA: You are late.\nBEN: I know.\n", "utf-8"
    )
    assert cli("import", "two.txt").code == 0
    assert texts("two/fishpipe.yaml") == ["Who is there?", "[softly] Only me.", "You are late.", "I know."]
    Path("prose.txt").write_text("It was late. The sea came in.\n\nNote: this is prose.\n\nHe went home.\n", "utf-8")
    assert cli("import", "prose.txt").code == 0
    assert texts("prose/fishpipe.yaml") == ["It was late. The sea came in.", "Note: this is prose.", "He went home."]


FOUNTAIN = """Title: The Big Sea
Author: Me

INT. HARBOUR - NIGHT

The wind howls.

MARINA
(whispering)
Who is there?

BEN (O.S.)
Only me: nobody else.

MARINA ^
At this hour?

EXT. SEA - DAY

BEN
We made it.
"""


def test_a_screenplay_in_fountain(cli: Cli) -> None:
    Path("sea.fountain").write_text(FOUNTAIN, "utf-8")
    assert imported(cli, "sea.fountain") == [
        "[whispering] Who is there?", "Only me: nobody else.", "At this hour?", "We made it.",
    ]  # fmt: skip
    made = load(Path("made/fishpipe.yaml"))
    assert list(made.voices) == ["marina", "ben"]
    assert made.project.title == "The Big Sea"


SRT = """1
00:00:01,500 --> 00:00:02,500
Hello <i>there</i>,
my friend.

2
00:00:03,250 --> 00:00:04,000
BEN: Good day.

3
00:00:04,000 --> 00:00:05,000
♪ music ♪

4
00:00:05,500 --> 00:00:07,000
[door opens] Come in.
"""


def test_subtitles_keep_their_silences(cli: Cli) -> None:
    Path("talk.srt").write_text(SRT, "utf-8")
    assert imported(cli, "talk.srt") == ["Hello there, my friend.", "Good day.", "Come in."]
    segments = load(Path("made/fishpipe.yaml")).scripts["talk"].segments
    assert segments[0].body.duration == 1_500_000  # type: ignore[union-attr]
    assert [segment.edits.gap for segment in segments[1:3]] == [750_000, 1_500_000]
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ana Lee>One is here.</v>\n\n00:02.500 --> 00:03.000\nTwo.\n"
    Path("talk.vtt").write_text(vtt, "utf-8")
    assert cli("import", "talk.vtt", "vtt").code == 0
    spoken = load(Path("vtt/fishpipe.yaml")).scripts["talk"].segments[1:]
    assert [s.body.voices[0].name for s in spoken] == ["ana-lee", "narrator"]  # type: ignore[union-attr]


def test_plain_text_with_and_without_chapters(cli: Cli) -> None:
    Path("a.txt").write_text("Opening words\nof it.\n\nChapter 1\n\nOne. Two?\n\nChapter 2\n\nThe [end].\n", "utf-8")
    assert imported(cli, "a.txt") == ["Opening words of it.", "Chapter 1", "One. Two?", "Chapter 2", "The (end)."]
    Path("b.txt").write_bytes("Caf\xe9 is \u201copen\u201d.\r\n\r\nTruly.".encode("cp1252"))
    assert cli("import", "b.txt").code == 0
    assert texts("b/fishpipe.yaml") == ["Café is “open”.", "Truly."]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.epub", b"no zip", "is no EPUB"),
        ("a.json", b"{", "a.json:1:2: no JSON"),
        ("a.json", b'{"x": 1}', "nothing to speak"),
        ("a.xyz", b"words", "--as"),
        ("a.txt", b"", "nothing to speak"),
        ("a.srt", b"nothing", "a.srt: no subtitles"),
    ],
)
def test_what_cannot_be_read_is_told(name: str, data: bytes, says: str, cli: Cli) -> None:
    Path(name).write_bytes(data)
    done = cli("import", name)
    assert (done.code, says in done.err) == (2, True), done
    assert cli("import", "missing.md").code == 2


def test_what_other_people_write(cli: Cli) -> None:
    """Entities, two speakers in a cue, stage directions, rules and notes."""
    Path("a.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nYes &amp; no, 5 < 6 {yes}\n", "utf-8")
    Path("b.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\n- One here.\n- Two here.\n", "utf-8")
    Path("c.txt").write_text("Some words.\n\n* * *\n\nTwo {% here %}.\n", "utf-8")
    Path("d.txt").write_text("ANA. Hello.\n\nEnter Ben.\n\nBEN. Hi.\n\nANA. You.\n\nExeunt.\n\nBEN. Yes.", "utf-8")
    Path("e.json").write_text('["a b", null, ["x", 1], "hi \\ud800 there"]', "utf-8")
    Path("f.md").write_text("# Hi\n\nTwo {{ braces }} here.\n", "utf-8")
    found = {}
    for name in ("a.vtt", "b.srt", "c.txt", "d.txt", "e.json", "f.md"):
        assert cli("import", name).code == 0, name
        found[name[0]] = texts(f"{name[0]}/fishpipe.yaml")
    assert found == {
        "a": ["Yes & no, 5 < 6 {yes}"],
        "b": ["One here.", "Two here."],
        "c": ["Some words.", "Two { % here %}."],
        "d": ["Hello.", "Hi.", "You.", "Yes."],
        "e": ["a b", "hi   there"],
        "f": ["Hi", "Two { { braces }} here."],
    }


def test_an_epub_of_others(cli: Cli) -> None:
    page = "<html><body><p>Prelude x<sup>2</sup>.</p><h1>I</h1><p>After 1 <a href='#n'><sup>1</sup></a>.</p>"
    with zipfile.ZipFile("b.epub", "w") as book:
        book.writestr("META-INF/container.xml", '<container><rootfile full-path="c.opf"/></container>')
        kind = 'media-type="application/xhtml+xml"'
        items = f'<item id="a" href="a.xhtml" {kind}/><item id="m" href="missing.xhtml" {kind}/><item id="n"/>'
        spine = "".join(f'<itemref idref="{name}"/>' for name in "amna")
        book.writestr("c.opf", f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")
        book.writestr("a.xhtml", page + "<pre>verse</pre><aside id='n'>A note.</aside></body></html>")
    assert imported(cli, "b.epub") == ["I", "Prelude x2.", "I", "After 1.", "verse"]


def test_a_book_is_built_in_order(cli: Cli) -> None:
    data = {"title": "T", "chapters": [{"title": t, "paragraphs": p} for t, p in CHAPTERS.items()]}
    Path("book.json").write_text(json.dumps(data), "utf-8")
    assert cli("import", "book.json").code == 0
    assert cli("build", "-q", "book").code == 0
    outputs = cli("status", "book", "--json").data["outputs"]
    assert [segment["text"] for segment in outputs[0]["segments"]] == SPOKEN


@pytest.mark.parametrize(
    "text",
    [
        "plain words",
        "a: b",
        "a #b",
        "- x",
        "'q'",
        '"q"',
        "{x}",
        "[x]",
        "yes",
        "true",
        "1.5",
        "null",
        "x:",
        "@x",
        " x ",
        "a, b",
        "é — “x”",
        "*x",
        "a\nb",
        "",
        "?",
    ],
)
def test_yaml_scalars_read_as_they_were_meant(text: str) -> None:
    for flow in (False, True):
        written = f"[{scalar(text, flow=True)}, x]" if flow else f"- {scalar(text)}"
        node, problems = source.parse(written, "x.yaml")
        assert not problems
        assert to_data(node)[0] == text  # type: ignore[arg-type]


def test_escaped_words_are_nothing_but_words() -> None:
    assert escaped("a <b> c & {{ x }} [y] &lt; 3 < 4") == 'a &lt;b> c & {{ "{{" }} x }} (y) &amp;lt; 3 < 4'
