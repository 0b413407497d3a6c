"""Guarded calls of ordinary functions, generators, blocks and permits."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import pickle
import sys
import traceback
import types
import typing
import weakref
from typing import Any, Iterator, Optional

import pytest

import softfuse
from softfuse import (
    CircuitBreaker,
    CircuitBreakerOpen,
    InvalidScore,
    ManualClock,
    Outcome,
    PermitSettled,
    Policy,
    PolicyDiffers,
    PolicyError,
    Registry,
    State,
    call_reporter,
    circuit_breaker,
    consecutive_failures,
    quality_below,
    report_quality,
)


@circuit_breaker(trip_on=consecutive_failures(3))
def documented(first: int, *, second: int = 2) -> int:
    """What it does."""
    return first + second


def test_a_decorated_function_is_like_the_function() -> None:
    assert documented(1) == 3 and documented(first=1, second=1) == 2
    assert documented.__name__ == "documented" and documented.__doc__ == "What it does."
    assert documented.__module__ == __name__ and documented.__qualname__ == "documented"
    assert str(inspect.signature(documented)) == "(first: 'int', *, second: 'int' = 2) -> 'int'"
    assert documented.__wrapped__(1) == 3 and callable(documented)
    assert pickle.loads(pickle.dumps(documented)) is documented
    assert copy.copy(documented) is documented and copy.deepcopy(documented) is documented
    documented.note = 1
    assert weakref.ref(documented)() is documented
    with pytest.raises(TypeError, match="required positional argument"):
        documented()


def test_methods(registry: Registry) -> None:
    class Service:
        factor = 2

        @circuit_breaker(consecutive_failures(3), registry=registry)
        def method(self, x: int) -> int:
            return self.factor * x

        @circuit_breaker(consecutive_failures(3), registry=registry)
        @staticmethod
        def static(x: int) -> int:
            return x

        @staticmethod
        @circuit_breaker(consecutive_failures(3), registry=registry, name="outside")
        def static_outside(x: int) -> int:
            return x

        @circuit_breaker(consecutive_failures(3), registry=registry)
        @classmethod
        def of_class(cls, x: int) -> int:
            return cls.factor * x

        @property
        @circuit_breaker(consecutive_failures(3), registry=registry)
        def value(self) -> int:
            return self.factor

    service = Service()
    assert service.method(2) == 4 and Service.method(service, x=3) == 6
    assert service.static(2) == Service.static(2) == 2 and service.static_outside(2) == 2
    assert service.of_class(2) == Service.of_class(2) == 4 and service.value == 2
    assert Service.method.breaker is registry.get(f"{__name__}.test_methods.<locals>.Service.method")
    assert service.method.breaker.status().totals.calls == 2


def test_functions_of_a_class_are_functions(registry: Registry) -> None:
    """There are libraries that look for those in a class's body: pydantic's models, say."""

    class Service:
        @circuit_breaker(consecutive_failures(3), registry=registry, name="in the body")
        def method(self) -> str:
            return type(self).__name__

    @circuit_breaker(consecutive_failures(3), registry=registry, name="put in later")
    def later(self: Any) -> str:
        return type(self).__name__

    Service.later = later  # type: ignore[attr-defined]
    assert isinstance(Service.__dict__["method"], types.FunctionType)
    assert Service().method() == Service().later() == "Service"  # type: ignore[attr-defined]
    assert Service.later is later and inspect.isroutine(later)  # type: ignore[attr-defined]
    assert typing.get_type_hints(later) == {"self": Any, "return": str}


def test_errors_pass_as_they_are(registry: Registry) -> None:
    """The call's error is the function's, with nothing of the package in its trace, and handlers see it being handled."""
    seen: list[Any] = []

    def instead(fails: bool) -> str:
        seen.append(sys.exc_info()[1])
        if fails:
            raise LookupError("the fallback")
        return "instead"

    def classify(answer: Any, error: Optional[Exception]) -> None:
        seen.append(sys.exc_info()[1])

    error = ConnectionError("the call")

    @circuit_breaker(consecutive_failures(1), fallback=instead, classify=classify, registry=registry, name="handled")
    def call(fails: bool) -> str:
        raise error

    assert call(False) == "instead" and seen == [error, error] and sys.exc_info()[1] is None
    call.breaker.reset()
    with pytest.raises(LookupError) as raised:
        call(True)
    assert raised.value.__context__ is error
    seen.clear()
    # A refused call handles nothing.
    assert call(False) == "instead" and seen == [None]

    @circuit_breaker(consecutive_failures(9), registry=registry, name="plain")
    def fails() -> None:
        raise error

    error.__traceback__ = None
    try:
        fails()
    except ConnectionError as same:
        assert same is error
        frames = [frame.name for frame in traceback.extract_tb(same.__traceback__)]
        assert frames == ["test_errors_pass_as_they_are", "fails"]
    assert sys.exc_info()[1] is None


def test_recursion_ends_as_it_does_without(registry: Registry) -> None:
    @circuit_breaker(quality_below(0.5, window=100), registry=registry, name="deep")
    def down(n: int) -> int:
        report_quality(0.75)
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(100) == 100
    with pytest.raises(RecursionError):
        down(10**6)
    status = registry.get("deep").status()
    assert status.totals.calls == status.totals.successes + status.totals.failures > 101


def test_calls_leave_nothing_behind(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Neither references nor memory: of answers, errors, arguments, refusals."""

    class Thing:
        pass

    @circuit_breaker(consecutive_failures(1), fallback=None, registry=registry, name="things")
    def call(thing: Thing, *, fails: bool = False, told: Any = None) -> Thing:
        if fails:
            raise LookupError(thing)
        return thing

    # What is logged is kept by the tests' own handler.
    caplog.set_level("CRITICAL", logger="softfuse")
    thing, told = Thing(), Thing()
    before = sys.getrefcount(thing), sys.getrefcount(told), sys.getrefcount(None)
    for n in range(200):
        call(thing, told=told)
        call(thing, fails=True, told=told)
        call(thing, told=told)
        call.breaker.reset()
    gc.collect()
    after = sys.getrefcount(thing), sys.getrefcount(told), sys.getrefcount(None)
    assert before[:2] == after[:2] and abs(after[2] - before[2]) < 100


def test_partials_and_callable_objects(registry: Registry) -> None:
    class Model:
        def __call__(self, x: int) -> int:
            return x

    def add(x: int, y: int) -> int:
        return x + y

    assert circuit_breaker(consecutive_failures(1), registry=registry)(Model())(1) == 1
    assert circuit_breaker(consecutive_failures(1), registry=registry)(functools.partial(add, 1))(2) == 3
    assert any(name.endswith("add") for name in registry.all()), registry.all()
    with pytest.raises(TypeError, match="can't be called"):
        circuit_breaker(consecutive_failures(1), registry=registry)(1)  # type: ignore[type-var]


def test_cycles_are_collected(registry: Registry) -> None:
    def make() -> weakref.ref[Any]:
        def function() -> Any:
            return guarded

        guarded = circuit_breaker(consecutive_failures(1), registry=registry, name="cycle")(function)
        return weakref.ref(function)

    gone = make()
    gc.collect()
    assert gone() is None


def test_report_quality_finds_its_call(registry: Registry) -> None:
    guard = functools.partial(circuit_breaker, quality_below(0.5, window=100), registry=registry)

    @guard(name="inner")
    def inner(score: float) -> None:
        assert report_quality(score)

    @guard(name="outer")
    def outer() -> None:
        assert report_quality(0.25)
        inner(0.75)
        assert report_quality(0.5)
        inner(1.0)

    assert report_quality(0.1) is False and call_reporter() is None
    outer()
    assert report_quality(0.1) is False
    values = {name: registry.get(name).status().conditions[0].value for name in ("inner", "outer")}
    assert values == {"inner": 0.875, "outer": 0.5}


def test_scores_that_are_none(registry: Registry) -> None:
    @circuit_breaker(quality_below(0.5, window=5), registry=registry, name="scores")
    def call(score: Any) -> None:
        report_quality(score)

    for wrong in (float("nan"), float("inf"), 1e7):
        with pytest.raises(InvalidScore, match="is no score"):
            call(wrong)
    for wrong in ("0.5", None, True, 1j):
        with pytest.raises(TypeError, match="real number"):
            call(wrong)
    call(1)
    status = registry.get("scores").status()
    assert status.conditions[0].filled == 1 and status.totals.failures == 7


def test_score_fn_that_fails_costs_nobody_the_answer(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([0.5, None, "bad", float("nan"), ValueError("no")])

    def score(answer: Any) -> Any:
        scored = next(answers)
        if isinstance(scored, Exception):
            raise scored
        return scored

    @circuit_breaker(quality_below(0.1, window=3, score_fn=score), registry=registry, name="scored")
    def call() -> int:
        return 1

    assert [call() for _ in range(5)] == [1] * 5
    assert registry.get("scored").status().conditions[0].filled == 1
    assert sum("score_fn" in message for message in caplog.messages) == 3


def test_a_call_that_trips_keeps_its_own_result(registry: Registry) -> None:
    @circuit_breaker(quality_below(0.5, window=1), fallback="instead", registry=registry, name="good")
    def good() -> str:
        report_quality(0.1)
        return "mine"

    @circuit_breaker(consecutive_failures(2), fallback="instead", registry=registry, name="bad")
    def bad() -> str:
        raise ConnectionError

    assert (good(), good()) == ("mine", "instead")
    with pytest.raises(ConnectionError):
        bad()
    assert (bad(), bad()) == ("instead", "instead")


def test_the_callers_own_going_away_is_neutral(registry: Registry) -> None:
    @circuit_breaker(consecutive_failures(1), registry=registry, name="neutral")
    def call(raised: BaseException) -> None:
        raise raised

    for raised in (KeyboardInterrupt(), SystemExit(), GeneratorExit()):
        with pytest.raises(type(raised)):
            call(raised)
    assert registry.get("neutral").status().totals.neutral == 3


def test_generators(registry: Registry) -> None:
    @circuit_breaker(
        quality_below(0.5, window=100), fallback=lambda n: iter(["fallback"]), registry=registry, name="stream"
    )
    def stream(n: int) -> Iterator[Any]:
        got = yield 0
        report_quality(0.5 if got is None else got)
        for i in range(1, n):
            yield i
        return "end"

    assert inspect.isgeneratorfunction(stream)
    breaker = stream.breaker
    waiting = stream(3)
    assert breaker.status().totals.calls == 0
    assert list(waiting) == [0, 1, 2]
    sent = stream(1)
    assert next(sent) == 0 and report_quality(0.1) is False
    with pytest.raises(StopIteration) as ended:
        sent.send(1.0)
    assert ended.value.value == "end"
    closed = stream(3)
    next(closed)
    closed.close()
    assert breaker.status().totals[:4] == (3, 2, 0, 1)
    thrown = stream(3)
    next(thrown)
    with pytest.raises(LookupError):
        thrown.throw(LookupError())
    assert breaker.status().totals.failures == 1 and breaker.status().conditions[0].value == 0.75
    breaker.force_open()
    assert list(stream(2)) == ["fallback"]


def test_generators_that_are_interleaved(registry: Registry) -> None:
    @circuit_breaker(quality_below(0.1, window=100), registry=registry, key=lambda score: str(score), name="mixed")
    def stream(score: float) -> Iterator[int]:
        yield 1
        report_quality(score)
        yield 2

    one, other = stream(0.25), stream(0.75)
    for _ in range(2):
        next(one), next(other)
    assert list(one) == list(other) == []
    family = stream.breaker
    assert [family.get(key).status().conditions[0].value for key in ("0.25", "0.75")] == [0.25, 0.75]


def test_blocks(registry: Registry) -> None:
    breaker = registry.breaker("block", quality_below(0.5, window=2))
    with breaker.guard() as call:
        report_quality(0.75)
        assert call.name == "block"
    with pytest.raises(ValueError):
        with breaker.guard() as call:
            call.report_quality(0.25)
            raise ValueError
    assert breaker.status().totals[:3] == (2, 1, 1) and breaker.status().conditions[0].value == 0.5
    breaker.force_open()
    with pytest.raises(CircuitBreakerOpen):
        with breaker.guard():
            raise AssertionError("the block was entered")
    breaker.reset()
    assert breaker.call(lambda x, *, y: x + y, 1, y=2) == 3
    guard = breaker.guard()
    with guard as outer, guard as inner:
        assert outer is not inner


def test_two_steps(registry: Registry, clock: ManualClock) -> None:
    breaker = registry.breaker("steps", consecutive_failures(1), half_open_after=5)
    permit = breaker.before()
    clock.advance(0.25)
    settled = permit.record("error", retry_after=8.5)
    assert settled.effect == "recorded" and settled.latency_ns == 250_000_000
    assert settled.change is not None and settled.change.is_trip and settled.change.trip is not None
    assert settled.change.trip.causes[0].path == "consecutive_failures"
    with pytest.raises(PermitSettled, match="a call has one outcome"):
        permit.record()
    with pytest.raises(CircuitBreakerOpen) as refused:
        breaker.before()
    assert refused.value.retry_after == 8.5 and refused.value.reason is not None
    assert "retry after 8.5 s" in str(refused.value)
    clock.advance(8.5)
    assert breaker.is_open() is False
    dropped = breaker.before()
    del dropped
    assert breaker.status().totals.neutral == 1 and breaker.status().live_probes == 0
    with pytest.raises(ValueError, match="there is no outcome 'nonsense'; there are success, error"):
        breaker.before().record("nonsense")
    with pytest.raises(ValueError, match="latency must be 0 or more"):
        breaker.before().record(latency=-1)


def test_late_scores(registry: Registry) -> None:
    @circuit_breaker(quality_below(0.5, window=2), registry=registry, name="late")
    def call() -> Any:
        report_quality(0.25)
        reporter = call_reporter()
        assert reporter is not None and call_reporter() is reporter
        report_quality(0.5)
        return reporter

    reporter = call()
    assert registry.get("late").status().conditions[0].value == 0.5
    assert reporter.report_quality(0.0) == "recorded"
    assert registry.get("late").state is State.OPEN
    assert reporter.report_quality(0.0) == "stale"


def test_scores_that_are_owed(registry: Registry) -> None:
    kept: list[Any] = []

    @circuit_breaker(
        quality_below(0.5, window=2),
        require_quality_signal=True,
        classify=lambda answer, error: Outcome("success", pending=True),
        registry=registry,
        name="owed",
    )
    def call(keep: bool) -> None:
        if keep:
            kept.append(call_reporter())

    call(True)
    reading = registry.get("owed").status().conditions[0]
    assert reading.filled == 0
    kept.pop().report_quality(0.75)
    call(True)
    # Dropped unused: the score is missing, which counts as 0.
    kept.clear()
    gc.collect()
    assert registry.get("owed").state is State.OPEN


def test_classify(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    def classify(answer: Any, error: Any) -> Any:
        if error is not None:
            return "bad-request" if isinstance(error, KeyError) else None
        if answer == "raise":
            raise LookupError
        return {"slow down": Outcome("rate-limited", retry_after=7), "odd": 3, "unknown": "banana"}.get(answer)

    @circuit_breaker(consecutive_failures(2), classify=classify, registry=registry, name="classified")
    def call(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(KeyError):
        call(KeyError())
    with pytest.raises(ValueError):
        call(ValueError())
    assert [call("raise"), call("odd"), call("unknown")] == ["raise", "odd", "unknown"]
    status = registry.get("classified").status()
    assert status.totals[:4] == (5, 3, 1, 1) and len(caplog.messages) == 3
    assert [call("slow down"), call("slow down")] == ["slow down"] * 2
    assert registry.get("classified").state is State.OPEN


def test_keys(registry: Registry) -> None:
    seen: list[Any] = []

    @circuit_breaker(
        consecutive_failures(1),
        key=lambda tenant, up=True: tenant,
        fallback="instead",
        registry=registry,
        name="tenants",
        on_state_change=lambda name, old, new: seen.append((name, new)),
    )
    def call(tenant: str, up: bool = True) -> str:
        if not up:
            raise ConnectionError
        return tenant

    assert [call("a", up=False), call("a"), call("b")] == ["instead", "instead", "b"]
    assert call.breaker.live == 2 and call.breaker.get("a").state is State.OPEN
    assert seen == [("tenants/a", State.OPEN)]


def test_policies(registry: Registry, tmp_path: Any) -> None:
    text = "half_open_after = 5\ntrip_on = { consecutive_failures = 2 }\n"
    path = tmp_path / "policy.toml"
    path.write_text(text)
    by_file = circuit_breaker(policy=path, registry=registry, name="policy")(lambda: 1)
    by_text = circuit_breaker(policy=Policy.from_text(text), registry=registry, name="policy")(lambda: 2)
    by_builder = circuit_breaker(
        consecutive_failures(2), half_open_after=5, registry=registry, name="policy"
    )(lambda: 3)
    assert by_file.breaker is by_text.breaker is by_builder.breaker
    with pytest.raises(PolicyDiffers, match=r"two policies.*policy\.toml.*breaker 'policy'"):
        circuit_breaker(consecutive_failures(3), registry=registry, name="policy")(lambda: 4)
    with pytest.raises(PolicyError, match="half_open_after: expected a span"):
        circuit_breaker(consecutive_failures(3), half_open_after=0, registry=registry, name="zero")(lambda: 5)
    with pytest.raises(ValueError, match="half_open_after must be 0 or more"):
        circuit_breaker(consecutive_failures(3), half_open_after=-1, registry=registry, name="zero")(lambda: 5)
    with pytest.raises(FileNotFoundError):
        circuit_breaker(policy="nowhere.toml")
    with pytest.raises(TypeError, match="needs trip_on="):
        circuit_breaker()
    with pytest.raises(TypeError, match="half_open_after: a policy that is given whole"):
        circuit_breaker(policy=path, half_open_after=3, registry=registry, name="policy")(lambda: 6)
    with pytest.raises(TypeError, match="is none"):
        circuit_breaker(softfuse.any_of(lambda record: True))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one condition or more"):
        softfuse.any_of()
    built = softfuse.policy_text(
        softfuse.any_of(
            softfuse.slow_call_rate_above(0.5, 1e-5, window="60s", minimum_calls=5, slices=6),
            quality_below(-1e-3, window=3),
        ),
        half_open_after=1e-6,
        backoff={"multiplier": 2, "max": 60, "jitter": 0.5, "seed": 7},
        retry_after_max="5m",
        probe_timeout=30,
        half_open_max_calls=1,
        require_quality_signal=True,
        missing_score=-1,
    )
    assert registry.breaker("built", Policy.from_text(built)).policy_text == built
    tiers = [softfuse.Adaptive(100, consecutive_failures=3, half_open_after=30)]
    registry.breaker("adaptive", consecutive_failures(10), adaptive=tiers)


def test_errors_can_be_pickled() -> None:
    errors: list[Exception] = [
        CircuitBreakerOpen("a", State.OPEN, 3, "why", 1.5, None, 1_500_000_000),
        CircuitBreakerOpen("a", State.HALF_OPEN, 1),
        InvalidScore(2e9, "no score"),
        PermitSettled("a"),
        PolicyError("bad", [(1, 2, "key", "message", None)]),
        softfuse.BulkheadFull("chat", "full"),
        softfuse.BulkheadTimeout("chat", "late"),
        softfuse.ComponentFailed("trapped", "trapped"),
        softfuse.NoProvider([("a", CircuitBreakerOpen("a", State.OPEN, 3, "why", 1.5))]),
    ]
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)
        assert repr(again.__dict__) == repr(error.__dict__)


def test_snapshots(registry: Registry, clock: ManualClock) -> None:
    breaker = registry.breaker("saved", consecutive_failures(1), half_open_after=10)
    breaker.before().record("error")
    saved = breaker.snapshot()
    other = Registry(clock=clock, salt=0)
    restored = other.restore("saved", consecutive_failures(1), saved, half_open_after=10, away=4)
    assert restored.state is State.OPEN and restored.status().retry_after == 6.0
    assert isinstance(restored, CircuitBreaker) and other.get("saved") is restored
    with pytest.raises(softfuse.RegistryError, match="not a snapshot"):
        other.restore("other", consecutive_failures(1), b"nonsense")


def test_operators_health_and_metrics(registry: Registry) -> None:
    breakers = [registry.breaker(name, consecutive_failures(1)) for name in "abcd"]
    assert registry.health().is_healthy
    breakers[0].trip("maintenance", open_for=5)
    health = registry.health()
    assert (health.status_code, health.summary) == (200, "3/4 circuits healthy")
    changed = breakers[1].force_open()
    assert changed is not None and changed.kind == "operator" and breakers[1].force_open() is None
    health = registry.health()
    assert (health.status_code, health.is_healthy) == (503, False)
    assert {circuit["name"]: circuit["state"] for circuit in health.to_dict()["circuits"]}["b"] == "forced-open"
    breakers[2].disable(), breakers[3].metrics_only()
    breakers[3].before().record("error")
    assert [str(breaker.state) for breaker in breakers] == ["open", "forced-open", "disabled", "metrics-only"]
    assert 'softfuse_state{breaker="d"} 5' in registry.metrics_text()
    registry.reset_all()
    assert {breaker.state for breaker in breakers} == {State.CLOSED}
    assert registry.remove("a") and not registry.remove("a") and set(registry.all()) == set("bcd")


def test_callbacks_that_raise_reach_nobody(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("broken")

    registry.on_event(broken)

    @circuit_breaker(consecutive_failures(1), on_state_change=broken, fallback=1, registry=registry, name="loud")
    def call() -> int:
        raise ConnectionError

    assert call() == 1 and "on_state_change callback raised for breaker 'loud'" in caplog.messages
    assert "circuit 'loud': closed -> open: 1 failure in a row, the limit is 1" in caplog.text or "loud" in caplog.text


def test_leases_are_in_force(registry: Registry) -> None:
    @circuit_breaker(quality_below(0.5, window=20), registry=registry, name="leased")
    def call() -> None:
        report_quality(0.9)

    for _ in range(1000):
        call()
    line = next(line for line in registry.metrics_text().splitlines() if line.startswith("softfuse_leased_total"))
    assert float(line.split()[-1]) > 500
    assert registry.get("leased").status().totals.calls == 1000
