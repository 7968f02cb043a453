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
from fishpipe.shown import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

_CONFIGURATION: Final = {"api_not_implemented", "disabled", "no_api"}
_DOUBTFUL: Final = {408, 499, 502, 504}


def fault(response: httpx.Response, now: float) -> ServiceError:
    """The error that a response with a status of 300 or more means; `now` in Unix seconds."""
    status, data = response.status_code, _json(response)
    code, message, trace, fields = _words(data)
    if status < 400:
        message = f"the service redirects to {one_line(response.headers.get('location', ''))!r}, which is not followed"
    message = message or _plain(response)
    trace = trace or response.headers.get("x-trace-id", "") or response.headers.get("trace-id", "")
    pause = retry_after(response, now)

    def error(kind: type[ServiceError]) -> ServiceError:
        return kind(message, code, status, trace, pause, fields)

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
    return one_line(response.content[: 8 * limit].decode("utf-8", "replace").strip(), limit) or "(empty)"


def parse_object(response: httpx.Response) -> dict[str, Any] | None:
    """The JSON object in an answer, or None."""
    data = _json(response)
    return data if isinstance(data, dict) else None


def _json(response: httpx.Response) -> Any:  # noqa: ANN401
    try:
        return scrubbed(json.loads(response.content))
    except (ValueError, RecursionError):
        return None


def scrubbed(data: Any) -> Any:  # noqa: ANN401
    """The data without halves of surrogate pairs (a cut emoji), which no file and no database takes."""
    if isinstance(data, str):
        return data.encode("utf-8", "replace").decode()
    if isinstance(data, dict):
        return {scrubbed(name): scrubbed(value) for name, value in data.items()}
    return [scrubbed(item) for item in data] if isinstance(data, list) else data


def masked(data: Any, secrets: Iterable[str]) -> Any:  # noqa: ANN401
    """The data without some words that nobody is to read."""
    if isinstance(data, str):
        for secret in secrets:
            data = data.replace(secret, "***")
        return data
    if isinstance(data, dict):
        return {masked(name, secrets): masked(value, secrets) for name, value in data.items()}
    return [masked(item, secrets) for item in data] if isinstance(data, list) else data


def _words(data: Any) -> tuple[str, str, str, tuple[str, ...]]:  # noqa: ANN401
    """(code, message, trace id, fields that it names) of an error body, in any of its shapes."""
    if not isinstance(data, dict):
        return "", "", "", ()
    trace = one_line(str(data.get("trace_id") or ""), 200)
    error = data.get("error")
    if isinstance(error, dict):
        text, fields = _upstream(str(error.get("message") or ""))
        return one_line(str(error.get("code") or ""), 100), one_line(text), trace, fields
    message = error if isinstance(error, str) else data.get("message") or data.get("detail") or ""
    text, fields = _upstream(message if isinstance(message, str) else json.dumps(message))
    return "", one_line(text), trace, fields


def _upstream(message: str) -> tuple[str, tuple[str, ...]]:
    """A pydantic error list that travels as a JSON string: `field: what is wrong, found …`, and the fields."""
    try:
        items = json.loads(message)
    except (ValueError, RecursionError):
        return message, ()
    if not isinstance(items, list) or not all(isinstance(item, dict) and "msg" in item for item in items):
        return message, ()
    locations = [_location(item.get("loc")) for item in items]
    words = (f"{'.'.join(loc)}: {item['msg']}{_found(item)}" for loc, item in zip(locations, items, strict=True))
    return "; ".join(words), tuple(name for loc in locations for name in reversed(loc))


def _location(loc: object) -> list[str]:
    """The names in a pydantic location, without the place in the request and the kinds of a union."""
    parts = [str(part) for part in loc if isinstance(part, str)] if isinstance(loc, list) else [str(loc or "")]
    parts = [part for part in parts if part not in ("body", "header", "query") and "[" not in part]
    return parts or ["request"]


def _found(item: dict[str, Any]) -> str:
    value = item.get("input")
    return f", found {json.dumps(value, ensure_ascii=False)[:60]}" if isinstance(value, (str, int, float)) else ""


def _plain(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "")
    text = quote(response)
    if "html" in kind or text.startswith("<"):
        page = response.content[:65536].decode("utf-8", "replace")
        title = re.search(r"<title>(.*?)</title>", page, re.DOTALL | re.IGNORECASE)
        return f"a web page came instead of an answer: {one_line(title[1])[:100]}" if title else "a web page came"
    return text


def retry_after(response: httpx.Response, now: float) -> float | None:
    """Retry-After in seconds (RFC 9110): a number, or a date, held against the answer's own Date, else `now`."""
    value = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", value):
        return float(value)
    moment, date = _moment(value), _moment(response.headers.get("date", ""))
    return None if moment is None else max(0.0, moment - (now if date is None else date))


def _moment(value: str) -> float | None:
    try:
        return float(calendar.timegm(email.utils.parsedate_to_datetime(value).utctimetuple()))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
