"""A build that has nothing to do is recognised by its stamp, and never wrongly."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from fishpipe import stamp
from fishpipe.cli.build import command as build_command
from fishpipe.cli.common import Arguments, choices, split_names, variables
from fishpipe.cli.main import run
from fishpipe.cli.plan import command as plan_command
from fishpipe.errors import FishpipeError
from fishpipe.locking import would_change
from fishpipe.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

# FISHPIPE_SOAK=1000 is the measured bound.
EDITS = max(60, int(os.environ.get("FISHPIPE_SOAK", "0")))
MANIFEST = """\
fishpipe: 1
include: [more.yaml, parts/]
vars: {who: Ana}
scripts:
  one:
    outputs: [one.mp3, one.wav]
    segments:
      - "Hello {{ who }}."
      - audio: tone.wav
      - text_file: words/*.md
      - script: two
      - script: three
"""


def wav_tone(path: Path, seconds: float = 0.2) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", 9000 * (-1) ** (n // 20)) for n in range(int(8000 * seconds))))


FILES = {
    "fishpipe.yaml": MANIFEST,
    "more.yaml": "scripts:\n  two: {segments: [This is the second one.]}\n",
    "parts/three.yaml": "scripts:\n  three: {segments: [This is the third one.]}\n",
    "words/a.md": "The words of a file.\n",
    ".env": "FISHPIPE_PRICES=speech=15\n",
}


@pytest.fixture
def project(service: Service) -> Service:
    for name, text in FILES.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, "utf-8")
    wav_tone(Path("tone.wav"))
    assert run(["build", "-q"]) == 0
    return service


def known(*arguments: str) -> tuple[str, str] | None:
    """What the stamp answers."""
    request = stamp.request_of(list(arguments))
    return stamp.answered(request) if request is not None else None


def test_a_build_leaves_a_stamp_and_the_next_one_answers_from_it(project: Service, cli: Callable[..., Result]) -> None:
    words = "Nothing to do. 4 clips up to date.\n"
    assert known("build") == known("plan") == (words, "")
    assert known("build", "-q") == ("", "")
    stamped = cli("build")
    Path(".fishpipe/stamp").unlink()
    whole = cli("build")
    assert (stamped.out, stamped.err, stamped.code) == (whole.out, whole.err, whole.code) == (words, "", 0)
    assert cli("build", "--json").data == {**cli("build", "--json").data, "exit_code": 0}
    stamped, whole = cli("plan", "--json"), cli("plan", "--json", "-v")
    assert known("plan", "--json") is not None
    assert known("plan", "--json", "-v") is None
    assert stamped.data == whole.data


def test_a_stamped_build_imports_neither_click_nor_any_library(project: Service) -> None:
    assert run(["build"]) == 0
    code = "import sys; from fishpipe.cli.main import run; code = run(['build']); print(*sys.modules); sys.exit(code)"
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    words, modules = done.stdout.splitlines()
    assert words == "Nothing to do. 4 clips up to date."
    ours = {name for name in modules.split() if name.startswith("fishpipe")}
    assert ours <= {"fishpipe", "fishpipe.cli", "fishpipe.cli.main", "fishpipe.stamp"}
    assert not {"click", "json", "re", "hashlib", "pathlib", "yaml"} & set(modules.split())


def test_warnings_are_said_again(cli: Callable[..., Result], write: Callable[..., Path], service: Service) -> None:
    write("""
        fishpipe: 1
        scripts:
          one: {output: one.wav, segments: ["(whispering) This is a line of s2."]}
    """)
    cli("build")
    first, second = cli("build"), cli("build")
    assert known("build") is not None
    assert first.err == second.err
    assert "warning[" in first.err


def test_each_option_that_a_stamp_reads_is_one_of_the_verb() -> None:
    options = [o for c in (build_command, plan_command) for o in c.params if isinstance(o, click.Option)]
    valued = {name for o in options if not o.is_flag for name in o.opts}
    flags = {name for o in options if o.is_flag for name in o.opts}
    assert valued - stamp.VALUED == {"--since"}
    assert flags - stamp.FLAGS == {"-B", "--force", "--refresh", "--replace-locked"}
    assert valued >= stamp.VALUED
    assert flags >= stamp.FLAGS


def test_what_does_work_is_not_answered_by_a_stamp(project: Service) -> None:
    assert run(["build"]) == 0
    for options in (["-B"], ["--refresh"], ["--replace-locked"], ["--unknown"], ["-qv"], ["--", "one"]):
        assert stamp.request_of(["build", *options]) is None
    assert stamp.request_of(["status"]) is None


def test_other_targets_settings_and_folders_are_other_records(
    project: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["build"]) == 0
    assert known("build", "one") is None
    assert known("build", "--var", "who=Ben") is None
    assert run(["build", "one"]) == 0
    assert known("build", "one") is not None
    assert known("build") is not None
    here = str(Path.cwd())
    monkeypatch.chdir("/")
    assert known("build") is None
    assert known("build", "-C", here) is not None
    monkeypatch.chdir(here)
    monkeypatch.setenv("FISHPIPE_PRICES", "speech=1")
    assert known("build") is None


def test_a_torn_stamp_and_one_of_another_format_are_none(project: Service) -> None:
    path = Path(".fishpipe/stamp")
    assert run(["build"]) == 0
    text = path.read_text("utf-8")
    for other in (text[:-3], text.replace("stamp 1", "stamp 999"), "", "\0" * 100, "fishpipe stamp 1\n.\n"):
        path.write_text(other, "utf-8")
        assert known("build") is None
        assert run(["build"]) == 0
        assert known("build") is not None


def test_a_build_that_writes_ends_the_stamp_first(project: Service) -> None:
    assert run(["build"]) == 0
    Path("words/a.md").write_text("Other words of a file.\n", "utf-8")
    assert run(["build", "--budget", "0"]) == 5
    assert not Path(".fishpipe/stamp").exists()


def test_a_draft_has_a_stamp_of_its_own(project: Service) -> None:
    assert run(["build", "--provider", "sandbox"]) == 0
    assert known("build", "--provider", "sandbox") is None or Path(".fishpipe/draft/stamp").exists()
    assert run(["build", "--provider", "sandbox"]) == 0
    assert known("build", "--provider", "sandbox") is not None


class Edits:
    """One random edit after the other, and what each may change."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.options: list[str] = []
        self.kept = {name: Path(name).read_bytes() for name in ("tone.wav", *FILES)}

    def any(self) -> str:
        kinds = [name for name in dir(self) if name.startswith("do_")]
        name = self.chance.choice(kinds)
        getattr(self, name)()
        return name

    def _one(self, *names: str) -> Path | None:
        there = [path for path in map(Path, names) if path.exists()]
        return self.chance.choice(there) if there else None

    def do_nothing(self) -> None:
        pass

    def do_words(self) -> None:
        path = self._one("fishpipe.yaml", "more.yaml", "parts/three.yaml", "words/a.md")
        if path is not None:
            before = path.stat()
            path.write_text(path.read_text("utf-8").replace("one.", "two.").replace("words", "lines"), "utf-8")
            if self.chance.random() < 0.5:
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def do_restore(self) -> None:
        for name, data in self.kept.items():
            Path(name).write_bytes(data)
        for path in (Path("parts/four.yaml"), Path("words/b.md"), Path("here.txt")):
            path.unlink(missing_ok=True)

    def do_touch(self) -> None:
        path = self._one("fishpipe.yaml", "one.mp3", "tone.wav", "fishpipe.lock", ".env", ".fishpipe/ledger.db")
        if path is not None:
            path.touch()

    def do_include(self) -> None:
        Path("parts/four.yaml").write_text("voices: {}\n" if self.chance.random() < 0.5 else "x-a: 1\n", "utf-8")

    def do_text_file(self) -> None:
        Path("words/b.md").write_text("One file more.\n", "utf-8")

    def do_unrelated(self) -> None:
        Path("here.txt").write_text(str(self.chance.random()), "utf-8")

    def do_asset(self) -> None:
        wav_tone(Path("tone.wav"), seconds=self.chance.choice([0.2, 0.3]))

    def do_output(self) -> None:
        path = self._one("one.mp3", "one.wav")
        if path is None:
            return
        match self.chance.randrange(3):
            case 0:
                path.unlink()
            case 1:
                os.truncate(path, path.stat().st_size // 2)
            case _:
                data = bytearray(path.read_bytes())
                data[len(data) // 2] ^= 1
                path.write_bytes(bytes(data))

    def do_clip(self) -> None:
        clips = sorted(Path(".fishpipe/clips").glob("*/*"))
        if clips:
            path = self.chance.choice(clips)
            path.unlink() if self.chance.random() < 0.5 else os.truncate(path, 100)

    def do_lock(self) -> None:
        path = Path("fishpipe.lock")
        if path.exists():
            lines = path.read_text("utf-8").splitlines(keepends=True)
            lines.pop(self.chance.randrange(1, len(lines)) if len(lines) > 1 else 0)
            path.write_text("".join(lines), "utf-8") if lines else path.unlink()

    def do_ledger(self) -> None:
        path = Path(".fishpipe/ledger.db")
        if path.exists() and self.chance.random() < 0.3:
            path.unlink()
        else:
            Path(".fishpipe/ledger.db-wal").write_bytes(b"")

    def do_options(self) -> None:
        self.options = self.chance.choice([[], ["--var", "who=Ben"], ["one"], ["one.wav"], ["--strict"], ["-j", "3"]])

    def do_settings(self) -> None:
        Path(".env").write_text(f"FISHPIPE_PRICES=speech={self.chance.choice([15, 20])}\n", "utf-8")


def whole_answer(options: list[str]) -> bool:
    """Whether the whole plan says that nothing is to do, without a look at any stamp."""
    command: Any = build_command
    context = command.make_context("build", list(options))
    values = context.params
    manifest, targets = split_names(values["names"])
    given = variables(values["var"])
    arguments = Arguments(manifest, targets, given, None, (), False, values["strict"], False, True, False)
    try:
        project = Project.open(manifest, choices(arguments))
        with project.session(targets) as session:
            settled = not (would_change(session.graph, session.snapshot) or session.unshared)
            return session.plan.is_empty and settled
    except FishpipeError:
        return False


@pytest.mark.soak
def test_after_random_edits_the_stamped_answer_is_that_of_the_whole_plan(project: Service) -> None:
    edits = Edits(7)
    answered = stale = 0
    for number in range(EDITS):
        done = [edits.any() for _ in range(edits.chance.choice([1, 1, 2, 3]))]
        quick = known("build", "-q", *edits.options) is not None
        if quick:
            answered += 1
            assert whole_answer(edits.options), (number, done, edits.options)
        else:
            stale += 1
        if edits.chance.random() < 0.7:
            if run(["build", "-q", *edits.options]) == 3:
                edits.do_restore()
            time.sleep(0.03)
            run(["build", "-q", *edits.options])
    assert answered > EDITS // 20
    assert stale > EDITS // 20
