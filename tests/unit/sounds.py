"""Sounds, clips and outputs to stitch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import miniaudio
import numpy as np

from fishpipe.audio.carrier import quantised, segment
from fishpipe.audio.edit import Cut, Shape, render
from fishpipe.audio.lame import Mp3Writer
from fishpipe.errors import Span
from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.graph.steps import Item, OutputStep
from fishpipe.manifest.model import Edits, Micros, Output
from fishpipe.ports import ClipFile
from fishpipe.sandbox.engine import RATE, speak
from fishpipe.timeline import Layout, Samples, Silence, Sound, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    Array = np.ndarray[Any, Any]


def voice(samples: int, seed: int) -> Array:
    """Something that is never periodic: a place in it can be told from another."""
    noise = np.random.default_rng(seed).normal(0, 1, samples)
    smooth = np.convolve(noise, np.hanning(64) / 32, mode="same")
    return np.rint(smooth / np.abs(smooth).max() * 9000).astype("<i2")


def decoded(data: bytes) -> Array:
    return np.asarray(miniaudio.mp3_read_s16(data).samples, dtype=np.int64)


class Memory:
    """Remembers everything, and counts what was encoded."""

    def __init__(self) -> None:
        self.cuts: dict[str, str] = {}
        self.units: dict[str, bytes] = {}
        self.encoded = 0

    def recall(self, key: str) -> str | None:
        return self.cuts.get(key)

    def remember(self, values: dict[str, str]) -> None:
        self.cuts |= values

    def unit(self, key: str) -> tuple[bytes, float] | None:
        return (self.units[key], 1e12) if key in self.units else None

    def touch_unit(self, key: str) -> None:
        pass

    def keep_unit(self, key: str, data: bytes) -> None:
        self.encoded += 1
        self.units[key] = data


def clip(folder: Path, seed: int) -> ClipFile:
    path = folder / f"{seed}.mp3"
    with path.open("w+b") as file:
        writer = Mp3Writer(file, 44100, 1, 192)
        writer.write(voice(30_000 + 777 * seed, seed).tobytes())
        writer.close()
    digest = Digest(hashlib.sha256(path.read_bytes()).hexdigest())
    return ClipFile(path=path, digest=digest, format="mp3", sample_rate=44100)


def output(path: Path, seeds: Iterable[int], gap: int = 300_000) -> OutputStep:
    items = tuple(
        Item(address=f"one/{n}", span=Span("f"), edits=Edits(gap=Micros(gap)), clip=Fingerprint(str(n))) for n in seeds
    )
    made = Output(path=path, shown=path.name, span=Span("f"), format="mp3")
    return OutputStep(output=made, script="one", items=items, tags={})


LINES = [
    "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about a little.",
    "It is a way I have of driving off the spleen, and regulating the circulation.",
    "Whenever I find myself growing grim about the mouth; whenever it is a damp, drizzly November in my soul.",
    "Then, I account it high time to get to sea as soon as I can.",
    "There is nothing surprising in this!",
    "If they but knew it, almost all men in their degree cherish very nearly the same feelings.",
]


def spoken(folder: Path, number: int, level: float = 1.0) -> ClipFile:
    """A clip of real speech, by the sandbox's engine."""
    sound = np.asarray(speak(LINES[number % len(LINES)], f"voice {number % 2}", seed=b"1")) * level
    whole = quantised(render(segment((sound * 32767).astype("<i2").tobytes(), RATE, 1), Cut(0, len(sound), RATE),
                             Shape(), 44100, 1))  # fmt: skip
    path = folder / f"spoken-{number}.mp3"
    with path.open("w+b") as file:
        writer = Mp3Writer(file, 44100, 1, 192)
        writer.write(whole)
        writer.close()
    digest = Digest(hashlib.sha256(path.read_bytes()).hexdigest())
    return ClipFile(path=path, digest=digest, format="mp3", sample_rate=44100)


def lay_out(items: Iterable[Sound | Silence], rate: int, grid: int = 1) -> Timeline:
    """Place all items. Raises AudioError as `Layout.add` does."""
    layout = Layout(rate, grid)
    places = tuple(layout.add(item) for item in items)
    return Timeline(rate, places, Samples(layout.length))
