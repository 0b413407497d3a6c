"""Providers in the order in which they are to be asked, each behind a breaker of its own."""

from __future__ import annotations

import logging
import math
from contextvars import Token
from types import TracebackType
from typing import Any, Awaitable, Callable, Generic, Iterable, Iterator, Literal, Optional, TypeVar

from ._breaker import CircuitBreaker, Classify
from ._bridge import CALL, classified, classify_error
from ._conditions import ScoreFn
from ._errors import NoProvider
from ._policy import Policy
from ._registry import Registry, default_registry
from ._scorer import Scorer, scored_by_of
from ._softfuse import Caller, Permit, Refused, presets
from ._wrap import score_aside

T = TypeVar("T")

LOG = logging.getLogger("softfuse")
#: Providers of a chain at most: a call may be made of each, one after the other.
PROVIDERS_MAX = 64
#: Kinds of outcomes after which the next provider is asked. A request that is bad by itself is bad for everyone.
_FAILURES = frozenset({"error", "timeout", "rate-limited", "overloaded"})


class Providers:
    """A chain of providers. A call goes to the first that admits it, and on to the next where that one refuses, fails, or
    answers badly. Each attempt is an outcome of that provider's breaker.

    ``move_on="rejection"``: a call that was made is not made again. ``classify(answer, error)``: what an attempt's end counts as.
    ``score_fn``, ``scorer``, ``exchange`` and ``score_before_answer`` are the decorator's. ``replace_below``: an answer whose score
    is under this, where it is there by then, is bad. A bad answer, and one that ``classify`` takes for a failure, is kept while
    others are asked: if none does better, the caller gets the best of them.
    """

    def __init__(
        self,
        breakers: Iterable[CircuitBreaker],
        *,
        move_on: Literal["failure", "rejection"] = "failure",
        classify: Optional[Classify] = None,
        score_fn: Optional[ScoreFn] = None,
        scorer: Optional[Scorer] = None,
        exchange: Optional[Callable[[Any], Any]] = None,
        score_before_answer: bool = False,
        replace_below: Optional[float] = None,
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
        scored_by = scored_by_of(scorer, exchange, score_before_answer)
        self._on_failure = move_on == "failure"
        self._classify = classify
        self._callers = {
            breaker.name: Caller(breaker._core, None, score_fn, classify, scored_by, replace_below)
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
        walk: _Walk[T] = self._walk(among)
        for attempt in walk.attempts():
            with attempt:
                attempt.answer = (function(attempt.name, *args, **kwargs),)
            if attempt.answer and walk.accepts(attempt):
                break
        return walk.end()

    async def call_async(
        self,
        function: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        among: Optional[Iterable[str]] = None,
        **kwargs: Any,
    ) -> T:
        """``call`` of a coroutine function."""
        walk: _Walk[T] = self._walk(among)
        for attempt in walk.attempts():
            with attempt:
                attempt.answer = (await function(attempt.name, *args, **kwargs),)
            if attempt.answer and walk.accepts(attempt, await attempt.scored_aside()):
                break
        return walk.end()

    def _walk(self, among: Optional[Iterable[str]]) -> _Walk[Any]:
        names = [breaker.name for breaker in self.breakers] if among is None else list(among)
        return _Walk(names, self._callers, self._classify, self._on_failure)

    def __repr__(self) -> str:
        return f"Providers({', '.join(breaker.name for breaker in self.breakers)})"


class _Attempt(Generic[T]):
    """One provider's call, as a block: what it raises moves the walk on, or ends it."""

    def __init__(self, walk: _Walk[T], name: str, caller: Optional[Caller], permit: Optional[Permit]) -> None:
        self.name = name
        #: The answer, once it is there.
        self.answer: tuple[T, ...] = ()
        #: ``None`` for an unknown provider, whose calls are unguarded.
        self.permit = permit
        self._walk = walk
        self._caller = caller
        self._token: Optional[Token[Optional[Permit]]] = None

    def __enter__(self) -> None:
        if self.permit is not None:
            self._token = CALL.set(self.permit)

    def __exit__(
        self, kind: Optional[type[BaseException]], raised: Optional[BaseException], trace: Optional[TracebackType]
    ) -> bool:
        if self._token is not None:
            CALL.reset(self._token)
        if raised is None:
            return False
        self._walk.failed(self, raised)
        return isinstance(raised, Exception)

    async def scored_aside(self) -> Optional[tuple[Optional[float]]]:
        """The answer's score, made on another thread where it is to be there before the answer is passed on."""
        caller, permit = self._caller, self.permit
        if caller is None or permit is None or not caller.scores_before_answer or permit.has_score():
            return None
        return (await score_aside(caller, permit, self.answer[0]),)


class _Walk(Generic[T]):
    """A call's way through the providers."""

    def __init__(
        self, names: list[str], callers: dict[str, Caller], classify: Optional[Classify], on_failure: bool
    ) -> None:
        self._names = names
        self._callers = callers
        self._classify = classify
        self._on_failure = on_failure
        self._tried: list[tuple[str, BaseException]] = []
        self._is_over = False
        #: The best of the answers so far, and its score.
        self._kept: Optional[tuple[T, float]] = None

    def attempts(self) -> Iterator[_Attempt[T]]:
        """The providers that admit the call, in turn, till it is over."""
        for name in self._names:
            if self._is_over:
                return
            caller = self._callers.get(name)
            if caller is None:
                LOG.warning("the provider %r isn't in the chain, and is called unguarded", name)
                yield _Attempt(self, name, None, None)
                continue
            permit = caller.admit((), {})
            if isinstance(permit, Refused):
                self._tried.append((name, permit.error()))
            else:
                yield _Attempt(self, name, caller, permit)

    def accepts(self, attempt: _Attempt[T], scored: Optional[tuple[Optional[float]]] = None) -> bool:
        """Settles an attempt that was answered: whether that is the call's answer. Otherwise it is kept, if it is the best so far."""
        answer = attempt.answer[0]
        if attempt.permit is None:
            kind, score, is_bad = self._kind(answer, None) or "success", None, False
        elif scored is None:
            kind, score, is_bad = attempt.permit.end_with(answer)
        else:
            kind, score, is_bad = attempt.permit.end_with(answer, scored=True, score=scored[0])
        has_failed = kind in _FAILURES
        if not self._on_failure or not (has_failed or is_bad):
            self._kept = (answer, math.inf)
            return True
        # One that failed is worse than any that is merely bad.
        rank = -math.inf if has_failed or score is None else score
        if self._kept is None or rank > self._kept[1]:
            self._kept = (answer, rank)
        return False

    def failed(self, attempt: _Attempt[T], raised: BaseException) -> None:
        """Settles an attempt that raised."""
        if attempt.permit is not None:
            kind = attempt.permit.end_by(raised)
        else:
            kind = self._kind(None, raised) or classify_error(raised)[0]
        self._tried.append((attempt.name, raised))
        self._is_over = kind not in _FAILURES or not self._on_failure

    def _kind(self, answer: Any, raised: Optional[BaseException]) -> Optional[str]:
        """What the user's hook says of an unguarded call."""
        said = None if self._classify is None else classified(self._classify, answer, raised)
        return None if said is None else said[0]

    def end(self) -> T:
        """What the call has come to."""
        if self._kept is not None:
            return self._kept[0]
        raise NoProvider(self._tried) from (self._tried[-1][1] if self._tried else None)
