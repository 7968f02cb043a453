"""Large files of a manifest are parsed once, and those alone that changed again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fishpipe.cli.main import run
from fishpipe.manifest import parsed, source
from fishpipe.manifest.load import load

if TYPE_CHECKING:
    from tests.conftest import Service

PARTS = [f"part{number}.yaml" for number in range(4)]


def part(number: int, words: str = "goes on") -> str:
    lines = "".join(f"      - Line {line} of part {number} {words}.\n" for line in range(700))
    return f"scripts:\n  part{number}:\n    segments:\n{lines}"


@pytest.fixture
def project(service: Service) -> Service:
    Path("fishpipe.yaml").write_text(
        f"fishpipe: 1\ninclude: [{', '.join(PARTS)}]\n"
        "scripts: {one: {output: one.wav, segments: [Hello there.]}}\n",
        "utf-8",
    )
    for number, name in enumerate(PARTS):
        Path(name).write_text(part(number), "utf-8")
    assert run(["build", "-q"]) == 0
    return service


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The large files that are parsed."""
    files: list[str] = []
    before = source.parse

    def parse(text: str, file: str) -> Any:
        if len(text) >= parsed.SMALLEST:
            files.append(file)
        return before(text, file)

    monkeypatch.setattr(source, "parse", parse)
    return files


def test_what_did_not_change_is_not_parsed_again(project: Service, asked: list[str]) -> None:
    assert len(list(Path(".fishpipe/parsed").iterdir())) == 4
    assert run(["plan", "-v"]) == 0
    assert asked == []
    Path("part2.yaml").write_text(part(2, "is another"), "utf-8")
    assert run(["plan"]) == 0
    assert asked == ["part2.yaml"]
    whole = load(Path("fishpipe.yaml"))
    quick = load(Path("fishpipe.yaml"), cache=Path(".fishpipe/parsed"))
    assert (quick.scripts, quick.voices, quick.warnings) == (whole.scripts, whole.voices, whole.warnings)


def test_places_are_those_of_the_folder_that_is_worked_in(
    project: Service, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("sub").mkdir()
    monkeypatch.chdir("sub")
    assert run(["plan", "-v"]) == 0
    assert sorted(asked) == [f"../{name}" for name in PARTS]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\xa3map", b"\xff" * 64])
def test_a_kept_file_that_is_broken_is_none(project: Service, asked: list[str], data: bytes) -> None:
    for path in Path(".fishpipe/parsed").iterdir():
        path.write_bytes(data)
    assert run(["plan", "-v"]) == 0
    assert sorted(asked) == PARTS


def test_a_file_with_problems_is_not_kept(project: Service, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path(".fishpipe/parsed").iterdir())
    Path("part1.yaml").write_text(part(1) + "      - {text: a, text: b}\n", "utf-8")
    for _ in range(2):
        assert run(["build"]) == 3
        assert 'duplicate key "text"' in capsys.readouterr().err
    assert sorted(Path(".fishpipe/parsed").iterdir()) == before
