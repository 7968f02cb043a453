"""A long text after an edit: what is paid again is the piece that was edited, and no more."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishpipe.graph.fingerprints import canonical
from fishpipe.graph.pieces import part_of, pieces_as_paid
from fishpipe.manifest.alike import canonical_text
from fishpipe.manifest.lexicon import Lexicon
from fishpipe.manifest.model import Settings, Speech
from fishpipe.manifest.speaking import Asked, Piece, speak

WORDS = [
    "sea",
    "wind",
    "harbour",
    "rain",
    "lamp",
    "door",
    "letter",
    "captain",
    "silence",
    "morning",
    "table",
    "river",
    "stone",
    "voice",
    "night",
    "road",
]


def sentence(chance: random.Random, begins: str = "") -> str:
    words = " ".join(chance.choice(WORDS) for _ in range(chance.randint(4, 18)))
    return f"{begins}{words.capitalize()}{chance.choice('.!?')} "


def speech(text: str) -> Speech:
    return Speech(text=text, voices=(), settings=Settings())


def cut(text: str, most: int = 500) -> tuple[Speech, list[Speech]]:
    made = speak(text.strip(), Asked("s2-pro", "en", (), most), Lexicon())
    pieces = [speech(piece.sent) for piece in made.pieces if isinstance(piece, Piece)]
    return speech(text.strip()), pieces


def spoken(text: str, paid: set[str], most: int = 500) -> list[Speech]:
    whole, pieces = cut(text, most)
    return pieces_as_paid(whole, pieces or [whole], "en", lambda words: words in paid)


@pytest.mark.parametrize("begins", ["", "I have a dream that one day "])
def test_one_edit_bills_one_piece(begins: str) -> None:
    chance = random.Random(7)
    for _ in range(60):
        sentences = [sentence(chance, begins) for _ in range(chance.randint(12, 30))]
        before = spoken("".join(sentences), set())
        paid = {piece.text for piece in before}
        at = chance.randrange(len(sentences))
        new = sentence(chance, begins)
        kind = chance.choice(["replace", "insert", "delete"])
        after = sentences[:at] + ([] if kind == "delete" else [new]) + sentences[at + (kind != "insert") :]
        pieces = spoken("".join(after), paid)
        assert " ".join(piece.text for piece in pieces).split() == "".join(after).split()
        billed = sum(len(piece.text) for piece in pieces if piece.text not in paid)
        assert billed <= 500 + len(new) + 40, (kind, at)
        again = spoken("".join(after), paid | {piece.text for piece in pieces})
        assert all(piece.text in paid or piece in pieces for piece in again)


def test_another_limit_bills_nothing() -> None:
    text = "".join(sentence(random.Random(n)) for n in range(30))
    paid = {piece.text for piece in spoken(text, set(), 300)}
    for most in (100, 200, 250, 400, 1000):
        assert {piece.text for piece in spoken(text, paid, most)} <= paid


def test_what_was_paid_in_another_way_is_used() -> None:
    first, second, third = (
        f"{words} and went on over the hills for an hour." for words in ("She rose", "He sat", "It fell")
    )
    long = (
        "However the grey sea rose, while nobody was there to look, the lamps burned low until the late morning came."
    )
    assert [p.text for p in spoken(f"{first} {second}", {first, second}, 500)] == [first, second]
    assert [p.text for p in spoken(f"{first} {second}", {first}, 500)] == [f"{first} {second}"]
    whole = f"{first} {second}"
    assert [p.text for p in spoken(f"{whole} {third}", {whole}, 120)] == [whole, third]
    assert [p.text for p in spoken(f"{first} {long}", {long}, 60)][-1] == long


def test_no_piece_is_a_cue_alone_or_half_a_respelling() -> None:
    cue = "[whispering very softly to her]"
    text = f"Low over the wall the sea came. {cue} {cue} It was late. Burned lamps there were, too."
    parts = spoken(text, {"Low over the wall the sea came."}, 60)
    assert all(any(char.isalnum() for char in part.shown) for part in parts)
    assert " ".join(part.text for part in parts) == text
    long = "much longer respelling of a word here"
    sent = f"One of them is paid for. The {long} is not."
    whole = Speech(text=sent, respelled=((29, 29 + len(long), "quay", "quay"),), voices=(), settings=Settings())
    made = pieces_as_paid(
        whole,
        [part_of(whole, 0, 25), part_of(whole, 25, len(sent))],
        "en",
        lambda w: w[:3] == "One" and "quay" not in w and w.endswith("for."),
    )
    assert [part.shown for part in made] == ["One of them is paid for.", "The quay is not."]


def test_a_new_text_takes_its_own_cuts() -> None:
    text = "".join(sentence(random.Random(n)) for n in range(30))
    assert spoken(text, {"Something else."}) == cut(text)[1]


def test_captions_and_respellings_stay_with_their_piece() -> None:
    whole = Speech(
        text="[warm] The jif is here. A jif again.",
        shown="The GIF is here. A GIF again.",
        respelled=((11, 14, "GIF", "GIF"), (26, 29, "GIF", "GIF")),
        voices=(),
        settings=Settings(),
    )
    first, second = part_of(whole, 0, 24), part_of(whole, 24, 36)
    assert (first.text, first.shown, first.respelled) == (
        "[warm] The jif is here.",
        "The GIF is here.",
        ((11, 14, "GIF", "GIF"),),
    )
    assert (second.text, second.shown, second.respelled) == ("A jif again.", "A GIF again.", ((2, 5, "GIF", "GIF"),))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_canonical_json_in_its_frame(text: str) -> None:
    before, after = canonical({"body": {"text": "\ue000", "z": 1}}).split(b"\xee\x80\x80")
    words = json.dumps(canonical_text(text), ensure_ascii=False)[1:-1].encode()
    assert before + words + after == canonical({"body": {"text": canonical_text(text), "z": 1}})
