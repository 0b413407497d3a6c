"""What conditions see of a call, and what a condition is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Protocol, runtime_checkable


@dataclass
class CallRecord:
    """A settled call, as a condition sees it. Neutral outcomes are not shown."""

    #: Milliseconds, in full: retries included.
    latency_ms: float
    #: ``None`` on success.
    error: Optional[Exception]
    #: The score, where there was one when the call was settled.
    quality: Optional[float]
    #: The outcome's kind: ``success``, ``error``, ``timeout``, ``rate-limited`` or ``overloaded``.
    kind: str = "success"
    #: When it was settled, in nanoseconds of the breaker's clock.
    at_ns: int = 0


@runtime_checkable
class Condition(Protocol):
    """A condition: any object that is called with each record, and has ``reset()``.

    It runs under its breaker's lock, so it is to be quick, and must not use the breaker. What it returns says whether it
    holds now; text is the reason that the breaker trips with. If it raises, it doesn't hold, and that is logged. A probe is
    judged alone: the condition is reset before it.
    """

    def __call__(self, record: CallRecord) -> Any:
        """Takes a record: whether the condition holds now."""

    def reset(self) -> None:
        """Forgets all records: the circuit went half-open, closed, or was reset."""
