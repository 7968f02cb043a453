"""Random lives of a project: edits, builds, kills, faults, time; what was answered is never paid for again."""

from __future__ import annotations

import gc
import hashlib
import io
import logging
import os
import socket
import sqlite3
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uvicorn
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from fishpipe.audio.lame import Mp3Writer
from fishpipe.cli.main import run
from fishpipe.fish.client import FishClient
from fishpipe.fish.downloads import HttpDownloads
from fishpipe.machine import SystemClock
from fishpipe.sandbox.app import Sandbox
from fishpipe.sandbox.state import State
from fishpipe.sandbox.switches import Dice, Switches
from fishpipe.store import project_store
from fishpipe.store.commits import Commits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOAK = int(os.environ.get("FISHPIPE_SOAK", "0"))
TEXTS = [f"This is what line {number} says." for number in range(8)]
HOUR = 3600.0
ALIVE, DEAD = -1, -2


class Killed(SystemExit):
    """The process is gone: no effect happens from here on."""


def tone(kind: str, request: dict[str, Any], digest: str, take: int) -> bytes:
    """A second of sound that differs by request and take."""
    del kind, request
    pitch = 200 + int(digest[:4], 16) % 2000 + 37 * take
    wave = np.rint(np.sin(np.arange(44100) * pitch / 7000) * 9000).astype("<i2")
    file = io.BytesIO()
    writer = Mp3Writer(file, 44100, 1, 128)
    writer.write(wave.tobytes())
    writer.close()
    return file.getvalue()


@contextmanager
def serving(folder: Path, now: Callable[[], float]) -> Iterator[tuple[Sandbox, str]]:
    """A sandbox with a quick voice, and its address."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    state = State(folder / "sandbox.db", now)
    sandbox = Sandbox(state, folder / "audio", Switches(renew_links=True), now, tone)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(sandbox.app(), log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.002)
        try:
            yield sandbox, f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=5)
            state.close()


class Life(RuleBasedStateMachine):
    """One project and its service."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        self.later = 0.0
        self.sandbox, self.url = self.stack.enter_context(serving(self.folder / "service", self.now))
        self.doom = ALIVE
        self.lines: list[str] = []
        self.delivery = "poll"
        self.patch.setenv("ACEDATACLOUD_API_TOKEN", "any")
        self.patch.chdir(self.folder)
        self.bring_doom()

    def now(self) -> float:
        return SystemClock().now() + self.later

    def effect(self) -> None:
        """Something that outlives the process; at the chosen one it is gone, and nothing happens any more."""
        self.doom -= self.doom > 0
        if self.doom == 0:
            self.doom = DEAD
        if self.doom == DEAD:
            raise Killed

    def bring_doom(self) -> None:
        """Every effect of a build counts twice, before and after."""
        self.patch.setattr(Commits, "_commit", self.around(Commits._commit))
        for name in ("rename", "flush"):
            self.patch.setattr(project_store, name, self.around(getattr(project_store, name)))
        self.patch.setattr(FishClient, "_post", self.around_async(FishClient._post))
        self.patch.setattr(HttpDownloads, "fetch", self.around_async(HttpDownloads.fetch))

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def doomed(*arguments: Any) -> Any:
            self.effect()
            result = call(*arguments)
            self.effect()
            return result

        return doomed

    def around_async(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def doomed(*arguments: Any) -> Any:
            self.effect()
            result = await call(*arguments)
            self.effect()
            return result

        return doomed

    @initialize(lines=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4), wait=st.booleans())
    def begin(self, lines: list[str], wait: bool) -> None:
        self.lines, self.delivery = lines, "wait" if wait else "poll"
        self.write(self.folder)

    def write(self, folder: Path) -> None:
        items = "\n".join(f"      - {{text: {line}}}" for line in self.lines)
        (folder / "fishpipe.yaml").write_text(
            f"fishpipe: 1\nprovider: {{concurrency: 2, delivery: {self.delivery}}}\n"
            "defaults: {voice: ana}\nvoices: {ana: {sample_url: 'https://example.com/ana.mp3'}}\n"
            f"scripts:\n  one:\n    output: one.mp3\n    segments:\n{items}\n"
        )

    @rule(at=st.integers(0, 3), text=st.sampled_from(TEXTS))
    def edit(self, at: int, text: str) -> None:
        self.lines[at % len(self.lines)] = text
        self.write(self.folder)

    @rule(text=st.sampled_from(TEXTS))
    def insert(self, text: str) -> None:
        self.lines.insert(0, text)
        self.write(self.folder)

    @rule()
    def let_time_pass(self) -> None:
        """Links die in an hour; a task of poll gives another."""
        if self.delivery == "poll":
            self.later += 2 * HOUR

    @rule(doom=st.integers(1, 60))
    def build_and_die(self, doom: int) -> None:
        self.build(doom=doom)

    @rule(seed=st.integers(0, 99), rate=st.sampled_from([0.2, 0.5]))
    def build_with_faults(self, seed: int, rate: float) -> None:
        self.build(switches=replace(self.sandbox.switches, fault_rate=rate, seed=seed))

    @rule(seed=st.integers(0, 99), doom=st.integers(1, 60))
    def build_with_faults_and_die(self, seed: int, doom: int) -> None:
        self.build(doom=doom, switches=replace(self.sandbox.switches, fault_rate=0.3, seed=seed))

    @rule(text=st.sampled_from(TEXTS))
    def edit_and_build(self, text: str) -> None:
        self.edit(0, text)
        self.build()

    @rule()
    def build_well(self) -> None:
        assert self.build("--in-doubt", "retry") == 0

    def build(self, *options: str, doom: int = ALIVE, switches: Switches | None = None) -> int | None:
        answered, stored = self.answered(), self.clips()
        usage = len(self.sandbox.state.usage())
        self.sandbox.dice = Dice(switches or self.sandbox.switches)
        self.patch.setenv("ACEDATACLOUD_API_BASE_URL", self.url)
        self.doom = doom
        try:
            code = run(["build", "-k", *options])
        except Killed:
            code = None
        finally:
            self.doom = ALIVE
        assert code in (None, 0, 1), code
        billed = [item["request"].get("text", "voice") for item in self.sandbox.state.usage()[usage:]]
        assert not answered & set(billed), "an answered call was paid for again"
        assert stored <= self.clips(), "a clip is gone"
        return code

    def answered(self) -> set[str]:
        """The texts (and `voice`) whose answer the ledger has."""
        ledger = self.folder / ".fishpipe" / "ledger.db"
        if not ledger.exists():
            return set()
        with sqlite3.connect(ledger) as db:
            query = (
                "SELECT coalesce(json_extract(record, '$.body.text'), 'voice') FROM calls"
                " WHERE state IN ('submitted', 'answered', 'fetched', 'stored', 'created', 'trained')"
            )
            try:
                return {row[0] for row in db.execute(query)}
            except sqlite3.OperationalError:
                return set()

    def clips(self) -> set[str]:
        return {path.name for path in (self.folder / ".fishpipe" / "clips").rglob("*.mp3")}

    def teardown(self) -> None:
        try:
            if self.lines:
                assert self.build("--in-doubt", "retry") == 0
                assert self.build() == 0
                self.compare()
        finally:
            self.stack.close()

    def compare(self) -> None:
        """The bytes are those of a clean build."""
        clean = self.folder / "clean"
        clean.mkdir()
        self.write(clean)
        with serving(self.folder / "clean-service", self.now) as (_, url):
            self.patch.setenv("ACEDATACLOUD_API_BASE_URL", url)
            assert run(["build", "-C", str(clean)]) == 0
        os.chdir(self.folder)
        made, expected = ((folder / "one.mp3").read_bytes() for folder in (self.folder, clean))
        assert hashlib.sha256(made).hexdigest() == hashlib.sha256(expected).hexdigest()


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a process that is gone closes nothing
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("half", range(2))
def test_random_lives(half: int) -> None:
    # A killed life leaves coroutines behind; one that is collected while 3.11 parses breaks the parse (gh-106905).
    gc.collect()
    gc.disable()
    bound = settings(
        max_examples=max(8, SOAK * 5),
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    try:
        run_state_machine_as_test(Life, settings=bound)  # type: ignore[no-untyped-call]
    finally:
        del half
        gc.enable()
        gc.collect()
