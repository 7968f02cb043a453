"""The stitcher against its peers, in one run: naive pydub, `ffmpeg -f concat`, sox where there is one, and the floor.

    pip install imageio-ffmpeg
    python benchmarks/stitch.py                       100 and 1,000 clips
    python benchmarks/stitch.py --clips 100 1000 5000 --keep ../clips

The clips are lines of speech by the sandbox's engine, each of its own bytes, as mp3 of 192 kbit/s; outputs are mp3 of
128 kbit/s, and wav. Each row is a process of its own: wall and CPU seconds, peak memory, and the wall time as a part
of ffmpeg's. The floor is decoding and encoding the same sound on one thread, without anything around it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from msgspec.structs import replace

from fishpipe.audio.assemble import Stitcher
from fishpipe.audio.carrier import AudioSegment, quantised, segment
from fishpipe.audio.decode import decode_clip
from fishpipe.audio.edit import Cut, Shape, render
from fishpipe.audio.lame import Encoding, Mp3Writer
from fishpipe.errors import Span
from fishpipe.graph.fingerprints import Digest, Fingerprint
from fishpipe.graph.steps import Item, OutputStep
from fishpipe.machine import SystemClock
from fishpipe.manifest.model import Edits, Output
from fishpipe.ports import ClipFile, Job
from fishpipe.store.durable import written
from fishpipe.store.units import Units

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
RATE = 44100
BITRATE = 128
SPAN = Span("benchmark.yaml")
LINES = [
    "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse,",
    "I thought I would sail about a little and see the watery part of the world.",
    "It is a way I have of driving off the spleen and regulating the circulation.",
    "Whenever I find myself growing grim about the mouth, I account it high time to get to sea as soon as I can.",
    "This is my substitute for pistol and ball. With a philosophical flourish Cato throws himself upon his sword;",
    "I quietly take to the ship. There is nothing surprising in this.",
    "If they but knew it, almost all men in their degree cherish very nearly the same feelings towards the ocean.",
    "There now is your insular city of the Manhattoes, belted round by wharves as Indian isles by coral reefs.",
]


class Folder:
    """The cache of a project, without its ledger."""

    def __init__(self, folder: Path) -> None:
        self._units, self._cuts = Units(folder / "units.db", SystemClock().now), folder / "cuts.json"
        self._known: dict[str, str] = json.loads(self._cuts.read_text()) if self._cuts.exists() else {}

    def recall(self, key: str) -> str | None:
        """A measurement."""
        return self._known.get(key)

    def remember(self, values: dict[str, str]) -> None:
        """Keep measurements."""
        self._known |= values

    def save(self) -> None:
        """On disk."""
        self._cuts.write_text(json.dumps(self._known))
        self._units.close()

    def unit(self, key: str) -> tuple[bytes, float] | None:
        """An encoded unit."""
        return self._units.read(key)

    def touch_unit(self, key: str) -> None:
        """Nothing: no clip is newer."""

    def keep_unit(self, key: str, data: bytes) -> None:
        """Keep one."""
        self._units.keep(key, data)


def make_clips(folder: Path, count: int) -> None:
    """Speech, each clip a little other in level, so that no two have the same bytes."""
    from fishpipe.sandbox.engine import RATE as SPOKEN_RATE
    from fishpipe.sandbox.engine import speak

    missing = [number for number in range(count + 1) if not (folder / f"{number:05d}.mp3").exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    sounds = []
    for number, line in enumerate(LINES):
        sound = np.asarray(speak(line, f"voice {number % 3}", seed=b"benchmark"))
        data = (sound * 30000).astype("<i2").tobytes()
        sounds.append(render(segment(data, SPOKEN_RATE, 1), Cut(0, len(sound), SPOKEN_RATE), Shape(), RATE, 1))

    def make(number: int) -> None:
        data = quantised(sounds[number % len(sounds)] * np.float32(1 - number / 50_000))
        part = folder / f".{number}.part"
        with part.open("w+b") as file:
            writer = Mp3Writer(file, RATE, 1, 192)
            writer.write(data)
            writer.close()
        part.replace(folder / f"{number:05d}.mp3")

    with ThreadPoolExecutor(2) as pool:
        for done, _ in enumerate(pool.map(make, missing)):
            if done % 500 == 499:
                print(f"{done + 1} clips made", file=sys.stderr)


def step(path: Path, numbers: list[int], **output: str) -> OutputStep:
    """An output of clips, in an order."""
    items = tuple(
        Item(address=f"one/{number}", span=SPAN, edits=Edits(), clip=Fingerprint(str(number))) for number in numbers
    )
    made = Output(path=path, shown=path.name, span=SPAN, format=path.suffix[1:], bitrate=BITRATE)  # type: ignore[arg-type]
    return OutputStep(output=replace(made, **output), script="one", items=items, tags={"title": "benchmark"})


def ours(clips: Path, work: Path, count: int, how: str) -> None:
    """Stitch; what was kept of an earlier stitch is used."""
    digests = json.loads((clips / "digests.json").read_text())
    numbers = list(range(count))
    if how == "edit":
        numbers[count // 2] = count
    elif how == "reorder":
        numbers = numbers[count // 2 :] + numbers[: count // 2]
    files = {
        Fingerprint(str(number)): ClipFile(
            path=clips / f"{number:05d}.mp3", digest=Digest(digests[number]), format="mp3", sample_rate=RATE
        )
        for number in numbers
    }
    cache = Folder(work)
    path = work / ("out.wav" if how == "wav" else "out.mp3")
    one = step(path, numbers, **({"mode": "copy"} if how == "copy" else {}))
    start, cpu = time.perf_counter(), time.process_time()
    Stitcher(cache, {}, written).assemble([Job(step=one, channels=1)], files)
    report(start, cpu)
    cache.save()


def ffmpeg(clips: Path, work: Path, count: int, suffix: str) -> None:
    """One process, one list."""
    listed = work / "list.txt"
    listed.write_text("".join(f"file '{clips / f'{number:05d}.mp3'}'\n" for number in range(count)))
    more = ["-b:a", f"{BITRATE}k"] if suffix == "mp3" else []
    start = time.perf_counter()
    command = [FFMPEG, "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", str(listed), *more]
    subprocess.run([*command, str(work / f"out.{suffix}")], check=True)
    report(start, None)


def sox(clips: Path, work: Path, count: int, suffix: str) -> None:
    """One process, all files as arguments."""
    start = time.perf_counter()
    files = [str(clips / f"{number:05d}.mp3") for number in range(count)]
    subprocess.run(["sox", *files, "-C", str(BITRATE), str(work / f"out.{suffix}")], check=True)
    report(start, None)


def pydub(clips: Path, work: Path, count: int) -> None:
    """As its README has it: a process a clip, and `+=`."""
    AudioSegment.converter = FFMPEG
    start = time.perf_counter()
    whole = AudioSegment.empty()
    for number in range(count):
        path = work / "one.wav"
        subprocess.run([FFMPEG, "-v", "error", "-y", "-i", str(clips / f"{number:05d}.mp3"), str(path)], check=True)
        whole += AudioSegment.from_wav(path)
        whole += AudioSegment.silent(300)
    whole.export(work / "out.mp3", format="mp3", bitrate=f"{BITRATE}k")
    report(start, None)


def floor(clips: Path, count: int, suffix: str) -> None:
    """Decode and encode, on one thread."""
    encoder = Encoding(rate=RATE, channels=1, bitrate=BITRATE).encoder()
    start, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        sound = decode_clip((clips / f"{number:05d}.mp3").read_bytes(), "mp3", RATE)
        if suffix == "mp3":
            encoder.encode(sound.raw_data)
    report(start, cpu)


def report(start: float, cpu: float | None) -> None:
    """What this process (or its children) took."""
    wall = time.perf_counter() - start
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = children.ru_utime + children.ru_stime if cpu is None else time.process_time() - cpu
    peak = children.ru_maxrss / 1024 if cpu is None else own_peak()
    print(json.dumps({"wall": wall, "cpu": used, "peak": peak}))


def own_peak() -> float:
    """MB of this process alone; `ru_maxrss` would count what its parent had when it was started."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


ROWS = [
    ("ffmpeg concat", "mp3", "ffmpeg mp3"),
    ("decode + encode, one thread", "mp3", "floor mp3"),
    ("fishpipe, all", "mp3", "ours full"),
    ("fishpipe, one clip changed", "mp3", "ours edit"),
    ("fishpipe, another order", "mp3", "ours reorder"),
    ("fishpipe, mode: copy", "mp3", "ours copy"),
    ("ffmpeg concat", "wav", "ffmpeg wav"),
    ("decode, one thread", "wav", "floor wav"),
    ("fishpipe, all", "wav", "ours wav"),
]


def run(what: str, clips: Path, work: Path, count: int) -> dict[str, float]:
    """One row in a process of its own."""
    command = [sys.executable, __file__, "--row", *what.split(), str(clips), str(work), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(count: int, clips: Path, work: Path) -> None:
    """All rows for so many clips."""
    make_clips(clips, count)
    digests = [hashlib.sha256((clips / f"{n:05d}.mp3").read_bytes()).hexdigest() for n in range(count + 1)]
    (clips / "digests.json").write_text(json.dumps(digests))
    rows = list(ROWS)
    if count <= 100:
        rows.insert(1, ("pydub, +=", "mp3", "pydub mp3"))
    if shutil.which("sox"):
        rows.insert(1, ("sox", "mp3", "sox mp3"))
    print(f"\n{count} clips        {'':24}   wall s    CPU s   peak MB   of ffmpeg's wall")
    against: dict[str, float] = {}
    for name, suffix, what in rows:
        if what in ("ours full", "ours copy", "ours wav"):
            for old in ("units.db", "units.db-wal", "units.db-shm", "cuts.json"):
                (work / old).unlink(missing_ok=True)
        found = run(what, clips, work, count)
        if name == "ffmpeg concat":
            against[suffix] = found["wall"]
        ratio = f"{found['wall'] / against[suffix]:8.3f}" if suffix in against else ""
        print(
            f"{suffix}  {name:36} {found['wall']:9.2f} {found['cpu']:8.2f} {found['peak']:9.0f}   {ratio}", flush=True
        )


def main() -> None:
    """The tables, or one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--keep", type=Path, help="where the clips lie, for the next run")
    parser.add_argument("--row", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        which, how, clips, work, count = given.row
        places = (Path(clips), Path(work), int(count))
        match which:
            case "ours":
                ours(*places, how)
            case "floor":
                floor(places[0], places[2], how)
            case "pydub":
                pydub(*places)
            case "sox":
                sox(*places, how)
            case _:
                ffmpeg(*places, how)
        return
    with tempfile.TemporaryDirectory() as name:
        for count in given.clips:
            work = Path(name) / str(count)
            work.mkdir()
            table(count, given.keep or Path(name) / "clips", work)


if __name__ == "__main__":
    main()
