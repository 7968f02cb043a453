"""The house keeps its own rules: README, examples, schema, changelog and exports are in step."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

import fishpipe
from fishpipe.cli.main import VERBS
from fishpipe.manifest.contract import disagreement
from fishpipe.manifest.definitions import load_schema
from fishpipe.manifest.lint import lint
from fishpipe.manifest.load import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Result

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_version_is_in_the_changelog() -> None:
    assert f"## [{fishpipe.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_exports_exist() -> None:
    assert all(hasattr(fishpipe, name) for name in fishpipe.__all__)


def test_the_schema_is_a_schema_and_describes_every_field() -> None:
    schema = load_schema()
    Draft7Validator.check_schema(schema)
    missing = [path for path, field in fields(schema, "") if "description" not in resolved(field)]
    assert missing == []


def fields(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, field in schema.get("properties", {}).items():
            yield f"{path}.{name}", field
        for name, inner in schema.items():
            yield from fields(inner, f"{path}.{name}")
    elif isinstance(schema, list):
        for inner in schema:
            yield from fields(inner, path)


def resolved(field: dict[str, Any]) -> dict[str, Any]:
    if "description" in field or "$ref" not in field:
        return field
    return resolved(load_schema()["definitions"][field["$ref"].removeprefix("#/definitions/")])


def test_the_readme_manifest_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "fishpipe.yaml"
    path.write_text(blocks("yaml")[0], "utf-8")
    load(path)
    assert disagreement(path) is None


def test_the_second_manifest_of_the_readme_is_valid_too(tmp_path: Path) -> None:
    whole = [block for block in blocks("yaml") if "fishpipe: 1\n" in block]
    assert len(whole) == 2
    (tmp_path / "fishpipe.yaml").write_text(whole[1], "utf-8")
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "01-harbour.md").write_text("# The harbour\n\nIt was early.\n", "utf-8")
    made = load(tmp_path / "fishpipe.yaml")
    assert [problem for problem in lint(made) if problem.problem.code != "unused-voice"] == []
    assert disagreement(tmp_path / "fishpipe.yaml") is None
    assert list(load(tmp_path / "fishpipe.yaml", profiles=("draft",)).scripts) == list(made.scripts)


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*/fishpipe.yaml")), ids=lambda p: p.parent.name)
def test_the_examples_are_valid(example: Path) -> None:
    load(example)
    assert disagreement(example) is None
    schema = re.search(r"\$schema=(\S+)", example.read_text("utf-8"))
    assert schema is not None
    assert (example.parent / schema[1]).resolve() == ROOT / "schemas" / "fishpipe.schema.json"


def test_the_readme_names_the_verbs_and_the_verbs_exist(cli: Callable[..., Result]) -> None:
    table = set(re.findall(r"^\| `fishpipe (\w+)", README, re.MULTILINE))
    assert table == set(VERBS)
    for verb in VERBS:
        shown = cli(verb, "--help")
        assert shown.code == 0
        assert "fishpipe" in shown.out, f"{verb} teaches by example"
        assert "\\b" not in shown.out
        assert all(
            "fishpipe" not in line[20:] or line.strip().startswith("fishpipe") or "Usage" in line
            for line in shown.out.splitlines()
            if line.startswith("  fishpipe")
        )


def test_the_readme_commands_parse(cli: Callable[..., Result]) -> None:
    """Each fishpipe command of the README is given to the real command line, with --help behind it."""
    found = re.findall(r"(?:`|bin/|^)fishpipe ([a-z][^`\n&#]*)", "\n".join([README, *blocks("sh")]), re.MULTILINE)
    assert len(found) > 10
    for line in found:
        words = [word for word in shlex.split(line) if not word.startswith("[")]
        assert cli(*words, "--help").code == 0, line


def test_the_ci_runs_the_readmes_test_command() -> None:
    marked = re.search(r"<!-- the test command -->\n```sh\n(.*?)\n```", README, re.DOTALL)
    assert marked is not None
    assert marked[1].endswith(".venv/bin/pytest")
    assert "<!-- the test command -->" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_every_module_is_below_its_size() -> None:
    long = {p.name: n for p in (ROOT / "fishpipe").rglob("*.py") if (n := len(p.read_text("utf-8").splitlines())) > 400}
    assert long == {}


def test_the_version_is_told_without_loading_a_verb() -> None:
    code = (
        "import sys; from fishpipe.cli.main import run; run(['--version']);"
        "print([name for name in ('click', 'yaml', 'httpx', 'numpy', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"fishpipe {fishpipe.__version__}\n[]\n"


def test_a_plan_loads_no_sound_and_no_network() -> None:
    code = (
        "import sys; from fishpipe.cli.main import run; code = run(['plan', sys.argv[1]]);"
        "print([name for name in ('httpx', 'numpy', 'pydub', 'starlette', 'hibari', 'rich.progress')"
        " if name in sys.modules], code)"
    )
    example = ROOT / "examples" / "earnest" / "fishpipe.yaml"
    done = subprocess.run([sys.executable, "-c", code, str(example)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_the_schema_travels_in_the_wheel() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert build["force-include"] == {"schemas": "fishpipe/schemas"}


def test_the_schema_command_prints_it(cli: Callable[..., Result]) -> None:
    assert json.loads(cli("schema").out) == load_schema()
