"""Which addresses may be followed: http(s) only, and plain http only where the API itself is spoken to so."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import httpx

from fishpipe.errors import ConfigurationError, LinkExpired
from fishpipe.fish.hosts import is_loopback

MOST_REDIRECTS: Final = 5


class Links:
    """The rules for one API: redirects are bounded, and never lead from https down to http."""

    def __init__(self, base_url: str) -> None:
        self._plain_allowed = httpx.URL(base_url).scheme == "http"

    def parsed(self, url: str) -> httpx.URL:
        """A link that can be asked for; one of plain http is asked for by https. Raises LinkExpired."""
        try:
            link, parts = httpx.URL(url), urlsplit(url)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except (httpx.InvalidURL, ValueError, TypeError):
            fits = False
        if not fits or not url.isprintable() or " " in url:
            raise LinkExpired(f"the service gave a link that cannot be followed: {url[:100]!r}")
        return link if self._may_be_plain(link) else link.copy_with(scheme="https")

    def redirected(self, response: httpx.Response, hops: int) -> httpx.URL | None:
        """Where an answer leads; None where it is no redirect.

        Raises ConfigurationError where that is not followed: another link of the service would lead the same way.
        """
        if response.next_request is None:
            return None
        target = response.next_request.url
        if hops >= MOST_REDIRECTS:
            raise ConfigurationError(f"the link to the audio leads through more than {MOST_REDIRECTS} redirects")
        if target.scheme not in ("http", "https") or not 0 < (target.port or 80) < 65536:
            raise ConfigurationError(f"the link to the audio leads to {str(target)[:100]!r}, which is not followed")
        if target.scheme == "http" and (response.url.scheme == "https" or not self._may_be_plain(target)):
            what = f"leads down from https to http ({target.host}), which is not followed"
            raise ConfigurationError(f"the link to the audio {what}")
        return target

    def _may_be_plain(self, link: httpx.URL) -> bool:
        return link.scheme == "https" or self._plain_allowed or is_loopback(str(link))
