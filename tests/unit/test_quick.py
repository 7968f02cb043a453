"""What is fast is what is slow: the short ways through a long manifest lead where the long ones do."""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fishpipe.errors import ManifestError, Span
from fishpipe.graph.build import build_graph
from fishpipe.graph.fingerprints import Digest, Fingerprint, fingerprint
from fishpipe.graph.frames import Frame
from fishpipe.graph.steps import Item, OutputStep
from fishpipe.history import replacements
from fishpipe.lock import Entry, _take_in, _take_in_clip
from fishpipe.manifest import source, stretches
from fishpipe.manifest.load import load
from fishpipe.manifest.model import Edits, ExistingVoice, Manifest, Micros, Output, Settings
from fishpipe.manifest.nodes import Listing, Mapping, Node, Scalar, spelled
from fishpipe.manifest.parsed import _decoder, packed
from fishpipe.manifest.quick import Lines
from fishpipe.manifest.segments import SegmentBuilder
from fishpipe.recipes import recipe
from fishpipe.snapshot import Snapshot

THOROUGH = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

WORDS = st.sampled_from(
    [
        *(
            "plain words",
            "Words, with: signs",
            "a: b",
            "true",
            "null",
            "12",
            "1.50",
            "0x1F",
            "- dash",
            "it's",
            'say "x"',
        ),
        *(
            '"quoted"',
            "'single'",
            "'it''s'",
            '"es\\"c"',
            '"a\\u0041"',
            "ends in space ",
            "12:30 today",
            "#no",
            "no # yes",
        ),
        *(
            "a #b",
            "x#y",
            "{speed: 0.9}",
            "{speed: 1, volume: -2}",
            "{speed: 1, speed: 2}",
            "{a: b}",
            "[1, 2]",
            "*alias",
            "&a words",
            "!tag x",
        ),
        *(
            "|",
            ">",
            "~",
            "…",
            "“Hello,” she said.",
            "Zoë",
            "\u00a0nbsp",
            "tab\there",
            "@at",
            "`tick",
            "a:",
            "?q",
            "---",
        ),
        *(
            ".inf",
            "1e999",
            "-.nan",
            "+1",
            ".5",
            "{speed: 1, speed: 2}",
            "",
            " two  spaces",
            "\ue0000",
            "<<",
            "=",
            "50%",
            "日本語",
            "x: y: z",
        ),
    ]
)
KEYS = st.sampled_from(["text", "voice", "id", "gap", "prosody", "Ana", "<<", "no", "true", "a b", "x-y", "text"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Lists of items that are mostly plain, in and out of places where they are items."""
    lines = draw(st.sampled_from([["a:"], ["a: |"], ["a:", "  b:"], ['a: "'], ["a: # why"], []]))
    for _ in range(draw(st.integers(0, 4))):
        indent = " " * draw(st.sampled_from([0, 2, 2, 2, 4]))
        for _ in range(draw(st.integers(1, 8))):
            lines.append(f"{indent}- {draw(item(indent))}")
        lines += draw(st.sampled_from([[], [], [""], ["  # a comment"], ["      more"], ["b: 1"], ["", "      more"]]))
    return "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n\n"]))


def item(indent: str) -> st.SearchStrategy[str]:
    field = st.builds("{}: {}".format, KEYS, WORDS)
    several = st.lists(field, min_size=1, max_size=4).map(f"\n{indent}  ".join)
    return st.one_of(WORDS, field, several)


@THOROUGH
@given(documents())
def test_stretches_are_read_as_yaml_reads_them(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(stretches, "_SMALL", 0)
    monkeypatch.setattr(stretches, "_FEWEST", 1)
    assert source.parse(text, "a.yaml") == source._parse(text, "a.yaml")


def test_long_lists_are_read_by_stretches_and_only_where_they_stand() -> None:
    lines = "".join(f"    - Line {number} of a long story.\n" for number in range(1000))
    whole = f"a:\n  b:\n{lines}  c: 1\n"
    assert source._by_stretches(whole, "a.yaml") is not None
    assert source.parse(whole, "a.yaml") == source._parse(whole, "a.yaml")
    for other in (f"a: |\n{lines}", f"a:\n  b:\n{lines}  c: [\n", f"a: '\n{lines}'\n"):
        assert source._by_stretches(other, "a.yaml") is None
        assert source.parse(other, "a.yaml") == source._parse(other, "a.yaml")


@THOROUGH
@given(documents())
def test_a_file_that_was_kept_is_what_was_parsed(text: str) -> None:
    node, problems = source.parse(text, "a.yaml")
    data = packed(node) if node is not None and not problems else None
    if node is not None and data is not None:
        again = _decoder().decode(data)
        assert again == node
        assert [spelled(value) for value in numbers(again)] == [spelled(value) for value in numbers(node)]


def numbers(node: Node) -> list[object]:
    match node:
        case Scalar(value=value):
            return [value]
        case Listing(items=items):
            return [value for item in items for value in numbers(item)]
        case Mapping(entries=entries):
            return [value for pair in entries for item in pair for value in numbers(item)]


def test_a_number_that_would_lose_its_spelling_is_not_kept() -> None:
    for text in ("a: 1.50\n", "a: [0x10]\n", "a: 1e3\n", "a: 123456789012345678901234567890\n"):
        node, _ = source.parse(text, "a.yaml")
        assert node is not None
        assert packed(node) is None
    node, _ = source.parse("a: [1, 2.5, -3, true, null, x, '1.50', \"0x10\"]\n", "a.yaml")
    assert node is not None
    assert packed(node) is not None


FIELDS: dict[str, list[str]] = {
    "voice": ["ana", "ben", "nobody", "'ana'", "[ana, ben]", "{x: y}", ""],
    "id": ["a", "b", "'1'", "5", "a b", "{{ x }}"],
    "gap": ["300ms", "1s", "'2s'", "300", "1.5s", "later"],
    "gain": ["-3", "-3.0", "1e1", "'2'", "x"],
    "prosody": ["{speed: 1.1}", "{speed: 1}", "{volume: -2, speed: 0.9}", "{speed: 9}", "{}", "{pitch: 2}", "fast"],
    "mp3_bitrate": ["128", "128.0", "'128'", "127"],
    "sample_rate": ["22050", "44100"],
    "format": ["pcm", "mp3", "wav"],
    "chapter": ["One", "Two", "5", ""],
    "caption": ["Shown", "{en: Shown}"],
    "language": ["en", "de"],
    "take": ["2", "0"],
    "api": ["audios", "tts"],
    "max_chars": ["40", "500"],
    "normalize": ["false", "true"],
    "nonsense": ["1"],
    "speed": ["1.1"],
    "extra_body": ["{x: true}", "{x: 1}"],
}
TEXTS = [
    *(
        "Hello there.",
        "Good day to you all.",
        "'5'",
        "7",
        "[warm] Hello.",
        "world] is",
        "'<|speaker:0|>Hello. <|speaker:1|>Hi.'",
        "1e999",
        "'{{ host }} says hello.'",
        "'{{ nobody }}'",
    ),
    *("'  '", "Say  two spaces.", "'<break time=\"1s\"/> Hello.'", "{en: Hello., de: Hallo.}", "We met the GIF here."),
    "A sentence that goes on for a while. Another sentence behind it, also of some length. And a third one, to be cut.",
]


@st.composite
def segments(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        text = draw(st.sampled_from(TEXTS))
        match draw(st.integers(0, 4)):
            case 0:
                lines.append(f"      - {text}")
            case 1:
                who = draw(st.sampled_from(["ana", "BEN", "text", "who", "pause"]))
                lines.append(f"      - {who}: {text}")
            case _:
                names = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True))
                fields = [f"{name}: {draw(st.sampled_from(FIELDS[name]))}" for name in names]
                fields.insert(draw(st.integers(0, len(fields))), f"text: {text}")
                lines.append("      - " + "\n        ".join(fields))
    return "\n".join(lines)


HEAD = """\
fishpipe: 1
project: {language: en}
vars: {host: Ana}
voices: {ana: {id: aaaa, prosody: {speed: 1.2}, gap: 1s}, ben: {id: bbbb}}
cast: {BEN: {voice: ben, gain: -1}}
defaults: {voice: ana}
scripts:
  one:
    output: one.wav
    segments:
"""


def outcome(path: Path) -> Any:
    """The manifest, or what is wrong with it."""
    try:
        return load(path)
    except ManifestError as error:
        return error.problems


@THOROUGH
@given(segments(), st.sampled_from(["", "lexicon: {GIF: jif}\n"]))
def test_plain_lines_are_what_the_walk_and_the_cascade_make_of_them(tmp_path: Path, text: str, lexicon: str) -> None:
    path = tmp_path / "fishpipe.yaml"
    path.write_text(HEAD.replace("scripts:", f"{lexicon}scripts:") + text + "\n", "utf-8")
    quick = outcome(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lines, "line", lambda _self, _node: None)
        patch.setattr(SegmentBuilder, "_alike", lambda *_: None)
        slow = outcome(path)
    if isinstance(quick, Manifest):
        assert quick.scripts == slow.scripts
        assert quick.warnings == slow.warnings
    else:
        assert quick == slow


@given(st.text(), st.sampled_from(["tts", "audios"]), st.floats(0.5, 2.0), st.dictionaries(st.text(), st.text()))
def test_a_frame_has_the_fingerprint_of_the_record(text: str, api: Any, speed: float, extra: dict[str, str]) -> None:
    voice = ExistingVoice(name="ana", span=Span("a"), id="aaaa")
    frame = Frame(settings=Settings(api=api, speed=speed, extra_body=extra), voices=(voice,), realm="acedata")
    assert frame.key(text) == fingerprint(frame.record(text)) == frame.at_take(text, 1)
    assert frame.at_take(text, 3) == fingerprint(frame.record(text, 3))


@pytest.mark.parametrize("first", ["true", "1", "1.0", "[true]", "[1]"])
def test_a_lines_fingerprint_is_its_own_whatever_stands_before_it(tmp_path: Path, first: str) -> None:
    path, second = tmp_path / "fishpipe.yaml", "- {text: World., extra_body: {x: 1}}"
    keys = []
    for before in ("", f"- {{text: Hello., extra_body: {{x: {first}}}}}\n      "):
        path.write_text(f"{HEAD}      {before}{second}\n", "utf-8")
        graph = build_graph(load(path), "loopback")
        keys.append(next((key, step.body["x"]) for key, step in graph.clips.items() if step.text == "World."))
    assert keys[0] == keys[1]
    assert type(keys[1][1]) is int


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-20, 20), st.integers(0, 10**6), st.text(max_size=3))))
def test_a_recipe_is_the_digest_of_its_canonical_record(lines: list[tuple[str, float, int, str]]) -> None:
    items = [
        Item(address="a", span=Span("a"), edits=Edits(gain=gain, gap=Micros(gap)), clip=Fingerprint(clip), scope=scope)
        for clip, gain, gap, scope in lines
    ]
    output = Output(path=Path("a.wav"), shown="a.wav", span=Span("a"), format="wav")
    step = OutputStep(output=output, script="one", items=tuple(items), tags={"title": '"items":"\ue000"'})
    snapshot = Snapshot(clips={Fingerprint(name): Digest(name * 64) for name in "abc"}, tools="t")
    written = [[[str(i.clip) * 64], i.edits.gap, i.edits.gain, 0, 0, "auto", 1.0, 0, 0, None, i.scope] for i in items]
    record = {
        "items": written,
        "output": ["wav", 128, 1, 44100, 16, False, "encode"],
        "tags": {"title": '"items":"\ue000"'},
        "tools": "t",
    }
    assert recipe(step, snapshot) == sha256(rfc8785.dumps(record)).hexdigest()


@given(st.floats(0, 1e6), st.booleans(), st.sampled_from(["mp3", "pcm", "wav"]), st.text(max_size=5))
def test_a_clips_line_of_the_lock_is_read_as_json(seconds: float, whole: bool, kind: str, task: str) -> None:
    data = {"digest": "b" * 64, "format": kind, "seconds": int(seconds) if whole else round(seconds, 3), "at": "2026"}
    line = Entry("clip", "a" * 64, data | ({"task": task} if task else {})).text
    quick: Any = {}
    slow: Any = {}
    if _take_in_clip(line, quick):
        assert not _take_in(line, slow)
        assert quick == slow
        assert next(iter(quick.values())).text == line
    else:
        assert kind == "wav" or json.dumps(task, ensure_ascii=False) != f'"{task}"' or "e" in str(data["seconds"])


@given(st.lists(st.sampled_from("abcdefgh")), st.lists(st.sampled_from("abcdefgh")))
def test_short_lists_are_compared_each_with_each(was: list[str], now: list[str]) -> None:
    blocks = SequenceMatcher(None, was, now, autojunk=False).get_opcodes()
    assert list(replacements(was, now)) == [block[1:] for block in blocks if block[0] == "replace"]


def test_in_long_lists_what_occurs_once_holds_both_together() -> None:
    was = [f"line {number}" for number in range(20_000)]
    now = [f"new {name}" if number % 100 == 7 else name for number, name in enumerate(was)]
    del now[5000:5003]
    now.insert(100, "one more")
    found = [(was[i], now[j]) for i, _, j, _ in replacements(was, now)]
    assert len(found) == 200
    assert all(new == f"new {old}" for old, new in found)
    assert all(len(was[i1:i2]) == len(now[j1:j2]) == 1 for i1, i2, j1, j2 in replacements(was, now))
    twins = ["same"] * 20_000
    assert list(replacements(twins, ["other", *twins[:-1]])) == [(0, 20_000, 0, 20_000)]
