"""The schema (as jsonschema applies it) and the loader accept and refuse the same files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from fishpipe.manifest import nodes, source
from fishpipe.manifest.contract import disagreement
from fishpipe.manifest.definitions import load_schema
from fishpipe.manifest.schema import Checker
from fishpipe.manifest.unroll import Declared

if TYPE_CHECKING:
    from fishpipe.errors import Problem

BROKEN = Path(__file__).parents[1] / "golden" / "broken"
VALIDATOR = Draft7Validator(load_schema())

WHOLE: dict[str, Any] = {
    "fishpipe": 1,
    "project": {"title": "T", "author": "A", "album": "B", "language": "en", "require_consent": False},
    "include": ["a.yaml"],
    "vars": {"host": "Ana", "many": [1, {"x": True}]},
    "provider": {
        "name": "sandbox",
        "concurrency": 3,
        "delivery": "wait",
        "callback_url": "https://example.com/c",
        "callback_listen": "127.0.0.1:8787",
        "callback_timeout": "2m",
        "call_deadline": "30m",
        "stall_timeout": "30s",
        "prices": {"speech": 15, "voice": "unknown", "models": {"s1": 12}},
    },
    "budget": {"build": 2.0, "month": 20, "confirm": 1},
    "store": "clips",
    "x-mine": {"any": ["thing", "{{ no template }}"]},
    "cast": {"MARINA": "ana", "LADY B.": {"voice": "ben", "prosody": {"speed": 1.1}, "gap": "1s", "max_chars": 200}},
    "lexicon": {
        "GIF": "jif",
        "New York": {"say": {"en": "Noo Yawk"}, "case": "any", "language": ["en", "de-CH"], "voice": "ana"},
        "/(a)b/": [{"say": "\\1"}, {"phonemes": "JH IH1", "voice": ["ana", "ben"], "language": "en"}],
    },
    "profiles": {
        "draft": {"provider": "sandbox", "vars": {"a": 1}, "scripts": {"one": {"output": "x.mp3"}}, "cast": {}}
    },
    "defaults": {"voice": "ana", "model": "s1", "gap": "300ms", "prosody": {"speed": 1.1, "volume": -2}},
    "voices": {
        "ana": {
            "sample_url": "https://example.com/a.mp3",
            "revision": 2,
            "title": "Ana",
            "consent": "yes",
            "sample_sha256": "ab" * 32,
            "create": "model",
            "texts": ["Words."],
            "tags": ["warm"],
            "visibility": "private",
            "cover_image": "https://example.com/a.jpg",
            "enhance_audio_quality": True,
            "generate_sample": False,
        },
        "ben": {
            "id": "abc",
            "format": "pcm",
            "sample_rate": 16000,
            "languages": {"de": {"id": "d"}, "pt-BR": {"id": "p"}},
        },
        "cid": {"references": [{"audio": "https://example.com/c.mp3", "text": "words"}]},
    },
    "scripts": {
        "one": {
            "title": "One",
            "defaults": {"trim": "off", "gain": -3},
            "outputs": ["a.mp3", {"path": "b.wav", "channels": 2, "sample_rate": 48000}],
            "segments": [
                {"text": "hi", "voice": "ana", "id": "x", "chapter": "C", "caption": "c", "normalize": True},
                {"pause": "1.5s"},
                {"text": "<|speaker:0|>a", "voice": ["ana", "ben"], "extra_body": {"new": [1, {"deep": None}]}},
                {"text": "b", "reference_id": ["abc"], "min_chunk_length": 50, "repetition_penalty": 1.2},
                {"text": "c", "references": [{"audio": "https://example.com/c.mp3", "text": "words"}]},
                {"audio": "a.mp3", "start": "1s", "end": "2s", "fade_in": "5ms", "gap": 0},
                {"script": "two", "gap": "1s"},
                "words alone",
                42,
                {"ben": "said by ben"},
                {"ben": {"en": "by language", "de": "nach Sprache"}},
                {"text": {"en": "one", "de": 2}, "chapter": {"en": "C"}, "language": "en", "max_chars": {"s1": 100}},
                {"for_each": ["a", {"b": 1}], "when": True, "text": "{{ index }}", "sentence_gap": "1s", "take": 2},
                {"for_each": {"who": "{{ many }}"}, "when": "who", "segments": ["x", {"pause": 0}]},
                {"dialogue": "ben: Hello.", "gap": 0, "when": "host == 'Ana'"},
                {"text_file": "a.md", "headings": "skip", "chapters": 2, "code": "speak", "footnotes": "end"},
                {
                    "segments": ["y"],
                    "chapter": "G",
                    "bed": {"audio": "a.mp3"},
                    "defaults": {"gap": "1s"},
                    "language": "de",
                },
                {"script": "t*", "with": {"name": "Zoe", "more": [1, {"x": 2}]}, "id": "inc", "chapter": "C"},
            ],
        },
        "many": {
            "matrix": {"language": ["en"], "n": [1, {"a": 2}], "include": [{"n": 3}], "exclude": [{"n": 1}]},
            "when": "language == 'en'",
            "language": "en",
            "title": {"en": "T", "de": "U"},
            "cast": {"BEN": "ben"},
            "outputs": [
                {"path": "{{ language }}.mp3", "when": True},
                {"path": "{{ chapter.number }}.mp3", "split": "chapter"},
            ],
            "segments": ["z"],
        },
        "two": {"output": "c.mp3", "segments": [{"text": 42, "mp3_bitrate": 64, "temperature": 0.5, "top_p": 1}]},
    },
}
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.0, 2.5, 64, 128.0, 44100, 1e9, "", " ", "a", "a b", "a/b", "1s", "300", "1h"),
    *("mp3", "pcm", "auto", "off", "x.mp3", "https://example.com/a", "{{ host }}", "x {{ host }}", "en-GB", "s1"),
    *([], ["a"], {}, {"a": 1}, [{}], {"path": "x.wav"}, {"speed": 1}, {"build": 1}, {"en": "x"}, {"de": {"id": "a"}}),
]


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))][0 if path else 1 :]


PLACES = places(WHOLE)
KEYS = ["text", "pause", "audio", "script", "voice", "id", "speed", "volume", "gap", "output", "outputs", "path", "zzz"]
KEYS += [
    "when",
    "for_each",
    "matrix",
    "language",
    "with",
    "segments",
    "dialogue",
    "text_file",
    "cast",
    "x-own",
    "en",
    "say",
]


def accepted(data: Any) -> bool:
    """Whether the loader's walk finds nothing wrong."""
    text = yaml.safe_dump(data, allow_unicode=True)
    node, problems = source.parse(text, "x.yaml")
    assert node is not None
    found: list[Problem] = list(problems)
    many = [1, {"x": True}]
    scope = {"host": "Ana", "many": many, "vars": {"host": "Ana", "many": many}, "project": {}, "language": "en"}
    checker = Checker(found, set(), lambda span, _: span, declared(node))
    checker.check(node, "", scope)
    list(checker.unroller.variants.rest())
    return not found


def declared(node: nodes.Node) -> Declared:
    """The scripts of a file, as the loader knows them before it checks."""
    section = node.get("scripts") if isinstance(node, nodes.Mapping) else None
    entries = section.entries if isinstance(section, nodes.Mapping) else ()
    scripts = {key.raw: (key, value) for key, value in entries if isinstance(value, nodes.Mapping)}
    return Declared(
        voices={"ana", "ben", "cid"},
        scripts={name: value for name, (_, value) in scripts.items()},
        keys={name: key for name, (key, _) in scripts.items()},
    )


def mutate(data: Any, place: tuple[Any, ...], change: tuple[str, Any, str]) -> Any:
    """The data with one value replaced, removed, or given a further key."""
    kind, value, key = change
    data = copy.deepcopy(data)
    holder = data
    for step in place[:-1]:
        holder = holder[step]
    if kind == "replace":
        holder[place[-1]] = value
    elif kind == "remove":
        del holder[place[-1]]
    elif isinstance(holder[place[-1]], dict):
        holder[place[-1]][key] = value
    return data


changes = st.tuples(st.sampled_from(["replace", "remove", "add"]), st.sampled_from(ODD), st.sampled_from(KEYS))


def test_the_whole_language_is_accepted_by_both() -> None:
    assert VALIDATOR.is_valid(WHOLE)
    assert accepted(WHOLE)


def holds_template(data: Any) -> bool:
    if isinstance(data, dict):
        return any(map(holds_template, data.values()))
    return any(map(holds_template, data)) if isinstance(data, list) else isinstance(data, str) and "{{" in data


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), change=changes)
def test_one_change_is_judged_alike(place: tuple[Any, ...], change: tuple[str, Any, str]) -> None:
    data = mutate(WHOLE, place, change)
    valid = VALIDATOR.is_valid(data)
    # A template is judged by the loader as what it becomes, by an editor as a template.
    assert accepted(data) == valid or (holds_template(data) and valid), (place, change)


def test_what_the_schema_refuses_the_goldens_refuse() -> None:
    """Nothing that the schema refuses is accepted by the loader: every broken manifest has an error text."""
    refused = [path.name for path in BROKEN.iterdir() if readable(path) and disagreement(path / "fishpipe.yaml")]
    assert len(refused) > 60


def readable(path: Path) -> bool:
    return bool((path / "fishpipe.yaml").read_bytes().strip())
