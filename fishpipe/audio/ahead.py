"""Work on sounds ahead of their turn, on all cores; results come in order, and memory stays bounded."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

Given = TypeVar("Given")
Made = TypeVar("Made")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(
    work: Callable[[Given], Made], items: Iterable[Given], threads: int
) -> Generator[tuple[Given, Made], None, None]:
    """Each item with `work` of it, in order; `threads` + 1 results may wait for their turn. Raises what `work` does."""
    pending: deque[tuple[Given, Future[Made]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="sound") as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(work, item)))
                if len(pending) > threads + 1:
                    first, future = pending.popleft()
                    yield first, future.result()
            while pending:
                first, future = pending.popleft()
                yield first, future.result()
        finally:
            for _, future in pending:
                future.cancel()
