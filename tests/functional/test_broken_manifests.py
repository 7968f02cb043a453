"""Each broken manifest beside its whole error text; FISHPIPE_UPDATE_GOLDENS=1 writes the texts anew, to be read."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result

BROKEN = Path(__file__).parents[1] / "golden" / "broken"
CASES = sorted(path.name for path in BROKEN.iterdir())


@pytest.mark.parametrize("name", CASES)
def test_a_broken_manifest_is_explained(name: str, cli: Callable[..., Result], tmp_path: Path) -> None:
    shutil.copytree(BROKEN / name, tmp_path / "project")
    os.chdir(tmp_path / "project")
    done = cli("validate")
    assert done.code == 3, done
    assert done.out == ""
    assert re.match(r"[\w./-]+:\d+:\d+: ", done.err), done.err
    assert "Traceback" not in done.err
    golden = BROKEN / name / "expected.txt"
    if os.environ.get("FISHPIPE_UPDATE_GOLDENS"):
        golden.write_text(done.err, encoding="utf-8")
    assert done.err == golden.read_text(encoding="utf-8")


def test_there_are_more_than_a_hundred() -> None:
    assert len(CASES) > 100


def test_the_plan_refuses_them_too(cli: Callable[..., Result], tmp_path: Path) -> None:
    shutil.copy(BROKEN / "many-at-once" / "fishpipe.yaml", tmp_path)
    validated = cli("validate")
    for verb in ("plan", "build", "status", "graph"):
        done = cli(verb)
        assert (done.code, done.err) == (3, validated.err)
