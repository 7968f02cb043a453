"""Fixtures: a project in a folder of its own, the command line in this process, and a running sandbox."""

from __future__ import annotations

import json
import textwrap
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from fishpipe.cli.main import run
from fishpipe.machine import SystemClock
from fishpipe.sandbox.server import running
from fishpipe.sandbox.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "tok-5f0e-very-secret"


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Service:
    """A sandbox that runs."""

    url: str

    def usage(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/sandbox/usage", timeout=10) as answer:
            items: list[dict[str, Any]] = json.load(answer)["items"]
        return items


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in its own folder, and no setting of this machine reaches it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in ("ACEDATACLOUD_API_TOKEN", "ACEDATACLOUD_API_BASE_URL", "FISHPIPE_PROVIDER", "FISHPIPE_BUDGET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run the command line here."""

    def call(*arguments: str) -> Result:
        capfd.readouterr()
        code = run(arguments)
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file (fishpipe.yaml unless named), dedented."""

    def put(text: str, name: str = "fishpipe.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return put


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start sandboxes with switches of their own."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(folder: str = "service", **switches: Any) -> Service:
            url = stack.enter_context(running(tmp_path / folder, Switches(**switches), SystemClock().now))
            return Service(url)

        yield start


@pytest.fixture
def service(serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> Service:
    """A sandbox beside the build, as the real service would be, and the settings that lead there."""
    started = serve()
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", started.url)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", TOKEN)
    return started


@pytest.fixture
def point(serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Service]:
    """Start a sandbox with switches, and point the build at it."""

    def start(**switches: Any) -> Service:
        started = serve(**switches)
        monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", started.url)
        monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
        return started

    return start
