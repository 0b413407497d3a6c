"""What can go wrong, by cause. Every error can be pickled, and those of bad arguments are ``ValueError`` as well."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence

from ._states import State


class SoftfuseError(Exception):
    """Every error of this package."""


class CircuitBreakerOpen(SoftfuseError):
    """A call was refused: the circuit is open, or half-open with all its probes under way.

    ``retry_after`` is in seconds: exact while open, ``None`` while half-open is full or forced open, since nobody knows.
    """

    def __init__(
        self,
        name: str,
        state: State,
        trip_count: int,
        reason: Optional[str] = None,
        retry_after: Optional[float] = None,
        component_failure: Optional[str] = None,
        retry_after_ns: Optional[int] = None,
    ) -> None:
        super().__init__(name, state, trip_count, reason, retry_after, component_failure, retry_after_ns)
        self.name = name
        self.state = state
        self.trip_count = trip_count
        #: Why it last opened, in words. ``None`` where an operator opened a circuit that had never tripped.
        self.reason = reason
        self.retry_after = retry_after
        #: The same in nanoseconds.
        self.retry_after_ns = retry_after_ns
        #: Where the breaker component failed, and the registry fails closed: how.
        self.component_failure = component_failure

    def __str__(self) -> str:
        if self.component_failure is not None:
            return f"circuit '{self.name}': refused, since {self.component_failure}"
        why = "" if self.reason is None else f": {self.reason}"
        wait = "" if self.retry_after is None else f" (retry after {self.retry_after:.3g} s)"
        return f"circuit '{self.name}' is {self.state}{why} (tripped {self.trip_count} times){wait}"


class CallFailed(SoftfuseError):
    """Stands in a ``CallRecord`` for the error of a call that was recorded by its kind alone."""


class InvalidScore(SoftfuseError, ValueError):
    """A number that is no score: NaN, infinite, or over 10^6 in magnitude. Nothing was changed by it."""

    def __init__(self, score: float, message: str) -> None:
        super().__init__(score, message)
        self.score = score

    def __str__(self) -> str:
        return str(self.args[1])


class PermitSettled(SoftfuseError, RuntimeError):
    """A permit was used a second time: a call has one outcome."""

    def __str__(self) -> str:
        return f"this permit of circuit '{self.args[0]}' is settled: a call has one outcome"


class PolicyProblem(NamedTuple):
    """One thing wrong with a policy's text."""

    #: From 1.
    line: int
    #: From 1, in characters.
    column: int
    #: The key with its path; empty where the text isn't TOML.
    key: str
    #: What is wrong and what would be right.
    message: str
    #: For an unknown key: the nearest that exists.
    nearest: Optional[str]


class PolicyError(SoftfuseError, ValueError):
    """A policy was refused; ``problems`` has all that is wrong with it."""

    def __init__(self, message: str, problems: Sequence[tuple[int, int, str, str, Optional[str]]] = ()) -> None:
        super().__init__(message, [tuple(problem) for problem in problems])
        self.problems = [PolicyProblem(*problem) for problem in problems]

    def __str__(self) -> str:
        return str(self.args[0])


class RegistryError(SoftfuseError, ValueError):
    """A registry gave no breaker."""


class PolicyDiffers(RegistryError):
    """A breaker of this name exists, with a policy of another meaning. The message says where both come from."""


class LoadError(SoftfuseError):
    """A component can't be loaded."""


class ComponentFailed(SoftfuseError):
    """The breaker component failed where an answer is needed; ``kind`` is a word for how. Guarded calls never raise it."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


class BulkheadError(SoftfuseError):
    """A bulkhead gave no place, so nothing was called. ``name`` is the bulkhead's."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.name = name

    def __str__(self) -> str:
        return str(self.args[1])


class BulkheadFull(BulkheadError):
    """All places are taken, and no further caller may wait."""


class BulkheadTimeout(BulkheadError, TimeoutError):
    """The caller waited in the queue, and no place came in time."""


class ScorerError(SoftfuseError):
    """A scorer can't be loaded, doesn't start, or refuses its configuration."""


class StreamError(SoftfuseError):
    """A piece of a stream told of an error, which the client handed on instead of raising it. A guarded generator's call has ended by it;
    nobody is raised this, but ``classify`` sees it. ``body`` is what the service said: its ``type``, ``code`` and ``message``.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body.get("message") or body.get("code") or body.get("type"))
        self.body = body


class NoProvider(SoftfuseError):
    """No provider gave an answer. ``tried`` has every provider that was tried, with the exception, in order."""

    def __init__(self, tried: Sequence[tuple[str, BaseException]]) -> None:
        super().__init__(list(tried))
        self.tried = list(tried)

    @property
    def retry_after(self) -> Optional[float]:
        """Seconds until the first of those that refused may admit a call. ``None`` where none says."""
        waits = [error.retry_after for _, error in self.tried if isinstance(error, CircuitBreakerOpen)]
        return min((wait for wait in waits if wait is not None), default=None)

    def __str__(self) -> str:
        told = "; ".join(
            f"'{name}' {'refused' if isinstance(error, CircuitBreakerOpen) else 'failed'}: {error!r}"
            for name, error in self.tried
        )
        return f"no provider gave an answer: {told or 'none was named'}"
