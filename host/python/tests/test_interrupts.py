"""Ctrl-C and ``sys.exit`` within what users hand in: they go through, and the call is settled all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from softfuse import Registry, Scorer, State, any_of, circuit_breaker, consecutive_failures, quality_below

GOOD = "Paris is the capital of France."


@pytest.mark.parametrize("left", [KeyboardInterrupt("now"), SystemExit(3)], ids=repr)
def test_what_ends_the_program_is_let_through(registry: Registry, left: BaseException) -> None:
    """Ctrl-C within a callback, or sys.exit: the call is settled as by any other callback that raises, and then it goes on its way."""

    def leave(*_: Any) -> Any:
        raise left

    class Mine:
        def __call__(self, record: Any) -> bool:
            return bool(leave())

        def reset(self) -> None:
            pass

    scorer = Scorer.builtin("text")
    high: Any = quality_below(-1, window=50)
    places: list[tuple[str, Any, dict[str, Any]]] = [
        ("score_fn", high, {"score_fn": leave}),
        ("classify", high, {"classify": leave}),
        ("exchange", high, {"scorer": scorer, "exchange": leave}),
        ("exchange before", high, {"scorer": scorer, "exchange": leave, "score_before_answer": True}),
        ("condition", any_of(Mine(), high), {}),
    ]
    for name, condition, settings in places:
        guard = circuit_breaker(condition, registry=registry, name=name, **settings)

        @guard
        def call() -> str:
            return GOOD

        @guard
        async def call_async() -> str:
            return GOOD

        @guard
        def failing() -> str:
            raise ConnectionError("gone")

        @guard
        def pieces() -> Any:
            yield GOOD

        calls: list[Any] = [call, lambda: asyncio.run(call_async()), lambda: list(pieces())]
        for count, one in enumerate(calls, 1):
            with pytest.raises(type(left)) as raised:
                one()
            assert raised.value is left, name
            totals = registry.get(name).status().totals
            assert (totals.calls, totals.successes, totals.neutral) == (count, count, 0), (name, totals)
        if name in ("classify", "condition"):
            with pytest.raises(type(left)) as raised:
                failing()
            assert raised.value is left and isinstance(left.__context__, ConnectionError)
            left.__context__ = None
            assert registry.get(name).status().totals.failures == 1
        # It was left once: nothing of it comes up later.
        assert registry.breaker("another", consecutive_failures(9)).before().record("success").effect == "recorded"

    changes = registry.breaker("changes", consecutive_failures(1))
    changes.on_state_change(leave)
    permit = changes.before()
    with pytest.raises(type(left)):
        permit.record("error")
    assert changes.state is State.OPEN
    with pytest.raises(type(left)):
        changes.reset()
    assert changes.state is State.CLOSED and changes.status().totals.failures == 1
