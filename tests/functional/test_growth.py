"""What a verb does grows with the number of lines, and not with its square: counted in calls, not in seconds."""

from __future__ import annotations

import cProfile
import pstats
from typing import TYPE_CHECKING

import pytest

from fishpipe.cli.main import run
from fishpipe.project import Project
from tests.unit.sounds import clip

if TYPE_CHECKING:
    from pathlib import Path

FEW, MANY = 250, 1000


def write(folder: Path, count: int, changed: int = -1) -> None:
    lines = "".join(f"      - Line {n} of the book{' is new' if n == changed else ''}.\n" for n in range(count))
    head = "fishpipe: 1\nprovider: sandbox\nscripts:\n  book:\n    outputs: [{path: book.mp3, mode: copy}]\n"
    (folder / "fishpipe.yaml").write_text(f"{head}    segments:\n{lines}", "utf-8")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A project of few lines and one of many, both built."""
    made, one = {}, clip(tmp_path_factory.mktemp("clip"), 0)
    data = one.path.read_bytes()
    for count in (FEW, MANY):
        folder = made[count] = tmp_path_factory.mktemp(f"lines{count}")
        write(folder, count)
        project = Project.open(folder / "fishpipe.yaml")
        project.layout.create()
        for key in project.graph().clips:
            shelf = project.layout.clips / key[:2]
            shelf.mkdir(exist_ok=True)
            (shelf / f"{key}.{one.digest}.mp3").write_bytes(data)
        assert run(["build", "-q", "--offline", "-C", str(folder)]) == 0
    return made


def calls(*arguments: str) -> int:
    """How many functions a command calls."""
    profile = cProfile.Profile()
    profile.enable()
    code = run(arguments)
    profile.disable()
    assert code == 0, arguments
    total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return total


@pytest.mark.parametrize(
    "verb", [["plan", "-v"], ["plan"], ["status", "--json"], ["explain", "book/7"], ["build", "-B"]]
)
def test_four_times_the_lines_are_four_times_the_work(verb: list[str], projects: dict[int, Path]) -> None:
    counted = {}
    for count, folder in projects.items():
        write(folder, count, changed=count // 2 if verb == ["plan"] else -1)
        calls(*verb, "-C", str(folder))
        counted[count] = calls(*verb, "-C", str(folder))
        write(folder, count)
    assert counted[MANY] < 4.4 * counted[FEW]


def test_nothing_to_do_is_the_same_for_few_and_for_many(projects: dict[int, Path]) -> None:
    counted = {}
    for count, folder in projects.items():
        assert run(["build", "-q", "-C", str(folder)]) == 0
        counted[count] = calls("build", "-q", "-C", str(folder))
    assert counted[MANY] < counted[FEW] + 5 * (MANY - FEW), "each clip's size is asked for, and nothing else of a line"
