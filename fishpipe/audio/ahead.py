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
    work: Callable[[Given], Made],
    items: Iterable[Given],
    threads: int,
    known: Callable[[Given], Made | None] = lambda _: None,
) -> Generator[tuple[Given, Made], None, None]:
    """Each item with `work` of it, in order; `threads` + 1 results may wait for their turn. Raises what `work` does.

    What is `known` at once needs no core of its own.
    """
    pending: deque[tuple[Given, Made | Future[Made]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="sound") as pool:
        try:
            for item in items:
                found = known(item)
                pending.append((item, found if found is not None else pool.submit(work, item)))
                while pending and (len(pending) > threads + 1 or _is_ready(pending[0][1])):
                    yield _result(pending.popleft())
            while pending:
                yield _result(pending.popleft())
        finally:
            for _, made in pending:
                if isinstance(made, Future):
                    made.cancel()


def _is_ready(made: object) -> bool:
    return not isinstance(made, Future) or made.done()


def _result(pair: tuple[Given, Made | Future[Made]]) -> tuple[Given, Made]:
    item, made = pair
    return item, made.result() if isinstance(made, Future) else made
