"""What a verb does not need is not loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"yaml", "jinja2", "httpx", "asyncio", "numpy", "pydub", "av", "sqlite3", "rich", "jsonschema", "msgspec"}


def loaded(*arguments: str, **settings: str) -> tuple[set[str], str]:
    """The modules that a command leaves loaded, and what it says."""
    code = "try: run(sys.argv[1:])\nexcept SystemExit: pass\nprint('MODULES', *sys.modules)"
    command = [sys.executable, "-c", f"import sys; from fishpipe.cli.main import run\n{code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **settings})
    words, _, modules = done.stdout.rpartition("MODULES ")
    return set(modules.split()), words


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_loads_no_verb_and_no_library_but_click(arguments: list[str]) -> None:
    modules, words = loaded(*arguments)
    assert "make for voices" in words
    assert not HEAVY & modules
    ours = {name for name in modules if name.startswith("fishpipe")}
    assert ours <= {
        "fishpipe",
        "fishpipe.cli",
        "fishpipe.cli.main",
        "fishpipe.stamp",
        "fishpipe.seal",
        "fishpipe.files",
        "fishpipe.errors",
    }


def test_the_version_loads_nothing() -> None:
    modules, words = loaded("--version")
    assert words.startswith("fishpipe ")
    assert not (HEAVY | {"click", "json", "pathlib"}) & modules


def test_a_shell_completes_verbs_without_loading_them() -> None:
    modules, words = loaded(_FISHPIPE_COMPLETE="bash_complete", COMP_WORDS="fishpipe st", COMP_CWORD="1")
    assert words.split() == ["plain,status", "plain,store"]
    assert not HEAVY & modules
    assert not any(name.startswith("fishpipe.cli.") and name != "fishpipe.cli.main" for name in modules)


@pytest.mark.parametrize("verb", ["status", "plan", "explain"])
def test_verbs_that_only_look_load_neither_network_nor_sound(verb: str) -> None:
    Path("fishpipe.yaml").write_text(
        "fishpipe: 1\nscripts: {one: {output: a.mp3, segments: [Hello there.]}}\n", "utf-8"
    )
    modules, _ = loaded(verb, *(["one/1"] if verb == "explain" else []))
    assert not {"httpx", "asyncio", "numpy", "pydub", "av", "rich", "jsonschema", "jinja2", "regex"} & modules
