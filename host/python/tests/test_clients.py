"""OpenAI's and Anthropic's own clients behind a circuit, against a server on this machine: what their errors count as."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, AsyncIterator, Iterator, Optional

import anthropic
import openai
import pytest
import tomli
from vectors import folder

from softfuse import CircuitBreakerOpen, Registry, StreamError, circuit_breaker, consecutive_failures
from softfuse._classify import classify_error

MESSAGES: Any = [{"role": "user", "content": "why?"}]
CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHUNK["choices"] = [{"index": 0, "delta": {"content": "Paris"}, "finish_reason": None}]


class Server(ThreadingHTTPServer):
    """Answers the next request as a test says: with a status, headers and a body; never, where there is no body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.answer: tuple[int, dict[str, str], Optional[str]] = (500, {}, "")
        self.ended = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def says(self, status: int, body: Any, **headers: str) -> None:
        self.answer = (status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body))

    def streams(self, *events: str) -> None:
        self.answer = (200, {"content-type": "text/event-stream", "retry-after": "9"}, "".join(events))


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, headers, body = self.server.answer
        if body is None:
            self.server.ended.wait(60)
            return
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


def asks_anthropic(server: Server, **settings: Any) -> Any:
    client = anthropic.Anthropic(api_key="none", base_url=server.url, max_retries=0, **settings)
    return lambda **more: client.messages.create(model="m", max_tokens=9, messages=MESSAGES, **more)


def asks_openai(server: Server, **settings: Any) -> Any:
    client = openai.OpenAI(api_key="none", base_url=server.url, max_retries=0, **settings)
    return lambda **more: client.chat.completions.create(model="m", messages=MESSAGES, **more)


ASKED = pytest.mark.parametrize("asks", [asks_anthropic, asks_openai], ids=["anthropic", "openai"])


@ASKED
@pytest.mark.parametrize(
    ("status", "headers", "kind", "retry_after"),
    [
        (429, {"retry_after": "7"}, "rate-limited", 7.0),
        (529, {}, "overloaded", 1.0),
        (503, {"retry_after_ms": "2500"}, "overloaded", 2.5),
        (401, {}, "error", 1.0),
        (500, {}, "error", 1.0),
    ],
)
def test_failures_open_the_circuit_for_as_long_as_they_ask(
    asks: Any, server: Server, registry: Registry, status: int, headers: dict[str, str], kind: str, retry_after: float
) -> None:
    server.says(status, {"type": "error", "error": {"type": "whatever", "message": "no"}}, **headers)
    ask = circuit_breaker(consecutive_failures(1), half_open_after=1, registry=registry, name="ask")(asks(server))
    with pytest.raises((anthropic.APIStatusError, openai.APIStatusError)):
        ask()
    failure = registry.get("ask").status().last_failure
    assert failure is not None and failure.kind == kind
    with pytest.raises(CircuitBreakerOpen) as refused:
        ask()
    assert refused.value.retry_after == retry_after


@ASKED
def test_a_bad_request_is_neutral_and_silence_a_timeout(asks: Any, server: Server, registry: Registry) -> None:
    ask = circuit_breaker(consecutive_failures(1), registry=registry, name="ask")(asks(server, timeout=0.2))
    server.says(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}})
    with pytest.raises((anthropic.BadRequestError, openai.BadRequestError)):
        ask()
    assert registry.get("ask").status().totals.neutral == 1
    server.answer = (200, {}, None)
    with pytest.raises((anthropic.APITimeoutError, openai.APITimeoutError)):
        ask()
    failure = registry.get("ask").status().last_failure
    assert failure is not None and failure.kind == "timeout"


def raised(ask: Any) -> Optional[Exception]:
    """What a client raises while its stream is read."""
    try:
        for _ in ask(stream=True):
            pass
    except Exception as error:
        return error
    return None


def test_what_either_client_raises_inside_of_a_stream_counts_as_in_every_host(server: Server) -> None:
    of_anthropic, of_openai = asks_anthropic(server), asks_openai(server)
    events = tomli.loads((folder() / "http/stream_errors.toml").read_text(encoding="utf-8"))["event"]
    seen = {"anthropic": 0, "openai": 0}
    for vector in events:
        event, data, kind = vector.get("event", ""), vector["data"], vector.get("kind")
        raw = (f"event: {event}\n" if event else "") + "".join(f"data: {line}\n" for line in data.split("\n")) + "\n"
        server.streams('event: ping\ndata: {"type":"ping"}\n\n', raw)
        error = raised(of_anthropic)
        # Anthropic's raises for events of that name alone.
        if event == "error":
            assert isinstance(error, anthropic.APIError), vector
            assert classify_error(error) == (kind, None), vector
            seen["anthropic"] += 1
        server.streams(f"data: {json.dumps(CHUNK)}\n\n", raw, "data: [DONE]\n\n")
        error = raised(of_openai)
        # OpenAI's raises for data with an `error` alone; what isn't JSON, it can't read.
        if isinstance(error, openai.APIError):
            assert classify_error(error) == (kind, None), vector
            seen["openai"] += 1
        else:
            assert error is None or isinstance(error, ValueError), vector
    assert seen["anthropic"] > 12 and seen["openai"] > 25, seen


def test_an_error_inside_of_a_stream_opens_the_circuit(server: Server, registry: Registry) -> None:
    ask = asks_anthropic(server)

    @circuit_breaker(consecutive_failures(1), half_open_after=1, registry=registry, name="ask")
    def pieces() -> Iterator[Any]:
        yield from ask(stream=True)

    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
    server.streams(f"event: error\ndata: {json.dumps(overloaded)}\n\n")
    with pytest.raises(anthropic.APIError):
        list(pieces())
    status = registry.get("ask").status()
    # Its headers were written when all was well: they say nothing of when to come again.
    assert status.last_failure is not None and (status.last_failure.kind, status.retry_after) == ("overloaded", 1.0)


CREATED = {"type": "response.created", "sequence_number": 0, "response": {"id": "1", "status": "in_progress", "output": []}}


def failed(code: str) -> dict[str, Any]:
    return {"type": "response.failed", "sequence_number": 1, "response": {"id": "1", "status": "failed", "error": {"code": code, "message": "no"}}}


@pytest.mark.parametrize("is_async", [False, True], ids=["generator", "async generator"])
@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"type": "response.completed", "sequence_number": 1, "response": {"id": "1", "status": "completed"}}, "successes"),
        (failed("rate_limit_exceeded"), "rate-limited"),
        (failed("server_error"), "error"),
        (failed("invalid_image_url"), "neutral"),
        ({"type": "error", "sequence_number": 1, "code": "server_is_overloaded", "message": "no", "param": None}, "overloaded"),
    ],
)
def test_what_openai_hands_on_of_a_failed_response_counts_as_what_it_says(
    server: Server, registry: Registry, last: dict[str, Any], expected: str, is_async: bool
) -> None:
    server.streams(*(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in (CREATED, last)))
    guard = circuit_breaker(consecutive_failures(1), registry=registry, name="ask")
    settings: Any = {"api_key": "none", "base_url": server.url, "max_retries": 0}

    def types_of_pieces() -> list[str]:
        @guard
        def pieces() -> Iterator[Any]:
            with openai.OpenAI(**settings) as client:
                yield from client.responses.create(model="m", input="why?", stream=True)

        return [piece.type for piece in pieces()]

    async def types_of_async_pieces() -> list[str]:
        @guard
        async def pieces() -> AsyncIterator[Any]:
            async with openai.AsyncOpenAI(**settings) as client:
                async for piece in await client.responses.create(model="m", input="why?", stream=True):
                    yield piece

        return [piece.type async for piece in pieces()]

    types = asyncio.run(types_of_async_pieces()) if is_async else types_of_pieces()
    assert types == [CREATED["type"], last["type"]]
    status = registry.get("ask").status()
    totals = status.totals
    assert totals.calls == 1
    if expected in ("successes", "neutral"):
        assert getattr(totals, expected) == 1
    else:
        assert totals.failures == 1 and status.last_failure is not None and status.last_failure.kind == expected


def test_a_piece_that_tells_of_an_error_ends_the_call_at_once(registry: Registry) -> None:
    seen: list[Any] = []

    @circuit_breaker(consecutive_failures(1), registry=registry, name="ask", fallback="none", classify=lambda *given: seen.append(given))
    def pieces() -> Iterator[Any]:
        yield {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
        yield "more"
        raise ValueError("and then it broke")

    running = pieces()
    next(running)
    status = registry.get("ask").status()
    assert status.last_failure is not None and status.last_failure.kind == "overloaded"
    assert next(running) == "more"
    # It is raised as ever, and counts no more.
    with pytest.raises(ValueError):
        next(running)
    assert registry.get("ask").status().totals.calls == 1
    [(answer, error)] = seen
    assert answer is None and isinstance(error, StreamError) and error.body["type"] == "overloaded_error" and str(error) == "busy"
