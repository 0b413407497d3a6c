"""A breaker as users hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union

from ._bridge import LOG, RawOutcome, raw_outcome
from ._guard import Guard
from ._softfuse import Caller, Core, LateScores, Reporter
from ._softfuse import Permit as CorePermit
from ._spans import Span, optional_nanos
from ._states import State
from ._types import SECOND_NS, CircuitStatus, Outcome, Settled, StateChange

if TYPE_CHECKING:
    from ._registry import Registry

T = TypeVar("T")

#: What a call's end counts as: ``(answer, exception) -> kind | Outcome | None``; ``None`` for the default.
Classify = Callable[[Any, Optional[Exception]], Union[None, str, Outcome]]
#: Called with every change of state: the breaker's name, the old state, the new one.
OnStateChange = Callable[["BreakerName", State, State], Any]


class BreakerName(str):
    """A breaker's name as callbacks get it: text, with the change of state that it is about."""

    #: The change, with its reason, its time and the trip count.
    change: StateChange

    @classmethod
    def of(cls, change: StateChange) -> BreakerName:
        """The name in a change of state."""
        made = cls(change.breaker)
        made.change = change
        return made

    @property
    def name(self) -> str:
        """The name as plain text."""
        return str(self)


class Permit:
    """The right to one call, in the form of two steps: ``before()`` asks for it, ``record()`` says how the call ended.

    One that is dropped counts as cancelled, which is neutral.
    """

    __slots__ = ("_permit",)

    def __init__(self, permit: CorePermit) -> None:
        self._permit = permit

    @property
    def name(self) -> str:
        """The breaker's name."""
        return self._permit.name

    def report_quality(self, score: float, *, now_ns: Optional[int] = None) -> str:
        """Says how good the answer is. Before ``record`` the last report counts (``kept``); after it each is a late score, of
        which it returns what became: ``recorded``, ``probed``, ``ignored``, ``stale``, ``pending`` or ``lost``."""
        return self._permit.report_quality(score, now_ns=now_ns)

    def reporter(self) -> Reporter:
        """Takes the call's score at any time, from any thread."""
        return self._permit.reporter()

    def record(
        self,
        outcome: str = "success",
        *,
        latency: Optional[Span] = None,
        score: Optional[float] = None,
        pending: bool = False,
        retry_after: Optional[Span] = None,
        now_ns: Optional[int] = None,
    ) -> Settled:
        """Says how the call ended, once: ``success``, ``error``, ``timeout``, ``rate-limited``, ``overloaded``, or, neutral,
        ``cancelled``, ``content-policy``, ``bad-request``.

        ``latency`` is in seconds, in full, retries included; without it, it is the time since the permit was given.
        ``pending``: the score comes later, through ``Settled.late`` or the call's reporters. ``retry_after``: seconds for
        which the service asked not to be called. A second ``record`` raises ``PermitSettled``.
        """
        raw: RawOutcome = (
            outcome,
            optional_nanos(latency, "latency"),
            score,
            pending,
            optional_nanos(retry_after, "retry_after"),
        )
        return self._permit.record(raw, now_ns)

    def record_error(self, error: BaseException, *, now_ns: Optional[int] = None) -> Settled:
        """Says that the call raised this; what it counts as is told by its shape."""
        from ._bridge import classify_error

        kind, retry_after_ns = classify_error(error)
        return self._permit.record((kind, None, None, False, retry_after_ns), now_ns)

    def __repr__(self) -> str:
        return repr(self._permit)


class CircuitBreaker:
    """A breaker. ``circuit_breaker`` and registries make them; two users of one name share one.

    Times are nanoseconds of the registry's clock; where one may be handed in, it stands for the clock's.
    """

    def __init__(self, core: Core, registry: Registry) -> None:
        self._core = core
        self._registry = registry
        self._callbacks: list[OnStateChange] = []
        self._caller: Optional[Caller] = None

    @property
    def name(self) -> str:
        """Its name."""
        return self._core.name

    @property
    def state(self) -> State:
        """The state as of the last change. An open circuit whose period has passed is open until somebody calls."""
        return State.named(self._core.state())

    @property
    def trip_count(self) -> int:
        """How often it has opened since it was made or last reset."""
        return self._core.status(None).trip_count

    @property
    def last_trip_at(self) -> Optional[float]:
        """When it last opened, in seconds of the registry's clock."""
        last = self._core.status(None).last_trip
        return None if last is None else last.at_ns / SECOND_NS

    @property
    def policy_text(self) -> str:
        """Its policy, as it was given or built."""
        return self._core.policy.text

    def status(self, *, now_ns: Optional[int] = None) -> CircuitStatus:
        """All that there is to know of it. Asking changes nothing."""
        return self._core.status(now_ns)

    def is_open(self, *, now_ns: Optional[int] = None) -> bool:
        """Whether a call would be refused now. It consumes no probe."""
        return self._core.would_refuse(now_ns) is not None

    def would_refuse(self, *, now_ns: Optional[int] = None) -> Optional[BaseException]:
        """The ``CircuitBreakerOpen`` that a call would get now, if any. It consumes no probe and counts nothing."""
        return self._core.would_refuse(now_ns)

    def before(self, *, now_ns: Optional[int] = None) -> Permit:
        """Asks for the right to one call. Raises ``CircuitBreakerOpen`` where it is refused."""
        return Permit(self._core.before(now_ns))

    def guard(self, *, classify: Optional[Classify] = None) -> Guard:
        """A context manager around one call, for ``with`` and ``async with``; it can be used again for the next.

        What is raised inside is the call's end; ``report_quality`` finds the call. It raises ``CircuitBreakerOpen`` on entry
        where the call is refused.
        """
        return Guard(self._plain if classify is None else Caller(self._core, None, None, classify, None, None))

    def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Calls a function through the breaker. Raises ``CircuitBreakerOpen`` where the call is refused."""
        with self.guard():
            return function(*args, **kwargs)

    @property
    def _plain(self) -> Caller:
        if self._caller is None:
            self._caller = Caller(self._core, None, None, None, None, None)
        return self._caller

    def reset(self, *, now_ns: Optional[int] = None) -> Optional[StateChange]:
        """Closes the circuit: trip count 0, windows fresh, an operator's state ended."""
        return self._core.reset(now_ns)

    def trip(
        self, reason: str, *, open_for: Optional[Span] = None, now_ns: Optional[int] = None
    ) -> Optional[StateChange]:
        """Opens the circuit for a reason of the caller's own, for so many seconds, or as long as the policy says."""
        return self._core.trip(reason, optional_nanos(open_for, "open_for"), now_ns)

    def force_open(self, *, now_ns: Optional[int] = None) -> Optional[StateChange]:
        """Refuses every call until ``reset``. ``None`` where it did so already."""
        return self._core.operator("forced-open", now_ns)

    def disable(self, *, now_ns: Optional[int] = None) -> Optional[StateChange]:
        """Admits every call until ``reset``; outcomes change totals only."""
        return self._core.operator("disabled", now_ns)

    def metrics_only(self, *, now_ns: Optional[int] = None) -> Optional[StateChange]:
        """Admits and records every call until ``reset``, and says what would have tripped."""
        return self._core.operator("metrics-only", now_ns)

    def snapshot(self, *, now_ns: Optional[int] = None) -> bytes:
        """The whole state, for ``Registry.restore``, in another process perhaps. Conditions of one's own are not in it."""
        return self._core.snapshot(now_ns)

    def on_state_change(self, callback: OnStateChange) -> OnStateChange:
        """Calls ``callback(name, old, new)`` with every change of state from now on; ``name.change`` has its reason. The same
        callback is added once. What it raises is logged, and reaches no guarded call."""
        if callback not in self._callbacks:
            self._callbacks.append(callback)
        return callback

    def _changed(self, change: StateChange) -> None:
        for callback in tuple(self._callbacks):
            try:
                callback(BreakerName.of(change), change.old, change.new)
            except Exception:
                LOG.warning("on_state_change callback raised for breaker '%s'", self.name, exc_info=True)

    def __repr__(self) -> str:
        return f"CircuitBreaker({self.name!r}, state={self.state.value})"

    @classmethod
    def get(cls, name: str) -> CircuitBreaker:
        """The breaker of this name in the default registry. Raises ``KeyError`` where there is none."""
        from ._registry import default_registry

        return default_registry().get(name)

    @classmethod
    def all(cls) -> dict[str, CircuitBreaker]:
        """Every breaker of the default registry, by name."""
        from ._registry import default_registry

        return default_registry().all()


__all__ = ["BreakerName", "CircuitBreaker", "Classify", "LateScores", "OnStateChange", "Permit", "raw_outcome"]
