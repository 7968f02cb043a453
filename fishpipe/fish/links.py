"""Which addresses may be followed: http(s) only, plain http only where the API itself is spoken to so.

None that is private, or of this machine, but the API's own (samples, which the manifest's author names, may lie on the
machine that the API is on). A name is looked up here, and what it stood for is what is asked: it cannot stand for
something else a moment later.
"""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from typing import Final
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

from fishpipe.errors import ConfigurationError, LinkExpired, TransientError
from fishpipe.fish.hosts import is_address, is_loopback, is_public
from fishpipe.shown import one_line

MOST_REDIRECTS: Final = 5
_PORTS: Final = {"http": 80, "https": 443}


class Route(Struct, frozen=True):
    """How a link is asked for: by an address in the place of the `host`, whose certificate `name` is expected."""

    url: httpx.URL
    host: str | None = None
    name: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What is added to the request."""
        return {} if self.host is None else {"host": self.host}

    @property
    def extensions(self) -> dict[str, str]:
        """What is added to the request's extensions: whose certificate is expected."""
        return {} if self.name is None else {"sni_hostname": self.name}


class Links:
    """The rules for one API: redirects are bounded, and never lead from https down to http."""

    def __init__(self, base_url: str) -> None:
        self._base = httpx.URL(base_url)
        self._plain_allowed = self._base.scheme == "http"
        # Of an API on this machine no proxy is asked.
        self._proxies = {} if is_loopback(base_url) else urllib.request.getproxies()

    def parsed(self, url: str) -> httpx.URL:
        """A link that can be asked for; one of plain http is asked for by https. Raises LinkExpired."""
        try:
            link, parts = httpx.URL(url), urlsplit(url)
            fits = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
        except (httpx.InvalidURL, ValueError, TypeError):
            fits = False
        if not fits or not url.isprintable() or " " in url:
            raise LinkExpired(f"the service gave a link that cannot be followed: {one_line(url, 100)!r}")
        return link if self._may_be_plain(link) else link.copy_with(scheme="https")

    async def route(self, link: httpx.URL, *, is_sample: bool) -> Route:
        """How to ask for a link. Raises ConfigurationError where it leads into a private network, TransientError."""
        if self._is_own(link) or (is_sample and is_loopback(str(link)) and is_loopback(str(self._base))):
            return Route(link)
        host, port = link.raw_host.decode("ascii"), link.port or _PORTS[link.scheme]
        if link.scheme in self._proxies and not urllib.request.proxy_bypass(host):
            # A proxy looks names up itself; an address that is written out is judged here.
            found = [host] if is_loopback(str(link)) or is_address(host) else []
        else:
            found = await _addresses(host, port)
        private = [address for address in found if not is_address(address) or not is_public(address)]
        if private:
            raise ConfigurationError(
                f"the link to the audio leads into a private network, or to this machine ({host}, {private[0]}), "
                "which is not followed"
            )
        if not found or host == found[0]:
            return Route(link)
        return Route(link.copy_with(host=found[0]), link.netloc.decode("ascii"), host)

    def redirected(self, link: httpx.URL, response: httpx.Response, hops: int) -> httpx.URL | None:
        """Where an answer leads from a link; None where it is no redirect.

        Raises ConfigurationError where that is not followed: another link of the service would lead the same way.
        """
        if not response.has_redirect_location:
            return None
        target = link.join(response.headers["location"])
        if hops >= MOST_REDIRECTS:
            raise ConfigurationError(f"the link to the audio leads through more than {MOST_REDIRECTS} redirects")
        if target.scheme not in _PORTS or not target.host or not 0 < (target.port or 80) < 65536:
            where = one_line(str(target), 100)
            raise ConfigurationError(f"the link to the audio leads to {where!r}, which is not followed")
        if target.scheme == "http" and (link.scheme == "https" or not self._may_be_plain(target)):
            what = f"leads down from https to http ({one_line(target.host, 100)}), which is not followed"
            raise ConfigurationError(f"the link to the audio {what}")
        return target

    def moved(self, link: httpx.URL) -> httpx.URL | None:
        """A link of an API on this machine that has moved to another port since, as it is now; None for any other."""
        if self._is_own(link) or not (is_loopback(str(link)) and is_loopback(str(self._base))):
            return None
        return link.copy_with(scheme=self._base.scheme, host=self._base.host, port=self._base.port)

    def _is_own(self, link: httpx.URL) -> bool:
        """Whether a link leads to where the API itself is."""
        ours, its = ((url.host, url.port or _PORTS.get(url.scheme)) for url in (self._base, link))
        return ours == its

    def _may_be_plain(self, link: httpx.URL) -> bool:
        return link.scheme == "https" or self._plain_allowed or is_loopback(str(link))


async def _addresses(host: str, port: int) -> list[str]:
    """What a name stands for, IPv4 first. Raises TransientError."""
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TransientError(f"the host {one_line(host, 100)} cannot be found: {error.strerror}") from error
    return sorted((str(info[4][0]) for info in infos), key=lambda address: ":" in address)
