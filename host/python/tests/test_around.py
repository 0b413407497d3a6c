"""Scorers, bulkheads and providers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Optional

import pytest

import softfuse
from softfuse import (
    Bulkhead,
    BulkheadFull,
    BulkheadTimeout,
    CircuitBreakerOpen,
    Exchange,
    NoProvider,
    Providers,
    Registry,
    Scorer,
    ScorerError,
    State,
    any_of,
    circuit_breaker,
    consecutive_failures,
    error_rate_above,
    quality_below,
    report_quality,
)

GOOD = "Paris is the capital of France, and has been for a long time."
WAIT_S = 30.0


def until(holds: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it doesn't come to hold"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def text_scorer() -> Scorer:
    return Scorer.builtin("text")


def test_a_scorer_by_itself(text_scorer: Scorer) -> None:
    assert text_scorer.name == "text" and text_scorer.waiting == 0
    good, empty = text_scorer.score(GOOD), text_scorer.score("")
    assert good.score is not None and empty.score is not None and good.score > 0.8 > 0.2 > empty.score
    assert good.outcome == "score" and good.reason == ""
    json_answer = Exchange({"choices": [{"message": {"content": GOOD}}]}, operation="chat", model="m")
    assert text_scorer.score(json_answer).outcome in ("score", "abstained")


def test_scorers_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no built-in scorer 'txt'; there are text, logprobs, embedding"):
        Scorer.builtin("txt")
    with pytest.raises(ScorerError, match="configuration"):
        Scorer.builtin("text", config="nonsense = 1")
    with pytest.raises(ScorerError, match="nowhere.wasm"):
        Scorer.from_file("nowhere.wasm")
    wrong = tmp_path / "wrong.wasm"
    wrong.write_bytes(b"not a component")
    with pytest.raises(ScorerError, match="not a component"):
        Scorer.from_file(wrong)
    with pytest.raises(TypeError, match="there is no setting 'dedline' of a scorer"):
        Scorer.from_file(wrong, dedline=1)
    with pytest.raises(TypeError, match="belong to scorer="):
        circuit_breaker(consecutive_failures(1), score_before_answer=True)


def test_beside_the_call(registry: Registry, text_scorer: Scorer) -> None:
    @circuit_breaker(quality_below(0.5, window=3), scorer=text_scorer, registry=registry, name="beside")
    def ask(answer: str) -> str:
        return answer

    breaker = ask.breaker
    for count in range(1, 3):
        ask(GOOD)
        until(lambda: breaker.status().conditions[0].filled == count)
    assert (breaker.status().conditions[0].value or 0) > 0.8
    for _ in range(3):
        if breaker.state is State.CLOSED:
            ask("")
            time.sleep(0.01)
    until(lambda: breaker.state is State.OPEN)


def test_threads_that_cannot_be_started_cost_a_score_and_no_answer() -> None:
    """A process at its limit of memory, where threads find no room for their stacks."""
    program = """
import logging, resource, softfuse

told = []
logging.getLogger("softfuse").addHandler(type("Told", (logging.Handler,), {"emit": lambda self, record: told.append(record.getMessage())})())
scorer = softfuse.Scorer.builtin("text")

@softfuse.circuit_breaker(softfuse.quality_below(.5, window=9), require_quality_signal=True, scorer=scorer, name="full")
def ask(): return "Paris is the capital of France."

with open("/proc/self/statm") as read:
    used = int(read.read().split()[0]) * resource.getpagesize()
free = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), free[1]))
answers = [ask(), ask()]
resource.setrlimit(resource.RLIMIT_AS, free)
assert answers == ["Paris is the capital of France."] * 2
assert len(told) == 2 and all("a scorer raised" in line and "text: its threads can't be started" in line for line in told), told
status = ask.breaker.status()
assert (status.totals.successes, status.conditions[0].filled, status.conditions[0].value) == (2, 2, 0), status

ask()
import time
until = time.monotonic() + 30
while ask.breaker.status().conditions[0].filled < 3 and time.monotonic() < until: time.sleep(.005)
status = ask.breaker.status()
assert status.conditions[0].filled == 3 and len(told) == 2, (status, told)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_before_the_answer(registry: Registry, text_scorer: Scorer) -> None:
    def guard(name: str) -> Any:
        return circuit_breaker(
            quality_below(0.1, window=100),
            scorer=text_scorer,
            score_before_answer=True,
            replace_below=0.5,
            fallback=lambda answer: f"instead of {answer!r}",
            registry=registry,
            name=name,
        )

    @guard("sync")
    def ask(answer: str) -> str:
        return answer

    @guard("async")
    async def ask_async(answer: str) -> str:
        await asyncio.sleep(0)
        return answer

    async def main() -> list[str]:
        return [await ask_async(GOOD), await ask_async("")]

    assert [ask(GOOD), ask("")] == asyncio.run(main()) == [GOOD, "instead of ''"]
    for name in ("sync", "async"):
        status = registry.get(name).status()
        assert status.conditions[0].filled == 2 and status.totals.successes == 2


def test_a_report_wins_over_the_scorer(registry: Registry, text_scorer: Scorer) -> None:
    @circuit_breaker(quality_below(0.1, window=100), scorer=text_scorer, registry=registry, name="wins")
    def ask() -> str:
        report_quality(0.25)
        return GOOD

    ask()
    time.sleep(0.05)
    reading = ask.breaker.status().conditions[0]
    assert (reading.filled, reading.value) == (1, 0.25)


def test_what_the_scorer_is_shown(registry: Registry, text_scorer: Scorer, caplog: pytest.LogCaptureFixture) -> None:
    shown: list[Any] = []

    def exchange(answer: Any) -> Any:
        shown.append(answer)
        return {"nothing": None, "object": object()}.get(answer, Exchange(answer, request="Where?"))

    @circuit_breaker(
        quality_below(0.1, window=100),
        scorer=text_scorer,
        score_before_answer=True,
        exchange=exchange,
        registry=registry,
        name="shown",
    )
    def ask(answer: str) -> str:
        return answer

    assert [ask(GOOD), ask("nothing"), ask("object")] == [GOOD, "nothing", "object"] == shown
    assert ask.breaker.status().conditions[0].filled == 1
    assert any("making an exchange" in message for message in caplog.messages)


def test_bulkheads_refuse_and_time_out() -> None:
    bulkhead = Bulkhead("chat", 1, queue_max=1, queue_timeout=0.02)
    with bulkhead:
        with pytest.raises(BulkheadFull, match="bulkhead `chat` is full"):
            bulkhead.try_enter()
        with pytest.raises(BulkheadTimeout, match="no place within 20ms") as late:
            bulkhead.enter()
        assert isinstance(late.value, TimeoutError) and late.value.name == "chat"
        waiter = threading.Thread(target=lambda: bulkhead.enter(WAIT_S).release())
        waiter.start()
        until(lambda: bulkhead.counts().waiting == 1)
        with pytest.raises(BulkheadFull):
            bulkhead.enter()
    waiter.join(WAIT_S)
    assert bulkhead.counts() == (0, 0, 2, 1)
    assert Bulkhead.preset("embeddings")._core.counts() == (0, 0, 0, 0)
    for wrong in ({"concurrent_max": 0}, {"concurrent_max": -1}, {"concurrent_max": 1, "queue_max": 2_000_000}):
        with pytest.raises(ValueError, match="bulkhead `wrong`"):
            Bulkhead("wrong", **wrong)


def test_bulkheads_bound_threads_and_tasks() -> None:
    bulkhead = Bulkhead("both", 3)
    lock, inside, most = threading.Lock(), [0], [0]

    def enter(change: int) -> None:
        with lock:
            inside[0] += change
            most[0] = max(most[0], inside[0])

    @bulkhead
    def work() -> None:
        enter(1)
        time.sleep(0.002)
        enter(-1)

    @bulkhead
    async def work_async() -> None:
        enter(1)
        await asyncio.sleep(0.002)
        enter(-1)

    async def main() -> None:
        ticks = 0

        async def ticker() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        beside = asyncio.create_task(ticker())
        await asyncio.gather(*(work_async() for _ in range(20)))
        beside.cancel()
        assert ticks > 3, "a task that waits holds up nobody"

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    asyncio.run(main())
    for thread in threads:
        thread.join(WAIT_S)
    assert most[0] == 3 and bulkhead.counts() == (0, 0, 0, 0)


def test_a_cancelled_task_leaves_the_queue() -> None:
    bulkhead = Bulkhead("left", 1)

    async def main() -> None:
        async with bulkhead:
            waiting = asyncio.create_task(bulkhead.enter_async())
            await asyncio.sleep(0.005)
            assert bulkhead.counts().waiting == 1
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert bulkhead.counts().waiting == 0
            with pytest.raises(BulkheadTimeout):
                await bulkhead.enter_async(timeout=0.005)
        (await bulkhead.enter_async()).release()

    asyncio.run(main())


def test_providers(registry: Registry) -> None:
    down = {"near"}

    def ask(provider: str, prompt: str) -> str:
        report_quality(0.5)
        if provider in down:
            raise ConnectionError(provider)
        return f"{provider}: {prompt}"

    async def ask_async(provider: str, prompt: str) -> str:
        await asyncio.sleep(0)
        return ask(provider, prompt)

    near = registry.breaker("near", any_of(quality_below(0.1), consecutive_failures(2)))
    far = registry.breaker("far", consecutive_failures(2))
    providers = Providers([near, far])
    assert providers.call(ask, "hello") == asyncio.run(providers.call_async(ask_async, "hello")) == "far: hello"
    assert near.state is State.OPEN and near.status().conditions[0].value == 0.5
    assert providers.available() == ["far"]
    down.add("far")
    with pytest.raises(NoProvider, match="'near' refused: .*'far' failed: ConnectionError") as none:
        providers.call(ask, "hello")
    assert isinstance(none.value.__cause__, ConnectionError) and isinstance(none.value.tried[0][1], CircuitBreakerOpen)
    assert none.value.retry_after is not None and none.value.retry_after <= 60
    assert providers.call(ask, "hello", among=["unknown"]) == "unknown: hello"
    near.reset()
    with pytest.raises(NoProvider) as only:
        Providers([near, far], move_on="rejection").call(ask, "hello")
    assert [name for name, _ in only.value.tried] == ["near"]

    def bad(provider: str) -> None:
        raise softfuse.InvalidScore(2e9, "bad") if provider == "x" else KeyError(provider)

    with pytest.raises(NoProvider) as neutral:
        Providers([far, near], classify=lambda answer, error: "bad-request").call(bad)
    assert len(neutral.value.tried) == 1 and far.status().totals.neutral == 1
    for wrong in ([], [near, near]):
        with pytest.raises(ValueError):
            Providers(wrong)
    assert Providers.presets(registry).available() == ["openai", "azure", "anthropic"]
    assert registry.get("anthropic").status().conditions[0].limit == 3


def test_the_best_of_bad_answers(registry: Registry) -> None:
    """Where no provider answers well, the best that was given is: a bad answer before one that counts as a failure."""
    answers: dict[str, Any] = {}

    def ask(provider: str) -> Any:
        answer = answers[provider]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask_async(provider: str) -> Any:
        return ask(provider)

    def classify(answer: Any, error: Optional[Exception]) -> Optional[str]:
        return "overloaded" if answer == 0.9 else "cancelled" if answer == 0.0 else None

    breakers = [registry.breaker(name, error_rate_above(0.99, window=1000)) for name in ("one", "two", "three")]
    settings: dict[str, Any] = {"classify": classify, "score_fn": float, "replace_below": 0.5}
    providers = Providers(breakers, **settings)

    def both(*given: Any, among: Any = None) -> Any:
        answers.update(zip(("one", "two", "three", "unknown"), given))
        found = providers.call(ask, among=among)
        assert asyncio.run(providers.call_async(ask_async, among=among)) == found
        return found

    assert both(0.1, 0.8, 0.95) == 0.8
    assert both(0.1, 0.3, 0.2) == 0.3
    # 0.9 counts as a failure, which is worse than any that is merely bad.
    assert both(0.9, 0.1, ConnectionError()) == 0.1
    assert both(0.9, ConnectionError(), ConnectionError()) == 0.9
    # A neutral outcome ends the chain with its own answer.
    assert both(0.1, 0.0, 0.8) == 0.0
    # An unknown provider's answer is taken as it is.
    assert both(0.1, 0.2, 0.3, 0.05, among=["one", "unknown"]) == 0.05
    # An error that is nobody's failure ends the chain with the best so far.
    bad = ValueError("bad")
    bad.status_code = 400  # type: ignore[attr-defined]
    assert both(0.2, bad, 0.8) == 0.2
    assert breakers[0].status().totals.failures == 4 and breakers[1].status().totals.neutral == 4
    # A call that was made is not made again.
    providers = Providers(breakers, move_on="rejection", **settings)
    assert both(0.1, 0.8, 0.8) == 0.1
    with pytest.raises(TypeError, match="scorer="):
        Providers(breakers, score_before_answer=True)


def test_providers_with_a_scorer(registry: Registry) -> None:
    """Each answer waits for its score, and a bad one moves the call on."""
    breakers = [registry.breaker(name, quality_below(0.1, window=100)) for name in ("worse", "better")]
    providers = Providers(
        breakers, scorer=Scorer.builtin("text"), score_before_answer=True, replace_below=0.5
    )
    texts = {"worse": "word " * 1000, "better": "Paris is the capital of France."}

    async def ask_async(provider: str) -> str:
        return texts[provider]

    assert providers.call(texts.__getitem__) == asyncio.run(providers.call_async(ask_async)) == texts["better"]
    assert [breaker.status().conditions[0].filled for breaker in breakers] == [2, 2]
