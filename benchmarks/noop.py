"""Nothing to do, and one line changed: what a rebuild costs, against make, ninja, doit, snakemake and dvc, in one run.

    python benchmarks/noop.py                              1,000 and 10,000 segments
    python benchmarks/noop.py --segments 100000 --keep ../noop

The work is the same for all: N lines and one output of all of them (N targets and one more). It is built once: clips
lie where a build would have put them, and are stitched by `mode: copy`; the peers' targets are there, and newer than
what they are made of. Then each command runs several times as a process of its own; the median counts. `cold` is a
build that finds no stamp, as the first one behind a change does (the page cache is warm throughout). Peers that are not
installed are left out, and those that would take minutes at a size.

    pip install doit snakemake dvc
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FISHPIPE = (sys.executable, "-m", "fishpipe")
# Above so many lines a peer is not asked: it would take minutes to set up or to answer.
MOST = {"doit": 10_000, "snakemake": 1_000, "dvc": 1_000}


class Cost(NamedTuple):
    """One run: CPU and wall seconds, and the highest memory of one process in MB."""

    cpu: float
    wall: float
    peak: float


def run(command: tuple[str, ...], folder: Path) -> Cost:
    """A command's cost, by the system's own accounting of the process; it must succeed."""
    wall = time.perf_counter()
    out = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    with contextlib.chdir(folder):
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
    os.close(out)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed in {folder}")
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - wall, usage.ru_maxrss / scale)


def median(costs: list[Cost]) -> Cost:
    """The middle of each figure."""
    return Cost(*(statistics.median(figures) for figures in zip(*costs, strict=True)))


# Ours


def write_manifest(folder: Path, count: int, changed: int = -1) -> None:
    """A script of so many lines, one of which may be another."""
    lines = (f'      - text: "Line {n} of the book{" is new" if n == changed else ""}."\n' for n in range(count))
    head = "fishpipe: 1\nprovider: sandbox\nscripts:\n  book:\n"
    head += "    outputs: [{path: book.mp3, mode: copy}]\n    segments:\n"
    (folder / "fishpipe.yaml").write_text(head + "".join(lines))


def make_ours(folder: Path, count: int) -> None:
    """A project that is built."""
    # The script beside this one: a quarter of a second of its mp3 at the bitrate of clips.
    from run import sound

    from fishpipe.project import Project

    write_manifest(folder, count)
    project = Project.open(folder / "fishpipe.yaml")
    project.layout.create()
    data = sound(11025, 192)
    digest = hashlib.sha256(data).hexdigest()
    for number, key in enumerate(project.graph().clips):
        shelf = project.layout.clips / key[:2]
        shelf.mkdir(exist_ok=True)
        (shelf / f"{key}.{digest}.mp3").write_bytes(data)
        if number % 1000 == 0:
            say(f"{count:,} lines: clip {number:,}")
    say(f"{count:,} lines: stitching")
    run((*FISHPIPE, "build", "--offline", "-q"), folder)


def ours(folder: Path, count: int, times: int) -> Iterator[tuple[str, Cost]]:
    """Our rows."""
    build, plan = (*FISHPIPE, "build"), (*FISHPIPE, "plan")
    run(build, folder)
    yield "fishpipe build, nothing to do", median([run(build, folder) for _ in range(times)])
    cold = []
    for _ in range(times):
        (folder / ".fishpipe" / "stamp").unlink(missing_ok=True)
        cold.append(run(build, folder))
    yield "fishpipe build, nothing to do, cold", median(cold)
    write_manifest(folder, count, changed=count // 2)
    yield "fishpipe plan, one line changed", median([run(plan, folder) for _ in range(times)])
    write_manifest(folder, count)
    yield "fishpipe status", median([run((*FISHPIPE, "status"), folder) for _ in range(times)])


# The peers: sources, then targets, each a copy, and one target of them all


def make_files(folder: Path, count: int) -> None:
    """Sources, and targets that are newer."""
    for name, when in (("s", 1_000_000_000), ("t", 1_000_000_100)):
        for number in range(count):
            path = folder / f"{name}{number}"
            path.write_text("x")
            os.utime(path, (when, when))
    (folder / "out").write_text("x" * count)
    os.utime(folder / "out", (1_000_000_200, 1_000_000_200))


def make(folder: Path, count: int) -> tuple[str, ...]:
    """GNU make without its built-in rules."""
    rules = "".join(f"t{n}: s{n}\n\tcp $< $@\n" for n in range(count))
    targets = " ".join(f"t{n}" for n in range(count))
    (folder / "Makefile").write_text(f"all: out\nout: {targets}\n\tcat $^ > out\n{rules}")
    return ("make", "-r", "-s", "all")


def ninja(folder: Path, count: int) -> tuple[str, ...]:
    """Ninja; `generator` lets targets stand that its log does not know."""
    rules = "rule cp\n  command = cp $in $out\n  generator = 1\nrule cat\n  command = cat $in > $out\n  generator = 1\n"
    steps = "".join(f"build t{n}: cp s{n}\n" for n in range(count))
    targets = " ".join(f"t{n}" for n in range(count))
    (folder / "build.ninja").write_text(f"{rules}{steps}build out: cat {targets}\ndefault out\n")
    return ("ninja",)


def doit(folder: Path, count: int) -> tuple[str, ...]:
    """doit, whose database knows all after a first run."""
    (folder / "dodo.py").write_text(
        f"COUNT = {count}\n"
        "def nothing(): pass\n"
        "def task_copy():\n"
        "    for n in range(COUNT):\n"
        "        yield {'name': str(n), 'file_dep': [f's{n}'], 'targets': [f't{n}'], 'actions': [nothing]}\n"
        "def task_out():\n"
        "    return {'file_dep': [f't{n}' for n in range(COUNT)], 'targets': ['out'], 'actions': [nothing]}\n"
    )
    run(("doit", "-v0"), folder)
    return ("doit", "-v0")


def snakemake(folder: Path, count: int) -> tuple[str, ...]:
    """snakemake, which goes by the files' times."""
    (folder / "Snakefile").write_text(
        f"rule out:\n  input: expand('t{{n}}', n=range({count}))\n"
        "  output: 'out'\n  shell: 'cat {input} > {output}'\n"
        "rule copy:\n  input: 's{n}'\n  output: 't{n}'\n  shell: 'cp {input} {output}'\n"
    )
    return ("snakemake", "out", "-q", "all", "-c1", "--rerun-triggers", "mtime")


def dvc(folder: Path, count: int) -> tuple[str, ...]:
    """dvc, whose lock file knows all after a commit."""
    stages = "".join(f"  t{n}: {{cmd: cp s{n} t{n}, deps: [s{n}], outs: [t{n}]}}\n" for n in range(count))
    whole = ", ".join(f"t{n}" for n in range(count))
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}  out: {{cmd: cat t* > out, deps: [{whole}], outs: [out]}}\n")
    run(("dvc", "init", "--no-scm", "-q"), folder)
    run(("dvc", "commit", "-f", "-q"), folder)
    return ("dvc", "repro", "-q")


PEERS: dict[str, Callable[[Path, int], tuple[str, ...]]] = {
    "make": make,
    "ninja": ninja,
    "doit": doit,
    "snakemake": snakemake,
    "dvc": dvc,
}


def peers(folder: Path, count: int, times: int) -> Iterator[tuple[str, Cost]]:
    """Their rows, where they are installed."""
    for name, set_up in PEERS.items():
        if not shutil.which(name) or count > MOST.get(name, count):
            continue
        say(f"{count:,} lines: {name}")
        work = folder / name
        work.mkdir()
        make_files(work, count)
        command = set_up(work, count)
        run(command, work)
        yield f"{name}, nothing to do", median([run(command, work) for _ in range(times)])


def say(text: str) -> None:
    """Progress, on a line of its own that is written over."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def measure(folder: Path, count: int, times: int) -> None:
    """The table of one size."""
    mine = folder / f"fishpipe-{count}"
    if not mine.exists():
        # In a process of its own: what this one holds in memory would count for those that it starts.
        subprocess.run([sys.executable, __file__, "--make", str(mine), "--segments", str(count)], check=True)
    with tempfile.TemporaryDirectory() as name:
        rows = [*ours(mine, count, times), *peers(Path(name), count, times)]
    say("")
    base = next((cost.cpu for name, cost in rows if name.startswith("make")), None)
    print(f"\n{count:,} lines{'':25}   CPU s    wall s   peak MB   of make's CPU")
    for name, cost in rows:
        ratio = f"{cost.cpu / base:8.2f}" if base else ""
        print(f"{name:38}{cost.cpu:8.3f}  {cost.wall:8.3f}  {cost.peak:8.1f}   {ratio}", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="keep the built projects here, and use them again")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.make:
        chosen.make.mkdir()
        make_ours(chosen.make, chosen.segments[0])
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard) if soft < 4096 else soft, hard))
    floor = median([run((sys.executable, "-c", "pass"), Path.cwd()) for _ in range(chosen.times)])
    print(f"Python alone: {floor.cpu:.3f} CPU s, {floor.peak:.1f} MB")
    with tempfile.TemporaryDirectory() as name:
        folder = chosen.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for count in chosen.segments:
            measure(folder, count, chosen.times)


if __name__ == "__main__":
    main()
