"""Bulkheads: so many calls of one operation at once, so many waiting, each for so long. They stand outside the breaker."""

from __future__ import annotations

import asyncio
import functools
import inspect
from types import TracebackType
from typing import Any, Callable, NamedTuple, Optional, TypeVar, cast

from ._softfuse import Bulkhead as CoreBulkhead
from ._softfuse import Place
from ._spans import Span, nanos, optional_nanos

F = TypeVar("F", bound=Callable[..., Any])


class BulkheadCounts(NamedTuple):
    """What goes on in a bulkhead, and what went on since it was made."""

    in_use: int
    #: Callers that wait.
    waiting: int
    #: Callers that were refused, since it was full.
    refused: int
    #: Callers that waited in vain.
    timed_out: int


class Bulkhead:
    """Bounds how many calls of one operation are made at once: a decorator, or a block by ``with`` and ``async with``.

    Take its place first, then the breaker's permit: so it is the outer decorator. Waiting is then no latency of the service, and
    a refusal no outcome. Who comes first is served first, threads and tasks in one queue. No task blocks its event loop.
    """

    def __init__(self, name: str, concurrent_max: int, *, queue_max: int = 100, queue_timeout: Span = 30) -> None:
        """``concurrent_max``: calls at once (1 to 1,000,000). ``queue_max``: callers that wait (0 to 1,000,000), each for up to
        ``queue_timeout`` seconds. Raises ``ValueError`` for what is out of range."""
        self.name = name
        for key, count in (("concurrent_max", concurrent_max), ("queue_max", queue_max)):
            if not isinstance(count, int) or count < 0:
                raise ValueError(f"bulkhead `{name}`: `{key}` is {count!r}, and may be a whole number up to 1000000")
        self._core = CoreBulkhead(name, concurrent_max, queue_max, nanos(queue_timeout, "queue_timeout"))
        # Which of the places that are taken is given back makes no difference.
        self._taken: list[Place] = []

    @classmethod
    def preset(cls, operation: str) -> Bulkhead:
        """``chat``: 10 at once, 100 waiting for 30 s; ``embeddings``: 20, 100, 10 s; ``tools``: 5, 100, 30 s."""
        concurrent_max, queue_max, timeout_ns = CoreBulkhead.preset(operation)
        return cls(operation, concurrent_max, queue_max=queue_max, queue_timeout=timeout_ns / 1e9)

    def counts(self) -> BulkheadCounts:
        """What goes on in it."""
        return BulkheadCounts(*self._core.counts())

    def try_enter(self) -> Place:
        """Takes a place if one is free, to be given back by ``release()``. Raises ``BulkheadFull``."""
        return self._core.try_enter()

    def enter(self, timeout: Optional[Span] = None) -> Place:
        """Takes a place, waiting on this thread; ``timeout`` in seconds stands for ``queue_timeout``. Raises ``BulkheadFull`` at once,
        ``BulkheadTimeout`` later."""
        return self._core.enter(optional_nanos(timeout, "timeout"))

    async def enter_async(self, timeout: Optional[Span] = None) -> Place:
        """Takes a place, waiting in a task. A task that is cancelled leaves the queue."""
        entering = self._core.entering(optional_nanos(timeout, "timeout"))
        loop = asyncio.get_running_loop()
        try:
            while True:
                woken: asyncio.Future[None] = loop.create_future()
                place = entering.poll(functools.partial(_wake, loop, woken))
                if place is not None:
                    return place
                await woken
        finally:
            entering.cancel()

    def __enter__(self) -> Bulkhead:
        self._taken.append(self.enter())
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], raised: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._taken.pop().release()

    async def __aenter__(self) -> Bulkhead:
        self._taken.append(await self.enter_async())
        return self

    async def __aexit__(self, *ended: Any) -> None:
        self._taken.pop().release()

    def __call__(self, function: F) -> F:
        """Decorates a function or a coroutine function: each call of it takes a place."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def bounded_async(*args: Any, **kwargs: Any) -> Any:
                place = await self.enter_async()
                try:
                    return await function(*args, **kwargs)
                finally:
                    place.release()

            return cast(F, bounded_async)

        @functools.wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            place = self.enter()
            try:
                return function(*args, **kwargs)
            finally:
                place.release()

        return cast(F, bounded)

    def __repr__(self) -> str:
        return f"Bulkhead({self.name!r}, {self.counts()})"


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
    """Called from any thread."""
    try:
        loop.call_soon_threadsafe(_set, woken)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        pass


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
