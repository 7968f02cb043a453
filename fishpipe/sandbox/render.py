"""A billed request → the bytes of its audio: mp3 at the bitrate asked for, or raw PCM."""

from __future__ import annotations

import hashlib
import io
import json
import re
from typing import Any, Final

import numpy as np

from fishpipe.audio.carrier import quantised, segment
from fishpipe.audio.edit import Cut, Shape, render
from fishpipe.audio.lame import Mp3Writer
from fishpipe.sandbox.engine import RATE, speak

# LAME's quality: locks know the bytes that it gave.
_QUALITY: Final = 2
_SPEAKER: Final = re.compile(r"<\|speaker:(\d{1,3})\|>")


def render_audio(kind: str, request: dict[str, Any], digest: str, take: int) -> bytes:
    """The audio of a call; the same for the same request and take."""
    prosody = request.get("prosody") or {}
    text = request["text"] if kind == "tts" else request["prompt"]
    spoken = [
        speak(
            words,
            voice,
            speed=float(prosody.get("speed", 1.0)),
            volume=float(prosody.get("volume", 0.0)),
            seed=f"{digest} {take}{number or ''}".encode(),
        )
        for number, (words, voice) in enumerate(_turns(text, request))
    ]
    sound = np.concatenate(spoken)
    data = np.rint(sound * 32767).astype("<i2").tobytes()
    rate = int(request.get("sample_rate") or 44100)
    whole = quantised(render(segment(data, RATE, 1), Cut(0, len(sound), RATE), Shape(), rate, 1))
    if request.get("format") == "pcm":
        return whole
    file = io.BytesIO()
    writer = Mp3Writer(file, rate, 1, _bitrate(int(request.get("mp3_bitrate") or 128), rate), _QUALITY)
    writer.write(whole)
    writer.close()
    return file.getvalue()


def _turns(text: str, request: dict[str, Any]) -> list[tuple[str, str]]:
    """Who speaks what: the parts of a text with several voices, each at its <|speaker:N|>."""
    voices = request.get("reference_id")
    pieces = _SPEAKER.split(text)
    if not isinstance(voices, list) or len(pieces) == 1:
        return [(text, _voice(request))]
    turns = [(pieces[0], 0), *((pieces[n + 1], int(pieces[n])) for n in range(1, len(pieces), 2))]
    spoken = [(words, str(voices[number])) for words, number in turns if words.strip() and number < len(voices)]
    return spoken or [(text, _voice(request))]


def _voice(request: dict[str, Any]) -> str:
    reference = request.get("reference_id") or request.get("voice_id") or ""
    if isinstance(reference, list):
        reference = reference[0] if reference else ""
    references = request.get("references")
    return hashlib.sha256(json.dumps(references).encode()).hexdigest() if references else str(reference)


def _bitrate(kbps: int, rate: int) -> int:
    return min(kbps, 160) if rate < 32000 else kbps
