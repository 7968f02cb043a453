"""What is the same call: sha256 over RFC 8785 JSON of what is heard.

A setting at its neutral value (`speed` 1, `volume` 0) and an unset one are absent from the record, so a
field that is new in a release changes nobody's fingerprints. Gaps, gains, fades, trims, captions and how
the answer is delivered are not heard in the clip, and so are not part of it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NewType

import rfc8785

from fishpipe.manifest.alike import canonical_text
from fishpipe.manifest.model import CreatedVoice, ExistingVoice, OneShotVoice, Settings, Voice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fishpipe.graph.steps import Realm

Fingerprint = NewType("Fingerprint", str)
Digest = NewType("Digest", str)


def fingerprint(record: Mapping[str, Any]) -> Fingerprint:
    """The identity of a call: sha256, in hex, of its record in canonical JSON (RFC 8785)."""
    return Fingerprint(hashlib.sha256(canonical(dict(record))).hexdigest())


def canonical(data: Any) -> bytes:  # noqa: ANN401  (whatever JSON can hold)
    """Data in canonical JSON (RFC 8785)."""
    return rfc8785.dumps(data)


def voice_record(voice: CreatedVoice, realm: Realm) -> dict[str, Any]:
    """A created voice by what is heard of it: its sample, and the revision where it was made again on purpose."""
    heard: dict[str, Any] = {"sample_url": voice.sample_url}
    if voice.revision != 1:
        heard["revision"] = voice.revision
    if voice.create == "model":
        heard["create"] = "model"
    if voice.texts:
        heard["texts"] = [canonical_text(text) for text in voice.texts]
    if voice.enhance_audio_quality is not None:
        heard["enhance_audio_quality"] = voice.enhance_audio_quality
    return {"realm": realm, "voice": heard}


def description(voice: CreatedVoice) -> dict[str, Any]:
    """What the service is told of a voice and nobody hears: a change of it re-creates nothing."""
    told: dict[str, Any] = {
        "title": voice.title,
        "description": voice.description,
        "image_urls": list(voice.image_urls) or None,
        "tags": list(voice.tags) or None,
        "cover_image": voice.cover_image,
        "visibility": voice.visibility if voice.create == "model" else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def minted(record: Mapping[str, Any], known: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The record that a voice was created with, where only its sample has moved since; else the record itself."""
    if known is None:
        return record
    old, new = ({**r["voice"], "sample_url": None} for r in (known, record))
    return known if old == new and known["realm"] == record["realm"] else record


def clip_record(
    text: str,
    settings: Settings,
    voices: Sequence[Voice],
    realm: Realm,
    created: Mapping[str, Fingerprint],
    made: Mapping[str, Fingerprint] | None = None,
) -> dict[str, Any]:
    """A clip by what is heard in it; a created voice stands with its fingerprint, so no voice need exist yet.

    `created` has the fingerprints of created voices, by name; `made` those of voices by id that were made here.
    """
    record: dict[str, Any] = {"realm": realm, "api": settings.api, "body": request_body(text, settings)}
    if settings.api == "tts":
        record["model"] = settings.model
    speakers = [_speaker(voice, created, made or {}) for voice in voices]
    if speakers:
        record["voice"] = speakers[0] if len(speakers) == 1 else {"several": speakers}
    return record


def _speaker(voice: Voice, created: Mapping[str, Fingerprint], made: Mapping[str, Fingerprint]) -> dict[str, Any]:
    match voice:
        case CreatedVoice():
            return {"created": created[voice.name]}
        case ExistingVoice():
            return {"created": made[voice.id]} if voice.id in made else {"id": voice.id}
        case OneShotVoice():
            return {"references": [{"audio": r.audio, "text": r.text} for r in voice.references]}


def with_take(record: Mapping[str, Any], take: int) -> Mapping[str, Any]:
    """The same words rendered for the `take`-th time; the first take says nothing."""
    return record if take == 1 else {**record, "take": take}


def words_of(record: Mapping[str, Any]) -> Fingerprint:
    """The identity of the words, whatever the take: what a pin is keyed by."""
    return fingerprint({name: value for name, value in record.items() if name != "take"})


def request_body(text: str, settings: Settings) -> dict[str, Any]:
    """The fields of the request that are heard, without the voice."""
    if settings.api == "audios":
        return {"action": "speech", "model": "fish-tts", "prompt": canonical_text(text), **settings.extra_body}
    prosody = {}
    if settings.speed != 1:
        prosody["speed"] = settings.speed
    if settings.volume != 0:
        prosody["volume"] = settings.volume
    body: dict[str, Any] = {
        "text": canonical_text(text),
        "format": settings.format,
        "sample_rate": settings.sample_rate,
        "mp3_bitrate": settings.mp3_bitrate if settings.format == "mp3" else None,
        "prosody": prosody or None,
        "chunk_length": settings.chunk_length,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "latency": settings.latency,
        "normalize": settings.normalize,
        "min_chunk_length": settings.min_chunk_length,
        "repetition_penalty": settings.repetition_penalty,
        "max_new_tokens": settings.max_new_tokens,
    }
    return {name: value for name, value in body.items() if value is not None} | dict(settings.extra_body)
