"""Small files that stand for a great deal: told with the place that spends it, in bounded time and memory."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[..., Path]

HEAD = "fishpipe: 1\nprovider: sandbox\n"
# CPU seconds, and bytes of memory: what any small file may cost.
SECONDS, MEMORY = 20, 1_000_000_000


def judged(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command within its limits."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY + (300 << 20), MEMORY + (300 << 20)))

    return subprocess.run(
        [sys.executable, "-m", "fishpipe", *arguments], capture_output=True, text=True, check=False, preexec_fn=limit
    )


def values(count: int) -> str:
    return f"[{', '.join(map(str, range(count)))}]"


def nested(levels: int) -> str:
    lines = [f"{HEAD}scripts:\n  s0: {{segments: [Hello there you.]}}\n"]
    for level in range(1, levels):
        inner = ", ".join(f"{{script: s{level - 1}}}" for _ in range(10))
        lines.append(f"  s{level}: {{output: {level}.mp3, segments: [{inner}]}}\n")
    return "".join(lines)


def loops(levels: int, count: int, then: str = 'text: "{{ item }} of them"') -> str:
    lines = [f"{HEAD}vars: {{v: {values(count)}}}\nscripts:\n  one:\n    output: a.mp3\n    segments:\n"]
    indent = "      "
    for _ in range(levels):
        lines.append(f'{indent}- for_each: "{{{{ v }}}}"\n{indent}  segments:\n')
        indent += "    "
    return "".join([*lines, *(f"{indent}- {then}\n" for _ in range(100))])


BOMBS = {
    "inclusions": nested(9),
    "loops": loops(3, 60),
    "loops of nothing": loops(4, 90, "{when: false, text: x}"),
    "matrix": f"{HEAD}scripts:\n" + "".join(
        f"  s{n}: {{matrix: {{a: {values(99)}, b: {values(99)}}}, output: 'x{n}-{{{{ matrix.a }}}}-{{{{ matrix.b }}}}.mp3',"
        " segments: [A line.]}\n" for n in range(20)
    ),
    "excluded matrix": f"{HEAD}scripts:\n  one:\n    matrix:\n      a: {values(99)}\n      b: {values(99)}\n      exclude: ["
    + ", ".join("{a: 1000}" for _ in range(3000)) + "]\n    output: '{{ matrix.a }}.mp3'\n    segments: [A line.]\n",
    "with": f"{HEAD}vars: {{v: {values(99)}, big: '{'x' * 500_000}'}}\nscripts:\n  inner: {{segments: ['{{{{ a }}}}']}}\n"
    "  one:\n    output: a.mp3\n    segments:\n      - for_each: '{{ v }}'\n        segments:\n          - for_each: '{{ v }}'\n"
    "            segments:\n              - {script: inner, with: {a: '{{ big ~ item ~ index }}'}}\n",
    "templates": f"{HEAD}vars: {{v: {values(99)}, big: '{'x' * 900_000}'}}\nscripts:\n  one:\n    output: a.mp3\n    segments:\n"
    "      - for_each: '{{ v }}'\n        segments:\n          - {for_each: '{{ v }}', when: \"(big ~ item) == 'y'\", text: x}\n"
    "          - {for_each: '{{ v }}', text: '{{ big }}'}\n",
    "expression": f"{HEAD}scripts: {{one: {{output: a.mp3, segments: ['{{{{ {' + '.join(['1'] * 60_000)} }}}}']}}}}\n",
    "lexicon": f"{HEAD}lexicon:\n" + "".join(f"  word{n}: other\n" for n in range(30_000))
    + f"vars: {{v: {values(200)}}}\nscripts:\n  one:\n    output: a.mp3\n    segments:\n      - for_each: '{{{{ v }}}}'\n"
    "        segments:\n          - {for_each: '{{ v }}', text: 'Line {{ item }} and {{ index }}.'}\n",
    "pattern": f"{HEAD}lexicon:\n  '/(((a{{1,999}}){{1,999}}){{1,999}})/': b\n"
    "scripts: {one: {output: a.mp3, segments: [aaaa]}}\n",
    "long pattern": f"{HEAD}lexicon:\n  '/{'(a|b)' * 20_000}/': b\nscripts: {{one: {{output: a.mp3, segments: [aaaa]}}}}\n",
    "aliases": f"{HEAD}x-a: &a [x, x, x, x, x, x, x, x]\nx-b: &b [*a, *a, *a, *a, *a, *a, *a]\nx-c: &c [*b, *b, *b, *b, *b]\n"
    "x-d: &d [*c, *c, *c, *c, *c, *c, *c]\nvars: {v: [*d, *d, *d, *d, *d, *d, *d, *d]}\n"
    "scripts: {one: {output: a.mp3, segments: [x]}}\n",
}  # fmt: skip


@pytest.mark.parametrize("what", BOMBS)
def test_a_small_manifest_takes_little(what: str, write: Write) -> None:
    Path("fishpipe.yaml").write_text(BOMBS[what])
    done = judged("plan")
    assert done.returncode == 3, (done.returncode, done.stderr[-500:])
    assert done.stderr.startswith("fishpipe.yaml:")
    assert len(done.stderr) < 100_000


TEXTS = {
    "comments in words": "a <!-- ", "instructions": "a <?x ", "tags": "x <a ",
    "brackets": "[", "links": "[a](", "images": "![", "notes": "[^1]", "angles": "[a](<b",
    "tables": "|a|\n|-|\n", "ticks": "`a``", "spaces": "a" + " " * 5000,
    "cdata": "a <![CDATA[ ",
}  # fmt: skip


@pytest.mark.parametrize(("what", "kind"), [*((what, "md") for what in TEXTS), ("links", "txt"), ("ticks", "txt")])
def test_a_text_takes_a_time_that_grows_with_its_length(what: str, kind: str) -> None:
    text = TEXTS[what]
    Path(f"a.{kind}").write_text(text * (80_000 // len(text)))
    Path("fishpipe.yaml").write_text(
        f"{HEAD}scripts: {{one: {{output: a.mp3, segments: [{{text_file: a.{kind}}}]}}}}\n"
    )
    done = judged("validate")
    assert done.returncode in (0, 3), (done.returncode, done.stderr[-500:])


def test_a_paragraph_without_end_is_told_with_its_line() -> None:
    Path("a.md").write_text("One.\n\nTwo.\n\n" + "[a](" * 200_000)
    Path("fishpipe.yaml").write_text(f"{HEAD}scripts: {{one: {{output: a.mp3, segments: [{{text_file: a.md}}]}}}}\n")
    done = judged("validate")
    assert done.returncode == 3
    assert done.stderr.startswith("a.md:5:1: a paragraph of more than 400,000 characters")


@pytest.mark.parametrize("name", ["fishpipe.yaml", "more.yaml", "a.md", "a.wav", "fishpipe.lock", ".env"])
def test_a_pipe_is_not_waited_for(name: str) -> None:
    import os

    Path("fishpipe.yaml").write_text(
        f"{HEAD}include: more.yaml\nscripts: {{one: {{output: a.mp3, segments: [{{text_file: a.md}}, {{audio: a.wav}}]}}}}\n"
    )
    Path("more.yaml").write_text("vars: {x: 1}\n")
    Path("a.md").write_text("Words.\n")
    Path("a.wav").write_bytes(b"")
    Path(name).unlink(missing_ok=True)
    os.mkfifo(name)
    done = judged("plan")
    assert done.returncode in (1, 2, 3), done
    assert "Traceback" not in done.stderr
