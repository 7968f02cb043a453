"""Error answers → the error tree. Every shape that FISH's documents and proxies give, in one place.

How the uncertain points were read: 502, 504 and a 5xx that is not the platform's own JSON leave a paid call
in doubt; the platform's own 5xx (it has `error.code`) does not charge. 400 `token_mismatched` is a wrong
parameter, as its document says; 401 `token_mismatched` is the token.
"""

from __future__ import annotations

import calendar
import email.utils
import json
import re
from typing import TYPE_CHECKING, Any, Final

from fishpipe.errors import (
    AuthError,
    BalanceError,
    CallInDoubt,
    CallRefused,
    ConfigurationError,
    ServiceError,
    TransientError,
)

if TYPE_CHECKING:
    import httpx

_CONFIGURATION: Final = {"api_not_implemented", "disabled", "no_api"}
_DOUBTFUL: Final = {408, 499, 502, 504}


def fault(response: httpx.Response) -> ServiceError:
    """The error that a response with a status of 300 or more means."""
    status, data = response.status_code, _json(response)
    code, message, trace = _words(data)
    if not message:
        message = _plain(response)
    retry_after = _retry_after(response.headers.get("retry-after"), response.headers.get("date"))

    def error(kind: type[ServiceError]) -> ServiceError:
        return kind(message, code, status, trace, retry_after)

    if status == 429:
        return error(TransientError)
    if status == 401 or code == "no_token":
        return error(AuthError)
    if status == 403:
        return error(BalanceError if code == "used_up" else ConfigurationError)
    if code in _CONFIGURATION or status < 400:
        return error(ConfigurationError)
    if status in _DOUBTFUL:
        return error(CallInDoubt)
    if status < 500:
        return error(CallRefused)
    return error(TransientError if code else CallInDoubt)


def quote(response: httpx.Response, limit: int = 200) -> str:
    """The beginning of an answer's text, on one line, for a message."""
    text = " ".join(response.text.split())
    return f"{text[:limit]}…" if len(text) > limit else text or "(empty)"


def parse_object(response: httpx.Response) -> dict[str, Any] | None:
    """The JSON object in an answer, or None."""
    data = _json(response)
    return data if isinstance(data, dict) else None


def _json(response: httpx.Response) -> Any:  # noqa: ANN401
    try:
        return _scrubbed(json.loads(response.content))
    except (ValueError, RecursionError):
        return None


def _scrubbed(data: Any) -> Any:  # noqa: ANN401
    """The data without halves of surrogate pairs (a cut emoji), which no file and no database takes."""
    if isinstance(data, str):
        return data.encode("utf-8", "replace").decode()
    if isinstance(data, dict):
        return {_scrubbed(name): _scrubbed(value) for name, value in data.items()}
    return [_scrubbed(item) for item in data] if isinstance(data, list) else data


def _words(data: Any) -> tuple[str, str, str]:  # noqa: ANN401
    """(code, message, trace id) of an error body, in any of its shapes."""
    if not isinstance(data, dict):
        return "", "", ""
    trace = str(data.get("trace_id") or "")
    error = data.get("error")
    if isinstance(error, dict):
        return str(error.get("code") or ""), _upstream(str(error.get("message") or "")), trace
    message = error if isinstance(error, str) else data.get("message") or data.get("detail") or ""
    return "", _upstream(message if isinstance(message, str) else json.dumps(message)), trace


def _upstream(message: str) -> str:
    """A pydantic error list that travels as a JSON string, as `field: what is wrong`."""
    try:
        items = json.loads(message)
    except ValueError:
        return message
    if not isinstance(items, list) or not all(isinstance(item, dict) and "msg" in item for item in items):
        return message
    return "; ".join(f"{_location(item.get('loc'))}: {item['msg']}" for item in items)


def _location(loc: object) -> str:
    return ".".join(map(str, loc)) if isinstance(loc, list) else str(loc or "request")


def _plain(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "")
    text = quote(response)
    if "html" in kind or text.startswith("<"):
        title = re.search(r"<title>(.*?)</title>", response.text, re.DOTALL | re.IGNORECASE)
        return (
            f"a web page came instead of an answer: {' '.join(title[1].split())[:100]}" if title else "a web page came"
        )
    return text


def _retry_after(value: str | None, date: str | None) -> float | None:
    """Retry-After in seconds (RFC 9110): a number, or a date, which is held against the answer's own Date."""
    if not value:
        return None
    if re.fullmatch(r"\d{1,6}(\.\d+)?", value.strip()):
        return float(value)
    try:
        moment, now = email.utils.parsedate_to_datetime(value), email.utils.parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return max(0.0, calendar.timegm(moment.utctimetuple()) - calendar.timegm(now.utctimetuple()))
