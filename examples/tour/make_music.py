"""Synthesises music.mp3: eight seconds of soft chords that loop, written for this project and free to use.

python examples/tour/make_music.py
"""

from pathlib import Path

import numpy as np

from fishpipe.audio.lame import Mp3Writer

RATE = 44100
BAR = 2.0
# A minor seventh, F major seventh, C major, G major: MIDI notes, a bar each.
BARS = [(45, 57, 60, 64, 67), (41, 57, 60, 64, 65), (48, 55, 60, 64, 67), (43, 55, 59, 62, 67)]


def hertz(note: int) -> float:
    """Equal temperament, A4 = 440 Hz."""
    return float(440.0 * 2 ** ((note - 69) / 12))


def main() -> None:
    """Write the file beside this script."""
    length = int(RATE * BAR * len(BARS))
    whole = np.zeros(length)
    for number, notes in enumerate(BARS):
        t = np.arange(int(RATE * BAR * 1.5)) / RATE
        swell = np.minimum(1, t / 0.4) * np.exp(-np.maximum(0, t - 1.4) * 3)
        at = (np.arange(len(t)) + int(RATE * BAR * number)) % length
        for note in notes:
            whole[at] += np.sin(2 * np.pi * hertz(note) * t) * swell * (0.5 if note < 50 else 0.25)
    samples = np.rint(whole / np.abs(whole).max() * 0.5 * 32767).astype("<i2")
    with (Path(__file__).parent / "music.mp3").open("w+b") as file:
        writer = Mp3Writer(file, RATE, 1, 96)
        writer.write(samples.tobytes())
        writer.close()


if __name__ == "__main__":
    main()
