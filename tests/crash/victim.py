"""A build that is killed at its N-th effect: python victim.py N; 0 lets it live and writes `effects`, their number.

An effect is what outlives the process: a commit of the ledger, a request, a flush, a rename. Each counts twice,
before and after.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from fishpipe.cli.main import run
from fishpipe.store.commits import Commits

if TYPE_CHECKING:
    from collections.abc import Callable


class Doom:
    """Counts effects, and kills at one of them."""

    def __init__(self, number: int) -> None:
        self.number, self.count, self.lock = number, 0, threading.Lock()

    def effect(self) -> None:
        with self.lock:
            self.count += 1
            if self.count == self.number:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def doomed(*arguments: Any, **options: Any) -> Any:
            self.effect()
            result = call(*arguments, **options)
            self.effect()
            return result

        return doomed

    def around_async(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def doomed(*arguments: Any, **options: Any) -> Any:
            self.effect()
            result = await call(*arguments, **options)
            self.effect()
            return result

        return doomed


def main() -> int:
    doom = Doom(int(sys.argv[1]))
    os.fsync = doom.around(os.fsync)
    os.replace = doom.around(os.replace)
    Commits._commit = doom.around(Commits._commit)  # type: ignore[method-assign]
    httpx.AsyncClient.send = doom.around_async(httpx.AsyncClient.send)  # type: ignore[method-assign]
    code = run(["build", *sys.argv[2:]])
    Path("effects").write_text(str(doom.count), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
