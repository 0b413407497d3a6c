"""What exceptions count as, by the shapes of the clients that people use."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
import email.utils
import socket
import time
import urllib.error
from email.message import Message
from types import SimpleNamespace
from typing import Any, Optional

import pytest
import tomli
from vectors import folder

from softfuse import Registry, circuit_breaker, consecutive_failures
from softfuse._classify import classify_error, kind_of_status, retry_after_ns


class StatusError(Exception):
    """As openai's and anthropic's: the status on the exception, the headers on its response."""

    def __init__(self, status: int, headers: Any = None, **more: Any) -> None:
        super().__init__(status)
        self.status_code = status
        self.response = SimpleNamespace(headers=headers or {}, status_code=status)
        self.__dict__.update(more)


class SaidError(Exception):
    """As openai's inside of a stream: what the service said, and its code as it was."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.body, self.code = body, body["code"]


class HTTPStatusError(Exception):
    """As httpx's and requests': the status on the response."""

    def __init__(self, status: int, headers: Any = None) -> None:
        super().__init__(status)
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


class ClientResponseError(Exception):
    """As aiohttp's: ``status`` and ``headers`` on the exception."""

    def __init__(self, status: int, headers: Any = None) -> None:
        super().__init__(status)
        self.status, self.headers = status, headers


class APITimeoutError(Exception):
    """As openai's, which is no TimeoutError."""


class TimeoutException(Exception):
    """As httpx's; its own are subclasses."""


class ReadTimeout(TimeoutException):
    pass


class Hostile(Exception):
    @property
    def response(self) -> Any:
        raise RuntimeError("no")


def http_error(code: int) -> urllib.error.HTTPError:
    headers = Message()
    headers["Retry-After"] = "3"
    return urllib.error.HTTPError("http://localhost", code, "no", headers, None)


SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("raised", "kind", "retry_after_ns"),
    [
        (ValueError(), "error", None),
        (StatusError(500), "error", None),
        (StatusError(401), "error", None),
        (StatusError(429, {"retry-after": "2.5"}), "rate-limited", 2_500_000_000),
        (StatusError(429, {"Retry-After": "7", "retry-after-ms": "1500"}), "rate-limited", 1_500_000_000),
        (StatusError(529, {"retry-after": "nonsense"}), "overloaded", None),
        (StatusError(503, {"retry-after": "-1"}), "overloaded", None),
        (StatusError(400), "bad-request", None),
        (StatusError(400, code="content_filter"), "content-policy", None),
        (StatusError(400, body={"error": {"code": "content_policy_violation"}}), "content-policy", None),
        # A status counts first; without one, what the service said does.
        (StatusError(500, body={"error": {"type": "overloaded_error"}}), "error", None),
        (StatusError(200, {"retry-after": "9"}, body={"error": {"type": "overloaded_error"}}), "overloaded", None),
        (StatusError(200, body={"type": "rate_limit_error", "code": None}), "rate-limited", None),
        (StatusError(200, body={"code": 429}), "rate-limited", None),
        # The service's word for it, which openai's clients before 3 keep as the number that it was: the words tell more.
        (SaidError({"type": "rate_limit_error", "code": 400}), "rate-limited", None),
        (SaidError({"type": "invalid_request_error", "code": 500}), "bad-request", None),
        (SaidError({"type": None, "code": 503}), "overloaded", None),
        (StatusError(200, body={"code": True, "type": ["overloaded"]}), "error", None),
        (StatusError(200, body={"error": "overloaded"}), "error", None),
        (StatusError(200, body="overloaded"), "error", None),
        (HTTPStatusError(503, {"Retry-After": 4}), "overloaded", 4 * SECOND),
        (HTTPStatusError(504), "timeout", None),
        (ClientResponseError(429, {"retry-after": b"1"}), "rate-limited", SECOND),
        (http_error(429), "rate-limited", 3 * SECOND),
        (TimeoutError(), "timeout", None),
        (asyncio.TimeoutError(), "timeout", None),
        (concurrent.futures.TimeoutError(), "timeout", None),
        (socket.timeout(), "timeout", None),
        (APITimeoutError(), "timeout", None),
        (ReadTimeout(), "timeout", None),
        (asyncio.CancelledError(), "cancelled", None),
        (Hostile(), "error", None),
        (KeyboardInterrupt(), "cancelled", None),
        (GeneratorExit(), "cancelled", None),
    ],
    ids=repr,
)
def test_shapes(raised: BaseException, kind: str, retry_after_ns: Optional[int]) -> None:
    assert classify_error(raised) == (kind, retry_after_ns)


def http_vectors(name: str) -> dict[str, Any]:
    return tomli.loads((folder() / "http" / name).read_text(encoding="utf-8"))


def test_statuses_count_as_in_every_host() -> None:
    following = 0
    for named in http_vectors("statuses.toml")["status"]:
        assert set(named) <= {"name", "from", "to", "kind"} and named["from"] == following, named
        for status in range(named["from"], named.get("to", named["from"]) + 1):
            following = status + 1
            assert kind_of_status(status) == named["kind"], (status, named)
            # Who raises means a failure, whatever the status says.
            raised = "error" if named["kind"] == "success" else named["kind"]
            assert classify_error(StatusError(status))[0] == raised, (status, named)
    assert following == 1000


def test_retry_after_is_read_as_in_every_host() -> None:
    vectors = http_vectors("retry_after.toml")
    now = datetime.datetime.fromisoformat(vectors["now"].replace("Z", "+00:00")).timestamp()
    assert len(vectors["header"]) > 25
    for vector in vectors["header"]:
        assert set(vector) <= {"name", "headers", "span_ms"}, vector
        span_ns = retry_after_ns(vector["headers"], now)
        expected = vector.get("span_ms")
        assert span_ns == (None if expected is None else round(expected * 1_000_000)), vector


def test_a_date() -> None:
    headers = {"retry-after": email.utils.formatdate(time.time() + 100, usegmt=True)}
    kind, retry_after_ns = classify_error(StatusError(503, headers))
    assert kind == "overloaded" and retry_after_ns is not None and 90 * SECOND < retry_after_ns <= 100 * SECOND
    past = {"retry-after": email.utils.formatdate(time.time() - 100, usegmt=True)}
    assert classify_error(StatusError(503, past)) == ("overloaded", 0)


def test_through_a_breaker(registry: Registry) -> None:
    @circuit_breaker(consecutive_failures(1), half_open_after=5, registry=registry, name="client")
    def call(raised: Exception) -> None:
        raise raised

    with pytest.raises(StatusError):
        call(StatusError(422))
    with pytest.raises(Hostile):
        call.__wrapped__(Hostile())
    assert registry.get("client").status().totals.neutral == 1
    with pytest.raises(StatusError):
        call(StatusError(429, {"retry-after": "60"}))
    status = registry.get("client").status()
    assert status.last_failure is not None and status.last_failure.kind == "rate-limited"
    assert status.retry_after == 60.0


def test_exceptions_whose_attributes_raise_are_errors(registry: Registry) -> None:
    @circuit_breaker(consecutive_failures(1), registry=registry, name="hostile")
    def call() -> None:
        raise Hostile

    with pytest.raises(Hostile):
        call()
    assert registry.get("hostile").status().totals.failures == 1
