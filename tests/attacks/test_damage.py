"""Damage on the disk, and streams that take nothing: told in words, with what to do, and nothing is paid again."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    scripts:
      one: {output: one.mp3, segments: [{text: The first line.}, {text: The second line.}]}
    """


def test_noise_in_the_ledger_is_told_and_pays_for_nothing(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    whole = Path(".fishpipe/ledger.db").read_bytes()
    told = 0
    for seed in range(12):
        chance = random.Random(seed)
        noise = bytearray(whole)
        for _ in range(chance.choice([1, 20, 500])):
            noise[chance.randrange(chance.choice([100, 4096, len(noise)]))] = chance.randrange(256)
        size = chance.choice([len(noise), len(noise), chance.randrange(len(noise))])
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", "stamp"):
            Path(".fishpipe", name).unlink(missing_ok=True)
        Path(".fishpipe/ledger.db").write_bytes(noise[:size])
        for verb in ("plan", "status", "spend", "build"):
            done = cli(verb)
            assert done.code in (0, 1), (seed, verb, done)
            if done.code:
                told += 1
                assert "ledger" in done.err, (seed, done)
        assert len(service.usage()) == 2, seed
    assert told
    for path in Path(".fishpipe").glob("ledger*"):
        path.unlink()
    assert cli("build").code == 0
    assert len(service.usage()) == 2


def test_what_is_told_of_a_damaged_ledger_is_what_helps(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    Path(".fishpipe/ledger.db").write_bytes(b"no ledger at all" * 1000)
    done = cli("build")
    assert done.code == 1
    command = done.err.partition("build again: ")[2].partition(" . Clips")[0] + " ."
    assert command.startswith("mkdir ")
    subprocess.run(command.removesuffix(" ."), shell=True, check=True)
    assert cli("build").code == 0
    assert len(service.usage()) == 2


@pytest.mark.parametrize("noise", [b"\0" * 100, b"\xff\xfe", b"{}", b'{"clip": 1}', b"[" * 100_000, b'{"lock": 1e999}'])
def test_a_damaged_lock_is_told_with_its_line_and_the_cure(
    noise: bytes, cli: Cli, write: Write, service: Service
) -> None:
    write(SHOW)
    assert cli("build").code == 0
    whole = Path("fishpipe.lock").read_bytes()
    Path("fishpipe.lock").write_bytes(whole + noise + b"\n")
    done = cli("build", "-B")
    assert done.code == 3
    assert "fishpipe.lock:" in done.err
    assert cli("lock", "--merge").code in (0, 3)
    assert len(service.usage()) == 2


def test_calls_that_may_have_been_charged_are_in_the_sums(
    cli: Cli, write: Write, point: Callable[..., Service]
) -> None:
    service = point(fault_rate=1.0, faults=("drop",))
    write(SHOW)
    assert cli("build", "-k", "--in-doubt", "skip").code == 1
    data = cli("spend", "--json").data
    assert data["total"]["calls"] == len(service.usage())
    assert data["total"]["in_doubt"] == data["total"]["calls"] > 0
    assert data["total"]["usd"] > 0


RUN = [sys.executable, "-m", "fishpipe"]


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&- <&-", ">/dev/full", "2>/dev/full", "| true"])
@pytest.mark.parametrize("verb", ["plan", "build --json", "nonsense"])
def test_a_stream_that_takes_nothing_ends_in_no_traceback(
    streams: str, verb: str, write: Write, service: Service
) -> None:
    write(SHOW)
    command = f"{shlex.join(RUN)} {verb} {streams} ; echo code ${{PIPESTATUS[0]}} >code"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    code = int(Path("code").read_text().split()[1])
    assert "Traceback" not in done.stdout + done.stderr
    assert "internal error" not in done.stderr
    assert code in ((2,) if verb == "nonsense" else (0, 1)), done
    if verb.startswith("build"):
        assert len(service.usage()) == 2, "the work is done all the same"


def epub(body: str) -> None:
    container = '<container><rootfiles><rootfile full-path="o.opf"/></rootfiles></container>'
    item = '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
    about = "<metadata><dc:title>{{ evil }}</dc:title><dc:creator>{% x %}</dc:creator></metadata>"
    package = f'<package>{about}<manifest>{item}</manifest><spine><itemref idref="a"/></spine></package>'
    with zipfile.ZipFile("book.epub", "w") as book:
        for name, text in (("META-INF/container.xml", container), ("o.opf", package), ("a.xhtml", body)):
            book.writestr(name, text)


BODIES = {
    "declaration": "<html><body><p>Words.</p><![</body></html>",
    "odd declaration": "<html><body><p>Words.</p><![if x]><!ELEMENT <![CDATA[ </body></html>",
    "comments": "<html><body><p>Words.</p>" + "<!-- " * 60_000 + "</body></html>",
    "tags": "<html><body><p>Words.</p>" + "<a " * 60_000 + "</body></html>",
    "quotes": "<html><body><p>Words.</p>" + '<a b="' * 60_000 + "</body></html>",
    "deep": "<html><body><p>Words.</p>" + "<div>" * 20_000 + "x",
    "entities": "<html><body><p>Words.</p>" + "&#x110000;&#0;&#xd800;" * 1000,
}


@pytest.mark.parametrize("what", BODIES)
def test_a_broken_book_is_an_error_or_a_project(what: str, cli: Cli) -> None:
    epub(BODIES[what])
    done = cli("import", "book.epub", "made")
    assert done.code in (0, 2), done
    if done.code == 0:
        assert cli("validate", "made").code == 0, "titles that look like templates are titles"
        assert "{ {" in Path("made/fishpipe.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.ass", "[Script Info]\n[Events]\nFormat: Start\nDialogue: x\nDialogue: 0,a:b:c,d\n"),
        ("a.ass", "[V4+ Styles]\nFormat: Name, Fontsize\nStyle: A\n[Events]\nDialogue: ,,,,\n"),
        ("a.ass", "[Fonts]\n" + "x" * 1000),
        ("a.srt", "1\n99999999999999999999:00:00,000 --> 00:00:00,000\nHi.\n"),
        ("a.vtt", "WEBVTT\n\n00:00.000 --> x\nHi.\n"),
        ("a.json", "[" * 100_000),
        ("a.json", '{"a": 1e999}'),
        ("a.fountain", "\0\n@\n(\n"),
        ("a.md", "---\na: &a [*a]\n---\n"),
        ("a.txt", "\x00\x01\x02"),
    ],
)
def test_a_broken_text_is_an_error_or_a_project(name: str, text: str, cli: Cli) -> None:
    Path(name).write_text(text)
    assert cli("import", name, "made").code in (0, 2, 3)


def test_a_pipe_is_no_text_to_import(cli: Cli) -> None:
    os.mkfifo("a.epub")
    assert cli("import", "a.epub").code == 2


@pytest.mark.parametrize("pattern", ["a**", "**", "[", "a/**/b", "../../*.md", "*" * 300, "\u202e*.md"])
def test_an_odd_pattern_of_text_files_is_told_with_its_place(pattern: str, cli: Cli, write: Write) -> None:
    write(f"fishpipe: 1\nscripts: {{one: {{output: a.mp3, segments: [{{text_file: '{pattern}'}}]}}}}\n")
    done = cli("validate")
    assert done.code == 3
    assert "fishpipe.yaml:2:" in done.err


def test_a_state_that_cannot_be_written_is_told(cli: Cli, write: Write, service: Service) -> None:
    write(SHOW)
    assert cli("build").code == 0
    shutil.rmtree(".fishpipe")
    Path(".fishpipe").write_text("a file")
    for verb in ("plan", "build"):
        assert cli(verb).code in (0, 1)
