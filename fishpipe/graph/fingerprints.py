"""What is the same call: sha256 over RFC 8785 JSON of what is heard.

A setting at its neutral value (`speed` 1, `volume` 0) and an unset one are absent from the record, so a
field that is new in a release changes nobody's fingerprints. Gaps, gains, fades, trims, captions and how
the answer is delivered are not heard in the clip, and so are not part of it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING, Any, NewType

import rfc8785

from fishpipe.manifest.model import CreatedVoice, ExistingVoice, OneShotVoice, Settings, Voice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fishpipe.graph.steps import Realm

Fingerprint = NewType("Fingerprint", str)
Digest = NewType("Digest", str)


def fingerprint(record: Mapping[str, Any]) -> Fingerprint:
    """The identity of a call: sha256, in hex, of its record in canonical JSON (RFC 8785)."""
    return Fingerprint(hashlib.sha256(rfc8785.dumps(dict(record))).hexdigest())


def canonical_text(text: str) -> str:
    """The words as they are hashed and sent: NFC, outer white space stripped."""
    return unicodedata.normalize("NFC", text).strip()


def voice_record(voice: CreatedVoice, realm: Realm) -> dict[str, Any]:
    """A created voice by what is heard of it: its sample, and the revision where it was made again on purpose."""
    record: dict[str, Any] = {"realm": realm, "voice": {"sample_url": voice.sample_url}}
    if voice.revision != 1:
        record["voice"]["revision"] = voice.revision
    return record


def clip_record(text: str, settings: Settings, voice: Voice | None, realm: Realm) -> dict[str, Any]:
    """A clip by what is heard in it; a created voice stands with its fingerprint, so no voice need exist yet."""
    record: dict[str, Any] = {"realm": realm, "api": settings.api, "body": request_body(text, settings)}
    if settings.api == "tts":
        record["model"] = settings.model
    match voice:
        case CreatedVoice():
            record["voice"] = {"created": fingerprint(voice_record(voice, realm))}
        case ExistingVoice():
            record["voice"] = {"id": voice.id}
        case OneShotVoice():
            record["voice"] = {"references": [{"audio": r.audio, "text": r.text} for r in voice.references]}
        case None:
            pass
    return record


def request_body(text: str, settings: Settings) -> dict[str, Any]:
    """The fields of the request that are heard, without the voice."""
    if settings.api == "audios":
        return {"action": "speech", "model": "fish-tts", "prompt": canonical_text(text)}
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
    }
    return {name: value for name, value in body.items() if value is not None}
