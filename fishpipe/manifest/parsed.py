"""Files as they were parsed, kept by their digest, so that of many includes only those that changed are read as YAML.

The nodes lie in MessagePack, which holds data and runs nothing, in ``.fishpipe/parsed``: derived, and read only where
the key and the seal are right. Small files are read as fast as they are looked up, and one that is very large is mostly
one that changes: both are left alone. So is a file with a number that is written otherwise than it would be (`1.50`):
its spelling would be lost.
"""

from __future__ import annotations

import functools
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from fishpipe import __version__
from fishpipe.files import read_plain
from fishpipe.manifest import source
from fishpipe.manifest.nodes import Listing, Mapping, Node, Scalar
from fishpipe.seal import is_sealed, seal

if TYPE_CHECKING:
    from pathlib import Path

    from fishpipe.errors import Problem

# Raise it when the same text is parsed to other nodes.
FORMAT: Final = 2
_SEAL: Final = 20
_MOST_BYTES: Final = 256 << 20
# Characters of the files that are kept.
SMALLEST: Final = 16_000
LARGEST: Final = 4_000_000


class Parser:
    """Parses files, with a `folder` of some that were parsed before; `fresh` are those that may be kept there."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.fresh: dict[str, Node] = {}

    def parse(self, text: str, file: str) -> tuple[Node | None, list[Problem]]:
        """Text → its root node, and all problems of syntax, as :func:`fishpipe.manifest.source.parse` has them."""
        if self._folder is None or not SMALLEST <= len(text) <= LARGEST:
            return source.parse(text, file)
        key = sha256(f"{FORMAT} {__version__} {file}\n{text}".encode()).hexdigest()
        known = _read(self._folder, key)
        if known is not None:
            return known, []
        node, problems = source.parse(text, file)
        if node is not None and not problems:
            self.fresh[key] = node
        return node, problems


def kept(key: str, node: Node) -> bytes | None:
    """What is kept of a node, behind its seal; None for one that would not be the same again, or cannot be sealed."""
    data = packed(node)
    found = seal(f"parsed {key}", data) if data is not None else ""
    return bytes.fromhex(found) + data if found and data is not None else None


def packed(node: Node) -> bytes | None:
    """A node in MessagePack; None for one that would not be the same again."""
    try:
        return msgspec.msgpack.encode(node, enc_hook=_plain) if _is_same_again(node) else None
    except OverflowError:
        return None


def _plain(number: object) -> int | float:
    """A number without its spelling."""
    return int(number) if isinstance(number, int) else float(str(number))


def _is_same_again(node: Node) -> bool:
    waiting: list[Node] = [node]
    while waiting:
        match waiting.pop():
            case Scalar(value=value, raw=raw):
                if isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) != raw:
                    return False
            case Listing(items=items):
                waiting += items
            case Mapping(entries=entries):
                for pair in entries:
                    waiting += pair
    return True


def _read(folder: Path, key: str) -> Node | None:
    try:
        data = read_plain(str(folder / key), _MOST_BYTES, links=False)
        is_ours = is_sealed(f"parsed {key}", data[_SEAL:], data[:_SEAL].hex())
        return _decoder().decode(data[_SEAL:]) if is_ours else None
    except (OSError, msgspec.DecodeError, RecursionError):
        return None


@functools.cache
def _decoder() -> msgspec.msgpack.Decoder[Node]:
    return msgspec.msgpack.Decoder(Node)
