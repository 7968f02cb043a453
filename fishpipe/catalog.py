"""The voices at the service: queries that cost nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from fishpipe.fish.client import FishClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fishpipe.ports import VoiceInfo

T = TypeVar("T")


class Catalog:
    """The voices that one account can use. `now` gives Unix seconds."""

    def __init__(self, base_url: str, token: str, now: Callable[[], float]) -> None:
        self._base_url, self._token, self._now = base_url, token, now

    def page(self, *, own: bool, title: str, tag: str, size: int, page: int) -> tuple[int, Sequence[VoiceInfo]]:
        """How many voices fit, and one page (from 1) of them. Raises ServiceError."""
        return self._ask(lambda client: client.list_voices(own=own, title=title, tag=tag, size=size, page=page))

    def voice(self, voice_id: str) -> VoiceInfo:
        """One voice. Raises CallRefused where the service does not know it."""
        return self._ask(lambda client: client.voice(voice_id))

    def _ask(self, query: Callable[[FishClient], Awaitable[T]]) -> T:
        async def asked() -> T:
            client = FishClient(self._base_url, self._token, "wait", self._now)
            try:
                return await query(client)
            finally:
                await client.aclose()

        return asyncio.run(asked())
