"""Which service, and with which token: where these settings come from, and what may go where."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from fishpipe.errors import AuthError, ConfigurationError

DEFAULT_BASE_URL: Final = "https://api.acedata.cloud"
TOKEN_NAME: Final = "ACEDATACLOUD_API_TOKEN"  # noqa: S105  (its name)


class Setting(Struct, frozen=True, kw_only=True):
    """A value and where it comes from: `environment`, `.env`, `manifest` or `default`."""

    value: str
    origin: str

    def __repr__(self) -> str:
        return f"Setting(origin={self.origin!r})"


class Access(Struct, frozen=True, kw_only=True):
    """An API's address, and the token for it."""

    base_url: Setting
    token: Setting | None

    def check(self, need: str) -> str:
        """The token. Raises AuthError where there is none (`need` says what for), or ConfigurationError."""
        if self.token is None:
            raise AuthError(
                f"{need} a token: set {TOKEN_NAME} or add it to .env. Free draft: fishpipe build --provider sandbox"
            )
        if not (self.token.value.isascii() and self.token.value.isprintable()):
            raise AuthError(f"the token from the {self.token.origin} has characters that no token has")
        self._check_address()
        self._check_trust(self.token)
        return self.token.value

    def _check_address(self) -> None:
        from urllib.parse import urlsplit

        base = self.base_url
        try:
            parts = urlsplit(base.value)
            whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole:
            raise ConfigurationError(f"the base URL from the {base.origin} is not an address: {base.value}")

    def _check_trust(self, token: Setting) -> None:
        """A base URL that a cloned repository brings is not given a token from elsewhere.

        An address of this machine is no exception: another user's port may be behind it.
        """
        base = self.base_url
        is_usual = base.value.rstrip("/") == DEFAULT_BASE_URL
        is_said = base.origin == "environment" or (base.origin == ".env" and token.origin == ".env")
        if not (is_usual or is_said):
            raise ConfigurationError(
                f"the base URL {base.value} comes from the {base.origin}, and the token from the {token.origin}: "
                f"the token is not sent there. If you trust it: export ACEDATACLOUD_API_BASE_URL={base.value}"
            )
