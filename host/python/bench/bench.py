#!/usr/bin/env python3
"""Measures the installed package ``softfuse`` beside its peers, in one run: one table of medians, ratios and goals.

    pip install softfuse -r host/python/bench/requirements.txt
    python host/python/bench/bench.py [--json] [--quick]

Samples of all contestants are interleaved, so that whatever else the machine does hits all alike; the figures are nanoseconds a call, the function included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import threading
import time
import timeit
from typing import Any, Callable

import circuitbreaker
import ml_breaker
import pybreaker

import softfuse

#: Samples of each contestant.
SAMPLES = 31
#: Seconds that a sample takes, about.
SAMPLE_S = 0.01
THREADS = 20
CALL_S = 0.05


def plain(x: int) -> int:
    return x


def calls() -> dict[str, Callable[..., Any]]:
    """A call that succeeds."""
    made = {"function": plain}
    made["softfuse"] = softfuse.circuit_breaker(softfuse.consecutive_failures(5), name="calls")(lambda x: x)
    made["circuitbreaker"] = circuitbreaker.circuit(failure_threshold=5)(lambda x: x)
    made["ml-breaker"] = ml_breaker.circuit_breaker(ml_breaker.consecutive_failures(5), name="calls")(lambda x: x)
    made["pybreaker"] = pybreaker.CircuitBreaker(fail_max=5)(lambda x: x)
    return made


def scored() -> dict[str, Callable[..., Any]]:
    """A call that reports its score, under quality_below with a window of 20. The scores wobble."""
    scores = [0.8 + 0.15 * ((i * 37 % 100) / 50 - 1) for i in range(100)]

    def of(package: Any) -> Callable[[int], int]:
        report_quality = package.report_quality
        place = iter(range(sys.maxsize))

        @package.circuit_breaker(package.quality_below(0.7, window=20), name="scored")
        def call(x: int) -> int:
            report_quality(scores[next(place) % 100])
            return x

        guarded: Callable[[int], int] = call
        return guarded

    return {"softfuse": of(softfuse), "ml-breaker": of(ml_breaker)}


def refused() -> dict[str, Callable[..., Any]]:
    """A call that an open circuit refuses, with a fallback."""

    def fail(x: int) -> int:
        raise ConnectionError

    def instead(x: int) -> int:
        return x

    made: dict[str, Callable[..., Any]] = {
        "softfuse": softfuse.circuit_breaker(softfuse.consecutive_failures(1), fallback=instead, name="refused")(fail),
        "circuitbreaker": circuitbreaker.circuit(failure_threshold=1, fallback_function=instead)(fail),
        "ml-breaker": ml_breaker.circuit_breaker(
            ml_breaker.consecutive_failures(1), fallback=instead, name="refused"
        )(fail),
    }
    for call in made.values():
        try:
            call(1)
        except ConnectionError:
            pass
    return made


def in_loop() -> dict[str, Callable[..., Any]]:
    """A coroutine that is awaited: the figure has the bare coroutine beside it."""

    async def bare(x: int) -> int:
        return x

    made = {"coroutine": bare}
    made["softfuse"] = softfuse.circuit_breaker(softfuse.consecutive_failures(5), name="loop")(bare)
    made["circuitbreaker"] = circuitbreaker.circuit(failure_threshold=5)(bare)
    return made


def measured(contestants: dict[str, Callable[..., Any]], samples: int, coroutines: bool = False) -> dict[str, float]:
    """Medians in nanoseconds a call, of interleaved samples."""
    timers: dict[str, Callable[[int], float]] = {}
    for name, call in contestants.items():
        timers[name] = awaiting(call) if coroutines else timeit.Timer("call(1)", globals={"call": call}).timeit
    counts = {name: max(int(1000 * SAMPLE_S / max(timer(1000), 1e-9)), 10) for name, timer in timers.items()}
    taken: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(samples):
        for name, timer in timers.items():
            taken[name].append(timer(counts[name]) / counts[name] * 1e9)
    return {name: statistics.median(times) for name, times in taken.items()}


def awaiting(call: Callable[..., Any]) -> Callable[[int], float]:
    async def loop(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            await call(1)
        return time.perf_counter() - began

    return lambda count: asyncio.run(loop(count))


def side_by_side() -> dict[str, float]:
    """So many threads that each make one slow call, in single calls' times."""

    def slow() -> None:
        time.sleep(CALL_S)

    contestants: dict[str, Callable[[], Any]] = {
        "softfuse": softfuse.circuit_breaker(softfuse.quality_below(0.7), name="threads")(slow),
        "ml-breaker": ml_breaker.circuit_breaker(ml_breaker.quality_below(0.7), name="threads")(slow),
    }
    found = {}
    for name, call in contestants.items():
        threads = [threading.Thread(target=call) for _ in range(THREADS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found[name] = (time.perf_counter() - began) / CALL_S
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="fewer samples, for a glance")
    given = parser.parse_args()
    samples = 5 if given.quick else SAMPLES
    figures = {
        "a call": measured(calls(), samples),
        "a call with its score": measured(scored(), samples),
        "a refused call": measured(refused(), samples),
        "an awaited call": measured(in_loop(), samples, coroutines=True),
    }
    threads = side_by_side()
    ours = {name: times["softfuse"] for name, times in figures.items()}
    goals = [
        ("a call / circuitbreaker's", ours["a call"] / figures["a call"]["circuitbreaker"], 0.4),
        (
            "a call with its score / ml-breaker's",
            ours["a call with its score"] / figures["a call with its score"]["ml-breaker"],
            0.02,
        ),
        (f"{THREADS} threads' calls of {CALL_S * 1000:.0f} ms / one's", threads["softfuse"], 1.2),
    ]
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    if given.json:
        told = {
            "machine": machine,
            "softfuse": softfuse.__version__,
            "nanoseconds": figures,
            "threads": threads,
            "goals": [{"name": name, "ratio": ratio, "limit": limit, "met": ratio <= limit} for name, ratio, limit in goals],
        }
        print(json.dumps(told, indent=2))
        return
    print(f"softfuse {softfuse.__version__}, {machine}, medians of {samples} interleaved samples\n")
    print(f"{'':24}{'contestant':16}{'ns':>10}{'ratio':>8}")
    for name, times in figures.items():
        for contestant, taken in times.items():
            print(f"{name:24}{contestant:16}{taken:10.0f}{taken / times['softfuse']:8.2f}")
    for contestant, ratio in threads.items():
        print(f"{'threads, in calls':24}{contestant:16}{'':10}{ratio:8.2f}")
    print()
    for name, ratio, limit in goals:
        print(f"{'MET' if ratio <= limit else 'MISSED':8}{name}: {ratio:.4f}, goal {limit}")


if __name__ == "__main__":
    main()
