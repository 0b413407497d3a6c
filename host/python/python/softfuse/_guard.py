"""A guarded block: ``with`` and ``async with``."""

from __future__ import annotations

from contextvars import Token
from types import TracebackType
from typing import Any, Optional

from ._bridge import CALL
from ._softfuse import Caller, Permit, Refused, Reporter


class Guarded:
    """The call of a guarded block."""

    __slots__ = ("_permit",)

    def __init__(self, permit: Permit) -> None:
        self._permit = permit

    @property
    def name(self) -> str:
        """The breaker's name."""
        return self._permit.name

    def report_quality(self, score: float) -> str:
        """Says how good the answer is; the last report before the block's end counts."""
        return self._permit.report_quality(score)

    def reporter(self) -> Reporter:
        """Takes the call's score at any time, from any thread."""
        return self._permit.reporter()


class Guard:
    """A breaker's guarded blocks. It may be entered again and again, within itself too, but by one thread or task at a
    time: each takes its own from ``CircuitBreaker.guard``."""

    __slots__ = ("_caller", "_entered")

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._entered: list[tuple[Permit, Token[Optional[Permit]]]] = []

    def __enter__(self) -> Guarded:
        permit = self._caller.admit((), {})
        if isinstance(permit, Refused):
            raise permit.error()
        self._entered.append((permit, CALL.set(permit)))
        return Guarded(permit)

    def __exit__(
        self, kind: Optional[type[BaseException]], raised: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        permit, token = self._entered.pop()
        CALL.reset(token)
        if raised is None:
            permit.succeed(None)
        else:
            permit.fail(raised)

    async def __aenter__(self) -> Guarded:
        return self.__enter__()

    async def __aexit__(self, *ended: Any) -> None:
        self.__exit__(*ended)
