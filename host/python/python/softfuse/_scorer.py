"""Scorers: components, in a sandbox, that say how good an answer is."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, NamedTuple, Optional, Union

from ._softfuse import Scorer as CoreScorer
from ._spans import Span, nanos

#: A content's type, its bytes, and whether something is missing at its end.
Shown = tuple[str, bytes, bool]
#: An exchange as the extension takes it: operation, model, the request, metadata, the answer.
Parts = tuple[str, str, Shown, list[tuple[str, str]], Shown]


@dataclass(frozen=True)
class Exchange:
    """One call and its answer, as a scorer is shown it. Text, bytes and what JSON can say are taken as they are."""

    answer: Any
    #: A media type; without one: ``text/plain`` for text, ``application/json`` for data, else ``application/octet-stream``.
    content_type: Optional[str] = None
    request: Any = b""
    request_content_type: Optional[str] = None
    #: What was asked for, in the host's terms: ``chat``, ``embeddings``.
    operation: str = ""
    model: str = ""
    #: Whatever else is known, by name.
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: Whether the answer was cut off, so that its end is missing: a scorer may judge that otherwise than an answer that just stops.
    truncated: bool = False
    request_truncated: bool = False

    def parts(self) -> Parts:
        """The exchange as the extension takes it."""
        request_type, request = body(self.request, self.request_content_type)
        answer_type, answer = body(self.answer, self.content_type)
        metadata = [(str(name), str(value)) for name, value in self.metadata.items()]
        shown = (request_type, request, self.request_truncated), metadata, (answer_type, answer, self.truncated)
        return self.operation, self.model, *shown


def body(content: Any, content_type: Optional[str]) -> tuple[str, bytes]:
    """A content's type and bytes. Raises ``TypeError`` for what can't be shown."""
    if isinstance(content, (bytes, bytearray, memoryview)):
        found, data = "application/octet-stream" if len(content) else "", bytes(content)
    elif isinstance(content, str):
        found, data = "text/plain", content.encode("utf-8", "replace")
    elif callable(getattr(content, "model_dump_json", None)):
        # pydantic's models: what the clients of most providers give.
        found, data = "application/json", str(content.model_dump_json()).encode()
    elif callable(getattr(content, "tolist", None)):
        # Arrays, as of an embedding.
        found, data = "application/json", json.dumps(content.tolist()).encode()
    else:
        found, data = "application/json", json.dumps(content).encode()
    return found if content_type is None else content_type, data


class Score(NamedTuple):
    """What a scorer's run came to."""

    #: ``None`` where there is none.
    score: Optional[float]
    #: ``score``, ``abstained``, or a word for the failure: ``deadline``, ``memory``, ``trapped``, ``malformed`` and so on.
    outcome: str
    #: Why there is no score.
    reason: str


class Scorer:
    """A scorer, ready to be asked from any thread. It gets no file, no network and no environment; its time, its memory
    and what it hands over are bounded, so that one that loops, traps or eats memory costs a score, never an answer."""

    def __init__(self, core: CoreScorer) -> None:
        self._core = core

    @classmethod
    def builtin(
        cls,
        name: str,
        config: str = "",
        *,
        deadline: Span = 1,
        start_deadline: Span = 10,
        memory_bytes_max: int = 256 << 20,
        output_bytes_max: int = 1 << 20,
        fresh: bool = False,
        instances_max: int = 4,
        workers: int = 1,
        queue_max: int = 256,
        wait_max: Span = 30,
        answer_bytes_max: int = 64 << 10,
    ) -> Scorer:
        """One that comes with the package: ``text``, ``logprobs`` or ``embedding``, with its configuration in TOML.

        ``deadline`` is in seconds, for one answer, ``start_deadline`` for its start; ``fresh``: each answer gets an instance of
        its own; ``instances_max``: answers that are scored at once. The rest is for answers that are scored beside their calls: ``workers`` threads, ``queue_max`` answers
        that wait for up to ``wait_max`` seconds, and what is kept of each.
        """
        settings = _settings(**{name: value for name, value in locals().items() if name not in ("cls", "name")})
        return cls(CoreScorer.builtin(name, settings))

    @classmethod
    def from_file(cls, path: Union[str, os.PathLike[str]], config: str = "", **settings: Any) -> Scorer:
        """A component from a file; the settings are those of ``builtin``. Raises ``ScorerError`` where it can't be read, is no
        scorer, imports what isn't granted, or refuses its configuration."""
        return cls(CoreScorer.from_file(os.fspath(path), _settings(config=config, **settings)))

    @classmethod
    def from_bytes(cls, name: str, component: bytes, config: str = "", **settings: Any) -> Scorer:
        """A component from bytes."""
        return cls(CoreScorer.from_bytes(name, component, _settings(config=config, **settings)))

    @property
    def name(self) -> str:
        """Its name: a file's stem."""
        return self._core.name

    @property
    def waiting(self) -> int:
        """Answers that wait for their score beside their calls."""
        return self._core.waiting()

    def score(self, answer: Any) -> Score:
        """Scores an answer, or an ``Exchange``, on this thread; other threads run meanwhile."""
        shown = answer if isinstance(answer, Exchange) else Exchange(answer)
        return Score(*self._core.score(shown.parts()))

    def __repr__(self) -> str:
        return f"Scorer({self.name!r})"


_SPANS = ("deadline", "start_deadline", "wait_max")


def _settings(**given: Any) -> dict[str, Any]:
    return {f"{name}_ns" if name in _SPANS else name: nanos(value, name) if name in _SPANS else value for name, value in given.items()}


def exchange_parts(exchange: Optional[Any], answer: Any) -> Optional[Parts]:
    """What a scorer is shown of an answer: as the user's function says, or as it is. ``None``: nothing."""
    shown = answer if exchange is None else exchange(answer)
    if shown is None:
        return None
    return (shown if isinstance(shown, Exchange) else Exchange(shown)).parts()


def scored_by_of(
    scorer: Optional[Scorer], exchange: Optional[Callable[[Any], Any]], score_before_answer: bool
) -> Optional[tuple[CoreScorer, Optional[Callable[[Any], Any]], bool]]:
    """Who scores answers, what it is shown of them, and whether they wait for it, as the extension takes it."""
    if scorer is None:
        if exchange is not None or score_before_answer:
            raise TypeError("exchange= and score_before_answer= belong to scorer=, which isn't given")
        return None
    return scorer._core, exchange, score_before_answer
