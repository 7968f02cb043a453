"""The same project from other folders, moved, and as a draft."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    scripts:
      one: {output: out/one.mp3, segments: [{text: Hello there.}]}
    """
README = Path(__file__).parents[2] / "README.md"


def test_nothing_changes_by_looking_from_elsewhere(
    cli: Cli, write: Write, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write(SHOW, "show/fishpipe.yaml")
    assert cli("build", "show").code == 0
    output = tmp_path / "show" / "out" / "one.mp3"
    before = output.stat().st_mtime_ns
    (tmp_path / "show" / "deep").mkdir()
    for folder, words in ((".", ["show/fishpipe.yaml"]), (".", [str(manifest)]), ("show", []), ("show/deep", [])):
        monkeypatch.chdir(tmp_path / folder)
        assert cli("build", *words).out.startswith("Nothing to do"), (folder, words)
        assert cli("status", *words, "--json").data["outputs"][0]["state"] == "up to date"
    monkeypatch.chdir(tmp_path)
    assert cli("build", "-C", "show").out.startswith("Nothing to do")
    os.chdir(tmp_path)
    (tmp_path / "show").rename(tmp_path / "moved")
    assert cli("build", "moved").out.startswith("Nothing to do"), "a project may move"
    assert (tmp_path / "moved" / "out" / "one.mp3").stat().st_mtime_ns == before


def test_the_next_step_works_as_it_is_printed(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW, "my show/other.yaml")
    done = cli("build", "my show/other.yaml")
    assert done.err.splitlines()[-1].endswith("then fishpipe plan 'my show/other.yaml'")


def test_a_draft_names_its_own_file(cli: Cli, write: Write) -> None:
    write(SHOW, "show/fishpipe.yaml")
    done = cli("build", "show", "--provider", "sandbox")
    assert ".fishpipe/draft/outputs/out/one.mp3" in done.out
    assert Path("show/.fishpipe/draft/outputs/out/one.mp3").exists()


def test_the_manifest_of_the_readme_builds(cli: Cli, tmp_path: Path) -> None:
    text = README.read_text("utf-8")
    start = text.index("```yaml\n") + len("```yaml\n")
    (tmp_path / "fishpipe.yaml").write_text(text[start : text.index("```", start)], "utf-8")
    done = cli("build")
    assert done.code == 0, done.err
    assert Path("dist/ep1.mp3").exists()
    assert Path("dist/ep1.wav").exists()


def test_what_the_sandbox_cost_is_no_part_of_the_months_budget(
    cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write(SHOW.replace("fishpipe: 1", "fishpipe: 1\n    provider: sandbox\n    budget: {month: 0.0003}"))
    assert cli("build").code == 0
    manifest.write_text(manifest.read_text().replace("provider: sandbox", "provider: acedata"))
    refused = cli("build")
    assert refused.code == 4, "the token is missing; the budget is not spent"
    assert "spent: ~$0.0000 in all" in cli("status").out


def test_two_manifests_in_a_folder_have_a_past_of_their_own(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    write(SHOW.replace("Hello there.", "Something else.").replace("one.mp3", "two.mp3"), "other.yaml")
    assert cli("build").code == 0
    assert ": new: " in cli("plan", "other.yaml").out
