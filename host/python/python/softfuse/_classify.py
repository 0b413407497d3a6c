"""What an exception counts as by itself, told by its shape, so that no client library need be imported.

The shapes are those of httpx, requests, aiohttp, openai, anthropic and their like: ``status_code`` (or ``status``, or
``code``) on the exception or on its ``response``, and ``response.headers`` with a ``Retry-After``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import email.utils
import socket
import time
from typing import Any, Optional

#: What a status of HTTP counts as; another one from 400 on is an error.
_KINDS = {
    400: "bad-request",
    404: "bad-request",
    408: "timeout",
    413: "bad-request",
    414: "bad-request",
    415: "bad-request",
    422: "bad-request",
    429: "rate-limited",
    499: "cancelled",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
#: Names of errors for what the provider's content policy refused.
_CONTENT_POLICY = frozenset({"content_filter", "content_policy", "content_policy_violation"})
_TIMEOUTS = (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError, socket.timeout)
#: Classes of clients' timeouts, by name; none of them is a ``TimeoutError``.
_TIMEOUT_NAMES = frozenset({"APITimeoutError", "ServerTimeoutError", "Timeout", "TimeoutException", "DeadlineExceeded"})
#: What the caller's own going away looks like.
_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


def classify_error(raised: BaseException) -> tuple[str, Optional[int]]:
    """The outcome's kind, and the span of a Retry-After in nanoseconds."""
    if isinstance(raised, _CANCELLED):
        return "cancelled", None
    response = _get(raised, "response")
    retry_after = _retry_after_ns(_get(response, "headers") or _get(raised, "headers"))
    status = _status(raised) or _status(response)
    if _is_content_policy(raised):
        return "content-policy", None
    if isinstance(raised, _TIMEOUTS) or any(parent.__name__ in _TIMEOUT_NAMES for parent in type(raised).__mro__):
        return "timeout", retry_after
    if status is not None:
        return _KINDS.get(status, "error"), retry_after
    return "error", retry_after


def _get(holder: Any, name: str) -> Any:
    """An attribute; ``None`` where it isn't there, or raises whatever it likes."""
    try:
        return getattr(holder, name, None)
    except Exception:
        return None


def _status(holder: Any) -> Optional[int]:
    for name in ("status_code", "status", "code", "http_status"):
        status = _get(holder, name)
        if isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600:
            return int(status)
    return None


def _is_content_policy(raised: BaseException) -> bool:
    code = _get(raised, "code")
    if isinstance(code, str) and code in _CONTENT_POLICY:
        return True
    body = _get(raised, "body")
    inner = body.get("error", body) if isinstance(body, dict) else None
    return isinstance(inner, dict) and inner.get("code") in _CONTENT_POLICY


def _retry_after_ns(headers: Any) -> Optional[int]:
    for name, unit_ns in (("retry-after-ms", 1_000_000), ("retry-after", 1_000_000_000)):
        text = _header(headers, name)
        if text is None:
            continue
        seconds = _number(text)
        if seconds is not None:
            return min(round(seconds * unit_ns), 2**63 - 1)
        if name == "retry-after":
            return _until_date_ns(text)
    return None


def _header(headers: Any, name: str) -> Optional[str]:
    get = _get(headers, "get")
    if get is None:
        return None
    # A plain dictionary tells upper case from lower case, a client's own headers don't.
    for spelling in (name, name.title()):
        value = get(spelling)
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, (str, int, float)):
            return str(value).strip()
    return None


def _number(text: str) -> Optional[float]:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None


def _until_date_ns(text: str) -> Optional[int]:
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(round((date.timestamp() - time.time()) * 1e9), 0)
