"""Hosts: which are this machine, and which are nobody's business of a link's."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

# IPv6 addresses that stand for IPv4 ones behind a translator (RFC 6052).
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine: such hosts make the realm `loopback`, and may be spoken to without TLS."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet: not of this machine, of a local network, or of no host at all."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if ip in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def is_address(host: str) -> bool:
    """Whether a host is written out as an IP address."""
    try:
        is_public(host)
    except ValueError:
        return False
    return True
