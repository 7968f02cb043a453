"""fishpipe watch, run as a person runs it: a process that is left alone, files that are saved, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fishpipe.cli.watch import Inputs, is_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Service

SHOW = """\
fishpipe: 1
include: more.yaml
scripts:
  one:
    output: one.mp3
    segments: [This is the first line., {text_file: words.md}]
"""
PATIENCE = 60.0


class Watch:
    """A watch in a process of its own, and what it has said."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "fishpipe", "watch", *options]
        with Path("watch.log~").open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)

    def said(self) -> str:
        return Path("watch.log~").read_text("utf-8")

    def wait_for(self, words: str, times: int = 1) -> None:
        end = time.monotonic() + PATIENCE
        while self.said().count(words) < times:
            assert time.monotonic() < end, f"{words} is not said {times} times:\n{self.said()}"
            assert self.process.poll() is None, self.said()
            time.sleep(0.05)

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


@pytest.fixture
def watch(service: Service) -> Iterator[type[Watch]]:
    Path("fishpipe.yaml").write_text(SHOW, "utf-8")
    Path("more.yaml").write_text("scripts: {two: {segments: [Unused.]}}\n", "utf-8")
    Path("words.md").write_text("The words of a file.\n", "utf-8")
    made: list[Watch] = []

    class Kept(Watch):
        def __init__(self, *options: str) -> None:
            super().__init__(*options)
            made.append(self)

    yield Kept
    for each in made:
        each.process.kill()
        each.process.wait()


def test_it_builds_at_once_and_on_each_save_and_shows_the_plan_before_and_after(
    watch: type[Watch], service: Service
) -> None:
    one = watch()
    one.wait_for("watching .")
    assert "2 calls, " in one.said()
    assert one.said().count("Nothing to do. 2 clips up to date.") == 1
    Path("words.md").write_text("Other words of the file.\n", "utf-8")
    one.wait_for("Nothing to do. 2 clips up to date.", 2)
    assert "words.md\n" in one.said()
    assert 'text changed: "The words of a file." → "Other words of the file."' in one.said()
    assert len(service.usage()) == 3
    Path("more.yaml").write_text("scripts: {two: {segmentz: []}}\n", "utf-8")
    one.wait_for('more.yaml:1:17: unknown key "segmentz"')
    Path("more.yaml").write_text("scripts: {two: {segments: [Unused, too.]}}\n", "utf-8")
    one.wait_for("Nothing to do. 2 clips up to date.", 3)
    assert one.end() == 130
    assert one.said().endswith("no longer watching\n")
    assert len(service.usage()) == 3


def test_many_saves_are_one_and_outputs_are_none(watch: type[Watch], service: Service) -> None:
    one = watch("-q")
    one.wait_for("watching .")
    for number in range(10):
        Path("words.md").write_text(f"Words of save number {number}.\n", "utf-8")
        time.sleep(0.01)
    end = time.monotonic() + PATIENCE
    while len(service.usage()) < 3:
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(1.0)
    assert [item["request"]["text"] for item in service.usage()[2:]] == ["Words of save number 9."]
    assert one.said().count("words.md") == 1
    assert one.end() == 130


def test_a_dry_watch_pays_for_nothing(watch: type[Watch], service: Service) -> None:
    one = watch("-n", "--json")
    one.wait_for('"event": "planned"')
    one.wait_for("watching .")
    os.utime("words.md")
    one.wait_for('"event": "planned"', 2)
    assert one.end() == 130
    assert not service.usage()
    assert not Path(".fishpipe").exists()


def test_a_file_beside_the_project_is_watched_where_it_is_allowed(watch: type[Watch], service: Service) -> None:
    Path("project").mkdir()
    Path("beside").mkdir()
    Path("beside/words.md").write_text("Words from beside.\n", "utf-8")
    text = "fishpipe: 1\nscripts: {one: {output: one.wav, segments: [{text_file: ../beside/words.md}]}}\n"
    Path("project/fishpipe.yaml").write_text(text, "utf-8")
    one = watch("project/fishpipe.yaml", "--allow-outside")
    one.wait_for("watching project")
    time.sleep(0.5)
    Path("beside/words.md").write_text("Other words from beside.\n", "utf-8")
    one.wait_for("Nothing to do. 1 clip up to date.", 2)
    assert len(service.usage()) == 2
    assert one.end() == 130


def test_what_is_no_input_wakes_nobody() -> None:
    root = Path("/p")
    known = Inputs(frozenset({root / "fishpipe.yaml", root / ".env", root / "a.wav"}), frozenset({root / "text"}))
    for name in ("fishpipe.yaml", ".env", "a.wav", "text/b.md"):
        assert is_input(root / name, root, known), name
        assert is_input(root / name, root, None), name
    for name in (".fishpipe/ledger.db", ".git/index", "a.yaml~", ".a.yaml.swp", "4913", "fishpipe.lock"):
        assert not is_input(root / name, root, known), name
        assert not is_input(root / name, root, None), name
    for name in ("dist/a.mp3", "notes.md", "other.yaml"):
        assert not is_input(root / name, root, known), name
