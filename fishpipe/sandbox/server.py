"""The sandbox as a server: in the foreground, or on a thread of a build's process."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from fishpipe.errors import FishpipeError
from fishpipe.sandbox.app import Sandbox
from fishpipe.sandbox.engine import warm_up
from fishpipe.sandbox.render import render_audio
from fishpipe.sandbox.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fishpipe.sandbox.switches import Switches

_START_CHECKS: Final = 6000


def serve(folder: Path, switches: Switches, port: int, now: Callable[[], float], ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is told the base URL."""
    with _bound(port) as listener:
        warm_up()
        server, state = _server(folder, switches, now)
        ready(_url(listener))
        try:
            server.run(sockets=[listener])
        finally:
            state.close()


@contextmanager
def running(folder: Path, switches: Switches, now: Callable[[], float]) -> Iterator[str]:
    """Serve on a thread at a free port while the block runs; yields the base URL."""
    with _bound(0) as listener:
        server, state = _server(folder, switches, now)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        pause = threading.Event()
        for _ in range(_START_CHECKS):
            if server.started or not thread.is_alive():
                break
            pause.wait(0.005)
        if not server.started:
            raise FishpipeError("the sandbox did not start")
        try:
            yield _url(listener)
        finally:
            server.should_exit = True
            thread.join(timeout=5)
            state.close()


@contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise FishpipeError(f"port {port} is taken ({error.strerror}); choose another: --port") from error
        # From here on who asks is heard, if a little later.
        listener.listen(1024)
        yield listener


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _server(folder: Path, switches: Switches, now: Callable[[], float]) -> tuple[uvicorn.Server, State]:
    for path in (folder, folder / "audio", folder / "sandbox.db"):
        if path.is_symlink():
            raise FishpipeError(f"{path} is a link, and the sandbox writes there; remove it, or name another: --state")
    state = State(folder / "sandbox.db", now)
    sandbox = Sandbox(state, folder / "audio", switches, now, render_audio)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        sandbox.app(), log_config=None, access_log=False, lifespan="off", http="h11", ws="none",
        timeout_keep_alive=75, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return uvicorn.Server(config), state
