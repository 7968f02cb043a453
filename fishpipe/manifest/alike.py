"""Lines that are spoken as one before them: what they are known by, and what they share, which is made once."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from fishpipe.manifest import nodes
from fishpipe.manifest.cascade import EDITS, SETTINGS
from fishpipe.manifest.nodes import Scalar
from fishpipe.manifest.speaking import is_marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fishpipe.errors import Span
    from fishpipe.manifest.model import Edits, Settings, Voice

VOICES: Final = ("voice", "voice_id", "reference_id", "references")
WORDS_ALONE: Final = frozenset({"text", "id", "chapter", "caption"})
# What lines can be known by that are spoken alike.
_KNOWN_BY: Final = frozenset({*SETTINGS, *EDITS, "voice", "cast"})


class Said(Struct, frozen=True, kw_only=True):
    """What lines that differ in their words alone share; `places` lack what stands at the line itself."""

    voices: tuple[Voice, ...]
    settings: Settings
    edits: Edits
    places: Mapping[str, Span]
    most: int


# What a line of words alone is known by.
NOTHING: Final = ("",)


def canonical_text(text: str) -> str:
    """The words as they are hashed and sent: NFC, outer white space stripped."""
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def signature(own: Sequence[tuple[str, nodes.Node]]) -> tuple[Any, ...]:
    """What a line says besides its words, as a key; empty where that is nothing to be known by."""
    parts: list[Any] = [""]
    for raw, node in own:
        if isinstance(node, Scalar) and raw in _KNOWN_BY:
            parts += (raw, node.raw, type(node.value))
        elif raw == "prosody" and isinstance(node, nodes.Mapping):
            parts += [(name, value.raw, type(value.value)) for name, _, value in node if isinstance(value, Scalar)]
        else:
            return ()
    return tuple(parts)


def own_places(own: Sequence[tuple[str, nodes.Node]]) -> dict[str, Span]:
    """Where a line itself has its settings."""
    places: dict[str, Span] = {}
    for raw, node in own:
        if raw == "voice":
            places |= dict.fromkeys(VOICES, node.span)
        elif raw == "prosody" and isinstance(node, nodes.Mapping):
            places |= {name: value.span for name, _, value in node}
        elif raw in SETTINGS:
            places[raw] = node.span
    return places


def is_plain(words: str) -> bool:
    """Whether a text is words alone: sent and shown as it stands, and nothing in it to be told of."""
    return bool(words) and not (is_marked(words) or "]" in words or "fishpipe:" in words)
