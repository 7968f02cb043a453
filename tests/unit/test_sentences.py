"""Where long texts are cut: whole, under the limit, at sentence ends, and the same again after an edit elsewhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishpipe.manifest.sentences import cuts, sentence_ends

PROSE = (
    "Mr. Smith paid $3.50 at 5 p.m. on Jan. 3 to Dr. Brown. “Is that so?” he asked. “It is!” (Nobody else spoke.) They "
    "left for St. Petersburg, i.e. the one in Florida, at once. It was 10.30 by the clock. Was it, though? "
    "The U.S. delegation had left before them. No. 5 was empty. Then came the others, one by one, in silence. "
    "Nothing more happened that night. In the morning it rained, and the whole of the town stayed in bed until ten. "
)


def pieces(text: str, most: int, language: str = "en") -> list[str]:
    places = [0, *cuts(text, most, language), len(text)]
    return [text[a:b] for a, b in pairwise(places)]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Mr. Smith paid $3.50 at 5 p.m. on Jan. 3. “Is that so?” he asked. Yes.", 3),
        ("de", "Das kostet z. B. 3,50 Euro. Dr. Müller kam am 3. Mai. „Wirklich?“, fragte sie. Ja.", 4),
        ("fr", "M. Dupont est arrivé. « Vraiment ? » dit-elle. Oui.", 3),
        ("es", "El Sr. Pérez llegó. ¿De verdad? ¡Claro!", 3),
        ("zh", "你好。我是马克！你呢？", 3),
        ("en-GB", "One. Two.", 2),
        ("", "One. Two.", 2),
    ],
)
def test_sentences_end_where_a_reader_ends_them(language: str, text: str, expected: int) -> None:
    assert len(sentence_ends(text, language)) == expected - 1


def test_a_short_text_is_not_cut() -> None:
    assert cuts("One. Two.", 50, "en") == []


@pytest.mark.parametrize("most", [60, 100, 200])
def test_pieces_are_the_text_and_under_the_limit(most: int) -> None:
    made = pieces(PROSE * 5, most)
    assert "".join(made) == PROSE * 5
    assert all(len(piece.strip()) <= most for piece in made)


def test_few_pieces_are_tiny() -> None:
    made = pieces(PROSE * 20, 300)
    assert sum(map(len, made)) / len(made) > 120
    assert sum(len(piece) < 75 for piece in made) < len(made) / 10


def test_a_sentence_that_is_too_long_is_cut_at_a_clause_then_at_a_space() -> None:
    assert pieces("a" * 30 + ", " + "b" * 30, 50) == ["a" * 30 + ", ", "b" * 30]
    assert pieces("a" * 30 + " " + "b" * 30, 50) == ["a" * 30 + " ", "b" * 30]
    assert len(pieces("x" * 120, 50)) == 3


def test_an_edit_in_one_sentence_changes_its_piece_alone() -> None:
    text = PROSE * 8
    sentences = [0, *sentence_ends(text, "en"), len(text)]
    before = pieces(text, 300)
    others = 0
    for start, end in pairwise(sentences):
        words = text[start:end]
        edited = words.replace(" ", " really ", 1) if " " in words.strip() else words
        after = pieces(text[:start] + edited + text[end:], 300)
        others += len(set(before) - set(after)) > 1
    assert others <= len(sentences) / 10


@given(st.text(alphabet="ab .!?,。\n", max_size=400), st.integers(5, 60))
def test_any_text_comes_back_whole(text: str, most: int) -> None:
    made = pieces(text, most)
    assert "".join(made) == text
    assert all(len(piece.strip()) <= most for piece in made)


@given(st.text(alphabet="ab .", max_size=200), st.integers(5, 40), st.integers(0, 150), st.integers(1, 30))
def test_no_cut_lies_in_what_is_whole(text: str, most: int, start: int, length: int) -> None:
    assert not [at for at in cuts(text, most, "en", [(start, start + length)]) if start < at < start + length]
