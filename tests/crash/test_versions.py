"""A project in git: edits, reverts, branches, merges, retakes, lost ledgers. What was paid is never paid again."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fishpipe.cli.main import run
from fishpipe.machine import SystemClock
from tests.crash.test_machine import serving

if TYPE_CHECKING:
    from collections.abc import Callable

# FISHPIPE_SOAK=500 is the measured bound.
STEPS = max(40, int(os.environ.get("FISHPIPE_SOAK", "0")))
TEXTS = [f"This is what line {number} says." for number in range(12)]


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    identity = ["-c", "user.name=Ana", "-c", "user.email=ana@example.com"]
    return subprocess.run(["git", *identity, *arguments], check=False, capture_output=True, text=True)


class Life:
    """One project, what it has paid for by words, and what each state of it sounded like."""

    def __init__(self, seed: int, sandbox: Any) -> None:
        self.chance = random.Random(seed)
        self.sandbox = sandbox
        self.lines = TEXTS[:4]
        self.retaken: Counter[str] = Counter()
        self.heard: dict[str, str] = {}
        self.branches = ["main"]
        self.number = 0
        git("init", "-q", "-b", "main")
        Path(".gitignore").write_text(".fishpipe/\n*.mp3\n!clips/**\nservice/\n", encoding="utf-8")
        self.write()

    def write(self) -> None:
        segments = "".join(f"      - text: {line}\n" for line in self.lines)
        head = "fishpipe: 1\nstore: clips\nscripts:\n  one:\n    output: one.mp3\n    segments:\n"
        Path("fishpipe.yaml").write_text(head + segments, encoding="utf-8")

    def read(self) -> None:
        lines = Path("fishpipe.yaml").read_text("utf-8").splitlines()
        self.lines = [line.partition("text: ")[2] for line in lines if "text: " in line]

    def billed(self) -> Counter[str]:
        return Counter(item["request"]["text"] for item in self.sandbox.state.usage())

    def check(self) -> None:
        for text, count in self.billed().items():
            assert count <= 1 + self.retaken[text], f"{text} was paid for {count} times"

    def build(self, *options: str) -> None:
        assert run(["build", "-q", *options]) == 0, options
        made = hashlib.sha256(Path("one.mp3").read_bytes()).hexdigest()
        pins = [line for line in Path("fishpipe.lock").read_text("utf-8").splitlines() if line.startswith('{"pin"')]
        state = repr((self.lines, sorted(line.partition('"at"')[0] + line.partition("take")[2] for line in pins)))
        assert self.heard.setdefault(state, made) == made, "the same words and takes are the same bytes"

    def commit(self) -> None:
        git("add", "-A")
        git("commit", "-qm", "Step")

    def edit(self) -> None:
        self.lines[self.chance.randrange(len(self.lines))] = self.chance.choice(TEXTS)
        self.write()

    def insert(self) -> None:
        self.lines.insert(self.chance.randrange(len(self.lines) + 1), self.chance.choice(TEXTS))
        self.lines = self.lines[:7]
        self.write()

    def remove(self) -> None:
        if len(self.lines) > 2:
            del self.lines[self.chance.randrange(len(self.lines))]
            self.write()

    def revert(self) -> None:
        self.commit()
        back = self.chance.randint(1, 4)
        if git("checkout", f"HEAD~{back}", "--", "fishpipe.yaml").returncode == 0:
            self.read()

    def retake(self) -> None:
        self.build()
        number = self.chance.randint(1, 2)
        at = self.chance.randrange(len(self.lines))
        self.retaken[self.lines[at]] += number
        assert run(["retake", "-q", f"one/{at + 1:04d}", "-n", str(number)]) == 0

    def use(self) -> None:
        self.build()
        at = self.chance.randrange(len(self.lines))
        most = 1 + self.retaken[self.lines[at]]
        run(["takes", "-q", "use", f"one/{at + 1:04d}", str(self.chance.randint(1, most))])

    def lose_the_ledger(self) -> None:
        """What is on other branches alone is out of sight without the ledger: they are taken in, and left."""
        self.build()
        self.commit()
        for other in self.branches:
            self.take_in(other)
        self.branches = [git("branch", "--show-current").stdout.strip()]
        shutil.rmtree(".fishpipe")

    def lose_the_lock(self) -> None:
        self.build()
        pins = '{"pin"' in Path("fishpipe.lock").read_text("utf-8")
        if not pins:
            Path("fishpipe.lock").unlink()

    def branch(self) -> None:
        self.build()
        self.commit()
        self.number += 1
        name = f"b{self.number}"
        git("checkout", "-qb", name)
        self.branches.append(name)

    def merge(self) -> None:
        self.build()
        self.commit()
        self.take_in(self.chance.choice(self.branches))

    def take_in(self, other: str) -> None:
        merged = git("merge", "-q", "-X", "ours", "-m", "Merge", other)
        assert merged.returncode == 0, merged.stdout + merged.stderr
        self.read()
        paid = sum(self.billed().values())
        self.build("--frozen")
        assert sum(self.billed().values()) == paid, "both sides had built: nothing is left to pay"

    def switch(self) -> None:
        self.build()
        self.commit()
        git("checkout", "-q", self.chance.choice(self.branches))
        self.read()
        self.build("--frozen", "--offline", "--locked")

    def step(self) -> None:
        moves: list[Callable[[], None]] = [
            self.edit, self.edit, self.edit, self.insert, self.remove, self.revert, self.revert, self.retake, self.use,
            self.lose_the_ledger, self.lose_the_lock, self.branch, self.merge, self.switch,
        ]  # fmt: skip
        self.chance.choice(moves)()
        if self.chance.random() < 0.6:
            self.build()
        if self.chance.random() < 0.3:
            self.commit()
        self.check()


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_paid_at_its_pinned_take_is_never_paid_again(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "service", SystemClock().now) as (sandbox, url):
        monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
        monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", url)
        (tmp_path / "show").mkdir()
        monkeypatch.chdir(tmp_path / "show")
        life = Life(seed, sandbox)
        for _ in range(STEPS):
            life.step()
