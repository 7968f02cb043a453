"""What an author writes: short forms, reuse, languages, dialogues, the lexicon; seen in the plan, which pays for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fishpipe.manifest.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from fishpipe.manifest.model import Manifest
    from tests.conftest import Result

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

A = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
HEAD = """
fishpipe: 1
provider: sandbox
voices: {ana: {id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}, ben: {id: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb}}
defaults: {voice: ana}
"""


def loaded(text: str, *profiles: str, **variables: str) -> Manifest:
    Path("fishpipe.yaml").write_text(HEAD + text, encoding="utf-8")
    return load(Path("fishpipe.yaml"), profiles=profiles, variables=variables)


def lines(manifest: Manifest, script: str = "one") -> list[tuple[str, str]]:
    """(voice, text) of each spoken line of a script."""
    bodies = [segment.body for segment in manifest.scripts[script].segments]
    return [(body.voices[0].name, body.text) for body in bodies if hasattr(body, "voices")]


def one(*items: str, **parts: str) -> str:
    more = "".join(f"    {name}: {value}\n" for name, value in parts.items())
    return "scripts:\n  one:\n    output: a.mp3\n" + more + "    segments:\n" + "".join(f"      - {i}\n" for i in items)


def calls(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    actions: list[dict[str, Any]] = cli("plan", "--json", *arguments).data["actions"]
    return [action for action in actions if action["action"] == "speak"]


def test_bare_words_and_name_words_are_segments() -> None:
    made = loaded(one("Hello.", 'ben: "Good evening."', "42", '"ben: not him"', "{text: Bye., voice: ben}"))
    assert lines(made) == [
        ("ana", "Hello."), ("ben", "Good evening."), ("ana", "42"), ("ana", "ben: not him"), ("ben", "Bye."),
    ]  # fmt: skip


def test_anchors_and_merge_keys() -> None:
    items = ("{<<: *calm, text: One.}", "{<<: [*calm, *slow], gap: 1s, text: Two.}")
    base = "x-calm: &calm {gap: 2s, voice: ben}\nx-slow: &slow {gap: 3s, prosody: {speed: 0.8}}\n"
    first, second = loaded(base + one(*items)).scripts["one"].segments
    assert (first.edits.gap, second.edits.gap) == (2_000_000, 1_000_000)
    assert first.body.voices[0].name == "ben"
    assert second.body.settings.speed == 0.8


def test_a_matrix_makes_a_script_of_each_combination() -> None:
    made = loaded(
        """
scripts:
  ep:
    matrix:
      language: [en, de]
      cut: [full, short]
      exclude: [{language: de, cut: short}]
      include: [{language: de, host: Uli}]
    output: "dist/{{ language }}-{{ matrix.cut }}.mp3"
    segments:
      - text: {en: Hello., de: "Hallo, {{ matrix.host | default('x') }}."}
      - {when: matrix.cut == 'full', text: Only in the full cut.}
"""
    )
    assert list(made.scripts) == ["ep.en.full", "ep.en.short", "ep.de.full"]
    assert [script.outputs[0].shown for script in made.scripts.values()] == [
        "dist/en-full.mp3", "dist/en-short.mp3", "dist/de-full.mp3",
    ]  # fmt: skip
    assert lines(made, "ep.de.full") == [("ana", "Hallo, Uli."), ("ana", "Only in the full cut.")]
    assert lines(made, "ep.en.short") == [("ana", "Hello.")]
    assert {script.family for script in made.scripts.values()} == {"ep"}


def test_a_target_is_a_script_with_all_that_is_made_of_it(cli: Cli) -> None:
    body = """
scripts:
  ep:
    matrix: {n: [1, 2]}
    output: "a{{ matrix.n }}.mp3"
    segments: ["This is number {{ matrix.n }}."]
  ep-2: {output: c.mp3, segments: [Another one.]}
"""
    Path("fishpipe.yaml").write_text(HEAD + body, encoding="utf-8")
    assert len(calls(cli)) == 3
    assert len(calls(cli, "ep")) == 2
    assert len(calls(cli, "ep.1")) == 1
    assert len(calls(cli, "ep*")) == 3
    assert calls(cli, "ep.2/1")[0]["text"] == "This is number 2."


def test_for_each_repeats_and_when_leaves_out() -> None:
    made = loaded(
        "vars: {guests: [{name: Zoe}, {name: Max, late: true}]}\n"
        + one(
            '{for_each: "{{ guests }}", when: not (item.late | default(false)), text: "Welcome, {{ item.name }}."}',
            '{for_each: {who: [a, b]}, id: say, text: "{{ index }}: {{ who }}"}',
            '{for_each: [x, y], segments: ["{{ item }} one", "{{ item }} two"]}',
            '{when: "{{ false }}", text: "{{ undefined_here }}"}',
        )
    )
    said = ["Welcome, Zoe.", "1: a", "2: b", "x one", "x two", "y one", "y two"]
    assert [text for _, text in lines(made)] == said
    assert [s.address for s in made.scripts["one"].segments][1:3] == ["one/say-1", "one/say-2"]


def test_a_script_is_included_with_other_words() -> None:
    made = loaded(
        """
scripts:
  one:
    output: a.mp3
    segments: [{script: greet, with: &z {name: Zoe}}, {script: greet, with: {name: Max}}, {script: greet, with: *z}]
  greet:
    segments: ["Hello, {{ name }}.", {script: bye, with: {name: "{{ name }}"}}]
  bye:
    segments: ["Bye, {{ name }}."]
"""
    )
    assert set(made.scripts) == {"one", "greet.Zoe", "greet.Max", "bye.Zoe", "bye.Max"}
    assert [segment.body.script for segment in made.scripts["one"].segments] == ["greet.Zoe", "greet.Max", "greet.Zoe"]
    assert lines(made, "bye.Max") == [("ana", "Bye, Max.")]


def test_an_included_script_speaks_the_language_of_who_includes_it() -> None:
    made = loaded(
        """
project: {language: en}
scripts:
  ep:
    matrix: {language: [en, de]}
    output: "{{ language }}.mp3"
    segments: [{script: intro}, {script: jingle}]
  intro:
    segments: [{text: {en: Welcome., de: Willkommen.}}]
  jingle:
    matrix: {language: [en, de]}
    segments: ["In {{ language }}."]
"""
    )
    assert [segment.body.script for segment in made.scripts["ep.de"].segments] == ["intro.de", "jingle.de"]
    assert [segment.body.script for segment in made.scripts["ep.en"].segments] == ["intro", "jingle.en"]
    assert lines(made, "intro.de") == [("ana", "Willkommen.")]
    assert lines(made, "jingle.de") == [("ana", "In de.")]


def test_a_pattern_includes_scripts_in_their_natural_order(write: Write) -> None:
    for number in (10, 2, 1):
        write(f"scripts: {{ch-{number}: {{segments: [Chapter {number}.]}}}}", f"parts/{number}.yaml")
    made = loaded("include: [parts]\n" + one('{script: "ch-*", gap: 1s}', "The end."))
    assert [segment.body.script for segment in made.scripts["one"].segments[:3]] == ["ch-1", "ch-2", "ch-10"]


def test_a_voice_has_others_for_other_languages() -> None:
    text = one(
        "{text: Hello.}",
        "{text: Hallo., language: de}",
        "{text: Grüezi., language: de-CH}",
        "{text: Salut., language: fr}",
    )
    made = loaded("project: {language: en}\n" + text)
    assert [name for name, _ in lines(made)] == ["ana"] * 4
    Path("fishpipe.yaml").write_text(
        HEAD.replace(f"ana: {{id: {A}}}", f"ana: {{id: {A}, prosody: {{speed: 1.2}}, languages: {{de: {{id: ddd}}}}}}")
        + text,
        "utf-8",
    )
    made = load(Path("fishpipe.yaml"))
    assert [name for name, _ in lines(made)] == ["ana", "ana.de", "ana.de", "ana"]
    assert made.voices["ana.de"].id == "ddd"
    assert made.scripts["one"].segments[1].body.settings.speed == 1.2


def test_groups_share_chapter_defaults_and_bed(cli: Cli) -> None:
    Path("music.wav").write_bytes(silence())
    inner = "[One., {segments: [Two.], defaults: {gap: 2s}}]"
    group = f"{{segments: {inner}, chapter: Part, defaults: {{voice: ben}}, bed: {{audio: music.wav}}}}"
    body = one("Before.", group, "After.")
    made = loaded(body)
    assert lines(made) == [("ana", "Before."), ("ben", "One."), ("ben", "Two."), ("ana", "After.")]
    assert [segment.chapter for segment in made.scripts["one"].segments] == [None, "Part", None, None]
    assert [(under.first, under.last) for under in made.scripts["one"].beds] == [(1, 2)]
    assert made.scripts["one"].segments[2].edits.gap == 2_000_000
    assert cli("build", "-q").code == 0


def silence() -> bytes:
    import io
    import wave

    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 44100, 0, "NONE", ""))
        sound.writeframes(b"\1\0" * 44100)
    return file.getvalue()


def test_a_profile_lies_over_the_manifest(cli: Cli) -> None:
    body = """
provider: {name: acedata, concurrency: 3}
vars: {season: 1}
profiles:
  draft: {provider: sandbox, defaults: {model: s1}, vars: {season: 2}, scripts: {one: {output: draft.mp3}}}
  loud: {defaults: {gain: 3}}
""" + one("{text: 'Season {{ season }}.'}").replace("output: a.mp3", "outputs: [a.mp3, b.wav]")
    text = HEAD.replace("provider: sandbox\n", "")
    Path("fishpipe.yaml").write_text(text + body, encoding="utf-8")
    made = load(Path("fishpipe.yaml"), profiles=("draft", "loud"))
    assert [output.shown for output in made.scripts["one"].outputs] == ["draft.mp3"]
    speech = made.scripts["one"].segments[0]
    assert (speech.body.settings.model, speech.body.text, speech.edits.gain) == ("s1", "Season 2.", 3)
    assert made.provider.name == "sandbox"
    assert cli("build", "-q", "--profile", "draft").code == 0
    assert Path(".fishpipe/draft/outputs/draft.mp3").is_file()
    assert not Path("draft.mp3").exists()
    assert not Path("fishpipe.lock").exists()
    asked = cli("plan", "--profile", "drft")
    assert (asked.code, 'did you mean "draft"?' in asked.err) == (2, True)


def test_a_dialogue_is_lines_of_the_cast() -> None:
    made = loaded(
        "cast: {MARINA: {voice: ana, prosody: {speed: 1.1}}, Ben: ben}\n"
        + one(
            "dialogue: |\n          MARINA: Good evening (laughs) to you.\n            And to all.\n"
            "          ben (whispering): Who is there? At 10:30?\n          MARINA: (pause) Note: nobody.",
            "MARINA: Alone.",
        )
    )
    assert lines(made) == [
        ("ana", "Good evening [laughs] to you. And to all."),
        ("ben", "[whispering] Who is there? At 10:30?"),
        ("ana", "[pause] Note: nobody."),
        ("ana", "Alone."),
    ]
    segments = made.scripts["one"].segments
    assert [segment.address for segment in segments] == ["one/0001.1", "one/0001.2", "one/0001.3", "one/0002"]
    assert [segment.span.line for segment in segments] == [12, 14, 15, 16]
    assert [segment.body.settings.speed for segment in segments] == [1.1, 1, 1.1, 1.1]


def test_a_lexicon_entry_bills_the_lines_that_have_its_word(cli: Cli) -> None:
    items = ("The GIF is here.", "A GIF and a PNG file.", "The GIFs are not.", "Nothing of it.")
    Path("fishpipe.yaml").write_text(HEAD + "lexicon: {GIF: jif}\n" + one(*items), encoding="utf-8")
    assert cli("build", "-q").code == 0
    for lexicon, expected, words in (
        ("{GIF: jif, PNG: ping}", ["A jif and a ping file."], {"PNG"}),
        ("{GIF: gif, PNG: ping}", ["The gif is here.", "A gif and a ping file."], {"GIF", "GIF, PNG"}),
        ("{GIF: jif, XYZ: unused}", [], set()),
    ):
        Path("fishpipe.yaml").write_text(HEAD + f"lexicon: {lexicon}\n" + one(*items), encoding="utf-8")
        asked = calls(cli)
        assert [call["text"] for call in asked] == expected
        assert {call["reason"]["what"] for call in asked} == words
        assert all(call["reason"]["code"] == "lexicon" for call in asked)
    Path("fishpipe.yaml").write_text(HEAD + "lexicon: {GIF: gif}\n" + one(*items), encoding="utf-8")
    assert "lexicon GIF: 2 lines to speak again" in cli("plan").out


def test_captions_never_show_the_lexicon(cli: Cli) -> None:
    Path("fishpipe.yaml").write_text(
        HEAD + "lexicon: {GIF: jif}\n" + one('"[warm] The GIF <break/> is here."'), "utf-8"
    )
    assert cli("build", "-q").code == 0
    output = cli("status", "--json").data["outputs"][0]
    assert [segment["text"] for segment in output["segments"]] == ["The GIF is here."]
    told = cli("explain", "--text", "one/1", "--json").data[0]
    assert told["written"] == "[warm] The GIF <break/> is here."
    assert told["sent"][0]["text"] == "[warm] The jif [pause] is here."
    assert told["shown"] == "The GIF is here."


LONG = " ".join(f"This is sentence number {n}, and it has some words more." for n in range(20))


def test_a_long_text_is_several_calls_and_one_line(cli: Cli) -> None:
    body = one(
        "{id: long, text: " + json.dumps(LONG) + ", gap: 1s, fade_in: 10ms, fade_out: 20ms, sentence_gap: 100ms}",
        "End.",
    )
    body = body.replace("    output: a.mp3\n", "    output: a.mp3\n    clips: lines/{id}.wav\n")
    made = loaded(body)
    pieces = [segment for segment in made.scripts["one"].segments if segment.line == "one/long"]
    assert [piece.address for piece in pieces] == [f"one/long.{n}" for n in range(1, len(pieces) + 1)]
    assert " ".join(piece.body.text for piece in pieces) == LONG
    assert {piece.edits.gap for piece in pieces[:-1]} == {100_000}
    assert (pieces[-1].edits.gap, pieces[-1].edits.fade_out, pieces[0].edits.fade_out) == (1_000_000, 20_000, 0)
    assert (pieces[0].edits.fade_in, pieces[-1].edits.fade_in) == (10_000, 0)
    assert cli("build", "-q").code == 0
    assert sorted(path.name for path in Path("lines").iterdir()) == ["0002.wav", "long.wav"]
    assert len(calls(cli, "one/long")) == 0
    assert len(cli("explain", "one/long", "--json").data) == len(pieces)
    Path("fishpipe.yaml").write_text(
        Path("fishpipe.yaml").read_text("utf-8").replace("number 7,", "number seven,"), "utf-8"
    )
    asked = calls(cli)
    assert len(asked) == 1
    assert "number seven," in asked[0]["text"]
    assert asked[0]["reason"]["code"] == "changed"


def test_a_long_line_that_was_paid_for_whole_stays_whole(cli: Cli) -> None:
    long = one(
        "{max_chars: 5000, id: long, gap: 700ms, fade_in: 400ms, text: " + json.dumps(LONG) + "}",
        "End.",
        clips="lines/{id}.wav",
    )
    Path("fishpipe.yaml").write_text(HEAD + long, encoding="utf-8")
    assert cli("build", "-q").code == 0
    before = Path("a.mp3").read_bytes()
    Path("fishpipe.yaml").write_text(HEAD + long.replace("max_chars: 5000, ", ""), encoding="utf-8")
    plan = cli("plan", "--json").data
    assert (plan["calls"], [action["action"] for action in plan["actions"]]) == (0, [])
    assert cli("build", "-q").code == 0
    assert Path("a.mp3").read_bytes() == before


def test_a_long_line_stays_in_the_pieces_that_were_paid_for(cli: Cli) -> None:
    long = one("{max_chars: 200, id: long, gap: 700ms, text: " + json.dumps(f"[warm] {LONG}") + "}", "End.")
    Path("fishpipe.yaml").write_text(HEAD + long, encoding="utf-8")
    assert cli("build", "-q").code == 0
    before = Path("a.mp3").read_bytes()
    for most in (150, 170, 400):
        Path("fishpipe.yaml").write_text(HEAD + long.replace("200", str(most)), encoding="utf-8")
        assert cli("plan", "--json").data["calls"] == 0, most
        assert cli("build", "-q").code == 0
        assert Path("a.mp3").read_bytes() == before
    texts = [s["text"] for s in cli("status", "--json").data["outputs"][0]["segments"]]
    assert " ".join(texts[:-1]) == LONG
    Path("fishpipe.yaml").write_text(HEAD + long.replace("200", "150").replace("number 7,", "number seven,"), "utf-8")
    assert cli("plan", "--json").data["calls"] >= 1


def test_a_higher_limit_bills_nothing(cli: Cli) -> None:
    long = one("{max_chars: 200, id: long, text: " + json.dumps(LONG) + "}", "End of it.")
    Path("fishpipe.yaml").write_text(HEAD + long, encoding="utf-8")
    assert cli("build", "-q").code == 0
    for most in (5000, 100, 5000):
        Path("fishpipe.yaml").write_text(HEAD + long.replace("200", str(most)), encoding="utf-8")
        assert cli("plan", "--json").data["calls"] == 0
    Path("fishpipe.yaml").write_text(HEAD + long.replace("200", "300").replace("number 7,", "number seven,"), "utf-8")
    assert [len(call["text"]) < 200 for call in calls(cli)] == [True]
    assert cli("build", "-q").code == 0
    assert cli("plan", "--json").data["actions"] == []


def test_outputs_are_split_by_chapter(cli: Cli) -> None:
    body = """
scripts:
  book:
    title: The Book
    outputs:
      - whole.m4b
      - {path: "dist/{{ chapter.number | pad }}-{{ chapter.title | slug }}.mp3", split: chapter}
      - {path: never.mp3, when: false}
    segments:
      - Before the first chapter.
      - {chapter: "One, two", text: In the first.}
      - {script: two, chapter: Second}
  two:
    segments: [In the second., {pause: 1s}, {chapter: Third!, text: In the third.}]
"""
    Path("fishpipe.yaml").write_text(HEAD + body, encoding="utf-8")
    assert cli("build", "-q").code == 0
    outputs = cli("status", "--json").data["outputs"]
    texts = {output["path"]: [s["text"] for s in output["segments"] if "text" in s] for output in outputs}
    assert texts == {
        "whole.m4b": ["Before the first chapter.", "In the first.", "In the second.", "In the third."],
        "dist/01-one-two.mp3": ["Before the first chapter.", "In the first."],
        "dist/02-second.mp3": ["In the second."],
        "dist/03-third.mp3": ["In the third."],
    }
    from mutagen.id3 import ID3

    tags = ID3("dist/02-second.mp3")
    assert [str(tags[name]) for name in ("TIT2", "TALB", "TRCK")] == ["Second", "The Book", "2/3"]


@pytest.mark.parametrize("season", ["1", "2"])
def test_conditions_read_variables(season: str) -> None:
    made = loaded("vars: {season: 1}\n" + one("Always.", "{when: season > 1, text: Later.}"), season=season)
    assert len(lines(made)) == int(season)


def test_what_is_read_of_a_dialogue() -> None:
    said = [
        *("# a comment", "(The door opens.)", "", "ana (softly) (slowly): One. Note: two.", "    Remember: three.", ""),
        *("(They laugh.)", "", "- ben: Four.", "ben:five, at 10:30"),
    ]
    made = loaded(one("\n          ".join(["dialogue: |", *said])))
    assert lines(made) == [
        ("ana", "[softly] [slowly] One. Note: two. Remember: three."),
        ("ben", "Four."),
        ("ben", "five, at 10:30"),
    ]


def test_variables_that_an_inclusion_gives_are_read_somewhere() -> None:
    made = loaded(
        """
scripts:
  one:
    output: a.mp3
    segments:
      - {script: g, with: {name: Ana, formal: false}}
      - {script: g, with: {name: Ben, formal: true}}
      - {for_each: [x, y], script: h, with: {name: "{{ item }}", n: "{{ index }}"}}
  g: {segments: [{when: formal, text: "Good evening {{ name }}."}, {when: not formal, text: Hello my friend.}]}
  h: {segments: [{when: n == 1, text: "First {{ name }}."}, Hello there all.]}
"""
    )
    assert [name for name in made.scripts if name.startswith("g")] == ["g.Ana.false", "g.Ben.true"]
    assert lines(made, "h.y.2") == [("ana", "Hello there all.")]


def test_a_break_at_the_end_of_a_call_is_silence() -> None:
    text = '\'Sure of it.<break strength="x-strong"/> <prosody rate="80%">All done.</prosody> <break/>\''
    bodies = [segment.body for segment in loaded(one(text)).scripts["one"].segments]
    assert [getattr(b, "text", getattr(b, "duration", 0)) for b in bodies] == [
        "Sure of it.",
        1_200_000,
        "All done.",
        400_000,
    ]


def test_an_inclusion_with_words_has_no_files_of_its_own() -> None:
    made = loaded(
        """
scripts:
  ep: {output: a.mp3, segments: [{script: hi, with: {who: Ben}}]}
  hi: {output: b.mp3, segments: ["Hello {{ who | default('you') }}, at {{ script.name }}."]}
"""
    )
    assert {name: len(script.outputs) for name, script in made.scripts.items()} == {"ep": 1, "hi": 1, "hi.Ben": 0}
    assert lines(made, "hi") == [("ana", "Hello you, at hi.")]
    assert lines(made, "hi.Ben") == [("ana", "Hello Ben, at hi.Ben.")]


def test_a_name_that_is_taken_is_numbered() -> None:
    made = loaded(
        """
scripts:
  a: {output: x.mp3, segments: [{script: b, with: {n: x}}, {script: b.x}]}
  b: {segments: ["From b {{ n }}."]}
  b.x: {segments: [Declared here.]}
"""
    )
    assert lines(made, "b.x-2") == [("ana", "From b x.")]
    assert lines(made, "b.x") == [("ana", "Declared here.")]


def test_text_files_by_pattern_folder_and_language(write: Write) -> None:
    for number in (10, 2, 1):
        write(f"Words of number {number}.\n", f"text/{number}.md")
    write("Same words.\n\n***\n\nSame words.\n", "text/en/a.md")
    write("Gleiche Worte.\n", "text/de.txt")
    made = loaded(
        "project: {language: de}\n"
        + one(
            "{text_file: text/*.md}",
            "{text_file: text/en}",
            "{text_file: text/en/a.md}",
            "{text_file: {de: text/de.txt, en: text/en/a.md}}",
        )
    )
    numbers = [f"Words of number {n}." for n in (1, 2, 10)]
    assert [text for _, text in lines(made)] == [*numbers, *["Same words."] * 4, "Gleiche Worte."]
    assert len({segment.address for segment in made.scripts["one"].segments}) == 10


def test_a_chapter_of_a_group_is_joined_to_that_of_its_first_segment() -> None:
    made = loaded(
        one("{chapter: Part, segments: [{chapter: One, text: First words.}, {chapter: Two, text: More words.}]}")
    )
    assert [segment.chapter for segment in made.scripts["one"].segments] == ["Part: One", "Two"]


@pytest.mark.parametrize(
    ("names", "code", "says"),
    [
        (("a", "b"), 3, 'b/fishpipe.yaml:1:29: unknown key "segmentz"'),
        (("a", "a/fishpipe.yaml"), 0, ""),
        (("a", "episode-1"), 2, "episode-1 is no manifest"),
    ],
)
def test_several_manifests_are_checked(names: tuple[str, ...], code: int, says: str, cli: Cli, write: Write) -> None:
    write(HEAD + one("Hello there.", "ben: And hello."), "a/fishpipe.yaml")
    write("{fishpipe: 1, scripts: {x: {segmentz: [y]}}}", "b/fishpipe.yaml")
    for verb in ("validate", "lint"):
        done = cli(verb, *names)
        assert (done.code, says in done.err) == (code, True), done
