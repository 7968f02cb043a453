"""Fuzz targets: the loader, the lock, imports, decoders and answers take any bytes, and raise no error but ours.

Briefly in CI; `FISHPIPE_FUZZ=2000 pytest tests/fuzz` makes so many inputs for each target, `FISHPIPE_FUZZ_SEED` others.
"""

from __future__ import annotations

import io
import json
import os
import random
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from fishpipe.audio.decode import decode_clip, frames_of_file
from fishpipe.audio.lame import Mp3Writer
from fishpipe.errors import FishpipeError
from fishpipe.fish.answers import read_created_voice, read_outcome, read_speech, read_task
from fishpipe.fish.faults import fault, parse_object
from fishpipe.importing.read import KINDS, read_draft
from fishpipe.importing.writer import files_of
from fishpipe.lock import mended, parse_lock
from fishpipe.manifest.load import load
from tests.fuzz.mutate import mutated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
INPUTS = int(os.environ.get("FISHPIPE_FUZZ", "30"))
SEED = os.environ.get("FISHPIPE_FUZZ_SEED", "1")
# CPU seconds for one input: what any small file may cost.
MOST = 20.0


def inputs(target: str, corpus: list[bytes]) -> Iterator[bytes]:
    """The corpus itself, and then what becomes of it."""
    assert corpus
    yield from corpus
    chance = random.Random(f"{target} {SEED}")
    for _ in range(INPUTS):
        yield mutated(chance.choice(corpus), chance, corpus)


def check(target: str, corpus: list[bytes], judge: Callable[[bytes], object]) -> None:
    """Each input ends in a value or in an error of ours, within the time that it may take."""
    for number, data in enumerate(inputs(target, corpus)):
        began = time.process_time()
        try:
            with suppress(FishpipeError):
                judge(data)
        except BaseException:
            Path(f"/tmp/fishpipe-fuzz-{target}-{number}").write_bytes(data)
            raise
        assert time.process_time() - began < MOST, (target, number)


def corpus(folder: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((HERE / "corpus" / folder).iterdir())]


def test_manifests(tmp_path: Path) -> None:
    files = sorted((ROOT / "examples").glob("*/fishpipe.yaml"))
    files += sorted((ROOT / "tests/golden/broken").glob("*/*.yaml"))
    Path("more.yaml").write_text("vars: {x: 1}\n")
    Path("a.md").write_text("# One\n\nWords.\n")

    def judge(data: bytes) -> None:
        Path("fishpipe.yaml").write_bytes(data)
        load(Path("fishpipe.yaml"))

    check("manifest", [data for path in files if len(data := path.read_bytes()) < 20_000], judge)


def test_text_files() -> None:
    Path("fishpipe.yaml").write_text(
        "fishpipe: 1\nscripts: {one: {output: a.mp3, segments: [{text_file: a.md, footnotes: end, code: speak}]}}\n"
    )

    def judge(data: bytes) -> None:
        Path("a.md").write_bytes(data)
        load(Path("fishpipe.yaml"))

    check("text", [*corpus("import"), *(path.read_bytes() for path in (ROOT / "examples/book").rglob("*.md"))], judge)


def test_locks() -> None:
    def judge(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        mended(text, "fishpipe.lock")
        lock = parse_lock(text, "fishpipe.lock")
        assert parse_lock(lock.text, "again").entries.keys() == lock.entries.keys()
        assert all(isinstance(take, int) for take in lock.pins.values())

    check("lock", corpus("lock"), judge)


def epub(body: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("META-INF/container.xml", '<container><rootfile full-path="o.opf"/></container>')
        item = '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
        book.writestr("o.opf", f'<package><manifest>{item}</manifest><spine><itemref idref="a"/></spine></package>')
        book.writestr("a.xhtml", body)
    return file.getvalue()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "fountain"])
def test_imports(kind: str) -> None:
    def judge(data: bytes) -> None:
        Path("a").write_bytes(epub(data) if kind == "epub" else data)
        files_of(read_draft(Path("a"), kind))  # type: ignore[arg-type]

    check(f"import-{kind}", corpus("import"), judge)


def test_books_as_files() -> None:
    def judge(data: bytes) -> None:
        Path("a.epub").write_bytes(data)
        files_of(read_draft(Path("a.epub")))

    check("epub", [epub(b"<html><body><h1>One</h1><p>Words.</p></body></html>")], judge)


def mp3() -> bytes:
    file = io.BytesIO()
    writer = Mp3Writer(file, 44100, 1, 128)
    writer.write(np.rint(np.sin(np.arange(20_000) / 20) * 9000).astype("<i2").tobytes())
    writer.close()
    return file.getvalue()


def test_clips() -> None:
    check("clip", [mp3()], lambda data: (decode_clip(data, "mp3", 44100), decode_clip(data, "mp3", 44100, wide=True)))


@pytest.mark.parametrize("kind", ["wav", "flac", "aiff", "m4a", "caf", "mp3", "ogg"])
def test_sounds(kind: str) -> None:
    from tests.attacks.test_sounds import sound

    whole = sound(Path(f"whole.{kind}"), 0.2)

    def judge(data: bytes) -> None:
        Path(f"a.{kind}").write_bytes(data)
        frames_of_file(Path(f"a.{kind}"))

    check(f"sound-{kind}", [whole], judge)


def test_answers() -> None:
    def judge(data: bytes) -> None:
        response = httpx.Response(200, content=data)
        for read in (read_speech, read_created_voice, lambda each: fault(each, 0.0)):
            with suppress(FishpipeError):
                read(response)
        found = parse_object(response) or {}
        read_task(found)
        read_outcome(found, None, None)

    whole = [json.dumps(json.loads(data)).encode() for data in corpus("answers")]
    check("answers", whole, judge)
