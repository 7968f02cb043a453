"""Peak memory and time of a stitch, 10 minutes against 3 hours, in one run.

    python benchmarks/memory.py

The clips are tones of five seconds, as mp3; each length is stitched to an mp3 in a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fishpipe.audio.assemble import Stitcher
from fishpipe.audio.lame import Mp3Writer
from fishpipe.errors import Span
from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.graph.steps import Item, OutputStep
from fishpipe.manifest.model import Edits, Output
from fishpipe.ports import ClipFile, Job
from fishpipe.store.durable import written

CLIP_SECONDS = 5.0
DISTINCT = 20


class NoCache:
    """Remembers nothing: every stitch measures every sound."""

    def recall(self, key: str) -> str | None:
        """Nothing."""
        del key

    def remember(self, values: object) -> None:
        """Nothing."""

    def unit(self, key: str) -> None:
        """Nothing."""
        del key

    def touch_unit(self, key: str) -> None:
        """Nothing."""
        del key

    def keep_unit(self, key: str, data: bytes) -> None:
        """Nothing."""


def make_clips(folder: Path) -> dict[Fingerprint, ClipFile]:
    """Tones of different pitches."""
    clips = {}
    for number in range(DISTINCT):
        path = folder / f"{number}.mp3"
        length = np.arange(int(44100 * CLIP_SECONDS))
        tone = np.rint(np.sin(length * (200 + 20 * number) * 2 * np.pi / 44100) * 9000).astype("<i2")
        with path.open("w+b") as file:
            writer = Mp3Writer(file, 44100, 1, 192)
            writer.write(tone.tobytes())
            writer.close()
        clips[Fingerprint(str(number))] = ClipFile(
            path=path, digest=Digest(f"{number:064x}"), format="mp3", sample_rate=44100
        )
    return clips


def stitch(minutes: float) -> None:
    """Stitch that much and print what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = make_clips(folder)
        span = Span("benchmark.yaml")
        count = int(minutes * 60 / (CLIP_SECONDS + 0.3))
        items = tuple(
            Item(address=f"b/{n}", span=span, edits=Edits(), clip=Fingerprint(str(n % DISTINCT))) for n in range(count)
        )
        output = Output(path=folder / "out.mp3", shown="out.mp3", span=span, format="mp3")
        step = OutputStep(output=output, script="b", items=items, tags={})
        start = time.process_time()
        row = Stitcher(NoCache(), {}, written).assemble([Job(step=step, channels=1)], clips)[0]
        cpu = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": row.length / row.rate, "cpu": cpu, "peak_mb": peak}))


def main() -> None:
    """Both lengths, each in its own process, and their ratio."""
    results = {}
    for minutes in (10, 180):
        done = subprocess.run([sys.executable, __file__, str(minutes)], capture_output=True, text=True, check=True)
        results[minutes] = found = json.loads(done.stdout)
        rate = found["cpu"] / found["seconds"] * 3600
        took = f"{found['cpu']:5.1f} CPU s ({rate:.1f} an hour of audio)"
        print(f"{minutes:4d} min: peak {found['peak_mb']:6.1f} MB, {took}")
    print(f"ratio of the peaks: {results[180]['peak_mb'] / results[10]['peak_mb']:.2f} (wanted: at most 1.30)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        stitch(float(sys.argv[1]))
    else:
        main()
