"""The examples of ml-breaker's page, with nothing changed but the package's name in the import lines.

Where its page and its code differ (``on_state_change`` gets a name there, and the page asks it for ``.name``) both work here.
"""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest

import softfuse


def reranker_model(query: str, candidates: list[str]) -> Any:
    if query == "down":
        raise ConnectionError("down")
    return SimpleNamespace(confidence=0.9 if query == "good" else 0.1, ranked=candidates)


def lightweight_model(query: str, candidates: list[str]) -> Any:
    return SimpleNamespace(confidence=0.5, ranked=["light"])


def test_quick_start() -> None:
    from softfuse import circuit_breaker, CircuitBreakerOpen
    from softfuse._conditions import consecutive_failures

    @circuit_breaker(
        trip_on=consecutive_failures(5),
        fallback=lightweight_model,
        half_open_after=30,
    )
    def call_reranker(query, candidates):
        return reranker_model(query, candidates)

    assert issubclass(CircuitBreakerOpen, Exception)
    assert call_reranker("good", ["a"]).ranked == ["a"]
    for _ in range(4):
        with pytest.raises(ConnectionError):
            call_reranker("down", ["a"])
    # The fifth opens the circuit, and gets the fallback.
    assert call_reranker("down", ["a"]).ranked == ["light"]
    assert call_reranker("good", ["a"]).ranked == ["light"]


def test_quality_signals() -> None:
    from softfuse import circuit_breaker, quality_below, report_quality

    # Option A: report_quality() — when validation logic is complex
    @circuit_breaker(trip_on=quality_below(threshold=0.7, window=20), name="a")
    def call_reranker(query, candidates):
        result = reranker_model(query, candidates)
        report_quality(result.confidence)  # emits to context side-channel
        return result  # return type unchanged

    # Option B: score_fn — when quality is directly on the return value
    @circuit_breaker(
        trip_on=quality_below(threshold=0.7, window=20, score_fn=lambda r: r.confidence),
        name="b",
    )
    def call_reranker_b(query, candidates):
        return reranker_model(query, candidates)

    for call in (call_reranker, call_reranker_b):
        for _ in range(20):
            call("bad", [])
        assert call.breaker.state is softfuse.State.OPEN
        with pytest.raises(softfuse.CircuitBreakerOpen):
            call("good", [])


def test_report_quality_wins_if_both_are_present() -> None:
    from softfuse import circuit_breaker, quality_below, report_quality

    @circuit_breaker(trip_on=quality_below(0.7, window=2, score_fn=lambda r: 0.0))
    def call(query):
        report_quality(0.9)
        return query

    for _ in range(5):
        call("good")
    assert call.breaker.state is softfuse.State.CLOSED


def test_require_quality_signal() -> None:
    from softfuse import circuit_breaker, quality_below

    @circuit_breaker(trip_on=quality_below(0.7, window=3), require_quality_signal=True)
    def silent():
        return 1

    for _ in range(3):
        silent()
    assert silent.breaker.state is softfuse.State.OPEN


def test_composing_conditions() -> None:
    from softfuse import any_of, all_of
    from softfuse import quality_below, latency_above, error_rate_above, consecutive_failures

    either = any_of(quality_below(0.7, window=20), latency_above(2000, window=10))
    both = all_of(error_rate_above(0.3, window=50), consecutive_failures(3))
    for trip_on in (either, both, any_of(either, both)):
        softfuse.circuit_breaker(trip_on=trip_on, name=repr(trip_on))(lambda: None)()


def test_fallback_strategies() -> None:
    from softfuse import circuit_breaker, CircuitBreakerOpen, State, consecutive_failures

    # 1. Callable — called with the same args as the guarded function
    @circuit_breaker(trip_on=consecutive_failures(1), fallback=lightweight_model, name="1")
    def one(query, candidates):
        return reranker_model(query, candidates)

    # 2. Static value — returned as-is when the breaker is open
    @circuit_breaker(trip_on=consecutive_failures(1), fallback=[], name="2")
    def two(query, candidates):
        return reranker_model(query, candidates)

    # 3. No fallback — raises CircuitBreakerOpen
    @circuit_breaker(trip_on=consecutive_failures(1), name="3")
    def call_reranker(query, candidates):
        return reranker_model(query, candidates)

    assert one("down", []).ranked == ["light"] and one("good", []).ranked == ["light"]
    assert two("down", []) == [] and two("good", candidates=[]) == []
    with pytest.raises(ConnectionError):
        call_reranker("down", [])
    try:
        call_reranker("good", [])
    except CircuitBreakerOpen as e:
        assert e.name == "3"  # breaker name
        assert e.state == State.OPEN
        assert e.trip_count == 1  # number of times this breaker has tripped
    else:
        raise AssertionError("it was admitted")


def test_none_is_a_fallback() -> None:
    from softfuse import circuit_breaker, consecutive_failures

    @circuit_breaker(trip_on=consecutive_failures(1), fallback=None)
    def call():
        raise ConnectionError

    assert call() is None and call() is None


def test_registry_and_inspection() -> None:
    from softfuse import circuit_breaker, CircuitBreaker, State, consecutive_failures

    @circuit_breaker(name="reranker", trip_on=consecutive_failures(5))
    def call_reranker_v1(query, candidates): ...

    @circuit_breaker(name="reranker", trip_on=consecutive_failures(5))
    def call_reranker_v2(query, candidates): ...

    # Both functions reference the same CircuitBreaker instance
    assert call_reranker_v1.breaker is call_reranker_v2.breaker

    cb = call_reranker_v1.breaker  # attached to decorated function
    assert cb is CircuitBreaker.get("reranker")  # global registry lookup
    assert cb.state is State.CLOSED
    assert cb.trip_count == 0 and cb.last_trip_at is None
    cb.trip("by hand")
    assert (cb.state, cb.trip_count) == (State.OPEN, 1) and isinstance(cb.last_trip_at, float)
    cb.reset()  # force back to CLOSED — useful in tests
    assert (cb.state, cb.trip_count) == (State.CLOSED, 0)
    assert CircuitBreaker.all() == {"reranker": cb}  # dict[str, CircuitBreaker]
    with pytest.raises(KeyError):
        CircuitBreaker.get("nobody")


def test_state_machine() -> None:
    from softfuse import circuit_breaker, State, consecutive_failures

    down = True

    @circuit_breaker(trip_on=consecutive_failures(1), half_open_after=0.05)
    def call():
        if down:
            raise ConnectionError
        return "up"

    with pytest.raises(ConnectionError):
        call()
    assert call.breaker.state is State.OPEN
    down = False
    time.sleep(0.06)
    assert call() == "up"
    # recovery_threshold defaults to 2.
    assert call.breaker.state is State.HALF_OPEN
    assert call() == "up"
    assert call.breaker.state is State.CLOSED
    assert [state.value for state in (State.CLOSED, State.OPEN, State.HALF_OPEN)] == ["closed", "open", "half_open"]


def test_on_state_change(caplog: pytest.LogCaptureFixture) -> None:
    from softfuse import circuit_breaker, consecutive_failures

    logger = logging.getLogger("test")

    @circuit_breaker(
        trip_on=consecutive_failures(1),
        fallback=None,
        on_state_change=lambda breaker, old_state, new_state: logger.warning(
            "breaker %s: %s -> %s", breaker.name, old_state, new_state
        ),
        name="page",
    )
    def call_reranker(query, candidates):
        return reranker_model(query, candidates)

    call_reranker("down", [])
    assert "breaker page: closed -> open" in caplog.messages
    # As 0.1.1's code does it: a name.
    seen: list[Any] = []
    call_reranker.breaker.on_state_change(lambda name, old, new: seen.append((name, old.value, new.value)))
    call_reranker.breaker.reset()
    assert seen == [("page", "open", "closed")]


def test_prometheus() -> None:
    from prometheus_client import REGISTRY

    from softfuse import circuit_breaker, quality_below, report_quality
    from softfuse.metrics import PrometheusMetrics
    from softfuse._metrics import PrometheusMetrics as Other

    PrometheusMetrics.register()  # call once at startup
    Other.register()  # twice does nothing

    @circuit_breaker(trip_on=quality_below(0.5, window=2), fallback=None, name="metered")
    def call(score):
        report_quality(score)
        return score

    for score in (0.9, 0.2, 0.1, 0.1):
        call(score)

    def value(name: str, **labels: str) -> Any:
        return REGISTRY.get_sample_value(name, {"name": "metered", **labels})

    assert value("ml_breaker_state") == 1
    assert value("ml_breaker_trip_total") == 1
    outcomes = {outcome: value("ml_breaker_call_total", outcome=outcome) for outcome in ("success", "failure", "rejected")}
    assert outcomes == {"success": 3, "failure": 0, "rejected": 1}
    assert value("ml_breaker_quality_score_count") == 3 and value("ml_breaker_latency_ms_count") == 3
    assert value("ml_breaker_quality_score_sum") == pytest.approx(1.2)
    assert 0 < value("ml_breaker_latency_ms_sum") < 1000
    from prometheus_client import generate_latest

    page = generate_latest(REGISTRY).decode()
    assert 'ml_breaker_call_total{name="metered",outcome="success"} 3.0' in page


def test_conditions_of_ones_own() -> None:
    from softfuse import any_of, CallRecord, circuit_breaker, Condition, consecutive_failures, State

    class Empty:
        """Trips on two empty answers in a row."""

        def __init__(self) -> None:
            self.empty = 0
            self.records: list[CallRecord] = []
            self.resets = 0

        def __call__(self, record: CallRecord) -> bool:
            self.records.append(record)
            self.empty = self.empty + 1 if record.quality == 0 else 0
            return self.empty >= 2

        def reset(self) -> None:
            self.empty, self.resets = 0, self.resets + 1

    empty = Empty()
    assert isinstance(empty, Condition)

    @circuit_breaker(trip_on=any_of(consecutive_failures(3), empty), fallback="instead")
    def call(answer):
        softfuse.report_quality(len(answer))
        if answer == "down":
            raise ConnectionError(answer)
        return answer

    assert [call(answer) for answer in ("a", "", "a", "")] == ["a", "", "a", ""]
    with pytest.raises(ConnectionError):
        call("down")
    assert [call(answer) for answer in ("", "")] == ["", ""]
    assert call.breaker.state is State.OPEN and call("a") == "instead"
    assert isinstance(empty.records[4].error, ConnectionError) and empty.records[0].error is None
    assert empty.records[0].latency_ms > 0 and [record.quality for record in empty.records][:3] == [1, 0, 1]
    assert "Empty object" in str(call.breaker.status().last_trip)
    call.breaker.reset()
    assert empty.resets == 1
    # The built-in ones can be called as 0.1.1's can, in a condition that is made of them.
    builtin = any_of(consecutive_failures(2), softfuse.quality_below(0.5, window=2))
    failed = CallRecord(latency_ms=1.0, error=ConnectionError(), quality=None)
    good = CallRecord(latency_ms=1.0, error=None, quality=0.9)
    bad = CallRecord(latency_ms=1.0, error=None, quality=0.0)
    assert [builtin(record) for record in (failed, failed, good, bad)] == [False, True, False, True]
    builtin.reset()
    assert builtin(failed) is False
