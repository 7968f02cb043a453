"""Speech for real, on this machine: hibari-tts, with a pitch, formants, range and pace for each voice.

The same request, voice and take give the same bytes: every random draw comes from a generator that is
seeded by them. Cues are not spoken; what cannot be spoken becomes a soft breath, never nothing.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from hibari import Hibari, dsp

from fishpipe.sandbox.level import level, soften

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE: Final = dsp.SR
LOUDNESS_LUFS: Final = -20.0

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

_CUES: Final = re.compile(r"\[[^\]]*\]|<\|speaker:\d+\|>")
_FIXED_CUES: Final = re.compile(r"\((?:[a-z]+[ -]?){1,3}\)")
_PHONEMES: Final = re.compile(r"<\|phoneme_start\|>(.*?)<\|phoneme_end\|>", re.DOTALL)
_SPEAKABLE: Final = re.compile(r"[A-Za-z0-9À-ɏ]")
_SHOUTED: Final = re.compile(r"\b[A-Z]{4,}\b")


@dataclass(frozen=True, slots=True)
class Character:
    """How a voice differs from the model's own: factors of F0, formant frequencies, F0 range and pace."""

    pitch: float
    formants: float
    range: float
    pace: float

    @classmethod
    def of(cls, voice: str) -> Character:
        """A voice's character: spread evenly over what sounds human, and the same for ever."""
        if not voice:
            return cls(1.0, 1.0, 1.0, 1.0)
        draws = np.frombuffer(hashlib.sha256(voice.encode()).digest()[:16], dtype="<u4") / 2**32
        depth = float(draws[0])
        pitch = 0.52 * (1.18 / 0.52) ** depth
        formants = 0.84 + 0.24 * depth + 0.06 * (float(draws[1]) - 0.5)
        return cls(pitch, formants, 0.3 + 1.1 * float(draws[2]), 0.92 + 0.16 * float(draws[3]))


def speak(text: str, voice: str, *, speed: float = 1.0, volume: float = 0.0, seed: bytes = b"") -> Floats:
    """Mono float32 at 24 kHz, at -20 LUFS before `volume` (dB). `seed` decides the take."""
    generator = np.random.default_rng(np.frombuffer(hashlib.sha256(seed).digest(), dtype="<u4"))
    character = Character.of(voice)
    parts = list(_sentences(spoken_words(text), character, speed, generator))
    sound = np.concatenate(parts) if parts else _breath(generator)
    gain = np.float32(10 ** (volume / 20))
    return soften(level(sound, RATE, LOUDNESS_LUFS) * gain)


def spoken_words(text: str) -> str:
    """The text without its cues; phoneme tags and shouted words as words that the engine reads."""
    text = _PHONEMES.sub(lambda match: match[1].replace(" ", "").lower(), text)
    text = _FIXED_CUES.sub(" ", _CUES.sub(" ", text))
    return _SHOUTED.sub(lambda match: match[0].capitalize(), text).strip()


@cache
def _model() -> Hibari:
    return Hibari()


_LOCK: Final = threading.Lock()


def _sentences(words: str, character: Character, speed: float, generator: np.random.Generator) -> Iterator[Floats]:
    if not _SPEAKABLE.search(words):
        if any(char.isalpha() for char in words):
            yield from _sentences(
                "This line is in a script that the sandbox cannot speak.", character, speed, generator
            )
        return
    model = _model()
    with _LOCK:
        sentences = model.phonemize(words)
    for phonemes in sentences:
        ids = model.ids(phonemes)
        if len(ids) > 2:
            yield _synthesise(model, ids, character, speed, generator)
            yield np.zeros(int(RATE * 0.12), np.float32)


def _synthesise(
    model: Hibari, ids: list[int], character: Character, speed: float, generator: np.random.Generator
) -> Floats:
    pace = min(2.0, max(0.5, speed * character.pace))
    inputs = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([pace], np.float32)}
    spectra = [part[0] for part in model.sess.run(None, inputs)]
    *bands, f0 = spectra
    warped = [_warp(band, character.formants, phase=index in (1, 4)) for index, band in enumerate(bands)]
    sound: Floats = np.asarray(dsp.synth(*warped, _melody(f0, character), generator), np.float32)
    return sound


def _melody(f0: Floats, character: Character) -> Floats:
    """F0 with its mean scaled by `pitch` and its range, in semitones, by `range`; unvoiced frames stay so."""
    voiced = f0 > 40.0
    if not voiced.any():
        return f0
    log = np.log(np.maximum(f0, 1.0))
    mean = log[voiced].mean()
    shaped = np.exp(mean + np.log(character.pitch) + (log - mean) * character.range)
    return np.where(voiced, np.clip(shaped, 55.0, 600.0), f0).astype(np.float32)


def _warp(band: Floats, factor: float, *, phase: bool) -> Floats:
    """A spectrum [bins, frames] with its frequencies scaled by `factor`; phases take the nearest bin."""
    bins = len(band)
    source = np.arange(bins) / factor
    low = np.minimum(np.rint(source) if phase else np.floor(source), bins - 1).astype(int)
    if phase:
        return np.asarray(band[low], np.float32)
    high = np.minimum(low + 1, bins - 1)
    share = (source - np.floor(source)).astype(np.float32)[:, None]
    return np.asarray(band[low] * (1 - share) + band[high] * share, np.float32)


def _breath(generator: np.random.Generator) -> Floats:
    """Half a second of soft, shaped noise."""
    length = RATE // 2
    noise = np.convolve(generator.standard_normal(length + 31), np.ones(32) / 32, mode="valid")
    return np.asarray(noise * np.hanning(length), np.float32)


def warm_up() -> None:
    """Load the model before the first request needs it."""
    _model().g2p  # noqa: B018  (a property that loads)
