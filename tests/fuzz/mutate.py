"""Mutations of small inputs: seeded, so that what was found is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

# What parsers trip over: markup, references, numbers, signs.
TOKENS = (
    *(b"{{ ", b" }}", b"{% x %}", b"{#", b"*a", b"&a ", b"<<: ", b"!!python/object", b"---\n", b"|", b">", b"'", b'"'),
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b": ",
        b"- ",
        b"\n",
        b"\t",
        b"\0",
        b"\x1b[31m",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xe2\x80\xae",
    ),
    *(b"9" * 400, b"-1", b"1e999", b".nan", b"0x", b"1_000", b"null", b"true", b"~", b"..", b"/", b"../" * 20, b"**"),
    *(b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?", b"&#x110000;", b"&lt;", b"<a ", b"</p>", b"](", b"```", b"[^1]"),
    *(
        b"for_each: ",
        b"include: ",
        b"matrix: ",
        b"text_file: ",
        b"script: ",
        b"when: ",
        b"segments: ",
        b"voice: ",
        b"with: ",
    ),
)


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """One to eight changes: bytes turned, tokens put in, stretches dropped, doubled, moved, or another input's."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(made) + 1)
        end = min(len(made), at + chance.choice([1, 4, 30, 300]))
        match chance.randrange(6):
            case 0 if made:
                made[min(at, len(made) - 1)] = chance.randrange(256)
            case 1:
                made[at:at] = chance.choice(TOKENS)
            case 2:
                del made[at:end]
            case 3:
                made[at:at] = made[at:end] * chance.choice([1, 2, 50])
            case 4:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                made[at:at] = other[start : start + chance.choice([10, 100, 1000])]
            case _:
                place = chance.randrange(len(made) + 1)
                made[place:place] = made[at:end]
    return bytes(made[:200_000])
