"""Audio files of the project, decoded from end to end before anything is paid: in a process with limits of its own.

A decoder that a file makes crash, run or grow without end takes nothing with it but its own process.
``python -m fishpipe.audio.judging PATH…`` is that process: a line of JSON for each file, in their order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from fishpipe.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Seconds of CPU for some files: so many, and so many more a megabyte; and bytes of memory beside the file's own.
_SECONDS: Final = 8.0
_SECONDS_A_MEGABYTE: Final = 0.5
_MEMORY: Final = 900_000_000
_WALL: Final = 10.0


class Judged(Struct, frozen=True):
    """What a file sounds like, as it decodes: `frames` are samples of one channel."""

    channels: int
    sample_rate: int
    frames: int


def judged(paths: Sequence[Path]) -> Iterator[Judged | AudioError]:
    """What each file is, in their order, or what is wrong with it."""
    waiting = list(paths)
    while waiting:
        told, why = _asked(waiting)
        for line in told:
            yield msgspec.convert(line, Judged) if "wrong" not in line else AudioError(str(line["wrong"]))
        if len(told) < len(waiting):
            # The file behind the last answer is the one that ended the process.
            yield AudioError(f"not an audio file that can be read: {why}")
        waiting = waiting[len(told) + 1 :]


def _asked(paths: Sequence[Path]) -> tuple[list[dict[str, int | str]], str]:
    """The answers for the first of some files, and why there are no more."""
    megabytes = sum(path.stat().st_size for path in paths if path.is_file()) / 1e6
    seconds = _SECONDS + megabytes * _SECONDS_A_MEGABYTE
    # -P: nothing of the folder that we are in, which may be a stranger's, is imported.
    command = [sys.executable, "-P", "-m", "fishpipe.audio.judging", str(int(seconds))]
    command += [str(path.absolute()) for path in paths]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with suppress(OSError):
        try:
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_WALL * seconds, check=False,
                env=environment,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            return _lines(late.stdout or b""), f"it takes longer than {_WALL * seconds:.0f} s"
        over = f"it takes longer than {seconds:.0f} s to decode, or more memory than a sound needs"
        return _lines(done.stdout), over if done.returncode < 0 else "its decoder failed"
    return [], "no process can be started"


def _lines(out: bytes) -> list[dict[str, int | str]]:
    whole = out.decode("utf-8", "replace").split("\n")[:-1]
    return [json.loads(line) for line in whole]


def main(seconds: int, paths: Sequence[str]) -> None:
    """The process: judges the files within its limits."""
    _limit(seconds)
    from fishpipe.audio.decode import frames_of_file

    for path in paths:
        try:
            channels, rate, frames = frames_of_file(Path(path))
            line: dict[str, int | str] = {"channels": channels, "sample_rate": rate, "frames": frames}
        except AudioError as error:
            line = {"wrong": str(error)}
        except Exception as error:  # noqa: BLE001  (whatever a decoder says to what is none of its own)
            line = {"wrong": f"not an audio file that can be read: {type(error).__name__}"}
        sys.stdout.write(f"{json.dumps(line)}\n")
        sys.stdout.flush()


def _limit(seconds: int) -> None:
    """Bound the CPU time and the memory of this process, where the system can, and leave no core behind."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
