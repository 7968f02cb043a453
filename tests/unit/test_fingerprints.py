"""A fingerprint once given stands for ever: the golden file may only grow."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fishpipe.errors import Span
from fishpipe.graph.fingerprints import clip_record, fingerprint, minted, voice_record
from fishpipe.manifest.model import CreatedVoice, ExistingVoice, OneShotVoice, Reference, Settings, Voice

GOLDEN = Path(__file__).parents[1] / "golden" / "fingerprints.json"
SPAN = Span("fishpipe.yaml")
ANA = CreatedVoice(name="ana", span=SPAN, sample_url="https://example.com/ana.mp3", title="Ana")
BEN = ExistingVoice(name="ben", span=SPAN, id="d7900c21663f485ab63ebdb7e5905036")
CID = OneShotVoice(name="cid", span=SPAN, references=(Reference(audio="https://example.com/c.mp3", text="Words."),))
MODEL = CreatedVoice(
    name="dee", span=SPAN, sample_url="https://example.com/d.mp3", title="Dee", create="model", texts=("Its words.",),
    enhance_audio_quality=True,
)  # fmt: skip
CASES: dict[str, tuple[str, Settings, tuple[Voice, ...]]] = {
    "plain": ("Hello there.", Settings(), ()),
    "created": ("Hello there.", Settings(), (ANA,)),
    "existing": ("Hello there.", Settings(), (BEN,)),
    "one-shot": ("Hello there.", Settings(), (CID,)),
    "slow": ("Hello there.", Settings(speed=0.95, volume=-2.0), (BEN,)),
    "s1-pcm": ("Hello there.", Settings(model="s1", format="pcm", sample_rate=22050), (BEN,)),
    "all": (
        "Héllo — 你好.",
        Settings(chunk_length=200, temperature=0.7, top_p=0.8, latency="balanced", normalize=False, mp3_bitrate=64),
        (BEN,),
    ),
    "audios": ("Hello there.", Settings(api="audios"), (BEN,)),
    "later": (
        "Hello there.",
        Settings(model="s2.1-pro", min_chunk_length=50, repetition_penalty=1.2, max_new_tokens=1024),
        (BEN,),
    ),
    "several": ("<|speaker:0|>Hello. <|speaker:1|>Hi.", Settings(), (ANA, BEN)),
    "extra": ("Hello there.", Settings(extra_body={"early_stop_threshold": 0.5, "nested": {"a": [1, None]}}), (BEN,)),
    "model": ("Hello there.", Settings(), (MODEL,)),
}


def given(name: str, realm: str = "acedata") -> str:
    return of(*CASES[name], realm)


def of(text: str, settings: Settings, voices: tuple[Voice, ...] = (), realm: Any = "acedata") -> str:
    created = {
        voice.name: fingerprint(voice_record(voice, realm)) for voice in voices if isinstance(voice, CreatedVoice)
    }
    return fingerprint(clip_record(text, settings, voices, realm, created))


def test_the_golden_fingerprints_stand() -> None:
    now = {name: given(name) for name in CASES} | {"voice": fingerprint(voice_record(ANA, "acedata"))}
    golden = json.loads(GOLDEN.read_text("utf-8")) if GOLDEN.exists() else {}
    if os.environ.get("FISHPIPE_UPDATE_GOLDENS"):
        GOLDEN.write_text(json.dumps({**now, **golden}, indent=2, sort_keys=True) + "\n", "utf-8")
        golden = json.loads(GOLDEN.read_text("utf-8"))
    assert golden.items() <= now.items()
    assert golden.keys() == now.keys(), "a new case joins the file"


def test_all_that_is_heard_makes_a_difference() -> None:
    assert len({given(name) for name in CASES}) == len(CASES)
    assert given("plain") != given("plain", "loopback")


@pytest.mark.parametrize("text", [" Hello there. ", "Hello there.\n", "Hello there."])
def test_outer_white_space_is_not_heard(text: str) -> None:
    assert of(text, Settings()) == given("plain")


def test_text_is_hashed_as_nfc() -> None:
    assert of("é", Settings()) == of("e\u0301", Settings())


def test_neutral_prosody_and_whole_floats_are_one_value() -> None:
    neutral = Settings(speed=1.0, volume=0.0)
    assert of("Hello there.", neutral) == given("plain")
    assert of("x", Settings(volume=2)) == of("x", Settings(volume=2.0))


def test_what_is_not_heard_of_a_voice_is_not_part_of_it() -> None:
    other = CreatedVoice(name="x", span=SPAN, sample_url=ANA.sample_url, title="Other", description="d", consent="c")
    assert voice_record(other, "acedata") == voice_record(ANA, "acedata")
    pinned = CreatedVoice(name="ana", span=SPAN, sample_url=ANA.sample_url, title="Ana", sample_sha256="0" * 64)
    assert voice_record(pinned, "acedata") == voice_record(ANA, "acedata")
    again = CreatedVoice(name="ana", span=SPAN, sample_url=ANA.sample_url, title="Ana", revision=2)
    assert voice_record(again, "acedata") != voice_record(ANA, "acedata")


def test_a_sample_that_has_only_moved_makes_no_other_voice() -> None:
    known = voice_record(ANA, "acedata")
    moved = CreatedVoice(name="ana", span=SPAN, sample_url="https://example.com/new.mp3", title="Ana")
    assert minted(voice_record(moved, "acedata"), known) == known
    assert minted(voice_record(moved, "acedata"), None) == voice_record(moved, "acedata")
    assert minted(voice_record(moved, "loopback"), known) == voice_record(moved, "loopback")
    other = replace(moved, revision=2)
    assert minted(voice_record(other, "acedata"), known) == voice_record(other, "acedata")
