"""Lint: each code where it belongs, comments that accept, fixes that keep the layout and cost nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fishpipe.manifest.lint import CODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result

    Cli = Callable[..., Result]

A, B = "a" * 32, "b" * 32
HEAD = f"""# a show
fishpipe: 1
project: {{language: en}}
provider: sandbox
voices: {{ana: {{id: {A}, languages: {{de: {{id: {B}}}}}}}}}
defaults: {{voice: ana}}
"""


def written(*items: str, body: str = "", head: str = HEAD) -> None:
    lines = "".join(f"      - {item}\n" for item in items)
    text = f"{head}{body}scripts:\n  one:\n    output: a.mp3\n    segments:\n{lines}"
    Path("fishpipe.yaml").write_text(text, encoding="utf-8")


def codes(cli: Cli, *arguments: str) -> list[tuple[str, int]]:
    return [(found["code"], found["line"]) for found in cli("lint", "--json", *arguments).data]


CASES = [
    ("cue-swallowed", "See [Note 3] there, my dear."),
    ("cue-misplaced", "{model: s1, text: Hello there (excited) friend.}"),
    ("cue-unknown", "{model: s1, text: (laughs) Hello there.}"),
    ("cue-foreign", "(whispering) Hello there."),
    ("cue-foreign", '{model: s1, text: "[laugh] Hello there."}'),
    ("cue-unbalanced", '"Hello [whispering there."'),
    ("cue-unbalanced", "{model: s1, text: (excited Hello there.}"),
    ("cue-crowded", '"[a one] [b two] [c three] [d four] Hello there."'),
    ("cue-dropped", "{model: s1, dialogue: 'ana: Hello (like a pirate) there.'}"),
    ("speaker-missing", '{voice: [ana, ana], text: "<|speaker:0|>Hello there."}'),
    ("tag-unpaired", "Hello <|phoneme_start|>HH AY1 there."),
    ("tag-unknown", "Hello <|shout|> there."),
    ("too-long", "{max_chars: 50, text: This one sentence is a good deal longer than fifty characters are.}"),
    ("lone-word", '"No."'),
    ("no-words", '"😀"'),
    ("no-words", '"…"'),
    ("language-mismatch", "Привет, как дела?"),
    ("language-mismatch", "{language: fr, text: Bonjour mes amis.}"),
    ("invisible-sign", '"Zero\\u200bwidth is here."'),
]


@pytest.mark.parametrize(("code", "item"), CASES)
def test_each_code_has_its_place_and_can_be_accepted(code: str, item: str, cli: Cli) -> None:
    written("Fine words here.", item)
    assert codes(cli) == [(code, 12)]
    done = cli("lint")
    assert (done.code, "fishpipe.yaml:12:" in done.out, f"warning[{code}]" in done.out) == (3, True, True)
    written("Fine words here.", f"{item}   # fishpipe: ignore[{code}]")
    assert codes(cli) == []
    written("Fine words here.", f"{item}   # fishpipe: ignore[unused-voice]")
    assert codes(cli) == [(code, 12)]
    text = Path("fishpipe.yaml").read_text("utf-8").replace("      - Fine", "      # fishpipe: ignore\n      - Fine")
    Path("fishpipe.yaml").write_text(text, "utf-8")
    assert codes(cli) == [(code, 13)]


def test_what_nothing_uses_is_told(cli: Cli) -> None:
    written("Hello there.", body="lexicon: {GIF: jif, there: thair}\nx-none: 1\n")
    text = Path("fishpipe.yaml").read_text("utf-8") + "  lost: {segments: [Not heard at all.]}\n"
    Path("fishpipe.yaml").write_text(text.replace("voices: {", f"voices: {{cid: {{id: {B}}}, "), "utf-8")
    assert codes(cli) == [("unused-voice", 5), ("unused-lexicon", 7), ("unreachable-script", 14)]


def test_near_duplicates_are_paid_for_twice(cli: Cli) -> None:
    written("It’s “fine” – really…", '"It\'s \\"fine\\" - really..."', "Its fine really.")
    assert codes(cli) == [("near-duplicate", 12)]
    assert "one/0001 (fishpipe.yaml:11:9)" in cli("lint").out


def test_a_comment_knows_its_codes(cli: Cli) -> None:
    written("Fine words here.   # fishpipe: ignore[lone-word, lone-wrd]")
    assert codes(cli) == [("unknown-code", 11)]
    assert 'did you mean "lone-word"?' in cli("lint").out


def test_a_comment_is_no_part_of_the_words(cli: Cli) -> None:
    written(
        "dialogue: |\n          ana: Yes.   # fishpipe: ignore[lone-word]\n          ana: And so it is.",
        "text: |\n          No.  # fishpipe: ignore",
    )
    assert codes(cli) == []
    texts = [action["text"] for action in cli("plan", "--json").data["actions"] if action["action"] == "speak"]
    assert texts == ["Yes.", "And so it is.", "No."]


def test_a_fix_that_another_variant_would_undo_is_none(cli: Cli) -> None:
    text = (
        HEAD
        + """scripts:
  one:
    matrix: {m: [s1, s2-pro]}
    defaults: {model: "{{ matrix.m }}"}
    output: "{{ matrix.m }}.mp3"
    segments: ["[happy] Hello there you."]
"""
    )
    Path("fishpipe.yaml").write_text(text, "utf-8")
    assert cli("lint", "--fix").code == 3
    assert Path("fishpipe.yaml").read_text("utf-8") == text


def test_of_two_alike_the_one_that_is_not_paid_for_is_mended(cli: Cli) -> None:
    written('"It\'s a - nice day here."')
    assert cli("build", "-q").code == 0
    written('"It\'s a — nice day here."', '"It\'s a - nice day here."')
    assert cli("lint", "--fix").code == 0
    assert cli("plan", "--json").data["calls"] == 0


def test_a_fix_never_makes_a_comment_of_words(cli: Cli) -> None:
    written('"We have some items # five of them."', "We have some items\u00a0# five of them.")
    assert cli("lint", "--fix").code == 0
    texts = [action["text"] for action in cli("plan", "--json").data["actions"] if action["action"] == "speak"]
    assert texts == ["We have some items\u00a0# five of them."]
    assert "- We have some items\u00a0# five" in Path("fishpipe.yaml").read_text("utf-8")


def test_a_fix_spares_what_another_profile_has_paid_for(cli: Cli) -> None:
    profiles = "profiles: {other: {defaults: {gain: 1, prosody: {speed: 1.1}}}}\n"
    written('"One soft\u00adhyphen word\u00ad in here."', body=profiles)
    assert cli("build", "-q", "--profile", "other").code == 0
    assert cli("lint", "--fix").code == 3
    assert cli("plan", "--profile", "other", "--json").data["calls"] == 0


def test_all_signs_of_a_text_are_mended(cli: Cli) -> None:
    written('"He\u200bllo there my one\u200b two friend."')
    assert cli("lint", "--fix").code == 0
    assert "Hello there my one two friend." in Path("fishpipe.yaml").read_text("utf-8")


def test_a_comment_above_is_no_part_of_a_text(cli: Cli) -> None:
    Path("t.md").write_text("# fishpipe: ignore[lone-word]\nYes.\n\nMore words.\n", "utf-8")
    written(
        "{text_file: t.md}",
        "text: |\n          One line here.\n          # fishpipe: ignore[cue-swallowed]\n          See [Note 4] there.",
    )
    assert codes(cli) == []
    texts = [action["text"] for action in cli("plan", "--json").data["actions"] if action["action"] == "speak"]
    assert texts == ["Yes.", "More words.", "One line here.\nSee [Note 4] there."]


def test_a_paid_variant_keeps_its_words(cli: Cli) -> None:
    body = "x-ben: 1\n"
    item = '{{for_each: {voices}, voice: "{{{{ item }}}}", text: "Hi\u200b there you"}}'
    head = HEAD.replace("voices: {", f"voices: {{ben: {{id: {B}}}, ")
    written(item.format(voices="[ana]"), body=body, head=head)
    assert cli("build", "-q").code == 0
    written(item.format(voices="[ana, ben]"), body=body, head=head)
    cli("lint", "--fix")
    assert cli("plan", "--json").data["calls"] == 1


def test_all_codes_are_tested_and_told(cli: Cli) -> None:
    elsewhere = {
        "unknown-code",
        "unused-voice",
        "unused-lexicon",
        "unreachable-script",
        "near-duplicate",
        "trailing-space",
    }
    assert {code for code, _ in CASES} | elsewhere == set(CODES)
    told = cli("lint", "--codes").out
    assert all(code in told for code in CODES)


BLOCK = "text: |\n          One line.   \n          Another one.  \n          The third.   # not a comment"


def test_fixes_keep_comments_and_layout(cli: Cli) -> None:
    written(
        "Fine   words.   # a comment",
        BLOCK,
        '{model: s1, text: "[laugh] Hi there."}   # and this',
        "(whispering) Hello there.",
    )
    before = Path("fishpipe.yaml").read_text("utf-8")
    done = cli("lint", "--fix")
    assert (done.code, "cue-foreign" in done.out) == (3, True), done
    expected = before.replace("One line.   ", "One line.").replace("Another one.  ", "Another one.")
    # The last one has no quotes: with a bracket, YAML would read a list.
    assert Path("fishpipe.yaml").read_text("utf-8") == expected.replace('"[laugh]', '"(laugh)')


def test_a_fix_leaves_alone_what_is_paid_for(cli: Cli) -> None:
    written(BLOCK, "Fine words.")
    assert cli("build", "-q").code == 0
    before = Path("fishpipe.yaml").read_bytes()
    assert cli("lint", "--fix").code == 3
    assert Path("fishpipe.yaml").read_bytes() == before
    assert cli("plan", "--json").data["calls"] == 0


def test_a_fix_keeps_how_lines_end(cli: Cli) -> None:
    written(BLOCK, "Fine words.")
    data = b"\xef\xbb\xbf" + Path("fishpipe.yaml").read_bytes().replace(b"\n", b"\r\n")
    Path("fishpipe.yaml").write_bytes(data)
    assert cli("lint", "--fix").code == 0
    assert Path("fishpipe.yaml").read_bytes() == data.replace(b"line.   \r", b"line.\r").replace(b"one.  \r", b"one.\r")


def test_text_files_are_linted_and_mended_too(cli: Cli) -> None:
    Path("a.md").write_text(
        "# Part one\n\nSee [Note 3] there.\n\n<!-- fishpipe: ignore[cue-swallowed] -->\nAnd [Note 4] here.\n", "utf-8"
    )
    written("{text_file: a.md}")
    assert [(f["file"], f["line"], f["column"], f["code"]) for f in cli("lint", "--json").data] == [
        ("a.md", 3, 5, "cue-swallowed")
    ]


def test_validate_tells_it_too_and_fails_when_strict(cli: Cli) -> None:
    written("Fine words.", '"No."')
    done = cli("validate")
    assert (done.code, "warning[lone-word]" in done.err, "1 warning." in done.out) == (0, True, True)
    assert cli("validate", "--strict").code == 3


def test_sarif_is_what_code_scanning_reads(cli: Cli) -> None:
    written("Fine words.", '"No."')
    run = json.loads(cli("lint", "--format", "sarif").out)["runs"][0]
    result = run["results"][0]
    region = result["locations"][0]["physicalLocation"]["region"]
    assert (result["ruleId"], result["level"], region["startLine"], region["startColumn"]) == (
        "lone-word",
        "warning",
        12,
        9,
    )
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["lone-word"]
    Path("fishpipe.yaml").write_text("fishpipe: 1\n", "utf-8")
    broken = json.loads(cli("validate", "--format", "sarif").out)["runs"][0]["results"]
    assert [(one["ruleId"], one["level"]) for one in broken] == [("manifest", "error")]
    github = cli("lint", "--format", "github")
    assert github.out.startswith("::error file=fishpipe.yaml,line=1,col=1,")
    Path("sub").mkdir()
    Path("fishpipe.yaml").rename("sub/fishpipe.yaml")
    assert cli("lint", "-C", "sub", "--format", "github").out.startswith("::error file=sub/fishpipe.yaml,")
