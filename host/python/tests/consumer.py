"""What a user writes, for mypy --strict: it is checked, not run."""

from __future__ import annotations

from typing import Any, AsyncIterator, Iterator, Optional

from softfuse import (
    Bulkhead,
    CallRecord,
    CircuitBreaker,
    CircuitBreakerOpen,
    CircuitStatus,
    Health,
    ManualClock,
    Outcome,
    Policy,
    Registry,
    Reporter,
    Scorer,
    Settled,
    State,
    all_of,
    any_of,
    call_reporter,
    circuit_breaker,
    consecutive_failures,
    error_rate_above,
    latency_above,
    quality_below,
    report_quality,
)


class Mine:
    def __call__(self, record: CallRecord) -> bool:
        return record.error is not None and record.latency_ms > 5

    def reset(self) -> None: ...


def classify(answer: Any, error: Optional[Exception]) -> Optional[Outcome]:
    return Outcome("rate-limited", retry_after=5) if answer == "later" else None


@circuit_breaker(
    any_of(quality_below(0.7, window=20), all_of(Mine(), latency_above(500), error_rate_above(0.5))),
    fallback=None,
    half_open_after=30,
    classify=classify,
)
def ask(prompt: str, *, temperature: float = 0.0) -> str:
    known: bool = report_quality(0.9)
    reporter: Optional[Reporter] = call_reporter()
    return f"{prompt} {temperature} {known} {reporter}"


@circuit_breaker(policy="policy.toml", scorer=Scorer.builtin("text"), score_before_answer=True, replace_below=0.3)
async def ask_async(prompt: str) -> str:
    return prompt


@Bulkhead("stream", 5)
@circuit_breaker(trip_on=consecutive_failures(3))
def stream(prompt: str) -> Iterator[str]:
    yield prompt


@circuit_breaker(consecutive_failures(3), key=lambda tenant: tenant)
async def stream_async(tenant: str) -> AsyncIterator[str]:
    yield tenant


async def use() -> None:
    text: str = ask("hello", temperature=0.5)
    text = await ask_async(text)
    pieces: list[str] = list(stream(text))
    async for piece in stream_async("acme"):
        pieces.append(piece)
    clock = ManualClock()
    registry = Registry(clock=clock)
    breaker: CircuitBreaker = registry.breaker("a", Policy.from_text("trip_on = { consecutive_failures = 3 }"))
    clock.advance(1.5)
    try:
        settled: Settled = breaker.before().record("timeout", latency=2.5)
    except CircuitBreakerOpen as refused:
        wait: Optional[float] = refused.retry_after
        print(wait)
    else:
        settled.late.report_quality(0.5)
    with breaker.guard() as call:
        call.report_quality(0.5)
    async with breaker.guard():
        pass
    status: CircuitStatus = breaker.status()
    health: Health = registry.health()
    assert status.state is State.CLOSED and health.is_healthy
    added: int = breaker.call(lambda x, y: x + y, 1, 2)
    print(added)
