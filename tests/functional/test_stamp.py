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
from fishpipe.cli import build as cli_build
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
    ".env": "ACEDATACLOUD_API_TOKEN=any\n",
}


@pytest.fixture
def project(service: Service) -> Service:
    for name, text in FILES.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, "utf-8")
    Path(".env").chmod(0o600)
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
    code = "import sys; from fishpipe.cli.main import run; code = run(['build']); print(*sys.modules); sys.exit(code)"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    words, modules = done.stdout.splitlines()
    assert words == "Nothing to do. 4 clips up to date."
    ours = {name for name in modules.split() if name.startswith("fishpipe")}
    assert ours <= {
        "fishpipe",
        "fishpipe.cli",
        "fishpipe.cli.main",
        "fishpipe.stamp",
        "fishpipe.seal",
        "fishpipe.files",
    }
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
    work = {"build": {"-B", "--force", "--refresh", "--replace-locked"}, "plan": {"-B", "--force"}}
    for verb, command in (("build", build_command), ("plan", plan_command)):
        options = [option for option in command.params if isinstance(option, click.Option)]
        valued = {name for option in options if not option.is_flag for name in option.opts}
        flags = {name for option in options if option.is_flag for name in option.opts}
        assert valued - {"--since"} == stamp.VALUED[verb]
        assert flags - work[verb] == stamp.FLAGS[verb]


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
    for other in (text[:-3], text.replace("stamp 2", "stamp 999"), "", "\0" * 100, "fishpipe stamp 2\n.\n"):
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


def test_a_setting_that_changes_while_it_is_built_is_seen(write: Callable[..., Path], service: Service) -> None:
    """The stamp behind a build is of what is read behind the build."""
    write("""
        fishpipe: 1
        scripts: {one: {output: one.wav, segments: [One line., Another line.]}}
    """)
    before = cli_build.tell

    def later(*arguments: Any) -> None:
        before(*arguments)
        patch.setenv("FISHPIPE_STORE", "kept")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli_build, "tell", later)
        assert run(["build", "-q"]) == 0
        assert known("build") is None
        assert run(["build", "-q"]) == 0
        assert len(list(Path("kept").glob("??/*.mp3"))) == 2
    assert known("build") is None


def test_a_folder_behind_a_link_is_another_one(project: Service, tmp_path: Path) -> None:
    assert run(["build"]) == 0
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (tmp_path / "other" / "fishpipe.yaml").write_text(MANIFEST.replace("include", "x-include"), "utf-8")
    Path("link").symlink_to("other/deep")
    assert known("build", "-C", "link/..") is None
    assert known("build", "-C", "other/..") is not None


def test_sizes_of_clips_count_alike_for_the_stamp_and_for_the_plan(
    write: Callable[..., Path], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fishpipe.project.MOST_SIZES", 3)
    lines = ", ".join(f"Line {number}." for number in range(4))
    write(f"""
        fishpipe: 1
        scripts: {{one: {{output: one.wav, segments: [Hello there.]}}, two: {{segments: [{lines}]}}}}
    """)
    assert run(["build", "-q", "one"]) == 0
    assert known("build", "one") is not None
    clip = next(Path(".fishpipe/clips").glob("??/*"))
    os.truncate(clip, 100)
    stamped = known("build", "one") is not None
    Path(".fishpipe/stamp").unlink()
    assert stamped == (run(["plan", "one", "--exit-code"]) == 0)


def test_another_program_is_another_record(project: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["build"]) == 0
    assert known("build") is not None
    monkeypatch.syspath_prepend("elsewhere")
    assert known("build") is None


ODD = [
    *("build -j banana", "build -j", "build -j 101", "build --budget x", "build --budget -1", "build --deadline 5"),
    *(
        "build --color purple",
        "build --in-doubt zzz",
        "build --exit-code",
        "build --var who",
        "build --provider nobody",
    ),
    *("plan -j 4", "plan --locked", "plan --profile"),
]


def test_what_click_refuses_is_refused_also_where_nothing_is_to_do(project: Service) -> None:
    assert run(["build"]) == 0
    for words in ODD:
        assert stamp.request_of(words.split()) is None, words
        assert run(words.split()) == 2, words


def test_a_link_that_comes_to_lead_to_a_file_is_seen(project: Service) -> None:
    Path("parts/five.yaml").symlink_to(Path("elsewhere.yaml").absolute())
    run(["build", "-q"])
    assert run(["build", "-q"]) == 0
    assert known("build") is not None
    Path("elsewhere.yaml").write_text("x-nothing: 1\n", "utf-8")
    assert known("build") is None


def test_what_cannot_be_looked_at_goes_the_whole_way(project: Service, cli: Callable[..., Result]) -> None:
    assert run(["build"]) == 0
    Path(".fishpipe/clips").rename(".fishpipe/aside")
    Path(".fishpipe/clips").write_text("no folder", "utf-8")
    assert known("build") is None
    assert "Traceback" not in cli("plan").err
    Path(".fishpipe/clips").unlink()
    Path(".fishpipe/aside").rename(".fishpipe/clips")
    assert run(["build"]) == 0
    lines = Path(".fishpipe/stamp").read_text("utf-8").splitlines()
    Path(".fishpipe/stamp").write_text("\n".join([*lines[:3], "say", *lines[3:], ""]), "utf-8")
    assert cli("build").code == 0


def test_words_that_a_stream_cannot_write_are_said_by_the_whole_way(project: Service) -> None:
    Path("fishpipe.yaml").write_text(MANIFEST.replace("one.mp3", "dist/ü.mp3"), "utf-8")
    assert run(["build", "-q"]) == 0
    command = [sys.executable, "-m", "fishpipe", "plan", "--json"]
    for _ in range(2):
        settings = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(command, capture_output=True, check=False, env=settings)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr


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
        Path(".env").write_text(f"ACEDATACLOUD_API_TOKEN=any{self.chance.choice([15, 20])}\n", "utf-8")


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
