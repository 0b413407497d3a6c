"""Threads: calls run side by side, and nobody waits for a lock whose holder waits for Python."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

from softfuse import (
    CallRecord,
    CircuitBreakerOpen,
    Registry,
    State,
    any_of,
    call_reporter,
    circuit_breaker,
    consecutive_failures,
    error_rate_above,
    quality_below,
    report_quality,
)

#: Nothing here takes a second; a deadlock takes for ever.
DEADLOCK_S = 60.0


def in_threads(count: int, run: Callable[[int], Any]) -> list[Any]:
    """What the threads come to; fails where they don't come to an end."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []

    def body(number: int) -> None:
        try:
            results[number] = run(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + DEADLOCK_S
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
        assert not thread.is_alive(), "a deadlock"
    if errors:
        raise errors[0]
    return results


class Slow:
    """A condition that lets other threads run while it is asked, and so while its breaker is locked."""

    def __init__(self) -> None:
        self.records = 0
        self.inside = 0

    def __call__(self, record: CallRecord) -> bool:
        self.inside += 1
        assert self.inside == 1, "a condition is asked by one thread at a time"
        self.records += 1
        time.sleep(0)
        # Much Python, so that the interpreter changes threads within it.
        sum(range(2000))
        self.inside -= 1
        return False

    def reset(self) -> None:
        time.sleep(0)


def test_conditions_under_the_breakers_lock(registry: Registry) -> None:
    condition = Slow()

    @circuit_breaker(any_of(condition, error_rate_above(0.9, window=1000)), registry=registry, name="slow")
    def call(n: int) -> int:
        report_quality(0.5)
        if n % 5 == 0:
            reporter = call_reporter()
            assert reporter is not None
            return n
        return n

    breaker = call.breaker

    def run(number: int) -> int:
        for n in range(200):
            assert call(n) == n
            if n % 10 == 0:
                breaker.status(), breaker.is_open(), registry.metrics_text(), registry.health()
            if n % 25 == 0:
                # A permit that is dropped, and one that is settled by hand.
                breaker.before()
                permit = breaker.before()
                permit.record("success", score=0.5).late.report_quality(0.5)
        return number

    assert in_threads(8, run) == list(range(8))
    assert condition.records == 8 * (200 + 8) and breaker.status().totals.calls == 8 * (200 + 16)


def test_callbacks_that_use_the_breaker(registry: Registry) -> None:
    changes: list[Any] = []

    def changed(name: Any, old: State, new: State) -> None:
        time.sleep(0)
        breaker = registry.get(str(name))
        changes.append((new, breaker.status().trip_count, breaker.is_open()))

    @circuit_breaker(
        consecutive_failures(1), fallback=None, on_state_change=changed, registry=registry, name="callback"
    )
    def call() -> None:
        raise ConnectionError

    breaker = call.breaker

    def run(number: int) -> None:
        for _ in range(100):
            try:
                call()
            except ConnectionError:
                # Another thread was first to open it.
                pass
            breaker.reset()

    in_threads(6, run)
    deadline = time.monotonic() + DEADLOCK_S
    # Those that others have made may be told by a thread of the registry's own.
    while len(changes) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert changes


def test_calls_run_side_by_side(registry: Registry) -> None:
    """The guarded call is made under no lock: all are in it at once."""
    together = threading.Barrier(20)

    @circuit_breaker(quality_below(0.5, window=20), registry=registry, name="together")
    def call() -> int:
        return together.wait(DEADLOCK_S)

    assert sorted(in_threads(20, lambda number: call())) == list(range(20))


def test_no_outcome_is_lost(registry: Registry) -> None:
    @circuit_breaker(error_rate_above(0.9, window=1000), registry=registry, name="counted")
    def call(n: int) -> None:
        report_quality(0.5)
        if n % 3 == 0:
            raise ConnectionError

    def run(number: int) -> None:
        for n in range(2000):
            try:
                call(n)
            except ConnectionError:
                pass

    in_threads(4, run)
    totals = registry.get("counted").status().totals
    assert (totals.calls, totals.failures) == (8000, 4 * 667)


def test_one_name_is_one_breaker(registry: Registry) -> None:
    made = in_threads(8, lambda number: registry.breaker("one", consecutive_failures(5)))
    assert all(breaker is made[0] for breaker in made)


def test_permits_go_to_other_threads(registry: Registry) -> None:
    breaker = registry.breaker("moved", consecutive_failures(1))
    permit = breaker.before()
    with ThreadPoolExecutor() as pool:
        assert pool.submit(permit.record, "error").result().change.new is State.OPEN
        try:
            pool.submit(breaker.before).result()
        except CircuitBreakerOpen as refused:
            assert refused.name == "moved"
        else:
            raise AssertionError("it was admitted")


def test_a_permit_is_settled_once(registry: Registry) -> None:
    from softfuse import PermitSettled

    breaker = registry.breaker("once", any_of(Slow(), consecutive_failures(100)))

    def race(permit: Any) -> int:
        try:
            permit.record("error")
        except PermitSettled:
            return 0
        return 1

    for _ in range(50):
        permit = breaker.before()
        assert sum(in_threads(3, lambda number: race(permit))) == 1


def test_the_interpreter_ends_while_daemons_call() -> None:
    """Whatever daemon threads are at: the process ends by itself, and well."""
    import subprocess
    import sys

    program = """
import threading, time, softfuse

class Mine:
    def __call__(self, record): return sum(range(2000)) < 0
    def reset(self): pass

scorer = softfuse.Scorer.builtin("text")
quality = softfuse.quality_below(.5, window=2)

@softfuse.circuit_breaker(quality, on_state_change=lambda *_: time.sleep(.002), name="plain")
def plain(): time.sleep(.0005); softfuse.report_quality(.1); return sum(range(1000))

@softfuse.circuit_breaker(softfuse.any_of(Mine(), quality), score_fn=lambda n: sum(range(500)), name="hooks")
def hooks(): return sum(range(1000))

@softfuse.circuit_breaker(quality, scorer=scorer, name="scored")
def scored(): return "word " * 1000

bulkhead = softfuse.Bulkhead("full", 1)

def loop(call):
    while True:
        try: call()
        except softfuse.CircuitBreakerOpen: call.breaker.reset()
        except softfuse.BulkheadError: pass

def waits():
    while True:
        with bulkhead: time.sleep(.001)

def asks():
    while True: softfuse.default_registry().metrics_text()

softfuse.default_registry()
import logging; logging.disable()
for target, args in [(loop, (plain,)), (loop, (hooks,)), (loop, (scored,)), (waits, ()), (waits, ()), (asks, ())]:
    threading.Thread(target=target, args=args, daemon=True).start()
time.sleep(.1)
"""
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "FATAL" not in done.stderr, done.stderr
