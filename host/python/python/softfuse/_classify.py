"""What an exception counts as by itself, told by its shape, so that no client library need be imported.

The shapes are those of httpx, requests, aiohttp, openai, anthropic and their like: ``status_code`` (or ``status``, or
``code``) on the exception or on its ``response``, ``response.headers`` with a ``Retry-After``, and ``body``, in which a service says
what went wrong.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
import email.utils
import re
import socket
import time
from typing import Any, Optional

#: The longest that a Retry-After may ask for; the policy's ``retry_after_max`` bounds what it does.
_RETRY_AFTER_NS_MAX = 365 * 24 * 60 * 60 * 1_000_000_000
#: Digits, with a fraction perhaps; ``float`` takes far more.
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_FAILING_STATUS = re.compile(r"[45][0-9]{2}")
#: Dates of HTTP's, in their three forms (RFC 9110, 5.6.7); ``email.utils`` takes far more.
_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"
    r"|[A-Z][a-z]{5,8}, [0-9]{2}-[A-Z][a-z]{2}-[0-9]{2} [0-9:]{8} GMT"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4}"
)
#: Names of errors for what the provider's content policy refused.
_CONTENT_POLICY = frozenset({"content_filter", "content_policy", "content_policy_violation"})
#: What the words mean that services for language models put into an error's type and code. The more telling come first.
_MODEL_SIGNS = (
    ("rate_limit", "rate-limited"),
    ("insufficient_quota", "rate-limited"),
    ("overloaded", "overloaded"),
    ("unavailable", "overloaded"),
    ("slow_down", "overloaded"),
    ("timeout", "timeout"),
    ("content_filter", "content-policy"),
    ("_policy", "content-policy"),
    ("moderation", "content-policy"),
    # What is wrong with the request's own images, whatever isn't found of them.
    ("invalid_image", "bad-request"),
    ("invalid_base64", "bad-request"),
    ("image_file", "bad-request"),
    ("image_too", "bad-request"),
    ("image_parse", "bad-request"),
    ("image_media_type", "bad-request"),
    ("download_image", "bad-request"),
    # The provider, as it is set up, serves nobody, though it may call the request invalid.
    ("api_key", "error"),
    ("not_found", "error"),
    ("billing", "error"),
    ("invalid_request", "bad-request"),
    ("invalid_prompt", "bad-request"),
    ("context_length", "bad-request"),
    ("too_large", "bad-request"),
    ("conflict", "bad-request"),
)
_TIMEOUTS = (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError, socket.timeout)
#: Classes of clients' timeouts, by name; none of them is a ``TimeoutError``.
_TIMEOUT_NAMES = frozenset({"APITimeoutError", "ServerTimeoutError", "Timeout", "TimeoutException", "DeadlineExceeded"})
#: What the caller's own going away looks like.
_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


def kind_of_status(status: int) -> str:
    """What a response with this HTTP status counts as, in every host of Softfuse: ``success`` below 400; ``timeout``: 408, 504;
    ``rate-limited``: 429; ``overloaded``: 503, 529; ``content-policy``: 451; ``cancelled``: 499; ``error``: 401 to 404 and 407, since the
    provider, as it is set up, serves nobody; ``bad-request``, which is neutral: every other 4xx; all else is an ``error``.
    """
    if status < 400:
        return "success"
    if status in (408, 504):
        return "timeout"
    if status == 429:
        return "rate-limited"
    if status in (503, 529):
        return "overloaded"
    if status == 451:
        return "content-policy"
    if status == 499:
        return "cancelled"
    if 401 <= status <= 404 or status == 407 or status >= 500:
        return "error"
    return "bad-request"


def kind_of_model_error(error: dict[str, Any]) -> str:
    """What an error counts as that a service for language models describes, in every host of Softfuse: by the words of its ``type`` and
    its ``code``, or by its ``code`` where that is an HTTP status; else an ``error``. For errors that come without a status of their own,
    inside of a stream that began with 200.
    """
    kind, code = (str(word).lower() if type(word) in (str, int) else "" for word in (error.get("type"), error.get("code")))
    words = f"{kind} {code}"
    for sign, meaning in _MODEL_SIGNS:
        if sign in words:
            return meaning
    return kind_of_status(int(code)) if _FAILING_STATUS.fullmatch(code) else "error"


def classify_error(raised: BaseException) -> tuple[str, Optional[int]]:
    """The outcome's kind, and the span of a Retry-After in nanoseconds."""
    if isinstance(raised, _CANCELLED):
        return "cancelled", None
    response = _get(raised, "response")
    said = _said(raised)
    status = _status(raised, said) or _status(response)
    if _is_content_policy(raised, said):
        return "content-policy", None
    kind = "error" if status is None else kind_of_status(status)
    if isinstance(raised, _TIMEOUTS) or any(parent.__name__ in _TIMEOUT_NAMES for parent in type(raised).__mro__):
        kind = "timeout"
    elif status is None and (said is not None or response is not None):
        # What came inside of a stream: its headers were written when all was well.
        return kind_of_model_error(said or {}), None
    if kind in ("bad-request", "cancelled", "content-policy"):
        return kind, None
    return kind, retry_after_ns(_get(response, "headers") or _get(raised, "headers"))


def _get(holder: Any, name: str) -> Any:
    """An attribute; ``None`` where it isn't there, or raises whatever it likes."""
    try:
        return getattr(holder, name, None)
    except Exception:
        return None


def _status(holder: Any, said: Optional[dict[str, Any]] = None) -> Optional[int]:
    for name in ("status_code", "status", "code", "http_status"):
        status = _get(holder, name)
        if name == "code" and said is not None and status == said.get("code"):
            # The service's word, as the client keeps it.
            continue
        if isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600:
            return int(status)
    return None


def _said(raised: BaseException) -> Optional[dict[str, Any]]:
    """What a service said, as clients keep it: with the answer around it, or without."""
    body = _get(raised, "body")
    said = body.get("error", body) if isinstance(body, dict) else None
    return said if isinstance(said, dict) else None


def error_inside(piece: Any) -> Optional[dict[str, Any]]:
    """What a service says in a piece of a stream that tells of an error, as clients hand on instead of raising it: one whose ``type`` is
    ``error`` or ``response.failed``, as openai's ``responses.create(stream=True)`` has them.
    """
    kind = _field(piece, "type")
    if not isinstance(kind, str) or kind not in ("error", "response.failed"):
        return None
    said = _field(piece, "error") or _field(_field(piece, "response"), "error") or piece
    return {name: _field(said, name) for name in ("type", "code", "message")}


def _field(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else _get(holder, name)


def _is_content_policy(raised: BaseException, said: Optional[dict[str, Any]]) -> bool:
    codes = (_get(raised, "code"), said.get("code") if said is not None else None)
    return any(isinstance(code, str) and code in _CONTENT_POLICY for code in codes)


def retry_after_ns(headers: Any, now: Optional[float] = None) -> Optional[int]:
    """How long a response asks not to be called, in nanoseconds, 365 days at most: ``retry-after-ms``, or ``Retry-After`` in
    seconds (fractions too) or as a date of HTTP's. ``now`` is the wall clock's, in seconds since 1970.
    """
    for name, unit_ns in (("retry-after-ms", 1_000_000), ("retry-after", 1_000_000_000)):
        text = _header(headers, name)
        if text is not None and _NUMBER.fullmatch(text):
            return round(min(float(text) * unit_ns, _RETRY_AFTER_NS_MAX))
    return None if text is None else _until_date_ns(text, time.time() if now is None else now)


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


def _until_date_ns(text: str, now: float) -> Optional[int]:
    if not _DATE.fullmatch(text):
        return None
    try:
        date = email.utils.parsedate_to_datetime(text).replace(tzinfo=datetime.timezone.utc)
    except (TypeError, ValueError):
        return None
    return min(max(round((date.timestamp() - now) * 1e9), 0), _RETRY_AFTER_NS_MAX)
