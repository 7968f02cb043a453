"""Audio by its link: streamed to a part, whole, flushed to disk. No token goes along."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from fishpipe.errors import LinkExpired, StoreError, TransientError
from fishpipe.fish.hosts import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 1 << 30
_TIMEOUT: Final = httpx.Timeout(30.0, connect=20.0, pool=None)
_DEAD: Final = {401, 403, 404, 410}


class HttpDownloads:
    """The runner's Downloads port. `base_url` is the API's: a sandbox on this machine may have moved its port."""

    def __init__(self, base_url: str) -> None:
        self._base = httpx.URL(base_url)
        self._http = httpx.AsyncClient(
            follow_redirects=True, max_redirects=5, trust_env=not is_loopback(base_url), timeout=_TIMEOUT
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def fetch(self, url: str, part: Path) -> int:
        """Stream `url` into `part`; returns its bytes. Raises LinkExpired or TransientError."""
        link = _parsed(url)
        try:
            return await self._fetch(url, part)
        except TransientError as error:
            moved = self._moved(url, link)
            if moved is None:
                raise
            try:
                return await self._fetch(moved, part)
            except LinkExpired:
                raise error from None

    def _moved(self, url: str, link: httpx.URL) -> str | None:
        same = (link.host, link.port) == (self._base.host, self._base.port)
        if same or not (is_loopback(url) and is_loopback(str(self._base))):
            return None
        return str(link.copy_with(scheme=self._base.scheme, host=self._base.host, port=self._base.port))

    async def _fetch(self, url: str, part: Path) -> int:
        try:
            async with self._http.stream("GET", url) as response:
                if response.status_code in _DEAD:
                    raise LinkExpired("the link to the audio is dead", status=response.status_code)
                if response.status_code != 200:
                    raise TransientError("the audio could not be fetched", status=response.status_code)
                kind = response.headers.get("content-type", "")
                if kind.startswith(("text/html", "application/json")):
                    raise TransientError(f"{kind.partition(';')[0]} came instead of audio", status=response.status_code)
                return await self._write(response, part)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransientError(f"the download broke: {str(error) or type(error).__name__}") from error

    @staticmethod
    async def _write(response: httpx.Response, part: Path) -> int:
        size = 0
        try:
            with part.open("wb") as file:
                async for chunk in response.aiter_bytes(1 << 16):
                    size += len(chunk)
                    if size > MAX_BYTES:
                        raise LinkExpired("the audio is larger than 1 GiB")
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"{part} cannot be written: {error.strerror}") from error
        if size == 0:
            raise TransientError("the audio is empty")
        return size


def _parsed(url: str) -> httpx.URL:
    """A link that can be asked for. Raises LinkExpired for one that cannot."""
    try:
        link, parts = httpx.URL(url), urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (httpx.InvalidURL, ValueError, TypeError):
        fits = False
    if not fits or not url.isprintable() or " " in url:
        raise LinkExpired(f"the service gave a link that cannot be followed: {url[:100]!r}")
    return link
