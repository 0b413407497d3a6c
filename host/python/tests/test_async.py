"""Guarded coroutines, asynchronous generators and blocks, and how calls find themselves across tasks and threads."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, AsyncIterator

import pytest

from softfuse import (
    CircuitBreakerOpen,
    Registry,
    State,
    call_reporter,
    circuit_breaker,
    consecutive_failures,
    quality_below,
    report_quality,
)


def values(registry: Registry, *names: str) -> list[Any]:
    return [registry.get(name).status().conditions[0].value for name in names]


def test_coroutines(registry: Registry) -> None:
    async def other(x: int) -> str:
        return "other"

    @circuit_breaker(consecutive_failures(1), fallback=other, registry=registry, name="coroutine")
    async def ask(x: int) -> int:
        """Asks."""
        await asyncio.sleep(0)
        if x < 0:
            raise ConnectionError
        return x

    assert inspect.iscoroutinefunction(ask) and ask.__doc__ == "Asks." and ask.breaker is registry.get("coroutine")

    async def main() -> list[Any]:
        return [await ask(1), await ask(-1), await ask(1)]

    assert asyncio.run(main()) == [1, "other", "other"]


def test_tasks_keep_their_scores_apart(registry: Registry) -> None:
    @circuit_breaker(quality_below(0.1, window=100), key=lambda n: str(n), registry=registry, name="tasks")
    async def ask(n: int) -> None:
        await asyncio.sleep(0.001 * (n % 3))
        assert report_quality(n / 10)
        await asyncio.sleep(0.001 * (n % 2))

    async def main() -> None:
        await asyncio.gather(*(ask(n) for n in range(10)))
        assert report_quality(1.0) is False

    asyncio.run(main())
    assert [ask.breaker.get(str(n)).status().conditions[0].value for n in range(10)] == [n / 10 for n in range(10)]


def test_cancelled_is_neutral_and_a_timeout_is_none(registry: Registry) -> None:
    @circuit_breaker(consecutive_failures(1), registry=registry, name="cancelled")
    async def slow() -> None:
        await asyncio.sleep(60)

    @circuit_breaker(consecutive_failures(1), registry=registry, name="timeout")
    async def late() -> None:
        await asyncio.wait_for(asyncio.sleep(60), 0.001)

    async def main() -> None:
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.TimeoutError):
            await late()

    asyncio.run(main())
    assert registry.get("cancelled").status().totals.neutral == 1
    failure = registry.get("timeout").status().last_failure
    assert failure is not None and failure.kind == "timeout"


def test_inner_and_outer_calls(registry: Registry) -> None:
    def guard(name: str) -> Any:
        return circuit_breaker(quality_below(0.1, window=100), registry=registry, name=name)

    @guard("sync")
    def inner_sync() -> None:
        report_quality(0.25)

    @guard("async")
    async def inner_async() -> None:
        report_quality(0.5)
        inner_sync()
        await asyncio.sleep(0)
        report_quality(0.75)

    @guard("outer")
    def outer() -> None:
        report_quality(0.125)
        asyncio.run(inner_async())
        report_quality(1.0)

    outer()
    assert values(registry, "sync", "async", "outer") == [0.25, 0.75, 1.0]


def test_a_sync_call_in_a_task_beside_others(registry: Registry) -> None:
    @circuit_breaker(quality_below(0.1, window=100), registry=registry, name="slow")
    async def slow(go: asyncio.Event) -> None:
        await go.wait()
        report_quality(0.75)

    @circuit_breaker(quality_below(0.1, window=100), registry=registry, name="quick")
    def quick() -> None:
        report_quality(0.25)

    async def main() -> None:
        go = asyncio.Event()
        task = asyncio.create_task(slow(go))
        await asyncio.sleep(0)
        quick()
        assert report_quality(0.0) is False
        go.set()
        await task

    asyncio.run(main())
    assert values(registry, "slow", "quick") == [0.75, 0.25]


def test_threads_with_the_context_find_the_call(registry: Registry) -> None:
    @circuit_breaker(quality_below(0.1, window=100), registry=registry, name="threaded")
    async def ask() -> None:
        await asyncio.to_thread(report_quality, 0.5)

    asyncio.run(ask())
    assert values(registry, "threaded") == [0.5]

    @circuit_breaker(quality_below(0.1, window=100), registry=registry, name="reporter")
    def pooled() -> None:
        # A thread knows nothing of its maker's call, but a reporter does.
        reporter = call_reporter()
        assert reporter is not None
        with ThreadPoolExecutor() as pool:
            assert pool.submit(report_quality, 0.0).result() is False
            assert pool.submit(reporter.report_quality, 0.75).result() == "kept"

    pooled()
    assert values(registry, "reporter") == [0.75]

    @circuit_breaker(quality_below(0.1, window=100), registry=registry, name="block")
    def unused() -> None: ...

    with registry.get("block").guard():
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(report_quality, 0.25))
        thread.start()
        thread.join()
    assert values(registry, "block") == [0.25]


def test_a_task_that_outlives_its_call_reports_late(registry: Registry) -> None:
    told: list[bool] = []

    @circuit_breaker(quality_below(0.5, window=2), registry=registry, name="outlived")
    async def ask(judges: list[Any]) -> None:
        async def judge() -> None:
            await asyncio.sleep(0.002)
            told.append(report_quality(0.0))

        judges.append(asyncio.create_task(judge()))
        report_quality(0.5)

    async def main() -> None:
        judges: list[Any] = []
        await ask(judges)
        assert registry.get("outlived").state is State.CLOSED
        await judges[0]

    asyncio.run(main())
    assert told == [True] and registry.get("outlived").state is State.OPEN


def test_asynchronous_generators(registry: Registry) -> None:
    async def instead(n: int) -> AsyncIterator[int]:
        yield -1

    @circuit_breaker(quality_below(0.1, window=100), fallback=instead, registry=registry, name="stream")
    async def stream(n: int) -> AsyncIterator[int]:
        for i in range(n):
            await asyncio.sleep(0)
            yield i
            report_quality(0.5)
        if n > 5:
            raise ConnectionError

    assert inspect.isasyncgenfunction(stream)

    async def main() -> None:
        assert [piece async for piece in stream(3)] == [0, 1, 2]
        with pytest.raises(ConnectionError):
            [piece async for piece in stream(6)]
        left = stream(3)
        async for _ in left:
            break
        await left.aclose()
        assert report_quality(0.1) is False
        assert values(registry, "stream") == [0.5]
        stream.breaker.force_open()
        assert [piece async for piece in stream(3)] == [-1]

    asyncio.run(main())
    assert registry.get("stream").status().totals[:4] == (3, 1, 1, 1)


def test_asynchronous_blocks(registry: Registry) -> None:
    breaker = registry.breaker("block", quality_below(0.1, window=100))

    async def main() -> None:
        async with breaker.guard() as call:
            await asyncio.sleep(0)
            report_quality(0.5)
            call.report_quality(0.25)
        assert values(registry, "block") == [0.25]
        breaker.force_open()
        with pytest.raises(CircuitBreakerOpen):
            async with breaker.guard():
                raise AssertionError("the block was entered")

    asyncio.run(main())


def test_greenlets_keep_their_scores_apart() -> None:
    """In a process of its own, since greenlets make every call use contexts from then on."""
    import subprocess

    program = """
import greenlet
from softfuse import Registry, circuit_breaker, quality_below, report_quality

registry = Registry()

@circuit_breaker(quality_below(.1, window=100), key=lambda n: str(n), registry=registry, name="green")
def ask(n):
    main.switch()
    assert report_quality(n / 10)
    main.switch()
    return n

main = greenlet.getcurrent()
green = [greenlet.greenlet(ask) for _ in range(3)]
for n, one in enumerate(green):
    one.switch(n)
for one in green:
    one.switch()
for one in reversed(green):
    one.switch()
assert [ask.breaker.get(str(n)).status().conditions[0].value for n in range(3)] == [0, .1, .2]
print("apart")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("apart\n", 0), done.stderr
