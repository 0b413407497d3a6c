"""Providers in the order in which they are to be asked, each behind a breaker of its own."""

from __future__ import annotations

import logging
from typing import Any, Awaitable, Callable, Iterable, Literal, Optional, TypeVar

from ._breaker import CircuitBreaker, Classify
from ._bridge import CALL, classified, classify_error
from ._conditions import ScoreFn
from ._errors import CircuitBreakerOpen, NoProvider
from ._policy import Policy
from ._registry import Registry, default_registry
from ._softfuse import Caller, Permit, presets

T = TypeVar("T")

LOG = logging.getLogger("softfuse")
#: Providers of a chain at most: a call may be made of each, one after the other.
PROVIDERS_MAX = 64
#: Kinds of outcomes after which the next provider is asked. A request that is bad by itself is bad for everyone.
_FAILURES = frozenset({"error", "timeout", "rate-limited", "overloaded"})


class Providers:
    """A chain of providers. A call goes to the first that admits it, and on to the next where that one refuses or fails.

    ``move_on="rejection"``: a call that was made is not made again. Each attempt is an outcome of that provider's breaker.
    """

    def __init__(
        self,
        breakers: Iterable[CircuitBreaker],
        *,
        move_on: Literal["failure", "rejection"] = "failure",
        classify: Optional[Classify] = None,
        score_fn: Optional[ScoreFn] = None,
    ) -> None:
        self.breakers = tuple(breakers)
        names = [breaker.name for breaker in self.breakers]
        if not names:
            raise ValueError("a chain has one provider at least, and none was named")
        if len(names) > PROVIDERS_MAX:
            raise ValueError(f"a chain has {PROVIDERS_MAX} providers at most, and {len(names)} were named")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the provider '{twice}' was named twice: each has its place in the order once")
        if move_on not in ("failure", "rejection"):
            raise ValueError(f"move_on is 'failure' or 'rejection', not {move_on!r}")
        self._on_failure = move_on == "failure"
        self._classify = classify
        self._callers = {
            breaker.name: Caller(breaker._core, None, score_fn, classify, None, None)
            for breaker in self.breakers
        }

    @classmethod
    def presets(cls, registry: Optional[Registry] = None, **settings: Any) -> Providers:
        """OpenAI (5 failures in a row, 60 s), then Azure (5, 60 s), then Anthropic (3, 120 s)."""
        home = default_registry() if registry is None else registry
        return cls(
            [
                home.breaker(name, Policy.from_text(policy, source_name=f"preset '{name}'"))
                for name, policy in presets()
            ],
            **settings,
        )

    def available(self) -> list[str]:
        """The providers that would admit a call now, in order. Asking takes no probe."""
        return [breaker.name for breaker in self.breakers if not breaker.is_open()]

    def call(
        self, function: Callable[..., T], /, *args: Any, among: Optional[Iterable[str]] = None, **kwargs: Any
    ) -> T:
        """Calls ``function(provider, *args, **kwargs)`` for each provider in turn, till one answers. ``among`` names those to
        ask, in order; one that isn't in the chain is called unguarded, with a warning. Raises ``NoProvider`` where none answers; its cause is the last error."""
        tried: list[tuple[str, BaseException]] = []
        for name in self._names(among):
            permit = self._admit(name)
            if isinstance(permit, CircuitBreakerOpen):
                tried.append((name, permit))
                continue
            token = None if permit is None else CALL.set(permit)
            try:
                answer = function(name, *args, **kwargs)
            except BaseException as raised:
                if token is not None:
                    CALL.reset(token)
                self._failed(permit, name, raised, tried)
                continue
            if token is not None:
                CALL.reset(token)
            if permit is not None:
                permit.succeed(answer)
            return answer
        raise self._none(tried)

    async def call_async(
        self,
        function: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        among: Optional[Iterable[str]] = None,
        **kwargs: Any,
    ) -> T:
        """``call`` of a coroutine function."""
        tried: list[tuple[str, BaseException]] = []
        for name in self._names(among):
            permit = self._admit(name)
            if isinstance(permit, CircuitBreakerOpen):
                tried.append((name, permit))
                continue
            token = None if permit is None else CALL.set(permit)
            try:
                answer = await function(name, *args, **kwargs)
            except BaseException as raised:
                if token is not None:
                    CALL.reset(token)
                self._failed(permit, name, raised, tried)
                continue
            if token is not None:
                CALL.reset(token)
            if permit is not None:
                permit.succeed(answer)
            return answer
        raise self._none(tried)

    def _names(self, among: Optional[Iterable[str]]) -> list[str]:
        return [breaker.name for breaker in self.breakers] if among is None else list(among)

    def _admit(self, name: str) -> Any:
        caller = self._callers.get(name)
        if caller is None:
            LOG.warning("the provider %r isn't in the chain, and is called unguarded", name)
            return None
        return caller.admit((), {})

    def _failed(
        self, permit: Optional[Permit], name: str, raised: BaseException, tried: list[tuple[str, BaseException]]
    ) -> None:
        """Settles a call that failed; raises where that ends the chain."""
        if permit is not None:
            permit.fail(raised)
        said = None if self._classify is None else classified(self._classify, None, raised)
        kind = classify_error(raised)[0] if said is None else said[0]
        tried.append((name, raised))
        if not isinstance(raised, Exception):
            raise raised
        if kind not in _FAILURES or not self._on_failure:
            raise self._none(tried)

    @staticmethod
    def _none(tried: list[tuple[str, BaseException]]) -> NoProvider:
        error = NoProvider(tried)
        error.__cause__ = tried[-1][1] if tried else None
        return error

    def __repr__(self) -> str:
        return f"Providers({', '.join(breaker.name for breaker in self.breakers)})"
