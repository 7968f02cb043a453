"""Synthesises jingle.mp3: a plucked arpeggio over a soft chord, written for this project and free to use.

python examples/hello/make_jingle.py
"""

from pathlib import Path

import numpy as np

from fishpipe.audio.lame import Mp3Writer

RATE = 44100
SECONDS = 5.0
# C major ninth, upwards and back: (start in seconds, MIDI note).
NOTES = [(0.00, 60), (0.15, 64), (0.30, 67), (0.45, 71), (0.60, 74), (0.90, 79), (1.20, 76), (1.50, 84)]
CHORD = (48, 55, 64, 71)


def hertz(note: int) -> float:
    """Equal temperament, A4 = 440 Hz."""
    return float(440.0 * 2 ** ((note - 69) / 12))


def pluck(note: int, length: int) -> np.ndarray:
    """A decaying tone with two partials, as of a marimba."""
    t = np.arange(length) / RATE
    tone = np.sin(2 * np.pi * hertz(note) * t) + 0.3 * np.sin(8 * np.pi * hertz(note) * t) * np.exp(-t * 12)
    return tone * np.exp(-t * 3.2) * np.minimum(1, t * 400)


def main() -> None:
    """Write the file beside this script."""
    whole = np.zeros(int(RATE * SECONDS))
    t = np.arange(len(whole)) / RATE
    for note in CHORD:
        whole += 0.10 * np.sin(2 * np.pi * hertz(note) * t) * np.minimum(1, t / 0.8) * np.exp(-t * 0.35)
    for start, note in NOTES:
        at = int(start * RATE)
        whole[at:] += 0.32 * pluck(note, len(whole) - at)
    samples = np.rint(whole / np.abs(whole).max() * 0.5 * 32767).astype("<i2")
    with (Path(__file__).parent / "jingle.mp3").open("w+b") as file:
        writer = Mp3Writer(file, RATE, 1, 128)
        writer.write(samples.tobytes())
        writer.close()


if __name__ == "__main__":
    main()
