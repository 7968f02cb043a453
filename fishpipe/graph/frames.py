"""All of a call but its words: lines that are spoken alike differ in one place of their record. Pure.

The canonical JSON around the text is made once for all of them, so that a line's fingerprint costs one digest.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from fishpipe.graph.fingerprints import (
    Fingerprint,
    canonical,
    clip_record,
    fingerprint,
    request_body,
    with_take,
)
from fishpipe.manifest.alike import canonical_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fishpipe.graph.steps import Realm
    from fishpipe.manifest.model import Settings, Voice

# Stands for any text in a record.
_ANY: Final = "\ue000"


class Frame(Struct, frozen=True, kw_only=True, dict=True):
    """How lines are spoken; `created` and `made` are the voices' fingerprints, as in `clip_record`."""

    settings: Settings
    voices: tuple[Voice, ...] = ()
    realm: Realm
    created: Mapping[str, Fingerprint] = field(default_factory=dict)
    made: Mapping[str, Fingerprint] = field(default_factory=dict)

    def record(self, text: str, take: int = 1) -> Mapping[str, Any]:
        """What is heard of a text."""
        record = clip_record(text, self.settings, self.voices, self.realm, self.created, self.made)
        return with_take(record, take)

    def body(self, text: str) -> Mapping[str, Any]:
        """The fields of the request that are heard, without the voice."""
        return request_body(text, self.settings)

    @cached_property
    def _around(self) -> list[bytes]:
        return canonical(self.record(_ANY)).split(f'"{_ANY}"'.encode())

    def key(self, text: str) -> Fingerprint:
        """The fingerprint of a text that is spoken so, at its first take."""
        around = self._around
        if len(around) != 2:
            return fingerprint(self.record(text))
        # Strings of RFC 8785 are written as the standard library writes them.
        words = encode_basestring(canonical_text(text)).encode()
        return Fingerprint(sha256(words.join(around)).hexdigest())

    def at_take(self, text: str, take: int) -> Fingerprint:
        """The fingerprint of its `take`-th rendering."""
        return self.key(text) if take == 1 else fingerprint(self.record(text, take))
