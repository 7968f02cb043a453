"""What becomes of a text: markup, cues, the lexicon, pieces; and what captions show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishpipe.errors import Span
from fishpipe.manifest.lexicon import Entry, Lexicon
from fishpipe.manifest.speaking import Asked, Piece, Silence, Spoken, speak

if TYPE_CHECKING:
    from collections.abc import Sequence

AT = Span("x.yaml")


def entry(word: str, say: str, **more: Any) -> Entry:
    return Entry(word=word, span=AT, say=say, **more)


def spoken(text: str, model: str = "s2-pro", entries: Sequence[Entry] = (), most: int = 0, **more: Any) -> Spoken:
    asked = Asked(model, more.get("language", "en"), more.get("voices", ("ana",)), most)
    return speak(text, asked, Lexicon(tuple(entries)))


def sent(text: str, model: str = "s2-pro", entries: Sequence[Entry] = (), **more: Any) -> list[str | int]:
    made = spoken(text, model, entries, **more)
    assert not [found for found in made.findings if found.fatal], made.findings
    return [piece.micros if isinstance(piece, Silence) else piece.sent for piece in made.pieces]


def shown(text: str, model: str = "s2-pro", entries: Sequence[Entry] = (), **more: Any) -> str:
    return " ".join(p.shown for p in spoken(text, model, entries, **more).pieces if isinstance(p, Piece) and p.shown)


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        ("s2-pro", 'Hello <cue name="whispering"/> there', ["Hello [whispering] there"]),
        ("s1", '<cue name="whisper"/> Hello', ["(whispering) Hello"]),
        ("s2-pro", 'One <break time="500ms"/> two.', ["One", 500_000, "two."]),
        ("s2-pro", 'One <break time="1.5s"/>.', ["One.", 1_500_000]),
        ("s2-pro", "One <break/> two", ["One [pause] two"]),
        ("s1", 'One <break strength="strong"/> two', ["One (long-break) two"]),
        ("fish-tts", "One <break/> two", ["One", 400_000, "two"]),
        ("s2-pro", "<emphasis>Now</emphasis> go", ["[emphasis]Now go"]),
        ("s1", "<emphasis>Now</emphasis> go", ["Now go"]),
        ("s2-pro", 'Hello <break strength="none"/> there', ["Hello there"]),
        ("s2-pro", "Hello <!-- not this --> there", ["Hello there"]),
        ("s2-pro", "Ask <bob@x.com>, see <https://x.com/y>", ["Ask <bob@x.com>, see <https://x.com/y>"]),
        ("s2-pro", '<emphasis level="reduced">Now</emphasis> go', ["Now go"]),
        ("s2-pro", 'The <sub alias="World Wide Web">WWW</sub>.', ["The World Wide Web."]),
        ("s2-pro", '<say-as interpret-as="characters">FBI</say-as>', ["F B I"]),
        ("s2-pro", 'the <say-as interpret-as="ordinal">22</say-as>', ["the 22nd"]),
        ("s2-pro", 'the <say-as interpret-as="ordinal">113</say-as>', ["the 113th"]),
        ("s2-pro", '<say-as interpret-as="date">2026-11-23</say-as>', ["2026-11-23"]),
        (
            "s2-pro",
            '<phoneme alphabet="arpabet" ph="HH AH0 L OW1">hello</phoneme>',
            ["<|phoneme_start|>HH AH0 L OW1<|phoneme_end|>"],
        ),
        ("s2-pro", "<speak><p><s>One.</s> <s>Two.</s></p></speak>", ["One. Two."]),
        ("s2-pro", "3 < 4 & 5 > 2, i <3 you", ["3 < 4 & 5 > 2, i <3 you"]),
        ("s2-pro", "write &lt;break/&gt; &amp;amp;", ["write <break/> &amp;"]),
        ("s2-pro", "<|speaker:0|>Hi <|speaker:1|>Ho", ["<|speaker:0|>Hi <|speaker:1|>Ho"]),
    ],
)
def test_markup_becomes_what_the_model_takes(model: str, text: str, expected: list[str | int]) -> None:
    assert sent(text, model) == expected


def test_prosody_is_a_way_of_speaking_of_its_own() -> None:
    made = spoken('a <prosody rate="80%" volume="+3dB">b <prosody rate="slow">c</prosody></prosody> d').pieces
    assert [(p.sent, p.style) for p in made if isinstance(p, Piece)] == [
        ("a", (1, 0)),
        ("b", (0.8, 3)),
        ("c", (0.64, 3)),
        ("d", (1, 0)),
    ]


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        ("s2-pro", "[warm] Good [pause] evening.", "Good evening."),
        ("s1", "(excited) Hello (you know) there.", "Hello (you know) there."),
        ("fish-tts", "[warm] hello", "[warm] hello"),
        ("s2-pro", 'The <sub alias="World Wide Web">WWW</sub> <break time="1s"/> now.', "The WWW now."),
        ("s2-pro", "<|speaker:0|>Hi <|speaker:1|>Ho", "Hi Ho"),
        ("s2-pro", "a <|phoneme_start|>B<|phoneme_end|> c", "a c"),
    ],
)
def test_captions_show_no_cues_and_no_tags(model: str, text: str, expected: str) -> None:
    assert shown(text, model) == expected


def test_a_direction_that_s1_lacks_is_left_out_and_told() -> None:
    made = spoken('Hello <cue name="like a pirate" direction="yes"/> there', "s1")
    assert [piece.sent for piece in made.pieces if isinstance(piece, Piece)] == ["Hello there"]
    assert [found.code for found in made.findings] == ["cue-dropped"]


@pytest.mark.parametrize(
    ("text", "entries", "expected"),
    [
        ("A GIF, GIFs and a gif.", [entry("GIF", "jif")], "A jif, GIFs and a gif."),
        ("A gif, a Gif.", [entry("gif", "jif")], "A jif, a jif."),
        ("A gif.", [entry("GIF", "jif", case="any")], "A jif."),
        ("New York is new.", [entry("new", "NOO"), entry("New York", "Noo Yawk")], "Noo Yawk is NOO."),
        ("New\nYork", [entry("New York", "Noo Yawk")], "Noo Yawk"),
        ("5 km, 12 km.", [entry(r"/(\d+) km/", r"\1 kilometres")], "5 kilometres, 12 kilometres."),
        ("x10km, 10km", [entry(r"/(\d+)km/", r"\1 kilometres")], "x10km, 10 kilometres"),
        ("It’s, it's", [entry("it's", "it is", case="any")], "it is, it is"),
        ("GIF and PNG", [entry("GIF", "PNG"), entry("PNG", "ping")], "PNG and ping"),
        ("[GIF] GIF", [entry("GIF", "jif")], "[GIF] jif"),
        ("Müller's Café", [entry("Müller", "Mew-ler"), entry("Caf", "x")], "Mew-ler's Café"),
        ("我说你好吗", [entry("你好", "ni hao")], "我说ni hao吗"),
        ("read", [entry("read", "red", languages=("de",)), entry("read", "reed")], "reed"),
        ("read", [entry("read", "red", voices=("ben",)), entry("read", "reed", voices=("ana",))], "reed"),
        ("gif", [entry("gif", "JH IH1 F", phonemes=True)], "<|phoneme_start|>JH IH1 F<|phoneme_end|>"),
        ("a-GIF-b C++", [entry("GIF", "jif"), entry("C++", "see plus plus")], "a-jif-b see plus plus"),
    ],
)
def test_the_lexicon_respells_whole_words_once(text: str, entries: list[Entry], expected: str) -> None:
    assert sent(text, entries=entries) == [expected]
    assert shown(text, entries=entries) == text.replace("[GIF] ", "")


def test_an_entry_of_a_language_holds_for_its_kinds() -> None:
    gif = entry("gif", "jif", languages=("en",))
    assert sent("gif", entries=[gif], language="en-GB") == ["jif"]
    assert sent("gif", entries=[gif], language="de") == ["gif"]
    assert sent("gif", entries=[entry("gif", "jif", languages=("en-US",))], language="en-GB") == ["gif"]


def test_what_was_respelled_is_known_by_its_place() -> None:
    piece = spoken("  A GIF of GIFs, GIF.", entries=[entry("GIF", "jif")]).pieces[0]
    assert isinstance(piece, Piece)
    assert [piece.sent[start:end] for start, end, _, _ in piece.respelled] == ["jif", "jif"]


def test_an_unused_entry_changes_nothing() -> None:
    assert spoken("Plain words.", entries=[entry("GIF", "jif")]).pieces == spoken("Plain words.").pieces


LONG = "The first sentence is here. The second one follows it, quite a bit longer! Is there a third? Yes, there is one."


def test_a_long_text_is_cut_at_sentence_ends_and_captions_with_it() -> None:
    made = spoken(LONG, most=60)
    pieces = [piece for piece in made.pieces if isinstance(piece, Piece)]
    assert " ".join(piece.sent for piece in pieces) == LONG
    assert all(len(piece.sent) <= 60 and piece.sent[-1] in ".!?" for piece in pieces)
    assert len(pieces) > 1
    assert [piece.shown for piece in pieces] == [piece.sent for piece in pieces]
    assert made.whole is not None
    assert made.whole.sent == LONG


def test_a_word_of_the_lexicon_is_never_cut() -> None:
    words = " ".join(["GIF"] * 30)
    long = "a very long respelling of a short word"
    made = spoken(words, entries=[entry("GIF", long)], most=60)
    assert " ".join(p.sent for p in made.pieces if isinstance(p, Piece)) == " ".join([long] * 30)
    assert all(len(p.shown) <= 60 and p.sent.startswith(long) for p in made.pieces if isinstance(p, Piece))
    # Where it is cut follows from what is written: another respelling moves nothing.
    again = spoken(words, entries=[entry("GIF", "jif")], most=60)
    assert [p.shown for p in again.pieces] == [p.shown for p in made.pieces]  # type: ignore[union-attr]


def test_paragraphs_of_a_text_with_a_pause_are_cut_apart() -> None:
    made = spoken(f'{LONG} <break time="1s"/> {LONG}', most=60)
    assert made.whole is None
    assert [piece for piece in made.pieces if isinstance(piece, Silence)] == [Silence(1_000_000)]


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    for model in ("s1", "s2-pro", "fish-tts"):
        made = spoken(text, model, [entry("a", "b")], most=50)
        assert all(piece.sent == piece.sent.strip() for piece in made.pieces if isinstance(piece, Piece))


@given(st.text(alphabet="ab .!?\n[]()<>&", max_size=200))
def test_plain_text_is_sent_as_it_is(text: str) -> None:
    if "<" in text or "&" in text:
        return
    made = spoken(text)
    assert "".join(p.sent for p in made.pieces if isinstance(p, Piece)) == text.strip()
