"""What the extension calls on this side: it makes the package's values and errors, classifies exceptions, and writes the log."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Callable, Optional

from . import _errors
from ._classify import classify_error as _classify_error
from ._record import CallRecord
from ._scorer import exchange_parts
from ._spans import optional_nanos
from ._states import State
from ._types import (
    SECOND_NS,
    CircuitStatus,
    Failure,
    Outcome,
    Reading,
    Settled,
    StateChange,
    Totals,
    Transition,
    TripReport,
    trip_of,
)

if TYPE_CHECKING:
    from ._softfuse import LateScores, Permit

LOG = logging.getLogger("softfuse")

#: The permit of the call under way, of calls that live in a context.
CALL: ContextVar[Optional[Permit]] = ContextVar("softfuse_call", default=None)

#: An outcome as the extension takes it: kind, latency, score, whether it is pending, Retry-After; spans in nanoseconds.
RawOutcome = tuple[str, Optional[int], Optional[float], bool, Optional[int]]


def refused(
    name: str,
    state: str,
    trip_count: int,
    reason: Optional[str],
    retry_after_ns: Optional[int],
    failure: Optional[str],
) -> _errors.CircuitBreakerOpen:
    """A refusal."""
    retry_after = None if retry_after_ns is None else retry_after_ns / SECOND_NS
    return _errors.CircuitBreakerOpen(
        name, State.named(state), trip_count, reason, retry_after, failure, retry_after_ns
    )


def error(name: str, arguments: tuple[Any, ...]) -> BaseException:
    """An error of the package's own, by its class's name."""
    made: BaseException = getattr(_errors, name)(*arguments)
    return made


def problem(what: str, raised: BaseException) -> None:
    """Logs what a callback raised. It reaches no caller."""
    LOG.error("%s raised %r; it is passed over", what, raised, exc_info=raised)


def raw_outcome(said: Any) -> RawOutcome:
    """What ``classify`` or a user of ``record`` says, as the extension takes it."""
    if isinstance(said, str):
        return said, None, None, False, None
    if isinstance(said, Outcome):
        latency = optional_nanos(said.latency, "latency")
        return said.kind, latency, said.score, said.pending, optional_nanos(said.retry_after, "retry_after")
    raise TypeError(f"an outcome is the name of its kind, an Outcome, or None for the default, not {type(said).__name__}")


def classify_error(raised: BaseException) -> tuple[str, Optional[int]]:
    """What an exception counts as by itself."""
    try:
        return _classify_error(raised)
    except Exception as broken:  # An exception whose attributes raise is an error like any other.
        problem("classifying an exception", broken)
        return "error", None


def classified(
    hook: Callable[[Any, Optional[Exception]], Any], result: Any, raised: Optional[BaseException]
) -> Optional[RawOutcome]:
    """What the user's own hook says; ``None`` for the default, and where it raises."""
    if raised is not None and not isinstance(raised, Exception):
        return None
    try:
        said = hook(result, raised)
        return None if said is None else raw_outcome(said)
    except Exception as broken:
        problem("classify", broken)
        return None


def call_record(
    latency_ns: int, raised: Optional[BaseException], quality: Optional[float], kind: str, at_ns: int
) -> CallRecord:
    """A record as conditions see it."""
    failed = kind in ("error", "timeout", "rate-limited", "overloaded")
    if failed and not isinstance(raised, Exception):
        raised = _errors.CallFailed(kind)
    shown = raised if failed and isinstance(raised, Exception) else None
    return CallRecord(latency_ns / 1e6, shown, quality, kind, at_ns)


def verdict(condition: Any, said: Any) -> Optional[str]:
    """What a condition says, as a reason: its own, where it returns text."""
    if isinstance(said, str):
        return said or None
    return f"{condition!r} holds" if said else None


def state_change(**fields: Any) -> StateChange:
    """A change of state."""
    trip = trip_of(fields.pop("trip"))
    old, new = State.named(fields.pop("old")), State.named(fields.pop("new"))
    return StateChange(old=old, new=new, trip=trip, **fields)


def status(**fields: Any) -> CircuitStatus:
    """A status."""
    last_trip = fields.pop("last_trip")
    if last_trip is not None:
        at_ns, text, reason = last_trip
        trip = trip_of(reason)
        assert trip is not None, "the extension always tells the reason of a trip"
        last_trip = TripReport(at_ns, text, trip)
    last_failure = fields.pop("last_failure")
    return CircuitStatus(
        state=State.named(fields.pop("state")),
        last_trip=last_trip,
        transitions=tuple(
            Transition(at_ns, State.named(old), State.named(new), text)
            for at_ns, old, new, text in fields.pop("transitions")
        ),
        totals=Totals(*fields.pop("totals")),
        last_failure=None if last_failure is None else Failure(*last_failure),
        conditions=tuple(Reading(*reading) for reading in fields.pop("conditions")),
        **fields,
    )


__all__ = ["CALL", "LOG", "exchange_parts"]


def settled(effect: str, change: Optional[StateChange], latency_ns: int, late: LateScores) -> Settled:
    """What became of a permit."""
    return Settled(effect, change, latency_ns, late)
