"""The machine below: its clock, its signals, its open files and its disk."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_WANTED_FILES: Final = 4096
# Files that are open whatever is in flight, and those that one call in flight may need.
_OWN_FILES, _FILES_A_CALL = 40, 3


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()  # noqa: TID251  (the one clock)

    def now_ns(self) -> int:
        """Unix nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        import asyncio

        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """Between 0 and 1."""
        import random

        return random.random()  # noqa: S311  (spreads retries; no secret)


@contextmanager
def on_signals(stop: Callable[[int], None], is_stopping: Callable[[], bool]) -> Iterator[None]:
    """First Ctrl-C or SIGTERM: `stop(exit code)`; once stopping, another cancels the task that runs now."""
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def handle(code: int) -> None:
        if is_stopping() and task is not None:
            task.cancel()
        else:
            stop(code)

    handled = []
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, handle, code)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


@contextmanager
def responsive() -> Iterator[None]:
    """Threads that compute let the event loop in within half a millisecond, while the block runs (default: 5 ms)."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def calls_for_open_files(wanted: int) -> int:
    """How many calls may be in flight within this process's quota of open files, which is raised where it may be."""
    try:
        import resource
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _WANTED_FILES:
        more = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, (soft - _OWN_FILES) // _FILES_A_CALL))


def free_bytes(folder: Path) -> int | None:
    """What the disk of the nearest folder that is there has left; None where it does not say."""
    import shutil

    there = next((path for path in (folder, *folder.parents) if path.exists()), None)
    try:
        return shutil.disk_usage(there).free if there is not None else None
    except OSError:
        return None
