"""The decorator: functions, coroutine functions, generators, methods, behind a breaker."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Sequence, TypeVar, Union, cast

from ._breaker import CircuitBreaker, Classify, OnStateChange
from ._conditions import ScoreFn, score_fn_of
from ._policy import Adaptive, Policy, PolicySpan
from ._record import Condition
from ._registry import AnyPolicy, Keyed, Registry, default_registry
from ._scorer import Scorer, scored_by_of
from ._softfuse import Caller
from ._wrap import Fallback, wrap_async_generator, wrap_coroutine, wrap_function, wrap_generator, wrap_in_context

if TYPE_CHECKING:
    import os

F = TypeVar("F", bound=Callable[..., Any])

#: The seed's defaults, where a policy is built.
HALF_OPEN_AFTER_S = 60
RECOVERY_THRESHOLD = 2


def circuit_breaker(
    trip_on: Optional[Condition] = None,
    fallback: Any = "raise",
    half_open_after: Optional[PolicySpan] = None,
    recovery_threshold: Optional[int] = None,
    name: Optional[str] = None,
    require_quality_signal: Optional[bool] = None,
    on_state_change: Optional[OnStateChange] = None,
    *,
    policy: Optional[Union[Policy, str, os.PathLike[str]]] = None,
    registry: Optional[Registry] = None,
    key: Optional[Callable[..., Any]] = None,
    score_fn: Optional[ScoreFn] = None,
    scorer: Optional[Scorer] = None,
    exchange: Optional[Callable[[Any], Any]] = None,
    score_before_answer: bool = False,
    replace_below: Optional[float] = None,
    classify: Optional[Classify] = None,
    half_open_max_calls: Optional[int] = None,
    probe_timeout: Optional[PolicySpan] = None,
    retry_after_max: Optional[PolicySpan] = None,
    missing_score: Optional[float] = None,
    backoff: Optional[Mapping[str, Any]] = None,
    adaptive: Optional[Sequence[Adaptive]] = None,
) -> Callable[[F], F]:
    """Puts a function behind a circuit breaker: an ordinary one, a coroutine function, a generator, a method.

    ``trip_on``: the condition that opens the circuit, with the settings beside it; or ``policy``: one that has all that, or
    its file's path.

    ``fallback``: what is given where a call is refused, or fails and opens the circuit by that: a callable, called with the same
    arguments, or any other value, ``None`` too. ``"raise"``, the default, means none: ``CircuitBreakerOpen``, or the call's own error.

    ``half_open_after`` (60 s): how long the circuit stays open. ``recovery_threshold`` (2): so many probes in a row must pass.
    ``name``: functions of one name share one breaker; the default is the function's module and qualified name.
    ``require_quality_signal``: a success without a score counts as ``missing_score`` (0).
    ``on_state_change(name, old, new)``: called with every change of state; ``name.change`` has the reason.
    ``key``: makes a key of the call's arguments, a tenant perhaps; each key has a breaker of its own.
    ``score_fn(answer)``: the answer's score, where the call reports none. ``classify(answer, error)``: what a call's end counts as.
    ``scorer``: a component that scores answers, beside the call; ``exchange(answer)`` shows it what it needs to see, or nothing (``None``).
    ``score_before_answer``: each answer waits for its score. ``replace_below``: an answer whose score is under this, where it is there by then, is replaced by
    the fallback's.

    The function has its breaker in the attribute ``breaker``, and is itself in ``__wrapped__``.
    """
    settings: dict[str, Any] = {
        "half_open_after": half_open_after,
        "recovery_threshold": recovery_threshold,
        "require_quality_signal": require_quality_signal,
        "half_open_max_calls": half_open_max_calls,
        "probe_timeout": probe_timeout,
        "retry_after_max": retry_after_max,
        "missing_score": missing_score,
        "backoff": backoff,
        "adaptive": adaptive,
    }
    given = _policy(trip_on, policy, settings)
    scored_by = scored_by_of(scorer, exchange, score_before_answer)
    if score_fn is None and trip_on is not None:
        score_fn = score_fn_of(trip_on)

    def decorate(function: F) -> F:
        if isinstance(function, (staticmethod, classmethod)):
            return cast(F, type(function)(decorate(function.__func__)))
        if not callable(function):
            raise TypeError(f"circuit_breaker decorates functions, and {function!r} can't be called")
        home = default_registry() if registry is None else registry
        breaker = _breaker(home, name or _name_of(function), given, settings, key is not None)
        if on_state_change is not None:
            breaker.on_state_change(on_state_change)
        held = breaker._family if isinstance(breaker, Keyed) else breaker._core
        caller = Caller(held, key, score_fn, classify, scored_by, replace_below)
        wrapper = _wrap(function, caller, Fallback(fallback))
        functools.update_wrapper(wrapper, function)
        wrapper.breaker = breaker
        return cast(F, wrapper)

    return decorate


def _policy(
    trip_on: Optional[Condition], policy: Optional[Union[Policy, str, os.PathLike[str]]], settings: dict[str, Any]
) -> AnyPolicy:
    if policy is None:
        if trip_on is None:
            raise TypeError("circuit_breaker needs trip_on=, a condition, or policy=, a policy or its file's path")
        settings["half_open_after"] = HALF_OPEN_AFTER_S if settings["half_open_after"] is None else settings["half_open_after"]
        if settings["recovery_threshold"] is None:
            settings["recovery_threshold"] = RECOVERY_THRESHOLD
        return trip_on
    if trip_on is not None:
        raise TypeError("circuit_breaker takes trip_on= or policy=, and got both")
    return policy if isinstance(policy, Policy) else Policy.from_file(policy)


def _breaker(
    home: Registry, name: str, given: AnyPolicy, settings: dict[str, Any], keyed: bool
) -> Union[CircuitBreaker, Keyed]:
    if keyed:
        return home.keyed(name, given, **settings)
    return home.breaker(name, given, **settings)


def _name_of(function: Callable[..., Any]) -> str:
    named = function if hasattr(function, "__qualname__") else getattr(function, "func", type(function))
    return f"{getattr(named, '__module__', None)}.{getattr(named, '__qualname__', type(named).__qualname__)}"


def _is(test: Callable[[Any], bool], function: Any) -> bool:
    return test(function) or (not inspect.isroutine(function) and test(getattr(function, "__call__", None)))


def _wrap(function: Callable[..., Any], caller: Caller, fall_back: Fallback) -> Any:
    if _is(inspect.iscoroutinefunction, function):
        return wrap_coroutine(function, caller, fall_back)
    if _is(inspect.isasyncgenfunction, function):
        return wrap_async_generator(function, caller, fall_back)
    if _is(inspect.isgeneratorfunction, function):
        return wrap_generator(function, caller, fall_back)
    if "greenlet" in sys.modules:
        return wrap_in_context(function, caller, fall_back)
    return wrap_function(function, caller, fall_back)
