"""Conditions: what can open a circuit, to be composed and handed to ``circuit_breaker`` or ``policy_text``.

They say what is to be watched; the breaker component watches it. Called by itself a condition takes a record and says
whether it holds now, as ml-breaker's do: it then asks a breaker of its own.
"""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any, Callable, Iterator, Optional, Union

from ._alone import Alone
from ._record import CallRecord, Condition
from ._spans import nanos

#: A number of calls, or a span: seconds as a ``timedelta``, or text such as ``"60s"``.
Window = Union[int, str, datetime.timedelta]
#: What makes a score of an answer.
ScoreFn = Callable[[Any], Optional[float]]


class BuiltinCondition:
    """A condition that the breaker component knows."""

    #: The policy's name for it.
    _name = ""

    def __init__(self) -> None:
        self._alone = Alone(self)

    def _keys(self) -> dict[str, Any]:
        raise NotImplementedError

    def _toml(self, hosts: HostConditions) -> str:
        """The condition as a table of a policy's text."""
        return f"{{ {self._name} = {_table(self._keys())} }}"

    def __call__(self, record: CallRecord) -> bool:
        """Takes a record: whether the condition holds now."""
        return self._alone.record(record)

    def reset(self) -> None:
        """Forgets all records."""
        self._alone.reset()

    def __repr__(self) -> str:
        keys = {key: value for key, value in self._keys().items() if value is not None}
        return f"{self._name}({', '.join(f'{key}={value!r}' for key, value in keys.items())})"


class HostConditions:
    """The conditions of one's own in a policy, by the names that it has for them."""

    def __init__(self) -> None:
        self.by_name: dict[str, Condition] = {}

    def name(self, condition: Condition) -> str:
        """The condition's name in the policy; the same object has one."""
        for name, known in self.by_name.items():
            if known is condition:
                return name
        # Two policies of the same conditions must be the same text, so the name has no address in it.
        name = f"{type(condition).__name__[:100]}-{len(self.by_name)}"
        self.by_name[name] = condition
        return name


class _QualityBelow(BuiltinCondition):
    _name = "quality_below"

    def __init__(self, threshold: float, window: Window, score_fn: Optional[ScoreFn], **more: Any) -> None:
        super().__init__()
        self.threshold = threshold
        self.window = window
        self.score_fn = score_fn
        self._more = more

    def _keys(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "window": self.window, **self._more}


class _LatencyAbove(BuiltinCondition):
    _name = "latency_above"

    def __init__(self, threshold_ms: float, window: Window, **more: Any) -> None:
        super().__init__()
        self.threshold_ms = threshold_ms
        self.window = window
        self._more = more

    def _keys(self) -> dict[str, Any]:
        return {"threshold_ms": self.threshold_ms, "window": self.window, **self._more}


class _ErrorRateAbove(BuiltinCondition):
    _name = "error_rate_above"

    def __init__(self, rate: float, window: Window, **more: Any) -> None:
        super().__init__()
        self.rate = rate
        self.window = window
        self._more = more

    def _keys(self) -> dict[str, Any]:
        return {"rate": self.rate, "window": self.window, **self._more}


class _SlowCallRateAbove(BuiltinCondition):
    _name = "slow_call_rate_above"

    def __init__(self, rate: float, threshold_ms: float, window: Window, **more: Any) -> None:
        super().__init__()
        self.rate = rate
        self.threshold_ms = threshold_ms
        self.window = window
        self._more = more

    def _keys(self) -> dict[str, Any]:
        return {"rate": self.rate, "threshold_ms": self.threshold_ms, "window": self.window, **self._more}


class _ConsecutiveFailures(BuiltinCondition):
    _name = "consecutive_failures"

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def _keys(self) -> dict[str, Any]:
        return {"n": self.n}


class _Composition(BuiltinCondition):
    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        super().__init__()
        if not conditions:
            raise ValueError(f"{self._name} takes one condition or more, and got none")
        for condition in conditions:
            check(condition)
        self._conditions = conditions

    def _toml(self, hosts: HostConditions) -> str:
        return f"{{ {self._name} = [{', '.join(toml(child, hosts) for child in self._conditions)}] }}"

    def reset(self) -> None:
        for child in self._conditions:
            child.reset()

    def __repr__(self) -> str:
        return f"{self._name}({', '.join(repr(child) for child in self._conditions)})"


class _AnyOf(_Composition):
    _name = "any_of"

    def __call__(self, record: CallRecord) -> bool:
        # Every child sees every record.
        return any([bool(child(record)) for child in self._conditions])


class _AllOf(_Composition):
    _name = "all_of"

    def __call__(self, record: CallRecord) -> bool:
        return all([bool(child(record)) for child in self._conditions])


def quality_below(
    threshold: float,
    window: Window = 20,
    score_fn: Optional[ScoreFn] = None,
    *,
    minimum_calls: Optional[int] = None,
    slices: Optional[int] = None,
) -> _QualityBelow:
    """Holds while the mean score over a full window is below ``threshold``. ``score_fn`` makes a score of an answer, where
    the call reports none."""
    return _QualityBelow(threshold, window, score_fn, minimum_calls=minimum_calls, slices=slices)


def latency_above(
    threshold_ms: float, window: Window = 20, *, minimum_calls: Optional[int] = None, slices: Optional[int] = None
) -> _LatencyAbove:
    """Holds while all latencies of a full window are above ``threshold_ms`` milliseconds."""
    return _LatencyAbove(threshold_ms, window, minimum_calls=minimum_calls, slices=slices)


def error_rate_above(
    rate: float, window: Window = 20, *, minimum_calls: Optional[int] = None, slices: Optional[int] = None
) -> _ErrorRateAbove:
    """Holds while more than ``rate`` (0 to 1) of a full window's calls have failed."""
    return _ErrorRateAbove(rate, window, minimum_calls=minimum_calls, slices=slices)


def slow_call_rate_above(
    rate: float,
    threshold_ms: float,
    window: Window = 20,
    *,
    minimum_calls: Optional[int] = None,
    slices: Optional[int] = None,
) -> _SlowCallRateAbove:
    """Holds while more than ``rate`` of a full window's calls took longer than ``threshold_ms`` milliseconds."""
    return _SlowCallRateAbove(rate, threshold_ms, window, minimum_calls=minimum_calls, slices=slices)


def consecutive_failures(n: int) -> _ConsecutiveFailures:
    """Holds after ``n`` failures in a row."""
    return _ConsecutiveFailures(n)


def any_of(*conditions: Condition) -> _AnyOf:
    """Holds while one of its children does. Every child sees every record and keeps its own window."""
    return _AnyOf(conditions)


def all_of(*conditions: Condition) -> _AllOf:
    """Holds while all of its children do. Every child sees every record and keeps its own window."""
    return _AllOf(conditions)


def check(condition: object) -> None:
    """Raises ``TypeError`` for what is no condition."""
    if isinstance(condition, type) or not isinstance(condition, Condition):
        raise TypeError(f"a condition is called with a record and has reset(); {condition!r} is none")


def toml(condition: Condition, hosts: HostConditions) -> str:
    """A condition as a table of a policy's text; one of the user's own by a name."""
    check(condition)
    if isinstance(condition, BuiltinCondition):
        return condition._toml(hosts)
    return f"{{ host_condition = {value(hosts.name(condition))} }}"


def score_fn_of(condition: object) -> Optional[ScoreFn]:
    """The first score function in a composition."""
    found: Optional[ScoreFn] = getattr(condition, "score_fn", None)
    if found is not None:
        return found
    children = getattr(condition, "_conditions", ())
    return next((fn for fn in map(score_fn_of, children) if fn is not None), None)


def value(given: Any) -> str:
    """A value as TOML says it. What TOML can't say is left to the component to refuse."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, datetime.timedelta):
        return f'"{nanos(given, "a window")}ns"'
    if isinstance(given, int):
        return str(int(given))
    if isinstance(given, float):
        # The component reads milliseconds digit by digit.
        text = repr(float(given))
        return format(Decimal(text), "f") if "e" in text else text
    if isinstance(given, str):
        # JSON's strings are TOML's, but for the character 127.
        return json.dumps(given).replace("\x7f", "\\u007f")
    if hasattr(given, "__float__"):
        return value(float(given))
    raise TypeError(f"a policy has numbers, text and spans, not {type(given).__name__}: {given!r}")


def _table(keys: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {value(given)}" for key, given in keys.items() if given is not None) + " }"


def table(keys: dict[str, Any]) -> str:
    """An inline table, without the keys that have no value."""
    return _table(keys)


def walk(condition: object) -> Iterator[object]:
    """A condition and all below it."""
    yield condition
    for child in getattr(condition, "_conditions", ()):
        yield from walk(child)
