"""What is a cue, and what is prose that a model would swallow."""

from __future__ import annotations

import pytest

from fishpipe.manifest.cues import check_cues


def said(text: str, model: str = "s2-pro", speakers: int = 0) -> list[str]:
    return [found.message for found in check_cues(text, model, speakers)]


@pytest.mark.parametrize(
    "text",
    [
        "[warm] Good evening.",
        "I did not want to go [whispering] inside.",
        "[tired, end of a long shift] Hello. [laugh]",
        "[低声说] 不要让他们听见",
        "[Laughing] Known cues may be capital.",
        "No brackets at all.",
        "It was (as I said) late. (Calm) seas.",
        "[Applause] [Whispers softly] So. [pause 2s] [speak at 50% volume] Go.",
        "[开心]你好。[悲伤]再见。[愤怒]走开！[轻声]晚安。",
        "“Stop.” [laugh] “Why?” [sigh] “No.” [gasp] “Yes!” [cough]",
        "<|phoneme_start|>HH AH L OW<|phoneme_end|> there.",
    ],
)
def test_cues_of_s2_pass(text: str) -> None:
    assert said(text) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("See [Note 3] below.", "[Note 3]"),
        ("As he wrote [12], it was late.", "[12]"),
        ("He said it was there [sic].", "[sic]"),
        ("Read [the manual](https://example.com).", "[the manual]"),
        ("[Editor's note: this was cut] So.", "[Editor's note: this was cut]"),
        ("It was [REDACTED] again.", "[REDACTED]"),
        ("It went on […] and on.", "[…]"),
        ("Take array[i] of it.", "[i]"),
        ("See [note 3] below.", "[note 3]"),
        ("Then [King Charles] came.", "[King Charles]"),
    ],
)
def test_prose_in_brackets_is_swallowed_by_s2_and_said(text: str, words: str) -> None:
    assert said(text) == [f"s2-pro takes {words} as a cue and does not speak it"]


def test_a_bracket_alone_is_said() -> None:
    assert said("[warm Good evening.") == ['a "[" stands alone: s2-pro reads brackets as cues']


@pytest.mark.parametrize(
    "text",
    [
        "(excited) Hello!",
        "Hello. (sad) Goodbye.",
        "And then (break) nothing.",
        "It was (as I said) late.",
        "Hm (sigh).",
    ],
)
def test_cues_of_s1_pass(text: str) -> None:
    assert said(text, "s1") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It was (serious) business.", "s1 takes (serious) as a cue, and only at the start of a sentence"),
        ("(exited) Hello!", "(exited) is no cue of s1, and is spoken"),
        ("(pause) Well.", "(pause) is no cue of s1, and is spoken"),
        ("[whispering] Hello!", "[whispering] is a cue for the s2 models; the model here is s1"),
    ],
)
def test_what_s1_would_do_else_is_said(text: str, words: str) -> None:
    assert said(text, "s1") == [words]


def test_a_cue_of_s1_in_a_text_for_s2_is_said() -> None:
    assert said("(whispering) Hello!") == ["(whispering) is a cue for s1; s2-pro speaks it"]


def test_many_cues_in_one_sentence_are_said() -> None:
    assert said("[a] [b] [c] [d] Hello there.") == ["4 cues in one sentence; more than 3 make it unsteady"]


@pytest.mark.parametrize(
    ("text", "model", "speakers", "fatal"),
    [
        ("<|speaker:0|>A. <|speaker:1|>B.", "s2-pro", 2, []),
        ("<|speaker:0|>A.", "s2-pro", 2, [False]),
        ("<|speaker:0|>A. <|speaker:2|>B. <|speaker:1|>C.", "s2-pro", 2, [True]),
        ("<|speaker:0|>A.", "s1", 1, [True]),
        ("<|speaker:1|>A.", "s2.1-pro", 1, [True]),
        ("Hello.", "s1", 2, [True, False]),
        ("<|pause|>Hello.", "s2-pro", 1, [False]),
        ("<|phoneme_start|>HH", "s2-pro", 1, [False]),
        ("<|phoneme_end|>HH<|phoneme_start|>", "s2-pro", 1, [False]),
    ],
)
def test_tags(text: str, model: str, speakers: int, fatal: list[bool]) -> None:
    assert [found.fatal for found in check_cues(text, model, speakers)] == fatal


def test_a_finding_has_its_place_and_long_texts_take_no_time() -> None:
    text = "(sad) I am. She was (sad) too."
    assert [found.start for found in check_cues(text, "s1", 0)] == [20]
    assert said("He went (so they say) to the town and back again, then home. " * 4000, "s1") == []
    assert len(said("[laugh] Ha. " * 5000)) == 0
