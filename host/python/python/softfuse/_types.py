"""What a breaker says, as plain values: changes of state, statuses, what became of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Optional

from ._states import State

if TYPE_CHECKING:
    from ._softfuse import LateScores

#: Nanoseconds in a second.
SECOND_NS = 1_000_000_000


class Cause(NamedTuple):
    """One condition's part in a trip."""

    #: The condition's place in the policy, as in ``any_of[1].error_rate_above``.
    path: str
    #: A mean score, a rate between 0 and 1, milliseconds, or a count.
    value: float
    #: The policy's limit, in the value's unit.
    limit: float
    #: A sentence with both numbers in it; for a condition of one's own, the reason that it gave.
    text: str


class Trip(NamedTuple):
    """Why a circuit opened: ``conditions``, ``probe-conditions``, ``probe-failed`` or ``host``."""

    kind: str
    #: The conditions that held, where it was by conditions.
    causes: tuple[Cause, ...]
    #: The failure's kind where a probe failed; the reason where the host called ``trip``.
    detail: Optional[str]


def trip_of(seen: Optional[tuple[str, list[tuple[str, float, float, str]], Optional[str]]]) -> Optional[Trip]:
    """A trip as the extension tells it."""
    if seen is None:
        return None
    kind, causes, detail = seen
    return Trip(kind, tuple(Cause(*cause) for cause in causes), detail)


@dataclass(frozen=True)
class StateChange:
    """A change of state, or a trip that metrics-only withheld."""

    #: The breaker's name.
    breaker: str
    #: When, in nanoseconds of the breaker's clock.
    at_ns: int
    old: State
    new: State
    #: ``tripped``, ``would-have-tripped``, ``open-period-over``, ``recovered``, ``reset`` or ``operator``.
    kind: str
    #: Why, in words.
    reason: str
    #: Of a trip: why, as data.
    trip: Optional[Trip]
    #: The generation that begins here: permits of earlier ones are stale.
    generation: int
    #: How often the circuit has opened, this change included.
    trip_count: int
    #: While open: when the open period ends, unless a Retry-After extends it.
    open_until_ns: Optional[int]

    @property
    def is_trip(self) -> bool:
        """Whether the circuit opened, or opened again, by this."""
        return self.kind == "tripped"


@dataclass(frozen=True)
class Settled:
    """What became of a settled permit."""

    #: ``recorded``, ``probed``, ``ignored``, ``stale``, ``pending`` or ``lost``.
    effect: str
    #: The change of state that it made.
    change: Optional[StateChange]
    #: The latency that was recorded.
    latency_ns: int
    #: For scores that come later.
    late: LateScores


class Totals(NamedTuple):
    """A circuit's calls since it was made; ``reset`` doesn't clear them."""

    #: Settled: successes, failures and neutral ones, stale ones included.
    calls: int
    successes: int
    failures: int
    neutral: int
    #: Calls that were refused.
    rejections: int
    #: Of ``calls``, those settled too late to count.
    stale: int


class Reading(NamedTuple):
    """A condition's state."""

    path: str
    #: In the unit of ``limit``; ``None`` while the window is empty.
    value: Optional[float]
    limit: float
    #: Samples in the window; for ``consecutive_failures``, the failures in a row.
    filled: int
    #: The samples that it takes before the condition can hold.
    needed: int
    holds: bool


class TripReport(NamedTuple):
    """The last opening."""

    at_ns: int
    text: str
    reason: Trip


class Transition(NamedTuple):
    """A change of state that happened."""

    at_ns: int
    old: State
    new: State
    text: str


class Failure(NamedTuple):
    """The last failure."""

    at_ns: int
    kind: str


@dataclass(frozen=True)
class CircuitStatus:
    """All that there is to know of a circuit. Asking changes nothing: an open circuit whose period has passed is still open
    here, and ``would_refuse`` is false."""

    state: State
    since_ns: int
    generation: int
    would_refuse: bool
    #: While open: what is left of the open period.
    retry_after_ns: Optional[int]
    #: How often it has opened since it was made or last reset.
    trip_count: int
    #: How often it has opened again since it last closed.
    reopen_count: int
    last_trip: Optional[TripReport]
    #: The last transitions, oldest first, at most 16.
    transitions: tuple[Transition, ...]
    totals: Totals
    last_failure: Optional[Failure]
    consecutive_failures: int
    consecutive_successes: int
    #: Every condition of the policy, in order of appearance.
    conditions: tuple[Reading, ...]
    live_probes: int
    passed_probes: int
    #: Settled calls in the last 60 s, as far as the policy's adaptive tiers count.
    calls_per_minute: int

    @property
    def retry_after(self) -> Optional[float]:
        """While open: what is left of the open period, in seconds."""
        return None if self.retry_after_ns is None else self.retry_after_ns / SECOND_NS


@dataclass(frozen=True)
class Outcome:
    """What a call's end counts as, where ``classify`` says more than its kind."""

    #: ``success``, ``error``, ``timeout``, ``rate-limited``, ``overloaded``, or, neutral, ``cancelled``, ``content-policy``, ``bad-request``.
    kind: str
    #: Seconds; ``None``: as measured.
    latency: Optional[float] = None
    score: Optional[float] = None
    #: The score comes later: whoever has the call's reporter owes it.
    pending: bool = False
    #: Seconds for which the service asked not to be called.
    retry_after: Optional[float] = None
