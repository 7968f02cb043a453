"""Audio by its link: streamed to a part, whole, flushed to disk. No token goes along."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Literal

import httpx

from fishpipe.errors import LinkExpired, StoreError, TransientError
from fishpipe.files import no_follow
from fishpipe.fish.hosts import is_loopback
from fishpipe.fish.links import Links
from fishpipe.graph.fingerprints import Digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MAX_BYTES: Final = 256 << 20
MAX_SAMPLE: Final = 256 << 20
# A transfer that brings less than this within the stall time-out stands still.
_PROGRESS: Final = 1 << 12
_DEAD: Final = {401, 403, 404, 410}
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class _Broken:
    """A part that is not whole: what it was to be, by the host's own word (RFC 9110, If-Range)."""

    url: str
    total: int
    validator: str


class HttpDownloads:
    """The runner's Downloads port. `base_url` is the API's: a sandbox on this machine may have moved its port.

    `stall` is how many seconds a transfer may stand still. A transfer that broke goes on where it was, if the
    host allows.
    """

    def __init__(self, base_url: str, stall: float = 30.0) -> None:
        self._links = Links(base_url)
        self._stall = stall
        self._broken: dict[Path, _Broken] = {}
        self._http = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=not is_loopback(base_url),
            timeout=httpx.Timeout(stall, connect=min(20.0, stall), pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            headers={"accept-encoding": "identity", "user-agent": "fishpipe"},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def fetch(self, url: str, part: Path) -> int:
        """Stream `url` into `part`; returns its bytes. Raises LinkExpired, TransientError or StoreError."""
        link = self._links.parsed(url)
        moved = self._links.moved(link)
        try:
            return await self._fetch(moved or link, part)
        except LinkExpired as error:
            if moved is None:
                raise
            # The service of today need not be the one that gave the link.
            raise TransientError(
                f"{error.message}, at the port where the service is now", status=error.status
            ) from None

    async def digest(self, url: str) -> Digest:
        """sha256 of what `url` gives. Raises LinkExpired (also where it is larger than 256 MiB) or TransientError."""
        hashed, size = hashlib.sha256(), 0
        async with self._opened(self._links.parsed(url), {}, is_sample=True) as response:
            async for chunk in self._steady(response):
                size += len(chunk)
                if size > MAX_SAMPLE:
                    raise LinkExpired("it is larger than 256 MiB")
                hashed.update(chunk)
        return Digest(hashed.hexdigest())

    async def _fetch(self, link: httpx.URL, part: Path) -> int:
        known, start = self._resume(link, part)
        headers = {"range": f"bytes={start}-", "if-range": known.validator} if known else {}
        async with self._opened(link, headers) as response:
            kind = response.headers.get("content-type", "")
            if kind.startswith(("text/html", "application/json")):
                raise TransientError(f"{kind.partition(';')[0]} came instead of audio", status=response.status_code)
            if response.status_code == 206 and not _is_rest(response, start, known):
                raise TransientError("the host sent another piece than was asked for", status=206)
            start = start if response.status_code == 206 else 0
            self._expect(link, part, response, start)
            size = await self._write(response, part, start)
        whole = self._broken.pop(part, None)
        if whole is not None and size != whole.total:
            raise TransientError(f"the audio is of {size} bytes, and {whole.total} were promised")
        return size

    def _resume(self, link: httpx.URL, part: Path) -> tuple[_Broken | None, int]:
        """What the part was to be, and where to go on from; tried once: the next attempt begins anew."""
        known = self._broken.pop(part, None)
        size = part.stat().st_size if known is not None and part.exists() else 0
        if known is None or known.url != str(link) or not 0 < size < known.total:
            return None, 0
        return known, size

    def _expect(self, link: httpx.URL, part: Path, response: httpx.Response, start: int) -> None:
        """Remember what a whole part will be, should the transfer break."""
        length, validator = response.headers.get("content-length", ""), _validator(response)
        if length.isdigit() and validator:
            self._broken[part] = _Broken(str(link), start + int(length), validator)

    @asynccontextmanager
    async def _opened(
        self, link: httpx.URL, headers: dict[str, str], *, is_sample: bool = False
    ) -> AsyncIterator[httpx.Response]:
        """The answer behind a link and its redirects."""
        hops = 0
        try:
            while True:
                async with asyncio.timeout(self._stall) as opening:
                    way = await self._links.route(link, is_sample=is_sample)
                    asked = {**headers, **way.headers}
                    async with self._http.stream("GET", way.url, headers=asked, extensions=way.extensions) as response:
                        opening.reschedule(None)
                        target = self._links.redirected(link, response, hops)
                        if target is None:
                            _check_status(response)
                            yield response
                            return
                link, hops = target, hops + 1
        except (TimeoutError, httpx.TimeoutException) as error:
            raise TransientError(f"the download stood still for {self._stall:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, ExceptionGroup, ValueError) as error:
            raise TransientError(f"the download broke: {str(error) or type(error).__name__}") from error

    async def _steady(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The chunks of an answer. Raises TimeoutError where they come at a trickle."""
        loop = asyncio.get_running_loop()
        got, mark, by = 0, 0, loop.time() + self._stall
        chunks = response.aiter_bytes()
        while True:
            async with asyncio.timeout_at(by):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            got += len(chunk)
            if got - mark >= _PROGRESS:
                mark, by = got, loop.time() + self._stall
            yield chunk

    async def _write(self, response: httpx.Response, part: Path, start: int) -> int:
        size = start
        try:
            with _part(part, "r+b" if start else "wb") as file:
                file.seek(start)
                file.truncate()
                async for chunk in self._steady(response):
                    size += len(chunk)
                    if size > MAX_BYTES:
                        raise LinkExpired("the audio is larger than 256 MiB")
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except TimeoutError:
            raise
        except OSError as error:
            raise StoreError(f"{part} cannot be written: {error.strerror}") from error
        if size == 0:
            raise TransientError("the audio is empty")
        return size


def _part(path: Path, mode: Literal["r+b", "wb"]) -> IO[bytes]:
    return open(path, mode, opener=no_follow)


def _validator(response: httpx.Response) -> str:
    """What tells one version of a file from another, if it is strong enough to go on by (RFC 9110, 13.1.5)."""
    validator: str = response.headers.get("etag") or response.headers.get("last-modified") or ""
    return "" if validator.startswith("W/") else validator


def _is_rest(response: httpx.Response, start: int, known: _Broken | None) -> bool:
    """Whether a 206 is all of the rest that was asked for, of the same file."""
    found = _RANGE.fullmatch(response.headers.get("content-range", ""))
    if known is None or found is None:
        return False
    first, last, total = (int(number) for number in found.groups())
    return (first, last, total) == (start, known.total - 1, known.total) and _validator(response) == known.validator


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status in _DEAD:
        raise LinkExpired("the link to the audio is dead", status=status)
    if status not in (200, 206):
        raise TransientError("the audio could not be fetched", status=status)
