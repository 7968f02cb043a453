"""Text from files: paragraphs, chapters, pauses; and what an edit of the file costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fishpipe.manifest.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from fishpipe.manifest.model import Segment
    from tests.conftest import Result

    Cli = Callable[..., Result]

BOOK = """---
title: The Hole
guide: "Mr. White"
---
# Down the hole

Alice was *beginning* to get **very tired**; see [the book](https://example.com/book) and <https://www.example.org/x?y>.
The line goes on\\
and breaks.[^1] {{ guide }} says 3 < 4 & <b>so</b> on <break time="500ms"/> forever.

- One thing
- Another

2. Second
3. Third

> Quoted words.

| Name | Age |
|------|-----|
| Ana  | 7   |

```sh
rm -rf /
```

***

## A smaller heading

![picture](x.png)

Same words.

Same words.

<!-- a comment -->

# The pool

The end.

[^1]: A note, *with* stress.
"""


def built(text: str, options: str = "", name: str = "book.md") -> list[Segment]:
    Path(name).write_text(text, encoding="utf-8")
    head = "fishpipe: 1\nprovider: sandbox\nvoices: {ana: {id: " + "a" * 32 + "}}\ndefaults: {voice: ana}\n"
    script = f"scripts:\n  one:\n    output: a.mp3\n    segments: [{{text_file: {name}{options}}}, {{text: After.}}]\n"
    Path("fishpipe.yaml").write_text(head + script, encoding="utf-8")
    return list(load(Path("fishpipe.yaml")).scripts["one"].segments)


def said(segments: list[Segment]) -> list[str]:
    return [s.body.text if hasattr(s.body, "text") else f"pause {s.body.duration / 1e6:g}" for s in segments]  # type: ignore[union-attr]


def test_markdown_is_read_sensibly() -> None:
    segments = built(BOOK)
    long = "Alice was beginning to get very tired; see the book and example.org. The line goes on\nand breaks. "
    assert said(segments) == [
        "Down the hole",
        f"{long}Mr. White says 3 < 4 & so on",
        "pause 0.5",
        "forever.",
        "One thing",
        "Another",
        "Second",
        "Third",
        "Quoted words.",
        "Name, Age",
        "Ana, 7",
        "pause 2",
        "A smaller heading",
        "Same words.",
        "Same words.",
        "The pool",
        "The end.",
        "After.",
    ]
    assert [(s.chapter, said([s])[0]) for s in segments if s.chapter] == [
        ("Down the hole", "Down the hole"), ("The pool", "The pool"),
    ]  # fmt: skip
    places = {said([segment])[0]: str(segment.span) for segment in segments}
    assert places["Down the hole"] == "book.md:5:1"
    assert places["The end."] == "book.md:41:1"


@pytest.mark.parametrize(
    ("options", "there", "absent"),
    [
        (", code: speak", "rm -rf /", ""),
        (", headings: skip", "The end.", "The pool"),
        (", footnotes: after", "A note, with stress.", ""),
        (", footnotes: end", "A note, with stress.", ""),
        (", scene_break: 3s", "pause 3", "pause 2"),
        (", footnotes: skip", "The end.", "A note, with stress."),
    ],
)
def test_it_is_read_as_told(options: str, there: str, absent: str) -> None:
    texts = said(built(BOOK, options))
    assert there in texts
    assert absent not in texts
    if "footnotes" in options and there.startswith("A note"):
        assert texts.index(there) == (len(texts) - 2 if "end" in options else 4)


def test_chapters_go_down_to_a_level() -> None:
    assert [s.chapter for s in built(BOOK, ", chapters: 2") if s.chapter] == [
        "Down the hole",
        "A smaller heading",
        "The pool",
    ]
    assert not [s.chapter for s in built(BOOK, ", chapters: 0") if s.chapter]
    skipped = built(BOOK, ", headings: skip")
    assert [s.chapter for s in skipped if s.chapter] == ["Down the hole", "The pool"]
    assert next(s for s in skipped if s.chapter == "The pool").body.text == "The end."  # type: ignore[union-attr]


def test_plain_text_is_paragraphs_between_empty_lines() -> None:
    text = "First line\nof a paragraph.\n\n* * *\n\n# Not a heading, *not* stress\n"
    assert said(built(text, name="a.txt")) == [
        "First line of a paragraph.", "pause 2", "# Not a heading, *not* stress", "After.",
    ]  # fmt: skip


def test_a_paragraph_is_known_by_its_words() -> None:
    before = built("One is here.\n\nTwo is here.\n\nTwo is here.\n")
    after = built("New.\n\nOne is here.\n\nTwo is here.\n\nIn between.\n\nTwo is here.\n")
    names = [segment.address for segment in before]
    assert names[0].startswith("one/one-is-here-")
    assert names[2] == f"{names[1]}-2"
    assert set(names) <= {segment.address for segment in after}
    assert built("One is here.", ", id: intro")[0].address.startswith("one/intro.one-is-here-")


def asked(cli: Cli) -> list[dict[str, Any]]:
    return [action for action in cli("plan", "--json").data["actions"] if action["action"] == "speak"]


def test_an_insertion_bills_itself_and_an_edit_its_paragraph(cli: Cli) -> None:
    built(BOOK)
    assert cli("build", "-q").code == 0
    built(BOOK.replace("Quoted words.", "Quoted words.\n\nAn inserted paragraph."))
    assert [call["text"] for call in asked(cli)] == ["An inserted paragraph."]
    built(BOOK.replace("Another", "Another thing"))
    calls = asked(cli)
    assert [call["text"] for call in calls] == ["Another thing"]
    assert calls[0]["reason"] == calls[0]["reason"] | {"code": "changed", "before": "Another"}
    assert calls[0]["segments"][0]["place"].startswith("book.md:12:")
    built(BOOK.replace("# The pool\n\nThe end.\n", "") + "\n# The pool\n\nThe end.\n")
    assert asked(cli) == []


def test_a_place_in_the_file_is_a_target(cli: Cli) -> None:
    built(BOOK)
    assert cli("explain", "--text", "book.md:41", "--json").data[0]["written"] == "The end."


ODD = """---

Between two rules.

---

Line<br>break, ~~struck *out*~~ and H<sub>2</sub>O.

<p class="x">Html <i>words</i></p>

<!-- nothing -->

- [ ] to do

One[^a] and again[^a].

[^a]: The note.
"""


def test_html_and_other_marks_are_read_as_their_words() -> None:
    segments = built(ODD, ", footnotes: after")
    assert said(segments) == [
        *("pause 2", "Between two rules.", "pause 2", "Line break,  and H2O.", "Html words", "to do"),
        *("One and again.", "The note.", "After."),
    ]


def test_an_unknown_element_is_an_error_in_a_text_file_too(cli: Cli) -> None:
    built(BOOK)
    Path("book.md").write_text("Hello <foo/> bar.\n", encoding="utf-8")
    done = cli("validate")
    assert (done.code, "book.md:1:7: no element <foo>" in done.err) == (3, True)


def test_an_item_put_into_a_numbered_list_is_the_only_one_billed(cli: Cli) -> None:
    built("1. Apples are here.\n2. Pears are here.\n")
    assert cli("build", "-q").code == 0
    built("1. Figs are here.\n2. Apples are here.\n3. Pears are here.\n")
    assert [call["text"] for call in asked(cli)] == ["Figs are here."]
