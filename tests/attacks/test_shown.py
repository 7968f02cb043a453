"""What is shown is text: of names, words, paths and answers, nothing is obeyed by a terminal, a runner or a reader."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishpipe.report.diffs import _escaped
from fishpipe.report.graphs import _entity, _quoted
from fishpipe.report.spending import receipts_csv
from fishpipe.shown import as_name, one_line, shown, without_commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff]")


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert not ODD.search(shown(text))
    assert "\n" not in one_line(text)
    assert "\n" not in as_name(text)
    assert shown(shown(text)) == shown(text)
    assert json.loads(shown(json.dumps(text, ensure_ascii=False))) == text
    assert not re.search(r"^\s*::|##\[", without_commands(text), re.MULTILINE)


@given(st.text(st.characters(codec="utf-8")))
def test_ordinary_words_are_shown_as_they_are(text: str) -> None:
    plain = "".join(char for char in text if char.isprintable())
    assert as_name(plain) == plain or ODD.search(plain)


def test_a_manifest_shows_no_escape_and_no_command(
    cli: Cli, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    write("""
        fishpipe: 1
        project: {title: "::error::a title"}
        defaults: {voice: "no\u202ebody"}
        scripts:
          "::warning::x\u202e": {output: "out/\u200f.mp3", segments: [{text: "##[error]words \u202e of it"}]}
    """)
    for command in (["plan"], ["validate"], ["build"], ["status"], ["explain", "x"], ["lint"], ["graph"]):
        done = cli(*command)
        assert done.code != 70, done
        for line in (done.out + done.err).splitlines():
            assert not ODD.search(line), line
            assert not line.lstrip().startswith("::"), line
            assert "##[" not in line, line


def test_annotations_are_still_commands(cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    write("fishpipe: 1\nscripts: {one: {segments: [{text: x, odd: 1}]}}\n")
    assert cli("validate", "--format", "github").out.startswith("::error file=fishpipe.yaml")


def test_a_file_whose_name_has_lines_begins_none(cli: Cli, write: Write) -> None:
    Path("parts").mkdir()
    Path("parts/a\n::error::b.yaml").write_text("scripts: [\n")
    write("fishpipe: 1\ninclude: parts\nscripts: {one: {segments: [{text: x}]}}\n")
    done = cli("validate")
    assert done.code == 3
    assert not any(line.startswith("::") for line in done.err.splitlines())
    assert "parts/a\\u000a::error::b.yaml:" in done.err


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "＝"])
def test_a_cell_is_no_formula(begin: str) -> None:
    words = dict.fromkeys(("address", "voice", "model", "task_id"), f"{begin}1+cmd|' /C calc'!A0/1")
    fixed = {"at": 0.0, "kind": "clip", "realm": "acedata", "bytes": 1, "usd": 0.1, "trace_id": None, "take": 1}
    receipt = {**fixed, **words, "fingerprint": "0"}
    rows = list(csv.reader(io.StringIO(receipts_csv([receipt], ()))))
    assert not any(cell[:1] in "=+-@\t＝" for cell in rows[1] if cell)


def test_markdown_mentions_nobody_and_links_nowhere() -> None:
    text = _escaped("@team #12 GH-3 https://evil.example.com www.evil.example.com <img src=x> [a](b) &#64;x `c` | d")
    for sign in ("@team", "#12", "GH-3", "https:", "www.", "&#64;", " <img", " [a]", " `c", " | "):
        assert sign not in text, sign


def test_labels_of_graphs_stay_labels() -> None:
    label = 'a"]; click x href "javascript:alert(1)" %%{init}%%\n#quot;<b>'
    assert "\n" not in _quoted(label) + _entity(label)
    inner = _entity(label)[1:-1]
    assert not set('"[];<>%{}()') & set(re.sub(r"#\d+;", "", inner))
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', _quoted(label))
