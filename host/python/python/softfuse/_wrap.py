"""Wrappers of functions, coroutine functions and generators. The last two may be left and entered again, so that their calls
live in a context variable.

The permit is asked for when the body begins, so nothing is held by a coroutine or a generator that nobody starts.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, AsyncGenerator, Awaitable, Callable, Generator, Optional

from ._bridge import CALL, problem
from ._classify import error_inside
from ._errors import StreamError
from ._softfuse import Caller, GuardedFunction, Permit, Refused


class Fallback:
    """What is given where a call is refused, fails and opens the circuit, or is answered badly."""

    def __init__(self, given: Any) -> None:
        #: ``"raise"`` means none; any other value is one, ``None`` too.
        self.is_given = not (isinstance(given, str) and given == "raise")
        self.given = given

    def give(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What is given, where there is something."""
        return self.given(*args, **kwargs) if callable(self.given) else self.given

    def instead_of_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], refused: Refused) -> Any:
        """What is given in the place of a call that is refused."""
        if not self.is_given:
            raise refused.error()
        return self.give(args, kwargs)

    def instead_of(self, answer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What is given in the place of a bad answer: the answer itself, where there is nothing else."""
        if not self.is_given:
            return answer
        try:
            return self.give(args, kwargs)
        except Exception as raised:
            problem("the fallback of a bad answer", raised)
            return answer


def wrap_function(function: Callable[..., Any], caller: Caller, fall_back: Fallback) -> Callable[..., Any]:
    """Guards an ordinary function: the hot path, which is the extension's."""
    guarded = GuardedFunction(function, caller, (fall_back.is_given, fall_back.given))
    if "." not in getattr(function, "__qualname__", "").rpartition("<locals>.")[2]:
        return guarded

    # In a class's body it is a real function: there are libraries (pydantic's models) that look for those.
    def method(*args: Any, **kwargs: Any) -> Any:
        return guarded(*args, **kwargs)

    return method


def wrap_in_context(function: Callable[..., Any], caller: Caller, fall_back: Fallback) -> Callable[..., Any]:
    """Guards an ordinary function where greenlets are about, which change places within it: its call lives in the context."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        permit = caller.admit(args, kwargs)
        if not isinstance(permit, Permit):
            return fall_back.instead_of_call(args, kwargs, permit)
        token = CALL.set(permit)
        try:
            answer = function(*args, **kwargs)
        except BaseException as raised:
            CALL.reset(token)
            if permit.fail(raised) and fall_back.is_given:
                return fall_back.give(args, kwargs)
            raise
        CALL.reset(token)
        return fall_back.instead_of(answer, args, kwargs) if permit.succeed(answer) else answer

    return guarded


def wrap_coroutine(
    function: Callable[..., Awaitable[Any]], caller: Caller, fall_back: Fallback
) -> Callable[..., Any]:
    """Guards a coroutine function. One that is cancelled counts as neutral: its caller went away."""
    # Looked up once, not for each call: they stay as they are.
    admit, enter, leave = caller.admit, CALL.set, CALL.reset
    scores_before_answer, is_given = caller.scores_before_answer, fall_back.is_given

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        permit = admit(args, kwargs)
        if isinstance(permit, Refused):
            return await _awaited(fall_back.instead_of_call(args, kwargs, permit))
        token = enter(permit)
        try:
            answer = await function(*args, **kwargs)
        except BaseException as raised:
            leave(token)
            if permit.fail(raised) and is_given:
                return await _awaited(fall_back.give(args, kwargs))
            raise
        leave(token)
        if scores_before_answer and not permit.has_score():
            score = await score_aside(caller, permit, answer)
            is_bad = permit.succeed(answer, scored=True, score=score)
        else:
            is_bad = permit.succeed(answer)
        if not is_bad:
            return answer
        instead = fall_back.instead_of(answer, args, kwargs)
        try:
            return await _awaited(instead) if instead is not answer else answer
        except Exception as raised:
            problem("the fallback of a bad answer", raised)
            return answer

    return guarded


async def score_aside(caller: Caller, permit: Permit, answer: Any) -> Optional[float]:
    """Has an answer scored on another thread, so that no task waits, as the end of its call: its score."""
    permit.mark_end()
    try:
        return await asyncio.get_running_loop().run_in_executor(None, caller.score_now, answer)
    except BaseException:
        # The service has answered: whoever gives up waiting for the score doesn't undo that.
        permit.succeed(answer, scored=True)
        raise


async def _awaited(answer: Any) -> Any:
    """A fallback's answer: that of a coroutine, where it is one."""
    return await answer if inspect.isawaitable(answer) else answer


def _pieces(answer: Any) -> Any:
    """A fallback's answer in a generator's place: its pieces, or itself as the only one; nothing for ``None``."""
    if answer is None:
        return ()
    return answer if hasattr(answer, "__iter__") and not isinstance(answer, (str, bytes, dict)) else (answer,)


class _StreamCall:
    """A generator's call, which ends once: by a piece that tells of an error, or as the generator does."""

    def __init__(self, permit: Permit) -> None:
        self.permit = permit
        self.is_over = False

    def piece(self, piece: Any) -> None:
        said = None if self.is_over else error_inside(piece)
        if said is not None:
            self.is_over = True
            self.permit.fail(StreamError(said))

    def succeed(self, value: Any) -> None:
        if not self.is_over:
            self.permit.succeed(value)

    def fail(self, raised: BaseException) -> bool:
        """Whether the fallback is to take its place."""
        return not self.is_over and self.permit.fail(raised)


def wrap_generator(
    function: Callable[..., Generator[Any, Any, Any]], caller: Caller, fall_back: Fallback
) -> Callable[..., Any]:
    """Guards a generator: its call lasts from its first piece asked for to its end. One that is closed before counts as
    neutral. The fallback takes its place where nothing has been given yet."""

    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        permit = caller.admit(args, kwargs)
        if not isinstance(permit, Permit):
            return (yield from _pieces(fall_back.instead_of_call(args, kwargs, permit)))
        call = _StreamCall(permit)
        has_given = False
        try:
            body = function(*args, **kwargs)
            resume: Callable[[], Any] = lambda: next(body)
            while True:
                piece = _within(permit, resume)
                has_given = True
                call.piece(piece)
                try:
                    sent = yield piece
                except GeneratorExit:
                    body.close()
                    raise
                except BaseException as thrown:
                    resume = _thrower(body, thrown)
                else:
                    resume = _sender(body, sent)
        except _Ended as ended:
            call.succeed(ended.value)
            return ended.value
        except BaseException as raised:
            if call.fail(raised) and fall_back.is_given and not has_given:
                return (yield from _pieces(fall_back.give(args, kwargs)))
            raise

    return guarded


class _Ended(Exception):
    """A generator's body has returned: ``StopIteration`` may not pass through a generator."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


def _within(permit: Permit, resume: Callable[[], Any]) -> Any:
    """Runs a part of a generator's body as the call under way."""
    permit.resume()
    token = CALL.set(permit)
    try:
        return resume()
    except StopIteration as stop:
        raise _Ended(stop.value) from None
    finally:
        CALL.reset(token)


def _sender(body: Generator[Any, Any, Any], sent: Any) -> Callable[[], Any]:
    return lambda: body.send(sent)


def _thrower(body: Generator[Any, Any, Any], thrown: BaseException) -> Callable[[], Any]:
    return lambda: body.throw(thrown)


def wrap_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], caller: Caller, fall_back: Fallback
) -> Callable[..., Any]:
    """Guards an asynchronous generator, as ``wrap_generator`` does."""

    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        permit = caller.admit(args, kwargs)
        if not isinstance(permit, Permit):
            async for piece in _async_pieces(fall_back.instead_of_call(args, kwargs, permit)):
                yield piece
            return
        call = _StreamCall(permit)
        has_given = False
        body = function(*args, **kwargs)
        try:
            asked: Awaitable[Any] = body.__anext__()
            while True:
                piece = await _async_within(permit, asked)
                has_given = True
                call.piece(piece)
                try:
                    sent = yield piece
                except GeneratorExit:
                    await body.aclose()
                    raise
                except BaseException as thrown:
                    asked = body.athrow(thrown)
                else:
                    asked = body.asend(sent)
        except StopAsyncIteration:
            call.succeed(None)
            return
        except BaseException as raised:
            if not call.fail(raised) or has_given or not fall_back.is_given:
                raise
            instead = fall_back.give(args, kwargs)
        async for piece in _async_pieces(instead):
            yield piece

    return guarded


async def _async_within(permit: Permit, asked: Awaitable[Any]) -> Any:
    permit.resume()
    token = CALL.set(permit)
    try:
        return await asked
    finally:
        CALL.reset(token)


async def _async_pieces(answer: Any) -> AsyncGenerator[Any, None]:
    answer = await _awaited(answer)
    if hasattr(answer, "__aiter__"):
        async for piece in answer:
            yield piece
        return
    for piece in _pieces(answer):
        yield piece
